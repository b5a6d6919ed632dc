package stacktest

import (
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

// TestWhatIsDeployedHasRunOnce starts each function as it is deployed, for arm64,
// and sends it an event of each kind that it handles.
func TestWhatIsDeployedHasRunOnce(t *testing.T) {
	if os.Getenv("CI") != "true" {
		t.Skip("building for arm64 takes a minute; CI=true does it")
	}
	t.Parallel()
	run := `exec "%s"`
	if runtime.GOOS != "linux" || runtime.GOARCH != "arm64" {
		emulator, err := exec.LookPath("qemu-aarch64-static") // of Debian's package qemu-user-static
		if err != nil {
			t.Fatal(err)
		}
		run = "exec " + emulator + ` "%s"`
	}
	var packages []string
	for _, folder := range functions {
		packages = append(packages, build.Function(folder))
	}
	binaries, err := build.Commands(t.Context(), ".", t.TempDir(), build.System{OS: "linux", Arch: "arm64"}, packages...)
	if err != nil {
		t.Fatal(err)
	}
	stream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"answer":"Stream's"}`)
	}))
	t.Cleanup(stream.Close)
	store := awstest.NewParameterStore(t, awstest.App("local-key", "local-secret-for-development-only"))
	bus := awstest.NewEventBus(t)
	const queue = `{"Records":[{"messageId":"m-1","body":"{\"type\":\"message.new\"}","eventSource":"aws:sqs"}]}`
	for folder, wants := range map[string]map[string]string{ // by sample event
		"token":   {"token-user-rest": `"statusCode":201`, "token-anonymous-http": `"statusCode":401`},
		"apikey":  {"apikey-rest": "local-key", "apikey-http": "local-key"},
		"config":  {"config-user-rest": "userToken", "config-anonymous-http": "Not signed in"},
		"webhook": {"webhook-verify-rest": "true", "webhook-message-http": `"statusCode":200`, queue: `{"batchItemFailures":[]}`},
		"proxy":   {"proxy-upsert-users-rest": "Stream's", "proxy-query-users-http": "Stream's"},
	} {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			script := filepath.Join(t.TempDir(), folder)
			if err := os.WriteFile(script, fmt.Appendf(nil, "#!/bin/sh\n"+run+"\n", binaries[build.Function(folder)]), 0o755); err != nil {
				t.Fatal(err)
			}
			output := new(awstest.Output)
			p, err := runtimeapi.Start(runtimeapi.Config{
				Binary: script, Output: output, Env: store.Env(bus.Env(map[string]string{"STREAM_BASE_URL": stream.URL})),
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { p.Kill(); <-p.Ended() })
			for event, want := range wants {
				payload := []byte(event)
				if event != queue {
					if payload, err = os.ReadFile("events/" + event + ".json"); err != nil {
						t.Fatal(err)
					}
				}
				answer, err := p.Invoke(t.Context(), runtimeapi.Event{Payload: payload, Stream: true})
				if err != nil {
					t.Fatalf("%s: %v\n%s", event, err, output)
				}
				text, err := io.ReadAll(answer.Body)
				if err != nil || !strings.Contains(string(text), want) {
					t.Errorf("%s: want %s in the answer, got %s, %v\n%s", event, want, text, err, output)
				}
			}
		})
	}
}
