package awstest

import (
	"bufio"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Service starts the development server, as built from ./local, on free ports,
// and returns the URLs of both APIs. It stops with the test.
func Service(t testing.TB, flags ...string) (client, service string) {
	t.Helper()
	binary := Binaries(t, "./local")["./local"]
	server := exec.CommandContext(t.Context(), binary, append([]string{"-client-addr", "127.0.0.1:0", "-service-addr", "127.0.0.1:0"}, flags...)...)
	// A signal that it handles, so that it takes its functions with it.
	server.Cancel = func() error { return server.Process.Signal(syscall.SIGTERM) }
	out, err := server.StdoutPipe()
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Wait() })
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "ready" {
		if url, found := strings.CutPrefix(lines.Text(), "Client API"); found {
			client = strings.TrimSpace(url)
		}
		if url, found := strings.CutPrefix(lines.Text(), "Service API"); found {
			service = strings.TrimSpace(url)
		}
	}
	if lines.Text() != "ready" {
		t.Fatalf("want the development server ready, got its end: %v", server.Wait())
	}
	go io.Copy(io.Discard, out)
	return client, service
}
