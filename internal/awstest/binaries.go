package awstest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"

	"chat-service-backend/deploy/build"
)

// Functions returns the functions' binaries, by name, built as for a deployment
// but for this machine.
func Functions(t testing.TB) map[string]string {
	t.Helper()
	root, err := build.Root()
	if err != nil {
		t.Fatal(err)
	}
	folders, _ := filepath.Glob(filepath.Join(root, "functions", "*"))
	var packages []string
	for _, folder := range folders {
		packages = append(packages, build.Function(filepath.Base(folder)))
	}
	binaries := make(map[string]string)
	for path, binary := range Binaries(t, packages...) {
		binaries[build.Name(path)] = binary
	}
	return binaries
}

// Binaries is [Functions] for any commands of this module that share a parent
// folder, by package: "./local". It keeps them in the user's cache, because the
// tests of many packages need them and Go links them anew each time.
func Binaries(t testing.TB, packages ...string) map[string]string {
	t.Helper()
	binaries, err := cached(t, packages)
	if err != nil {
		t.Fatal(err)
	}
	return binaries
}

func cached(t testing.TB, packages []string) (map[string]string, error) {
	root, err := build.Root()
	cache, err2 := os.UserCacheDir()
	key, err3 := sources()
	cache = filepath.Join(cache, "chat-service-backend")
	folder := filepath.Join(cache, key, filepath.Dir(strings.TrimSuffix(packages[0], "/bootstrap")))
	if err := errors.Join(err, err2, err3, os.MkdirAll(folder, 0o700)); err != nil {
		return nil, err
	}
	unlock, err := lockedfile.MutexAt(filepath.Join(folder, "lock")).Lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	binaries := make(map[string]string)
	var missing []string
	for _, path := range packages {
		binaries[path] = filepath.Join(folder, build.Name(path))
		if _, err := os.Stat(binaries[path]); err != nil {
			missing = append(missing, path)
		}
	}
	if len(missing) == 0 {
		return binaries, nil
	}
	removeOld(cache)
	// Not into the folder itself: an interrupted build leaves half a file.
	built, err := build.Commands(t.Context(), root, filepath.Join(folder, "new"), build.Host, missing...)
	for path, binary := range built {
		err = errors.Join(err, os.Rename(binary, binaries[path]))
	}
	return binaries, err
}

// sources returns a hash of Go's version and of all files of the module that may
// affect a binary.
var sources = sync.OnceValues(func() (string, error) {
	root, err := build.Root()
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintln(sum, runtime.Version())
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || path == filepath.Join(root, "build")):
			return fs.SkipDir
		case !entry.Type().IsRegular() || strings.HasSuffix(path, ".md"):
			return nil
		}
		content, err := os.ReadFile(path)
		fmt.Fprintf(sum, "%s %d\n%s", path, len(content), content)
		return err
	})
	return fmt.Sprintf("%x", sum.Sum(nil)[:16]), err
})

// removeOld removes binaries that are more than a day old.
func removeOld(cache string) {
	folders, _ := os.ReadDir(cache)
	for _, folder := range folders {
		if info, err := folder.Info(); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
			os.RemoveAll(filepath.Join(cache, folder.Name()))
		}
	}
}
