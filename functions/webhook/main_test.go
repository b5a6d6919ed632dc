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

// newFunction is the handler that build makes of an environment.
func newFunction(t testing.TB, getenv func(string) string) http.Handler {
	t.Helper()
	h, err := build(t.Context(), getenv)
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	return h
}

// verifier is a function without a bus, and where its settings lie.
func verifier(t testing.TB) (http.Handler, *awstest.ParameterStore) {
	t.Helper()
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	return newFunction(t, ssm.Getenv(nil)), ssm
}

// publisher is a function with a bus, and what plays the bus.
func publisher(t testing.TB) (http.Handler, *awstest.EventBus) {
	t.Helper()
	aws := awstest.NewEventBus(t)
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	return newFunction(t, ssm.Getenv(aws.Env(nil))), aws
}

func TestBuildNamesTheSwitchThatCannotBeRight(t *testing.T) {
	for name, values := range map[string][]string{
		"PARAMETER_TTL":    {"0", "5m"},
		"PARAMETER_PREFIX": {"chat-service", "/chat-service/", "/"},
	} {
		for _, value := range values {
			ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
			_, err := build(t.Context(), ssm.Getenv(map[string]string{name: value}))
			if err == nil || !strings.HasPrefix(err.Error(), name+":") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s=%q: want one line that names the variable, got %v", name, value, err)
			}
		}
	}
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

func TestBuildReadsDocumentedVariablesOnly(t *testing.T) {
	documented := map[string]bool{
		"PARAMETER_PREFIX": true, "PARAMETER_TTL": true,
		"EVENT_BUS_NAME": true, "FALLBACK_QUEUE_URL": true, "LARGE_EVENTS_BUCKET": true,
		// Of no use here, and checked all the same: as for the other functions.
		"EXPIRATION_TOKEN_DURATION": true,
	}
	getenv := awstest.NewParameterStore(t, awstest.App(key, secret)).Getenv(awstest.NewEventBus(t).Env(nil))
	newFunction(t, func(name string) string {
		if !documented[name] && !strings.HasPrefix(name, "AWS_") {
			t.Errorf("want documented variables to be read only, got %s", name)
		}
		return getenv(name)
	})
}

func TestABadSwitchEndsTheStartWithOneLine(t *testing.T) {
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	f := awstest.StartFunction(t, ssm.Env(map[string]string{"EVENT_BUS_NAME": awstest.Bus}))
	<-f.Ended()
	output := strings.TrimSuffix(f.Output(), "\n")
	if strings.Contains(output, "\n") || !strings.Contains(output, "FALLBACK_QUEUE_URL") || !strings.Contains(output, `"level":"ERROR"`) {
		t.Errorf("want one line at ERROR that names FALLBACK_QUEUE_URL, got\n%s", output)
	}
}

func TestStartsWithoutParameterStoreAndRecovers(t *testing.T) {
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	ssm.Down(true)
	h := newFunction(t, ssm.Getenv(nil))
	wantError(t, do(h, webhook(message)), http.StatusServiceUnavailable)
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
			h := newFunction(t, awstest.NewParameterStore(t, changed).Getenv(nil))
			r := webhook(message)
			r.Header.Set("X-Signature", sign("", message))
			wantError(t, do(h, r), http.StatusServiceUnavailable)
			wantError(t, verify(h, map[string]any{"rawBody": message, "signature": sign("", message)}), http.StatusInternalServerError)
		})
	}
}
