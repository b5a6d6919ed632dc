package awstest

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// A DevServer is the development server, as make run starts it.
type DevServer struct {
	Client  string `json:"clientUrl"`
	Service string `json:"serviceUrl"`
	PID     int    `json:"-"`
}

// NewDevServer starts the development server on free ports, with variables
// ("NAME=value") over those of this process. It stops with the test.
func NewDevServer(t testing.TB, environment []string, flags ...string) *DevServer {
	t.Helper()
	server := exec.CommandContext(t.Context(), Binary(t, "./local"), append([]string{"-addr", ":0", "-json"}, flags...)...)
	server.Cancel = func() error { return server.Process.Signal(syscall.SIGTERM) }
	server.Env = append(os.Environ(), environment...)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	server.Stderr = log // a file, so that a benchmark does not spend time reading
	out, err := server.StdoutPipe()
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections() // the server waits 5 s for those that were never used
		_ = server.Wait()
		log.Close()
	})
	s := &DevServer{PID: server.Process.Pid}
	if err := json.NewDecoder(out).Decode(s); err != nil {
		text, _ := os.ReadFile(log.Name())
		t.Fatalf("the development server did not start: %v\n%s", err, text)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return s
}
