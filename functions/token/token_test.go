package token

import (
	"testing"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/shared/lambdahttp"
)

func TestMain(m *testing.M) { awstest.Main(m, func() { lambdahttp.Main(Build) }) }

func TestBuildReadsItsVariables(t *testing.T) {
	awstest.WantVariables(t, Build, awstest.NewIssuer(t).Env(), map[string]string{
		"PARAMETER_PREFIX": "chat-service", "PARAMETER_TTL": "0", "EXPIRATION_TOKEN_DURATION": "1h",
		"OIDC_ISSUER": "http://issuer.example.com", "OIDC_AUDIENCE": ",", "OIDC_DISCOVERY_URL": "http://issuer.example.com", "USER_ID_CLAIM": "a,b", "OIDC_JWKS_URL": "keys", "OIDC_KEY_MAX_AGE": "1h",
		"MAX_TOKEN_LIFETIME": "0", "REQUIRED_CLAIMS": "plan", "CREATE_USERS": "no", "REFUSE_USERS": "all", "USER_INFO": "yes", "SIGN_IN_FUNCTION_ARN": "rule", "SIGN_IN_FAIL_CLOSED": "yes",
		"SYNC_USERS": "yes", "USER_FIELDS": "name", "STREAM_BASE_URL": "http://stream.example.com", "TOKENS_PER_MINUTE": "0",
	})
}
