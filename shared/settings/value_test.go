package settings

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// logs collects the log.
var logs bytes.Buffer

// take returns the log so far, and empties it.
func take() string {
	defer logs.Reset()
	return logs.String()
}

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.NewJSONHandler(&logs, nil)))
	os.Exit(m.Run())
}

// A source has the result of the next fetch, and counts fetches.
type source struct {
	calls int
	value string
	err   error
}

func (s *source) fetch(context.Context) (string, error) {
	s.calls++
	return s.value, s.err
}

func wantGet(t *testing.T, v *Value[string], want string) {
	t.Helper()
	if got, err := v.Get(t.Context()); got != want || err != nil {
		t.Errorf("want %q, got %q, %v", want, got, err)
	}
}

// wantError checks for no value, ErrUnavailable and its cause.
func wantError(t *testing.T, v *Value[string], cause error) {
	t.Helper()
	if got, err := v.Get(t.Context()); got != "" || !errors.Is(err, ErrUnavailable) || !errors.Is(err, cause) {
		t.Errorf("want %v, got %q, %v", cause, got, err)
	}
}

func wantCalls(t *testing.T, s *source, want int) {
	t.Helper()
	if s.calls != want {
		t.Errorf("want %d fetches, got %d", want, s.calls)
	}
}

var errDown = errors.New("SSM is down")

const ttl = 5 * time.Minute

func TestValueIsKeptForTheTTLAndFetchedAgainAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{value: "one"}
		v := Keep(&Store{ttl: ttl}, Forever, s.fetch)
		wantCalls(t, s, 0)
		wantGet(t, v, "one")
		s.value = "two"
		time.Sleep(ttl*4/5 - time.Second) // before the earliest refresh
		wantGet(t, v, "one")
		wantCalls(t, s, 1)
		time.Sleep(ttl/5 + time.Second) // exactly the time to live
		wantGet(t, v, "two")
		wantCalls(t, s, 2)
	})
}

func TestJitterOnlyShortensTheTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wantGet(t, Keep(&Store{ttl: 1}, Forever, (&source{}).fetch), "") // as short as it can be
		lives := map[time.Duration]bool{}
		for range 200 {
			v := Keep(&Store{ttl: ttl}, Forever, (&source{}).fetch)
			wantGet(t, v, "")
			life := v.due.Sub(now())
			if life < ttl*4/5 || life > ttl {
				t.Errorf("want from four minutes to five, got %v", life)
			}
			lives[life] = true
		}
		if len(lives) < 100 {
			t.Errorf("want processes that started together to fetch at different times, got %d times for 200", len(lives))
		}
	})
}

func TestWaitingRequestsShareOneFetch(t *testing.T) {
	for name, test := range map[string]struct {
		fetch func() (string, error)
		cause error
	}{
		"success": {func() (string, error) { return "good", nil }, nil},
		"failure": {func() (string, error) { return "", errDown }, errDown},
		"panic":   {func() (string, error) { panic("hunter2") }, ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				var calls atomic.Int32
				v := Keep(&Store{ttl: ttl}, Forever, func(context.Context) (string, error) {
					if calls.Add(1) > 1 {
						return "good", nil
					}
					<-release
					return test.fetch()
				})
				var wg sync.WaitGroup
				for range 100 {
					wg.Go(func() {
						got, err := v.Get(t.Context())
						if !errors.Is(err, test.cause) || err == nil && got != "good" || err != nil && strings.Contains(err.Error(), "hunter2") {
							t.Errorf("want %v without the panic's value, got %q, %v", test.cause, got, err)
						}
					})
				}
				synctest.Wait()
				close(release)
				wg.Wait()
				if got := calls.Load(); got != 1 {
					t.Errorf("want one fetch, got %d", got)
				}
				wantGet(t, v, "good")
			})
		})
	}
}

func TestRefreshDoesNotDelayOtherRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, calls := make(chan struct{}), 0
		v := Keep(&Store{ttl: ttl}, Forever, func(context.Context) (string, error) {
			if calls++; calls == 1 {
				return "one", nil
			}
			<-release
			return "two", nil
		})
		wantGet(t, v, "one")
		time.Sleep(ttl)
		done := make(chan struct{})
		go func() {
			wantGet(t, v, "two")
			close(done)
		}()
		synctest.Wait()
		for range 100 {
			wantGet(t, v, "one")
		}
		close(release)
		<-done
		if calls != 2 {
			t.Errorf("want two fetches, got %d", calls)
		}
	})
}

func TestStaleValueIsServedWithOneLogLinePerFailedRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		take()
		s, stale := &source{value: "good"}, 0
		v := Keep(&Store{ttl: ttl, OnStale: func(context.Context) { stale++ }}, Forever, s.fetch)
		wantGet(t, v, "good")
		time.Sleep(ttl)
		s.value, s.err = "", errDown
		for range 10 {
			wantGet(t, v, "good")
		}
		wantCalls(t, s, 2)
		if log := take(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "SSM is down") || !strings.Contains(log, `"WARN"`) || stale != 1 {
			t.Errorf("want one line at WARN with the cause and one call of OnStale, got %d and %s", stale, log)
		}

		time.Sleep(askAgainAfter - time.Second) // not yet
		wantGet(t, v, "good")
		wantCalls(t, s, 2)
		time.Sleep(time.Second)
		wantGet(t, v, "good")
		wantCalls(t, s, 3)
		if log := take(); strings.Count(log, "\n") != 1 || stale != 2 {
			t.Errorf("want one more line and call of OnStale, got %d and %s", stale, log)
		}

		s.value, s.err = "better", nil
		time.Sleep(askAgainAfter)
		wantGet(t, v, "better")
		wantCalls(t, s, 4)
		time.Sleep(ttl*4/5 - time.Second)
		wantGet(t, v, "better")
		wantCalls(t, s, 4)
		if log := take(); log != "" || stale != 2 {
			t.Errorf("want nothing logged after recovery, got %d and %s", stale, log)
		}
	})
}

func TestFailedRefreshIsRepeatedWithinAShortTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{value: "good"}
		v := Keep(&Store{ttl: time.Second}, Forever, s.fetch)
		wantGet(t, v, "good")
		time.Sleep(time.Second)
		s.err = errDown
		wantGet(t, v, "good")
		time.Sleep(time.Second)
		s.err, s.value = nil, "better"
		wantGet(t, v, "better")
	})
}

func TestWithoutAValueEachAccessFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		take()
		s := &source{err: errDown}
		v := Keep(&Store{ttl: ttl, OnStale: func(context.Context) { t.Error("want nothing served stale") }}, Forever, s.fetch)
		for range 3 {
			wantError(t, v, errDown)
		}
		if log := take(); log != "" {
			t.Errorf("want nothing logged, got %s", log)
		}
		v.Load(t.Context())
		wantCalls(t, s, 4)
		if log := take(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "SSM is down") {
			t.Errorf("want one line from Load with the cause, got %s", log)
		}
		s.value, s.err = "x", nil
		wantGet(t, v, "x")
		v.Load(t.Context())
		wantCalls(t, s, 5)
	})
}

func TestMissingParameterDropsTheLastGoodValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{value: "good"}
		v := Keep(&Store{ttl: ttl}, Forever, s.fetch)
		wantGet(t, v, "good")
		time.Sleep(ttl)
		s.value, s.err = "", fmt.Errorf("parameter x: %w", ErrMissing)
		wantError(t, v, ErrMissing)
		s.err = errDown // an outage now does not bring the removed value back
		wantError(t, v, errDown)
		s.value, s.err = "back", nil
		wantGet(t, v, "back")
	})
}

func TestValueIsServedStaleUpToItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{value: "good"}
		v := Keep(&Store{ttl: ttl}, 24*time.Hour, s.fetch)
		wantGet(t, v, "good")
		s.err = errDown
		time.Sleep(24 * time.Hour)
		wantGet(t, v, "good")
		time.Sleep(askAgainAfter)
		wantError(t, v, errDown)
		s.err = nil
		wantGet(t, v, "good")
	})
}

func TestRequestThatEndsStopsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		v := Keep(&Store{ttl: ttl}, Forever, func(context.Context) (string, error) {
			<-release
			return "x", nil
		})
		first := make(chan struct{})
		go func() {
			wantGet(t, v, "x")
			close(first)
		}()
		synctest.Wait()
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("the caller went away")
		waiting := make(chan error)
		go func() {
			_, err := v.Get(ctx)
			waiting <- err
		}()
		synctest.Wait()
		cancel(gone)
		if err := <-waiting; !errors.Is(err, gone) {
			t.Errorf("want the reason why the request ended, got %v", err)
		}
		close(release)
		<-first
	})
}

func TestFetchOutlivesTheRequestThatBeganIt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	v := Keep(&Store{ttl: ttl}, Forever, func(ctx context.Context) (string, error) { return "x", ctx.Err() })
	_, _ = v.Get(ctx)
	wantGet(t, v, "x")
}

func TestFetchMayTake3SecondsAnd500MillisecondsWhereThereIsAValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := true
		v := Keep(&Store{ttl: ttl}, Forever, func(ctx context.Context) (string, error) {
			if hangs {
				<-ctx.Done()
			}
			return "x", ctx.Err()
		})
		start := time.Now()
		if _, err := v.Get(t.Context()); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("want an error after 3 s, got %v after %v", err, time.Since(start))
		}
		hangs = false
		wantGet(t, v, "x")
		hangs = true
		time.Sleep(ttl)
		start = time.Now()
		if wantGet(t, v, "x"); time.Since(start) != 500*time.Millisecond {
			t.Errorf("want the old value after 500 ms, got it after %v", time.Since(start))
		}
		time.Sleep(renewAfter)
		start = time.Now()
		if _, err := v.Renew(t.Context()); !errors.Is(err, ErrUnavailable) || time.Since(start) != 2*time.Second {
			t.Errorf("want Renew to fail after as long as a call may take, got %v after %v", err, time.Since(start))
		}
	})
}

// The monotonic clock may stand still while Lambda has the process stopped.
func TestAgeIsTakenFromTheWallClock(t *testing.T) {
	v := Keep(&Store{ttl: ttl}, Forever, (&source{}).fetch)
	wantGet(t, v, "")
	if strings.Contains(v.due.String(), "m=") || strings.Contains(now().String(), "m=") {
		t.Errorf("want no monotonic reading, got %v", v.due)
	}
}

func TestRenewFetchesEarlyEvery10SecondsAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{value: "old"}
		v := Keep(&Store{ttl: time.Hour}, Forever, s.fetch)
		wantGet(t, v, "old")
		s.value = "new"

		renew := func(want string, calls int) {
			t.Helper()
			if got, err := v.Renew(t.Context()); err != nil || got != want {
				t.Errorf("want %s, got %s, %v", want, got, err)
			}
			wantCalls(t, s, calls)
		}
		time.Sleep(renewAfter - time.Millisecond)
		renew("old", 1)
		time.Sleep(time.Millisecond)
		renew("new", 2)
		s.value = "newest"
		renew("new", 2)
		time.Sleep(renewAfter)
		renew("newest", 3)
		s.err = errors.New("SSM is down")
		time.Sleep(renewAfter)
		for range 2 {
			if _, err := v.Renew(t.Context()); !errors.Is(err, ErrUnavailable) || !errors.Is(err, s.err) {
				t.Errorf("want an error while nobody knows whether it has changed, got %v", err)
			}
			wantCalls(t, s, 4)
			wantGet(t, v, "newest")
		}
	})
}

func BenchmarkGet(b *testing.B) {
	v := Keep(&Store{ttl: time.Hour}, Forever, (&source{value: "x"}).fetch)
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Get(ctx); err != nil {
			b.Fatal(err)
		}
	}
}
