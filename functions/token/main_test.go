package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"chat-service-backend/internal/awstest"
)

func TestMain(m *testing.M) { awstest.Main(m, main) }

// newFunction is the handler that build makes of an environment.
func newFunction(t testing.TB, getenv func(string) string) http.Handler {
	t.Helper()
	h, err := build(t.Context(), getenv)
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	return h
}

func TestBuildNamesTheSwitchThatCannotBeRight(t *testing.T) {
	for name, values := range map[string][]string{
		"EXPIRATION_TOKEN_DURATION": {"1h", "0", "-1", "1.5", " 60", "99999999999999999999"},
		"PARAMETER_TTL":             {"0", "5m"},
		"PARAMETER_PREFIX":          {"chat-service", "/chat-service/", "/"},
		"OIDC_ISSUER":               {"http://issuer.example.com", "issuer.example.com"},
	} {
		for _, value := range values {
			ssm := awstest.NewParameterStore(t, awstest.App("key", "secret"))
			h, err := build(t.Context(), ssm.Getenv(map[string]string{name: value, "OIDC_AUDIENCE": "app"}))
			if err == nil {
				t.Errorf("%s=%q: want an error, got %v", name, value, h)
				continue
			}
			if !strings.HasPrefix(err.Error(), name+":") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s=%q: want one line that names the variable, got %q", name, value, err)
			}
		}
	}
}

func TestBuildWantsAnAudienceWithAnIssuer(t *testing.T) {
	ssm := awstest.NewParameterStore(t, awstest.App("key", "secret"))
	_, err := build(t.Context(), ssm.Getenv(map[string]string{"OIDC_ISSUER": "https://issuer.example.com"}))
	if err == nil || !strings.HasPrefix(err.Error(), "OIDC_AUDIENCE:") {
		t.Errorf("want an error that names OIDC_AUDIENCE, got %v", err)
	}
}

func TestBuildReadsDocumentedVariablesOnly(t *testing.T) {
	documented := map[string]bool{
		"PARAMETER_PREFIX": true, "PARAMETER_TTL": true, "EXPIRATION_TOKEN_DURATION": true,
		"OIDC_ISSUER": true, "OIDC_AUDIENCE": true, "USER_ID_CLAIM": true,
	}
	ssm := awstest.NewParameterStore(t, awstest.App("key", "secret"))
	getenv := ssm.Getenv(awstest.NewIssuer(t).Env())
	newFunction(t, func(name string) string {
		if !documented[name] && !strings.HasPrefix(name, "AWS_") {
			t.Errorf("want documented variables to be read only, got %s", name)
		}
		return getenv(name)
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
	wantError(t, get(), http.StatusServiceUnavailable)
	ssm.Down(false)
	if response := get(); response.StatusCode != http.StatusCreated {
		t.Errorf("want status 201 once Parameter Store answers, got %d", response.StatusCode)
	}
}

func TestNoSecretSignsNothing(t *testing.T) {
	for _, secret := range []string{"", " \n"} {
		f := awstest.StartFunction(t, awstest.NewParameterStore(t, awstest.App("key", secret)).Env(nil))
		r := httptest.NewRequest(http.MethodGet, "/token/alice", nil)
		wantError(t, f.Invoke(awstest.ServiceEvent(t, r, "/token/{userId}")), http.StatusServiceUnavailable)
	}
	missing := awstest.NewParameterStore(t, map[string]string{"/chat-service/stream/api-key": "key"})
	f := awstest.StartFunction(t, missing.Env(nil))
	r := httptest.NewRequest(http.MethodGet, "/token/alice", nil)
	wantError(t, f.Invoke(awstest.ServiceEvent(t, r, "/token/{userId}")), http.StatusServiceUnavailable)
}

func TestABadSwitchEndsTheStartWithOneLine(t *testing.T) {
	ssm := awstest.NewParameterStore(t, awstest.App("key", "secret"))
	f := awstest.StartFunction(t, ssm.Env(map[string]string{"EXPIRATION_TOKEN_DURATION": "1h"}))
	<-f.Ended()
	output := strings.TrimSuffix(f.Output(), "\n")
	if strings.Contains(output, "\n") || !strings.Contains(output, "EXPIRATION_TOKEN_DURATION") || !strings.Contains(output, `"level":"ERROR"`) {
		t.Errorf("want one line at ERROR that names EXPIRATION_TOKEN_DURATION, got\n%s", output)
	}
}
