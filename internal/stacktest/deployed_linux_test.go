package stacktest

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"chat-service-backend/deploy/build"
	"chat-service-backend/internal/awstest"
	"chat-service-backend/internal/runtimeapi"
)

// TestWhatIsDeployedHasRunOnce starts each function as it is deployed, for both
// architectures, sends it an event of each kind that it handles, freezes it, starts many
// at once, and ends it.
func TestWhatIsDeployedHasRunOnce(t *testing.T) {
	if os.Getenv("CI") != "true" {
		t.Skip("building all functions twice takes minutes; CI=true does it")
	}
	if runtime.GOOS != "linux" {
		t.Skip("what is deployed runs on Linux")
	}
	for arch, emulator := range map[string]string{"amd64": "qemu-x86_64-static", "arm64": "qemu-aarch64-static"} { // of Debian's package qemu-user-static
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			run := `exec "%s"`
			if runtime.GOARCH != arch {
				path, err := exec.LookPath(emulator)
				if err != nil {
					t.Fatal(err)
				}
				run = "exec " + path + ` "%s"`
			}
			testDeployed(t, arch, run)
		})
	}
}

func testDeployed(t *testing.T, arch, run string) {
	var packages []string
	for _, folder := range functions {
		packages = append(packages, build.Function(folder))
	}
	binaries, err := build.Commands(t.Context(), ".", t.TempDir(), build.System{OS: "linux", Arch: arch}, packages...)
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
			start := func() *runtimeapi.Process {
				p, err := runtimeapi.Start(script, store.Env(bus.Env(map[string]string{"STREAM_BASE_URL": stream.URL})), output)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(p.Stop)
				return p
			}
			p := start()
			ask := func(p *runtimeapi.Process, event, want string) error {
				payload := []byte(event)
				if event != queue {
					var err error
					if payload, err = os.ReadFile("events/" + event + ".json"); err != nil {
						return err
					}
				}
				answer, err := p.Invoke(t.Context(), payload)
				if err != nil {
					return fmt.Errorf("%s: %w", event, err)
				}
				text, err := io.ReadAll(answer.Body)
				if err != nil || !strings.Contains(string(text), want) {
					return fmt.Errorf("%s: want %s in the answer, got %s, %v", event, want, text, err)
				}
				return nil
			}
			var storm sync.WaitGroup
			for event, want := range wants {
				if err := ask(p, event, want); err != nil {
					t.Errorf("%v\n%s", err, output)
				}
				// Lambda freezes a process between events.
				if err := errors.Join(p.Idle(t.Context()), syscall.Kill(p.OS.Pid, syscall.SIGSTOP), syscall.Kill(p.OS.Pid, syscall.SIGCONT), ask(p, event, want)); err != nil {
					t.Errorf("after a freeze: %v", err)
				}
				for range 3 {
					another := start()
					storm.Go(func() {
						if err := ask(another, event, want); err != nil {
							t.Errorf("one of many: %v", err)
						}
					})
				}
			}
			storm.Wait()
			p.Stop()
			if err := ask(p, slices.Sorted(maps.Keys(wants))[0], ""); !errors.Is(err, runtimeapi.ErrEnded) {
				t.Errorf("after its end: want no answer, got %v", err)
			}
		})
	}
}
