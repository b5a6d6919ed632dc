package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/shared/lambdahttp"
)

func TestMain(m *testing.M) { awstest.Main(m, main) }

const keyName = "/chat-service/stream/api-key"

// want checks the answer of h to a request.
func want(t *testing.T, h http.Handler, method, path string, status int, body string) http.Header {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	if w.Code != status || !strings.HasPrefix(w.Body.String(), body) {
		t.Errorf("%s %s: want %d %s, got %d %s", method, path, status, body, w.Code, w.Body)
	}
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type: want application/json, got %q", got)
	}
	return w.Header()
}

const anError = `{"errorMsg":"`

func TestAnybodyGetsTheKey(t *testing.T) {
	h := newFunction(t, awstest.NewParameterStore(t, awstest.App("key", "secret")))
	header := want(t, h, http.MethodGet, "/api-key", http.StatusOK, `{"api_key":"key"}`)
	if got := header.Get("X-Chat-Service-Version"); got != lambdahttp.Version() || got == "" {
		t.Errorf("X-Chat-Service-Version: want %s, got %q", lambdahttp.Version(), got)
	}
}

func TestBothAPIsAnswerTheKey(t *testing.T) {
	f := awstest.StartFunction(t, awstest.NewParameterStore(t, awstest.App("key", "secret")).Env(nil))
	r := httptest.NewRequest(http.MethodGet, "/api-key", nil)
	for name, event := range map[string]any{
		"REST API": awstest.ServiceEvent(t, r, "/api-key"),
		"HTTP API": awstest.ClientEvent(t, r, "/api-key"),
	} {
		response := f.Invoke(event)
		if body, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK || string(body) != `{"api_key":"key"}` {
			t.Errorf(`%s: want 200 {"api_key":"key"}, got %d %s`, name, response.StatusCode, body)
		}
	}
}

func TestTheSecretIsNeverAskedFor(t *testing.T) {
	ssm := awstest.NewParameterStore(t, awstest.App("key", "secret"))
	h := newFunction(t, ssm)
	want(t, h, http.MethodGet, "/api-key", http.StatusOK, `{"api_key":"key"}`)
	if asked := ssm.Asked(); !slices.Equal(asked, []string{keyName}) {
		t.Errorf("want %s to be asked for and nothing else, got %q", keyName, asked)
	}
}

func TestWithoutAKeyTheFunctionIsUnavailable(t *testing.T) {
	for _, values := range []map[string]string{{}, {keyName: ""}, {keyName: " \n"}} {
		h := newFunction(t, awstest.NewParameterStore(t, values))
		want(t, h, http.MethodGet, "/api-key", http.StatusServiceUnavailable, anError)
	}
}

func TestStartsWithoutParameterStoreAndRecovers(t *testing.T) {
	ssm := awstest.NewParameterStore(t, awstest.App("key", "secret"))
	ssm.Down(true)
	h := newFunction(t, ssm)
	header := want(t, h, http.MethodGet, "/api-key", http.StatusServiceUnavailable, anError)
	if got := header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control: want no-store, got %q", got)
	}
	ssm.Down(false)
	want(t, h, http.MethodGet, "/api-key", http.StatusOK, `{"api_key":"key"}`)
}

func TestOnlyGetIsAllowed(t *testing.T) {
	h := newFunction(t, awstest.NewParameterStore(t, awstest.App("key", "secret")))
	header := want(t, h, http.MethodPost, "/api-key", http.StatusMethodNotAllowed, anError)
	if got := header.Get("Allow"); got != http.MethodGet {
		t.Errorf("Allow: want GET, got %q", got)
	}
}

func TestOtherPathsAreNotFound(t *testing.T) {
	h := newFunction(t, awstest.NewParameterStore(t, awstest.App("key", "secret")))
	for _, path := range []string{"/", "/api-key/", "/api-keys"} {
		want(t, h, http.MethodGet, path, http.StatusNotFound, anError)
	}
}

func newFunction(t testing.TB, ssm *awstest.ParameterStore) http.Handler {
	return awstest.Handler(t, build, ssm.Getenv(nil))
}

func TestBuildReadsItsVariables(t *testing.T) {
	awstest.WantVariables(t, build, nil, map[string]string{"PARAMETER_TTL": "5m", "PARAMETER_PREFIX": "chat-service"})
}
