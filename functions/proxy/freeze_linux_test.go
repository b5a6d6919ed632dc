package proxy

import (
	"bytes"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/shared/keepalive"
)

// Freezes the function's process as Lambda does between two requests, and has
// Stream end the connection meanwhile.
func TestPOSTsSurviveAFreeze(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			seen := 0
			s := newStream(t, protocol, func(w http.ResponseWriter, r *http.Request) {
				seen++ // one request at a time
				_, _ = w.Write(bytes.Repeat([]byte("x"), 10<<10))
			})
			f := startFunction(t, s)
			if protocol != "HTTP/1.1" {
				response := f.Invoke(awstest.ServiceEvent(t, newRequest(http.MethodPost, "/proxy//not-for-stream", "{}", nil), "/proxy/{path+}"))
				_, _ = io.ReadAll(response.Body)
				if got := s.connections(); got != 1 {
					t.Errorf("want a connection made before the first request, got %d", got)
				}
			}
			const rounds = 20
			for i := range rounds {
				response := f.Invoke(awstest.ServiceEvent(t, newRequest(http.MethodPost, "/proxy/users", "{}", nil), "/proxy/{path+}"))
				body, err := io.ReadAll(response.Body)
				if response.StatusCode != http.StatusOK || len(body) != 10<<10 || err != nil {
					t.Fatalf("want status 200 and the whole answer, got %d and %d bytes, %v", response.StatusCode, len(body), err)
				}
				if got := s.connections(); i == 0 && got != 1 {
					t.Errorf("want the first request on the first connection, got %d", got)
				}
				signal(t, f.OS, syscall.SIGSTOP)
				s.hangUp(i%2 == 0)
				signal(t, f.OS, syscall.SIGCONT)
			}
			if seen != rounds {
				t.Errorf("want %d requests at Stream, got %d", rounds, seen)
			}
		})
	}
}

// startFunction starts the function in front of s, whose certificate it trusts.
func startFunction(t *testing.T, s *stream) *awstest.Function {
	environment := map[string]string{"STREAM_BASE_URL": s.URL}
	if certificate := s.Certificate(); certificate != nil {
		file := filepath.Join(t.TempDir(), "roots.pem")
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		environment["SSL_CERT_FILE"] = file
	}
	return awstest.StartFunction(t, awstest.NewParameterStore(t, awstest.App(key, secret)).Env(environment))
}

func signal(t *testing.T, process *os.Process, s os.Signal) {
	if err := process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func TestConnectionMadeAheadIsDroppedWhenDead(t *testing.T) {
	for _, protocol := range protocols[1:] {
		for _, reset := range []bool{false, true} {
			s := newStream(t, protocol, func(http.ResponseWriter, *http.Request) {})
			u := s.upstream(t)
			u.warm(t.Context())
			ahead := <-u.ahead
			u.ahead <- ahead
			s.hangUp(reset)
			for !keepalive.Under(ahead).Dead() {
				runtime.Gosched()
			}
			if response := do(newProxy(t, s.URL, u), http.MethodPost, "/proxy/users", "{}"); response.StatusCode != http.StatusOK {
				t.Errorf("%s: want status 200, got %d", protocol, response.StatusCode)
			}
			if got := s.connections(); got != 2 {
				t.Errorf("%s: want another connection, got %d in all", protocol, got)
			}
		}
	}
}
