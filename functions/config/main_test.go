package main

import (
	"net/http"
	"testing"

	"chat-service-backend/internal/awstest"
)

func TestMain(m *testing.M) { awstest.Main(m, main) }

func TestBuildReadsItsVariables(t *testing.T) {
	awstest.WantVariables(t, build, awstest.NewIssuer(t).Env(), map[string]string{
		"PARAMETER_PREFIX": "chat-service", "PARAMETER_TTL": "0", "EXPIRATION_TOKEN_DURATION": "1h",
		"OIDC_ISSUER": "http://issuer.example.com", "OIDC_AUDIENCE": ",", "OIDC_DISCOVERY_URL": "http://issuer.example.com", "USER_ID_CLAIM": "a,b", "USER_ID_MAPPING": "hash",
		"SYNC_USERS": "yes", "USER_FIELDS": "name", "STREAM_BASE_URL": "http://stream.example.com", "TOKENS_PER_MINUTE": "0",
		"ERROR_OBJ_KEY": "authentication", "USERID_HEADER_KEY": ".",
	})
}

func TestHeaderPathsThatCannotBeRight(t *testing.T) {
	for _, text := range []string{".", ".id", "userid.", "user..id", "user id", "userid:", "üser", "a,b"} {
		if _, err := parseHeaderPath(text); err == nil {
			t.Errorf("%q: want an error, got none", text)
		}
	}
}

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

func TestStartsWithoutParameterStoreAndRecovers(t *testing.T) {
	ssm := awstest.NewParameterStore(t, parameters(map[string]string{"web": `{"theme":"dark"}`}))
	ssm.Down(true)
	h := awstest.Handler(t, build, ssm.Getenv(nil))
	awstest.WantError(t, get(h, "/config?clientType=web", ""), http.StatusServiceUnavailable)
	ssm.Down(false)
	wantJSON(t, get(h, "/config?clientType=web", ""), `{"theme":"dark","errors":`+ownError+`}`)
}

func TestWithoutASecretAKnownCallerGetsNoAuthentication(t *testing.T) {
	issuer := awstest.NewIssuer(t)
	for _, secret := range []string{"", "\t"} {
		values := awstest.App(key, secret)
		h := awstest.Handler(t, build, awstest.NewParameterStore(t, values).Getenv(issuer.Env()))
		awstest.WantError(t, get(h, "/config?clientType=web", issuer.Bearer("alice", nil)), http.StatusServiceUnavailable)
		wantJSON(t, get(h, "/config?clientType=web", ""), `{"errors":`+ownError+`}`)
	}
}
