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

	"github.com/aws/smithy-go"

	"chat-service-backend/internal/parameterstore"
	"chat-service-backend/internal/standin"
)

// inMemory passes requests to a handler without a network, for tests in a synctest
// bubble.
type inMemory struct{ http.Handler }

func (h inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), r.Context().Err()
}

// newValue returns the value of a new process whose SSM is a handler.
func newValue(t *testing.T, ssm http.Handler) *Value[string] {
	store := openAt(t, "http://ssm.test", nil)
	store.client = newClient(awsEnvironment("http://ssm.test", nil), inMemory{ssm})
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

// storm starts processes within a second. Each loads its value and then serves a
// request. storm returns when each had a value, earliest first, and the errors of
// those that had none.
func storm(processes int, newValue func() *Value[string]) (served []time.Duration, refused []error) {
	began := time.Now()
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i := range processes {
		wg.Go(func() {
			time.Sleep(time.Duration(i) * time.Second / time.Duration(processes))
			v := newValue()
			ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
			v.Load(ctx)
			cancel()
			_, err := v.Get(context.Background())
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
		ssm := limited(40, 40)
		served, refused := storm(240, func() *Value[string] { return newValue(t, ssm) })
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
		// Without the SDK, which would take most of the test's time.
		limit := standin.Limit(40, 40)
		store := openAt(t, "", nil)
		call := func(context.Context) (string, error) {
			w := httptest.NewRecorder()
			limit(w, nil, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			if w.Code != http.StatusOK {
				return "", &smithy.GenericAPIError{Code: "ThrottlingException"}
			}
			return "v", nil
		}
		served, refused := storm(1000, func() *Value[string] {
			return Keep(store, Forever, func(ctx context.Context) (string, error) { return ask(ctx, store, call) })
		})
		// 40 at once and 40 a second: while processes wait, no call goes unused.
		for i, after := range served {
			fastest := time.Duration(i-39) * time.Second / 40
			if after > fastest+time.Second {
				t.Fatalf("want process %d served a second after %v at most, got it after %v", i, fastest, after)
			}
		}
		if want := 40 + 40*6; len(served) < want {
			t.Errorf("want %d served in init and the 3 s of the first request, got %d", want, len(served))
		}
		for _, err := range refused {
			if !errors.Is(err, ErrUnavailable) || !errors.Is(err, ErrThrottled) {
				t.Fatalf("want %v, got %v", ErrThrottled, err)
			}
		}
	})
}

func TestThrottledRequestWaitsForThePatienceAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newValue(t, limited(0, 0))
		began := time.Now()
		_, err := v.Get(t.Context())
		if took := time.Since(began); !errors.Is(err, ErrThrottled) || took < patience-maxWait || took > patience {
			t.Errorf("want %v after nearly 3 s, got %v after %v", ErrThrottled, err, took)
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

// SSM that throttled a call before is there, and too busy even to refuse.
func TestSSMThatIsSilentAfterThrottlingIsWaitedFor(t *testing.T) {
	for _, recovers := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			ssm, calls := limited(0, 0), 0
			v := newValue(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch calls++; {
				case calls == 2:
					ssm.Fault.Set(standin.Hang)
				case calls == 3 && recovers:
					ssm.Fault.Set(nil)
				}
				ssm.ServeHTTP(w, r)
			}))
			began := time.Now()
			_, err := v.Get(t.Context())
			if recovers && err != nil || !recovers && !errors.Is(err, ErrThrottled) || time.Since(began) > patience {
				t.Errorf("recovers %t: want a value, or %v, within 5 s, got %v after %v", recovers, ErrThrottled, err, time.Since(began))
			}
		})
	}
}

// Lambda stops the process between two fetches, and a connection would die.
func TestFetchesDoNotShareConnections(t *testing.T) {
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
		t.Errorf("want a connection for each fetch, got %q", connections)
	}
}
