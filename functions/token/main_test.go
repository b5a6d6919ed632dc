package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"chat-service-backend/internal/awstest"
)

func TestMain(m *testing.M) { awstest.Main(m, main) }

func TestBuildReadsItsVariables(t *testing.T) {
	awstest.WantVariables(t, build, awstest.NewIssuer(t).Env(), map[string]string{
		"PARAMETER_PREFIX": "chat-service", "PARAMETER_TTL": "0", "EXPIRATION_TOKEN_DURATION": "1h",
		"OIDC_ISSUER": "http://issuer.example.com", "OIDC_AUDIENCE": ",", "OIDC_DISCOVERY_URL": "http://issuer.example.com", "USER_ID_CLAIM": "a,b", "USER_ID_MAPPING": "hash",
		"SYNC_USERS": "yes", "USER_FIELDS": "name", "STREAM_BASE_URL": "http://stream.example.com", "TOKENS_PER_MINUTE": "0",
	})
}

func TestStartsWithoutParameterStoreAndRecovers(t *testing.T) {
	ssm := awstest.NewParameterStore(t, awstest.App("key", "secret"))
	ssm.Down(true)
	f := awstest.StartFunction(t, ssm.Env(nil))
	get := func() *http.Response {
		r := httptest.NewRequest(http.MethodGet, "/token/alice", nil)
		return f.Invoke(awstest.ServiceEvent(t, r, "/token/{userId}"))
	}
	awstest.WantError(t, get(), http.StatusServiceUnavailable)
	ssm.Down(false)
	if response := get(); response.StatusCode != http.StatusCreated {
		t.Errorf("want status 201 once Parameter Store answers, got %d", response.StatusCode)
	}
}

func TestNoSecretSignsNothing(t *testing.T) {
	for _, secret := range []string{"", " \n"} {
		f := awstest.StartFunction(t, awstest.NewParameterStore(t, awstest.App("key", secret)).Env(nil))
		r := httptest.NewRequest(http.MethodGet, "/token/alice", nil)
		awstest.WantError(t, f.Invoke(awstest.ServiceEvent(t, r, "/token/{userId}")), http.StatusServiceUnavailable)
	}
	missing := awstest.NewParameterStore(t, map[string]string{"/chat-service/stream/api-key": "key"})
	f := awstest.StartFunction(t, missing.Env(nil))
	r := httptest.NewRequest(http.MethodGet, "/token/alice", nil)
	awstest.WantError(t, f.Invoke(awstest.ServiceEvent(t, r, "/token/{userId}")), http.StatusServiceUnavailable)
}
