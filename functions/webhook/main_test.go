package main

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"chat-service-backend/internal/awstest"
)

const (
	key    = "key"
	secret = "secret-for-tests"
)

func TestMain(m *testing.M) { awstest.Main(m, main) }

func TestBuildReadsItsVariables(t *testing.T) {
	awstest.WantVariables(t, build, awstest.NewEventBus(t).Env(nil), map[string]string{
		"PARAMETER_PREFIX": "chat-service", "PARAMETER_TTL": "0",
		// Of no use here, and checked all the same: as for the other functions.
		"EXPIRATION_TOKEN_DURATION": "1h",
		"HOOK_TIMEOUT_MS":           "1.2s", "HOOK_FAIL_CLOSED": "yes", "HOOK_FUNCTION_ARN": "moderation",
		// Each is wrong only without the others.
		"EVENT_BUS_NAME": "", "FALLBACK_QUEUE_URL": "", "LARGE_EVENTS_BUCKET": "",
	})
}

// verifier is a function without a bus, and where its settings lie.
func verifier(t testing.TB) (http.Handler, *awstest.ParameterStore) {
	t.Helper()
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	return awstest.Handler(t, build, ssm.Getenv(nil)), ssm
}

// publisher is a function with a bus, and what plays the bus.
func publisher(t testing.TB) (http.Handler, *awstest.EventBus) {
	t.Helper()
	aws := awstest.NewEventBus(t)
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	return awstest.Handler(t, build, ssm.Getenv(aws.Env(nil))), aws
}

func TestBuildNamesTheVariableThatTheBusLacks(t *testing.T) {
	variables := []string{"EVENT_BUS_NAME", "FALLBACK_QUEUE_URL", "LARGE_EVENTS_BUCKET"}
	for _, missing := range variables {
		ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
		environment := awstest.NewEventBus(t).Env(map[string]string{missing: ""})
		_, err := build(t.Context(), ssm.Getenv(environment))
		if err == nil || !strings.HasPrefix(err.Error(), missing+": want ") || !strings.HasSuffix(err.Error(), ", got nothing") {
			t.Errorf("want an error that names %s, got %v", missing, err)
		}
	}
	// One alone lacks the two others: which of them is named is no matter.
	for _, only := range variables {
		ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
		_, err := build(t.Context(), ssm.Getenv(map[string]string{only: "something"}))
		if err == nil || strings.HasPrefix(err.Error(), only+":") {
			t.Errorf("%s alone: want an error that names another variable, got %v", only, err)
		}
	}
}

func TestStartsWithoutParameterStoreAndRecovers(t *testing.T) {
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	ssm.Down(true)
	h := awstest.Handler(t, build, ssm.Getenv(nil))
	awstest.WantError(t, do(h, webhook(message)), http.StatusServiceUnavailable)
	ssm.Down(false)
	wantAcknowledged(t, do(h, webhook(message)))
}

// With an empty secret, anybody can sign.
func TestNoSecretVerifiesNothing(t *testing.T) {
	parameters := awstest.App(key, secret)
	for name, change := range map[string]func(map[string]string){
		"missing": func(p map[string]string) { delete(p, "/chat-service/stream/api-secret") },
		"empty":   func(p map[string]string) { p["/chat-service/stream/api-secret"] = "" },
		"blank":   func(p map[string]string) { p["/chat-service/stream/api-secret"] = " \n" },
	} {
		t.Run(name, func(t *testing.T) {
			changed := maps.Clone(parameters)
			change(changed)
			h := awstest.Handler(t, build, awstest.NewParameterStore(t, changed).Getenv(nil))
			r := webhook(message)
			r.Header.Set("X-Signature", sign("", message))
			awstest.WantError(t, do(h, r), http.StatusServiceUnavailable)
			awstest.WantError(t, verify(h, map[string]any{"rawBody": message, "signature": sign("", message)}), http.StatusInternalServerError)
		})
	}
}
