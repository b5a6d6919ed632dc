package stacktest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/internal/build"
	"chat-service-backend/internal/runtimeapi"
)

// emulator runs arm64 binaries on another processor. Debian has it in the package
// qemu-user-static.
const emulator = "qemu-aarch64-static"

// TestWhatIsDeployedHasRunOnce starts each function as it is deployed, for arm64,
// and sends it an event of each kind that it handles.
func TestWhatIsDeployedHasRunOnce(t *testing.T) {
	if os.Getenv("CI") != "true" {
		t.Skip("building for arm64 takes a minute; CI=true does it")
	}
	t.Parallel()
	native := runtime.GOOS == "linux" && runtime.GOARCH == "arm64"
	found, err := exec.LookPath(emulator)
	if err != nil && !native {
		t.Fatal(err)
	}
	root, err := build.Root()
	if err != nil {
		t.Fatal(err)
	}
	var packages []string
	for _, folder := range functions {
		packages = append(packages, "./functions/"+folder)
	}
	binaries, err := build.Commands(t.Context(), root, t.TempDir(), build.System{OS: "linux", Arch: "arm64"}, packages...)
	if err != nil {
		t.Fatal(err)
	}
	stream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"answer":"Stream's"}`)
	}))
	t.Cleanup(stream.Close)
	store := awstest.NewParameterStore(t, awstest.App("local-key", "local-secret-for-development-only"))
	bus := awstest.NewEventBus(t)
	for folder, wants := range map[string]map[string]string{
		"token":   {"token-user-rest": `"statusCode":201`, "token-anonymous-http": `"statusCode":401`},
		"apikey":  {"apikey-rest": "local-key", "apikey-http": "local-key"},
		"config":  {"config-user-rest": "userToken", "config-anonymous-http": "Not signed in"},
		"webhook": {"webhook-verify-rest": "true", "webhook-message-http": `"statusCode":200`, "queue": `{"batchItemFailures":[]}`},
		"proxy":   {"proxy-upsert-users-rest": "Stream's", "proxy-query-users-http": "Stream's"},
	} {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			binary := binaries["./functions/"+folder]
			if !native {
				script := filepath.Join(t.TempDir(), folder)
				if err := os.WriteFile(script, []byte(fmt.Sprintf("#!/bin/sh\nexec %s %s\n", found, binary)), 0o755); err != nil {
					t.Fatal(err)
				}
				binary = script
			}
			output := new(awstest.Output)
			p, err := runtimeapi.Start(runtimeapi.Config{
				Binary: binary, Output: output, Env: store.Env(bus.Env(map[string]string{"STREAM_BASE_URL": stream.URL})),
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { p.Kill(); <-p.Ended() })
			for event, want := range wants {
				answer, err := p.Invoke(t.Context(), runtimeapi.Event{Payload: sample(t, event), Stream: true})
				if err != nil {
					t.Fatalf("%s: %v\n%s", event, err, output)
				}
				text, err := io.ReadAll(answer.Body)
				if err != nil || !strings.Contains(string(text), want) {
					t.Errorf("%s: want an answer with %s, got %s, %v\n%s", event, want, text, err, output)
				}
			}
		})
	}
}

// sample returns an event from events/, or one from a queue, which has no file.
func sample(t *testing.T, name string) []byte {
	t.Helper()
	if name == "queue" {
		payload, err := json.Marshal(object{"Records": list{object{"messageId": "m-1", "body": `{"type":"message.new"}`, "eventSource": "aws:sqs"}}})
		if err != nil {
			t.Fatal(err)
		}
		return payload
	}
	payload, err := os.ReadFile("events/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return payload
}
