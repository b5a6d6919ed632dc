package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/shared/streamchat"
)

func TestMain(m *testing.M) { awstest.Main(m, main) }

const (
	key    = "the key"
	secret = "secret-for-tests"
)

func TestBuildReadsItsVariables(t *testing.T) {
	awstest.WantVariables(t, build, map[string]string{"STREAM_BASE_URL": "http://127.0.0.1:1"}, map[string]string{
		"PARAMETER_PREFIX": "chat-service", "PARAMETER_TTL": "0", "EXPIRATION_TOKEN_DURATION": "1h",
		"STREAM_BASE_URL": "http://chat.example.com", "LOG_STREAM_PATHS": "yes",
	})
}

func TestWithoutBaseURLStreamIsCalled(t *testing.T) {
	u, err := url.Parse(streamchat.DefaultBaseURL)
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
	awstest.WantError(t, do(h, http.MethodGet, "/proxy/users", ""), http.StatusServiceUnavailable)
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
		awstest.WantError(t, do(h, http.MethodPost, "/proxy/users", "{}"), http.StatusServiceUnavailable)
	}
}
