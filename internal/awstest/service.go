package awstest

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A Service is the development server, as make run starts it.
type Service struct {
	Client, Service string // URLs of the APIs
	PID             int
}

// NewService starts the development server on free ports, with variables
// ("NAME=value") over those of this process. It stops with the test.
func NewService(t testing.TB, environment []string, flags ...string) *Service {
	t.Helper()
	server := exec.CommandContext(t.Context(), Binaries(t, "./local")["./local"],
		append([]string{"-client-addr", "127.0.0.1:0", "-service-addr", "127.0.0.1:0"}, flags...)...)
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
		_ = server.Wait()
		log.Close()
	})
	s := &Service{PID: server.Process.Pid}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "ready" {
		if url, found := strings.CutPrefix(lines.Text(), "Client API"); found {
			s.Client = strings.TrimSpace(url)
		}
		if url, found := strings.CutPrefix(lines.Text(), "Service API"); found {
			s.Service = strings.TrimSpace(url)
		}
	}
	if lines.Text() != "ready" {
		text, _ := os.ReadFile(log.Name())
		t.Fatalf("want the development server ready, got an exit: %v\n%s", server.Wait(), text)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return s
}
