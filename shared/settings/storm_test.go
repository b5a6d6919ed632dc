package settings

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chat-service-backend/internal/parameterstore"
	"chat-service-backend/internal/standin"
)

// inMemory carries requests to a handler in this process, for tests in which
// time is the test's.
type inMemory struct{ http.Handler }

func (h inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), r.Context().Err()
}

// newValue returns a value as a new process has it, and the handler is its SSM.
func newValue(t *testing.T, ssm http.Handler) *Value[string] {
	store := openAt(t, "http://ssm.test", nil)
	store.http.Transport = inMemory{ssm}
	return Keep(store, Forever, func(ctx context.Context) (string, error) {
		values, err := store.Parameters(ctx, "k")
		return values["k"], err
	})
}

func limited(perSecond, burst float64) *parameterstore.Store {
	ssm := &parameterstore.Store{Values: parameterstore.NewMemory(map[string]string{"/chat-service/k": "v"}).Values}
	ssm.Fault.Set(standin.Limit(perSecond, burst))
	return ssm
}

// start is what a process does: it loads in init, and then serves a request.
func start(v *Value[string]) error {
	ctx, cancel := context.WithTimeout(context.Background(), 9*time.Second)
	v.Load(ctx)
	cancel()
	_, err := v.Get(context.Background())
	return err
}

// storm starts processes within a second and returns when each had its value,
// earliest first, and the errors of the others.
func storm(t *testing.T, processes int, ssm http.Handler) (served []time.Duration, refused []error) {
	began := time.Now()
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i := range processes {
		wg.Go(func() {
			time.Sleep(time.Duration(i) * time.Second / time.Duration(processes))
			err := start(newValue(t, ssm))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				refused = append(refused, err)
			} else {
				served = append(served, time.Since(began))
			}
		})
	}
	wg.Wait()
	slices.Sort(served)
	return served, refused
}

func TestStormOf240StartsIsServedWithin8Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		served, refused := storm(t, 240, limited(40, 40))
		if len(refused) != 0 {
			t.Fatalf("want all served, got %d refused: %v", len(refused), refused[0])
		}
		if last := served[len(served)-1]; last > 8*time.Second {
			t.Errorf("want the last served within 8 s, got it after %v", last)
		}
	})
}

func TestStormOf1000StartsIsServedAsFastAsSSMAllows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		served, refused := storm(t, 1000, limited(40, 40))
		// 40 at once and 40 a second: while a thousand wait, no call of SSM's goes unused.
		for i, after := range served {
			fastest := time.Duration(i-39) * time.Second / 40
			if after > fastest+time.Second {
				t.Fatalf("want process %d served a second after %v at most, got it after %v", i, fastest, after)
			}
		}
		if want := 40 + 40*13; len(served) < want {
			t.Errorf("want %d served in init and the 5 s of the first request, got %d", want, len(served))
		}
		for _, err := range refused {
			if !errors.Is(err, ErrUnavailable) || !errors.Is(err, ErrThrottled) {
				t.Fatalf("want a refusal that says why, got %v", err)
			}
		}
	})
}

func TestThrottledRequestWaits5SecondsAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newValue(t, limited(0, 0))
		began := time.Now()
		_, err := v.Get(t.Context())
		if took := time.Since(began); !errors.Is(err, ErrThrottled) || took < patience-maxWait || took > patience {
			t.Errorf("want %v after nearly 5 s, got %v after %v", ErrThrottled, err, took)
		}
		if err != nil && (strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "/chat-service")) {
			t.Errorf("want the prefix and no credentials in the error, got %v", err)
		}
	})
}

func TestThrottledRefreshServesTheOldValueAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ssm := limited(40, 40)
		v := newValue(t, ssm)
		wantGet(t, v, "v")
		time.Sleep(defaultTTL)
		ssm.Fault.Set(standin.Limit(0, 0))
		began := time.Now()
		wantGet(t, v, "v")
		if took := time.Since(began); took != 0 {
			t.Errorf("want the old value at once, got it after %v", took)
		}
	})
}

func TestSilentSSMIsGivenUpAfter2Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ssm := limited(40, 40)
		ssm.Fault.Set(standin.Hang)
		began := time.Now()
		_, err := newValue(t, ssm).Get(t.Context())
		if took := time.Since(began); err == nil || errors.Is(err, ErrThrottled) || took != 2*time.Second {
			t.Errorf("want an error other than %v after 2 s, got %v after %v", ErrThrottled, err, took)
		}
	})
}

// It is at work, then: too busy even to refuse.
func TestSSMThatFallsSilentAfterThrottlingIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ssm, calls := limited(0, 0), 0
		v := newValue(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch calls++; calls {
			case 2:
				ssm.Fault.Set(standin.Hang)
			case 3:
				ssm.Fault.Set(nil)
			}
			ssm.ServeHTTP(w, r)
		}))
		wantGet(t, v, "v")
		ssm.Fault.Set(standin.Limit(0, 0))
		calls = 0
		began := time.Now()
		v = newValue(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if calls++; calls == 2 {
				ssm.Fault.Set(standin.Hang)
			}
			ssm.ServeHTTP(w, r)
		}))
		if _, err := v.Get(t.Context()); !errors.Is(err, ErrThrottled) || time.Since(began) > patience {
			t.Errorf("want %v within 5 s, got %v after %v", ErrThrottled, err, time.Since(began))
		}
	})
}

// Lambda stops the process between two fetches, and a connection would die.
func TestNoConnectionIsKeptFromOneFetchToTheNext(t *testing.T) {
	var connections []string
	ssm := limited(40, 40)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connections = append(connections, r.RemoteAddr) // one request at a time
		ssm.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	store := openAt(t, server.URL, nil)
	for range 3 {
		if _, err := store.Parameters(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
	}
	if len(slices.Compact(slices.Sorted(slices.Values(connections)))) != 3 {
		t.Errorf("want each fetch over a connection of its own, got %q", connections)
	}
}
