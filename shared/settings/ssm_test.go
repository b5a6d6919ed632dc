package settings

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A call is what an SSM was asked for.
type call struct {
	Action         string
	Names          []string
	Path           string
	NextToken      string
	Recursive      bool
	WithDecryption bool
}

// An api plays SSM's JSON 1.1 protocol: it takes the calls down and answers
// with what the test wants.
type api struct {
	url    string
	answer func(call) (status int, body any)

	mu    sync.Mutex
	calls []call
}

func newAPI(t testing.TB, answer func(call) (int, any)) *api {
	a := &api{answer: answer}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := call{Action: strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AmazonSSM.")}
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(body, &c)
		}
		if err != nil || !strings.Contains(r.Header.Get("Authorization"), "Credential=AKID/") {
			t.Errorf("want a signed call in JSON, got %s with %q, %v", body, r.Header.Get("Authorization"), err)
		}
		a.mu.Lock()
		a.calls = append(a.calls, c)
		status, v := a.answer(c)
		a.mu.Unlock()
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}))
	t.Cleanup(server.Close)
	a.url = server.URL
	return a
}

func openAt(t testing.TB, url string, more map[string]string) *Store {
	t.Helper()
	all := map[string]string{
		"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "hunter2", "AWS_ENDPOINT_URL_SSM": url,
	}
	maps.Copy(all, more)
	store, err := Open(func(name string) string { return all[name] })
	if err != nil {
		t.Fatal(err)
	}
	return store
}

type parameter struct{ Name, Value string }

func TestParametersAreAskedForInOneCallAndMissingOnesAbsent(t *testing.T) {
	ssm := newAPI(t, func(c call) (int, any) {
		return 200, map[string]any{
			"Parameters":        []parameter{{"/app/stream/api-key", "k"}, {"/app/stream/api-secret", "s"}},
			"InvalidParameters": []string{"/app/none"},
		}
	})
	got, err := openAt(t, ssm.url, map[string]string{"PARAMETER_PREFIX": "/app"}).Parameters(t.Context(), "stream/api-key", "stream/api-secret", "none")
	if want := map[string]string{"stream/api-key": "k", "stream/api-secret": "s"}; err != nil || !maps.Equal(got, want) {
		t.Errorf("want %v, got %v, %v", want, got, err)
	}
	if len(ssm.calls) != 1 || ssm.calls[0].Action != "GetParameters" || !ssm.calls[0].WithDecryption ||
		!slices.Equal(ssm.calls[0].Names, []string{"/app/stream/api-key", "/app/stream/api-secret", "/app/none"}) {
		t.Errorf("want one GetParameters of the full names, decrypted, got %+v", ssm.calls)
	}
}

func TestMoreThanTenNamesAreRefused(t *testing.T) {
	ssm := newAPI(t, func(call) (int, any) { return 200, map[string]any{} })
	store := openAt(t, ssm.url, nil)
	names := strings.Split(strings.Repeat("n ", 10)+"n", " ")
	if _, err := store.Parameters(t.Context(), names...); err == nil || !strings.Contains(err.Error(), "want at most 10 names, got 11") {
		t.Errorf("want a refusal of eleven, got %v", err)
	}
	if _, err := store.Parameters(t.Context(), names[:10]...); err != nil || len(ssm.calls) != 1 {
		t.Errorf("want ten asked for, got %d calls, %v", len(ssm.calls), err)
	}
}

func TestFolderHasTheParametersOfAllPages(t *testing.T) {
	ssm := newAPI(t, func(c call) (int, any) {
		page, _ := strconv.Atoi(c.NextToken)
		answer := map[string]any{"Parameters": []parameter{
			{fmt.Sprintf("/chat-service/client-config/a%d", page), "x"}, {fmt.Sprintf("/chat-service/client-config/b%d", page), "y"},
		}}
		if page < 2 {
			answer["NextToken"] = strconv.Itoa(page + 1)
		}
		return 200, answer
	})
	got, err := openAt(t, ssm.url, nil).Folder(t.Context(), "client-config")
	if want := map[string]string{"a0": "x", "b0": "y", "a1": "x", "b1": "y", "a2": "x", "b2": "y"}; err != nil || !maps.Equal(got, want) {
		t.Errorf("want %v, got %v, %v", want, got, err)
	}
	for _, c := range ssm.calls {
		if c.Action != "GetParametersByPath" || c.Path != "/chat-service/client-config" || !c.WithDecryption || c.Recursive {
			t.Errorf("want GetParametersByPath of the folder alone, got %+v", c)
		}
	}
}

func TestFolderThatBreaksOffIsAnError(t *testing.T) {
	ssm := newAPI(t, func(c call) (int, any) {
		if c.NextToken == "" {
			return 200, map[string]any{"Parameters": []parameter{{"/chat-service/f/a", "x"}}, "NextToken": "1"}
		}
		return 400, map[string]string{"__type": "AccessDeniedException"}
	})
	if got, err := openAt(t, ssm.url, nil).Folder(t.Context(), "f"); err == nil || got != nil || !strings.Contains(err.Error(), "/chat-service/f") {
		t.Errorf("want an error that names the folder and no half of it, got %v, %v", got, err)
	}
}

func TestThrottledCallIsTriedAgain(t *testing.T) {
	calls := 0
	ssm := newAPI(t, func(call) (int, any) {
		if calls++; calls == 1 {
			return 400, map[string]string{"__type": "ThrottlingException", "message": "Rate exceeded"}
		}
		return 200, map[string]any{"Parameters": []parameter{{"/chat-service/k", "v"}}}
	})
	store := openAt(t, ssm.url, nil)
	v := Keep(store, Forever, func(ctx context.Context) (map[string]string, error) { return store.Parameters(ctx, "k") })
	if got, err := v.Get(t.Context()); err != nil || got["k"] != "v" || calls != 2 {
		t.Errorf("want the value at the second try, got %v after %d, %v", got, calls, err)
	}
}

func TestThrottlingWithoutEndIsAnErrorWithinTheBound(t *testing.T) {
	calls := 0
	ssm := newAPI(t, func(call) (int, any) {
		calls++
		return 400, map[string]string{"__type": "ThrottlingException", "message": "Rate exceeded"}
	})
	store := openAt(t, ssm.url, nil)
	start := time.Now()
	_, err := Keep(store, Forever, func(ctx context.Context) (map[string]string, error) { return store.Parameters(ctx, "k") }).Get(t.Context())
	if err == nil || calls != 3 || time.Since(start) > fetchTimeout+time.Second {
		t.Errorf("want an error after three tries and 2 s at most, got %v after %d and %v", err, calls, time.Since(start))
	}
	if err != nil && (strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "/chat-service")) {
		t.Errorf("want the prefix and no credentials in the error, got %v", err)
	}
}

func TestOpenCallsNobody(t *testing.T) {
	ssm := newAPI(t, func(call) (int, any) { return 500, nil })
	if openAt(t, ssm.url, nil); len(ssm.calls) != 0 {
		t.Errorf("want no call, got %v", ssm.calls)
	}
}
