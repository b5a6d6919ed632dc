package main

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"chat-service-backend/internal/awstest"
)

func TestMain(m *testing.M) { awstest.Main(m, main) }

const (
	key    = "the key"
	secret = "secret-for-tests"
)

func TestBuildNamesTheSwitchThatCannotBeRight(t *testing.T) {
	for name, values := range map[string][]string{
		"STREAM_BASE_URL":           {"http://chat.example.com", "ftp://127.0.0.1", "chat.example.com", "https://", "https://u:p@example.com", "https://example.com?a=1"},
		"EXPIRATION_TOKEN_DURATION": {"1h"},
		"PARAMETER_TTL":             {"0"},
		"PARAMETER_PREFIX":          {"chat-service"},
	} {
		for _, value := range values {
			environment := map[string]string{"STREAM_BASE_URL": "http://127.0.0.1:1"}
			environment[name] = value
			_, err := build(t.Context(), awstest.NewParameterStore(t, awstest.App(key, secret)).Getenv(environment))
			if err == nil || !strings.HasPrefix(err.Error(), name+":") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s=%q: want one line that names the variable, got %v", name, value, err)
			}
		}
	}
}

func TestBuildReadsDocumentedVariablesOnly(t *testing.T) {
	documented := map[string]bool{
		"PARAMETER_PREFIX": true, "PARAMETER_TTL": true, "STREAM_BASE_URL": true, "EXPIRATION_TOKEN_DURATION": true,
	}
	read := make(map[string]bool)
	getenv := awstest.NewParameterStore(t, awstest.App(key, secret)).Getenv(map[string]string{"STREAM_BASE_URL": "http://127.0.0.1:1"})
	_, err := build(t.Context(), func(name string) string {
		if !strings.HasPrefix(name, "AWS_") {
			read[name] = true
		}
		return getenv(name)
	})
	if err != nil || !maps.Equal(read, documented) {
		t.Errorf("want %v to be read, got %v, %v", documented, read, err)
	}
}

func TestWithoutBaseURLStreamIsCalled(t *testing.T) {
	u, err := url.Parse(streamBaseURL)
	if err != nil || u.String() != "https://chat.stream-io-api.com" {
		t.Errorf("want https://chat.stream-io-api.com, got %v, %v", u, err)
	}
}

func TestStartsWithoutParameterStoreAndRecovers(t *testing.T) {
	backend := httptest.NewServer(http.NotFoundHandler())
	defer backend.Close()
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	ssm.Down(true)
	h, err := build(t.Context(), ssm.Getenv(map[string]string{"STREAM_BASE_URL": backend.URL}))
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	wantError(t, do(h, http.MethodGet, "/proxy/users", ""), http.StatusServiceUnavailable)
	ssm.Down(false)
	if response := do(h, http.MethodGet, "/proxy/users", ""); response.StatusCode != http.StatusNotFound {
		t.Errorf("want the backend's status 404 once Parameter Store answers, got %d", response.StatusCode)
	}
}

func TestWithoutASecretNothingIsForwarded(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("want no request at the backend, got one")
	}))
	defer backend.Close()
	for _, secret := range []string{"", " \n"} {
		ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
		h, err := build(t.Context(), ssm.Getenv(map[string]string{"STREAM_BASE_URL": backend.URL}))
		if err != nil {
			t.Fatalf("build: %v", err)
		}
		wantError(t, do(h, http.MethodPost, "/proxy/users", "{}"), http.StatusServiceUnavailable)
	}
}
