package awstest

import (
	"os"
	"testing"
)

// Missing skips a test that lacks something, or fails it if CI=true.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
