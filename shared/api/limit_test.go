package api

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"chat-service-backend/shared/identity"
)

func TestUserOverTheLimitGetsARetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := limiterFromEnv(func(string) string { return "3" })
		if err != nil {
			t.Fatal(err)
		}
		ask := func(kind identity.Kind, id string) (retryAfter string, err error) {
			w := httptest.NewRecorder()
			err = l.allow(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), identity.Caller{Kind: kind, UserID: id})
			return w.Header().Get("Retry-After"), err
		}
		allowed := func(n int) {
			t.Helper()
			for range n {
				if _, err := ask(identity.User, "u1"); err != nil {
					t.Errorf("want a token, got %v", err)
				}
			}
			if after, err := ask(identity.User, "u1"); err == nil || after != "20" {
				t.Errorf("want an error and Retry-After: 20, got %q, %v", after, err)
			}
		}
		allowed(3)
		if _, err := ask(identity.User, "u2"); err != nil {
			t.Errorf("want another user to get a token, got %v", err)
		}
		for range 10 {
			if _, err := ask(identity.Service, "u1"); err != nil {
				t.Errorf("want no limit for services, got %v", err)
			}
		}
		time.Sleep(20 * time.Second)
		allowed(1)
		time.Sleep(time.Hour)
		allowed(3)
		for n := range 30_000 {
			_, _ = ask(identity.User, strconv.Itoa(n))
			time.Sleep(10 * time.Millisecond)
		}
		if len(l.due) > 10_000 {
			t.Errorf("want users under the limit forgotten, got %d users", len(l.due))
		}
	})
}

func TestWithoutASettingThereIsNoLimit(t *testing.T) {
	var none *limiter
	l, err := limiterFromEnv(func(string) string { return "" })
	if err != nil || l != none || l.allow(nil, nil, identity.Caller{Kind: identity.User}) != nil {
		t.Errorf("want no limit, got %v, %v", l, err)
	}
	for _, text := range []string{"0", "-1", "many", "1.5", "65536"} {
		if _, err := limiterFromEnv(func(string) string { return text }); err == nil {
			t.Errorf("%q: want an error", text)
		}
	}
}
