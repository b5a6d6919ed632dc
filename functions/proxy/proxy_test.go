package proxy

import (
	"net/http"
	"testing"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/shared/lambdahttp"
)

func TestMain(m *testing.M) { awstest.Main(m, func() { lambdahttp.MainStreamed(Build) }) }

const (
	key    = "the key"
	secret = "secret-for-tests"
)

func TestBuildReadsItsVariables(t *testing.T) {
	awstest.WantVariables(t, Build, map[string]string{"STREAM_BASE_URL": "http://127.0.0.1:1"}, map[string]string{
		"PARAMETER_PREFIX": "chat-service", "PARAMETER_TTL": "0", "EXPIRATION_TOKEN_DURATION": "1h",
		"STREAM_BASE_URL": "http://chat.example.com",
	})
}

func TestStartsWithoutParameterStoreAndRecovers(t *testing.T) {
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	ssm.Down(true)
	h := awstest.Handler(t, Build, ssm.Getenv(map[string]string{"STREAM_BASE_URL": newBackend(t, http.NotFound)}))
	awstest.WantError(t, do(h, http.MethodGet, "/proxy/users", ""), http.StatusServiceUnavailable)
	ssm.Down(false)
	if response := do(h, http.MethodGet, "/proxy/users", ""); response.StatusCode != http.StatusNotFound {
		t.Errorf("want the backend's status 404 once Parameter Store answers, got %d", response.StatusCode)
	}
}

func TestWithoutASecretNothingIsForwarded(t *testing.T) {
	base := newBackend(t, func(http.ResponseWriter, *http.Request) { t.Error("want no request at the backend, got one") })
	ssm := awstest.NewParameterStore(t, awstest.App(key, " \n"))
	h := awstest.Handler(t, Build, ssm.Getenv(map[string]string{"STREAM_BASE_URL": base}))
	awstest.WantError(t, do(h, http.MethodPost, "/proxy/users", "{}"), http.StatusServiceUnavailable)
}
