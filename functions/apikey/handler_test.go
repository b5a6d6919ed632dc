package apikey

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

func TestMain(m *testing.M) { awstest.Main(m, func() { lambdahttp.Main(Build) }) }

const keyName = "/chat-service/stream/api-key"

// want checks an answer's status and the beginning of its body.
func want(t *testing.T, response *http.Response, status int, body string) {
	t.Helper()
	got, _ := io.ReadAll(response.Body)
	if response.StatusCode != status || !strings.HasPrefix(string(got), body) {
		t.Errorf("want %d %s, got %d %s", status, body, response.StatusCode, got)
	}
	if got := response.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type: want application/json, got %q", got)
	}
}

func get(h http.Handler, path string) *http.Response {
	return awstest.Do(h, httptest.NewRequest(http.MethodGet, path, nil))
}

func TestAnybodyGetsTheKeyAndTheSecretIsNeverRead(t *testing.T) {
	ssm := awstest.NewParameterStore(t, awstest.App("key", "secret"))
	response := get(awstest.Handler(t, Build, ssm.Getenv(nil)), "/api-key")
	want(t, response, http.StatusOK, `{"api_key":"key"}`)
	if got := response.Header.Get("X-Chat-Service-Version"); got != lambdahttp.Version() || got == "" {
		t.Errorf("X-Chat-Service-Version: want %s, got %q", lambdahttp.Version(), got)
	}
	if asked := ssm.Asked(); !slices.Equal(asked, []string{keyName}) {
		t.Errorf("want only %s read, got %q", keyName, asked)
	}
}

func TestBothAPIsGetTheKey(t *testing.T) {
	f := awstest.StartFunction(t, awstest.NewParameterStore(t, awstest.App("key", "secret")).Env(nil))
	r := httptest.NewRequest(http.MethodGet, "/api-key", nil)
	want(t, f.Invoke(awstest.ServiceEvent(t, r, "/api-key")), http.StatusOK, `{"api_key":"key"}`)
	want(t, f.Invoke(awstest.ClientEvent(t, r, "/api-key")), http.StatusOK, `{"api_key":"key"}`)
}

func TestWithoutAKeyTheFunctionIsUnavailable(t *testing.T) {
	blank := awstest.NewParameterStore(t, map[string]string{keyName: " \n"})
	awstest.WantError(t, get(awstest.Handler(t, Build, blank.Getenv(nil)), "/api-key"), http.StatusServiceUnavailable)

	ssm := awstest.NewParameterStore(t, awstest.App("key", "secret"))
	ssm.Down(true)
	h := awstest.Handler(t, Build, ssm.Getenv(nil))
	awstest.WantError(t, get(h, "/api-key"), http.StatusServiceUnavailable)
	ssm.Down(false)
	want(t, get(h, "/api-key"), http.StatusOK, `{"api_key":"key"}`)
}

func TestOtherMethodsAndPathsAreRefused(t *testing.T) {
	h := awstest.Handler(t, Build, awstest.NewParameterStore(t, awstest.App("key", "secret")).Getenv(nil))
	response := awstest.Do(h, httptest.NewRequest(http.MethodPost, "/api-key", nil))
	if got := response.Header.Get("Allow"); got != http.MethodGet {
		t.Errorf("Allow: want GET, got %q", got)
	}
	awstest.WantError(t, response, http.StatusMethodNotAllowed)
	for _, path := range []string{"/", "/api-key/", "/api-keys"} {
		awstest.WantError(t, get(h, path), http.StatusNotFound)
	}
}

func TestBuildReadsItsVariables(t *testing.T) {
	awstest.WantVariables(t, Build, nil, map[string]string{"PARAMETER_TTL": "5m", "PARAMETER_PREFIX": "chat-service"})
}
