package awstest

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// A Build is what a function's main runs.
type Build = func(ctx context.Context, getenv func(string) string) (http.Handler, error)

// Handler returns the handler that build returns for an environment.
func Handler(t testing.TB, build Build, getenv func(string) string) http.Handler {
	t.Helper()
	h, err := build(t.Context(), getenv)
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	return h
}

// WantVariables checks that build reads exactly the variables in wrong, besides
// AWS's own, and refuses each one's wrong value with one line that names it. The
// value "" is for variables that cannot be wrong. environment must be valid.
func WantVariables(t *testing.T, build Build, environment, wrong map[string]string) {
	t.Helper()
	store := NewParameterStore(t, App("key", "secret"))
	right, read := store.Getenv(environment), map[string]bool{}
	Handler(t, build, func(name string) string {
		if !strings.HasPrefix(name, "AWS_") {
			read[name] = true
		}
		return right(name)
	})
	if got, want := slices.Sorted(maps.Keys(read)), slices.Sorted(maps.Keys(wrong)); !slices.Equal(got, want) {
		t.Errorf("want the variables %q read, got %q", want, got)
	}
	for name, value := range wrong {
		if value == "" {
			continue
		}
		changed := map[string]string{}
		maps.Copy(changed, environment)
		changed[name] = value
		if _, err := build(t.Context(), store.Getenv(changed)); err == nil || !strings.HasPrefix(err.Error(), name+":") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s=%q: want one line that names the variable, got %v", name, value, err)
		}
	}
}

// Do returns h's answer to r.
func Do(h http.Handler, r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// WantError checks that an answer is {"errorMsg": …} with this status, which may
// not be cached, and returns the message.
func WantError(t testing.TB, response *http.Response, status int) string {
	t.Helper()
	body, _ := io.ReadAll(response.Body)
	var answer map[string]string
	if err := json.Unmarshal(body, &answer); err != nil || len(answer) != 1 || answer["errorMsg"] == "" {
		t.Errorf(`want {"errorMsg": "…"}, got %s`, body)
	}
	if response.StatusCode != status {
		t.Errorf("want status %d, got %d: %s", status, response.StatusCode, body)
	}
	for name, want := range map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store"} {
		if got := response.Header.Get(name); got != want {
			t.Errorf("%s: want %s, got %q", name, want, got)
		}
	}
	return answer["errorMsg"]
}
