package webhook

import (
	"net/http"
	"strings"
	"testing"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/shared/lambdahttp"
)

const (
	key    = "key"
	secret = "secret-for-tests"
)

func TestMain(m *testing.M) { awstest.Main(m, func() { lambdahttp.Main(Build) }) }

func TestBuildReadsItsVariables(t *testing.T) {
	awstest.WantVariables(t, Build, awstest.NewEventBus(t).Env(nil), map[string]string{
		"PARAMETER_PREFIX": "chat-service", "PARAMETER_TTL": "0",
		// Unused here, but checked as in the other functions.
		"EXPIRATION_TOKEN_DURATION": "1h",
		"HOOK_TIMEOUT_MS":           "1.2s", "HOOK_FAIL_CLOSED": "yes", "HOOK_FUNCTION_ARN": "moderation",
		// These are wrong only in combination.
		"EVENT_BUS_NAME": "", "FALLBACK_QUEUE_URL": "", "LARGE_EVENTS_BUCKET": "",
	})
}

// verifier returns a function without a bus, and its settings.
func verifier(t testing.TB) (http.Handler, *awstest.ParameterStore) {
	t.Helper()
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	return awstest.Handler(t, Build, ssm.Getenv(nil)), ssm
}

// publisher returns a function with a bus, and its bus.
func publisher(t testing.TB) (http.Handler, *awstest.EventBus) {
	t.Helper()
	aws := awstest.NewEventBus(t)
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	return awstest.Handler(t, Build, ssm.Getenv(aws.Env(nil))), aws
}

// process starts a function with a bus as a process of its own.
func process(t testing.TB, environment map[string]string) (*awstest.Function, *awstest.EventBus) {
	t.Helper()
	aws := awstest.NewEventBus(t)
	return awstest.StartFunction(t, awstest.NewParameterStore(t, awstest.App(key, secret)).Env(aws.Env(environment))), aws
}

func TestBusNeedsAllItsVariables(t *testing.T) {
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	aws := awstest.NewEventBus(t)
	for _, name := range []string{"EVENT_BUS_NAME", "FALLBACK_QUEUE_URL", "LARGE_EVENTS_BUCKET"} {
		_, err := Build(t.Context(), ssm.Getenv(aws.Env(map[string]string{name: ""})))
		if err == nil || !strings.HasPrefix(err.Error(), name+": not set") {
			t.Errorf("without %s: want an error that names it, got %v", name, err)
		}
		_, err = Build(t.Context(), ssm.Getenv(map[string]string{name: "something"}))
		if err == nil || strings.HasPrefix(err.Error(), name+":") {
			t.Errorf("%s alone: want an error that names another variable, got %v", name, err)
		}
	}
}

func TestWithoutCredentialsStreamIsToldToTryAgain(t *testing.T) {
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	ssm.Down(true)
	h := awstest.Handler(t, Build, ssm.Getenv(nil))
	another := webhook(message)
	another.Header.Set("X-Api-Key", "another")
	for _, r := range []*http.Request{webhook(message), another, webhook("\x1f\x8b")} {
		awstest.WantError(t, awstest.Do(h, r), http.StatusServiceUnavailable)
	}
	good := map[string]string{"rawBody": message, "signature": sign(secret, message)}
	awstest.WantError(t, verify(h, good), http.StatusInternalServerError)
	ssm.Down(false)
	wantAcknowledged(t, awstest.Do(h, webhook(message)))
}

// With an empty secret, anybody could sign.
func TestEmptySecretVerifiesNothing(t *testing.T) {
	h := awstest.Handler(t, Build, awstest.NewParameterStore(t, awstest.App(key, " \n")).Getenv(nil))
	r := webhook(message)
	r.Header.Set("X-Signature", sign("", message))
	awstest.WantError(t, awstest.Do(h, r), http.StatusServiceUnavailable)
	awstest.WantError(t, verify(h, map[string]string{"rawBody": message, "signature": sign("", message)}), http.StatusInternalServerError)
}
