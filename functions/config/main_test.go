package main

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"chat-service-backend/internal/awstest"
)

func TestMain(m *testing.M) { awstest.Main(m, main) }

const (
	key    = "key"
	secret = "secret-for-tests"
)

// parameters are an app and the configuration of each client type.
func parameters(configs map[string]string) map[string]string {
	values := awstest.App(key, secret)
	for clientType, text := range configs {
		values["/chat-service/client-config/"+clientType] = text
	}
	return values
}

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
		"EXPIRATION_TOKEN_DURATION": {"1h", "0", "-1"},
		"PARAMETER_TTL":             {"0", "5m"},
		"PARAMETER_PREFIX":          {"chat-service", "/chat-service/"},
		"OIDC_ISSUER":               {"http://issuer.example.com"},
		"ERROR_OBJ_KEY":             {"authentication"},
		"USERID_HEADER_KEY":         {".", ".id", "userid.", "user..id", "user id", "userid:", "üser", "a,b"},
	} {
		for _, value := range values {
			ssm := awstest.NewParameterStore(t, parameters(nil))
			_, err := build(t.Context(), ssm.Getenv(map[string]string{name: value, "OIDC_AUDIENCE": "app"}))
			if err == nil || !strings.HasPrefix(err.Error(), name+":") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s=%q: want one line that names the variable, got %v", name, value, err)
			}
		}
	}
}

func TestBuildReadsDocumentedVariablesOnly(t *testing.T) {
	documented := map[string]bool{
		"PARAMETER_PREFIX": true, "PARAMETER_TTL": true, "EXPIRATION_TOKEN_DURATION": true,
		"OIDC_ISSUER": true, "OIDC_AUDIENCE": true, "USER_ID_CLAIM": true,
		"USERID_HEADER_KEY": true, "ERROR_OBJ_KEY": true,
	}
	read := make(map[string]bool)
	getenv := awstest.NewParameterStore(t, parameters(nil)).Getenv(awstest.NewIssuer(t).Env())
	newFunction(t, func(name string) string {
		if !strings.HasPrefix(name, "AWS_") {
			read[name] = true
		}
		return getenv(name)
	})
	if !maps.Equal(read, documented) {
		t.Errorf("want %v to be read, got %v", documented, read)
	}
}

func TestStartsWithoutParameterStoreAndRecovers(t *testing.T) {
	ssm := awstest.NewParameterStore(t, parameters(map[string]string{"web": `{"theme":"dark"}`}))
	ssm.Down(true)
	h := newFunction(t, ssm.Getenv(nil))
	wantError(t, get(h, "/config?clientType=web", ""), http.StatusServiceUnavailable)
	ssm.Down(false)
	wantJSON(t, get(h, "/config?clientType=web", ""), `{"theme":"dark","errors":`+ownError+`}`)
}

func TestWithoutASecretAKnownCallerGetsNoAuthentication(t *testing.T) {
	issuer := awstest.NewIssuer(t)
	for _, secret := range []string{"", "\t"} {
		values := awstest.App(key, secret)
		h := newFunction(t, awstest.NewParameterStore(t, values).Getenv(issuer.Env()))
		wantError(t, get(h, "/config?clientType=web", issuer.Bearer("alice", nil)), http.StatusServiceUnavailable)
		wantJSON(t, get(h, "/config?clientType=web", ""), `{"errors":`+ownError+`}`)
	}
}
