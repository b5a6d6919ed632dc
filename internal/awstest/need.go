package awstest

import (
	"os"
	"os/exec"
	"testing"
)

// Need calls [Missing] if a command fails.
func Need(t testing.TB, command ...string) {
	t.Helper()
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		Missing(t, "%q: %v %s", command, err, out)
	}
}

// Missing skips a test that lacks something, or fails it if CI=true.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
