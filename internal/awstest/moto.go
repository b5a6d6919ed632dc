package awstest

import (
	"bufio"
	"io"
	"os/exec"
	"regexp"
	"testing"
)

// Moto starts moto's server, which plays all of AWS, on a free port until t ends,
// and returns its URL. Without moto it calls [Missing]; the test is a [Long] one.
func Moto(t testing.TB) string {
	t.Helper()
	Long(t, "moto takes seconds to start")
	path, err := exec.LookPath("moto_server")
	if err != nil {
		Missing(t, "moto_server is not installed")
	}
	cmd := exec.Command(path, "-H", "127.0.0.1", "-p", "0")
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	address := regexp.MustCompile(`http://127\.0\.0\.1:\d+`)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if url := address.FindString(lines.Text()); url != "" {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return url
		}
	}
	t.Fatal("want moto_server to print its address, got the end of its output")
	return ""
}
