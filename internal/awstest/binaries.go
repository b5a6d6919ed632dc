package awstest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/lockedfile"

	"chat-service-backend/deploy/build"
)

// built are the binaries that this process has asked Go for.
var (
	building sync.Mutex
	built    = map[string]bool{}
)

// Binary returns a command of this module ("./local"), built for this machine. It stays in
// the user's cache, because the tests of many packages need it, and Go links it anew only
// when something has changed.
func Binary(t testing.TB, pkg string) string {
	t.Helper()
	root, err := build.Root()
	cache, err2 := os.UserCacheDir()
	folder := filepath.Join(cache, "chat-service-backend", fmt.Sprintf("%x", sha256.Sum256([]byte(root)))[:16])
	if err := errors.Join(err, err2, os.MkdirAll(folder, 0o700)); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(folder, filepath.Base(pkg))
	building.Lock()
	defer building.Unlock()
	if built[pkg] {
		return binary
	}
	unlock, err := lockedfile.MutexAt(binary + ".lock").Lock()
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	command := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", binary, pkg)
	command.Dir = root
	if text, err := command.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, text)
	}
	built[pkg] = true
	return binary
}
