package awstest

import (
	"os"
	"testing"
)

// Long skips a test with -short, which make test has on a desk, because what it shows
// changes rarely and takes long. CI runs it.
func Long(t testing.TB, why string) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: " + why)
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
