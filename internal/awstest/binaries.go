package awstest

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"

	"chat-service-backend/internal/build"
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
	packages := make([]string, len(folders))
	for i, folder := range folders {
		packages[i] = "./functions/" + filepath.Base(folder)
	}
	binaries := make(map[string]string)
	for path, binary := range Binaries(t, packages...) {
		binaries[filepath.Base(path)] = binary
	}
	return binaries
}

// Binaries is [Functions] for any commands of this module that have one parent
// folder, by package: "./local". They are kept in the user's cache, because the
// tests of many packages need them and Go links them anew each time.
func Binaries(t testing.TB, packages ...string) map[string]string {
	t.Helper()
	root, err := build.Root()
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	key, err := sources()
	if err != nil {
		t.Fatal(err)
	}
	tree := filepath.Join(cache, "chat-service-backend", key)
	folder := filepath.Join(tree, filepath.Dir(packages[0]))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	unlock, err := lockedfile.MutexAt(filepath.Join(folder, "lock")).Lock()
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	now := time.Now()
	_ = os.Chtimes(tree, now, now) // removeOld goes by it
	binaries := make(map[string]string)
	var missing []string
	for _, path := range packages {
		binaries[path] = filepath.Join(folder, filepath.Base(path))
		if _, err := os.Stat(binaries[path]); err != nil {
			missing = append(missing, path)
		}
	}
	if len(missing) == 0 {
		return binaries
	}
	removeOld(filepath.Dir(tree))
	// Not into the folder itself: a build that is broken off leaves half a file.
	made, err := build.Commands(t.Context(), root, filepath.Join(folder, "new"), build.Host, missing...)
	if err != nil {
		t.Fatal(err)
	}
	for path, binary := range made {
		if err := os.Rename(binary, binaries[path]); err != nil {
			t.Fatal(err)
		}
	}
	return binaries
}

// sources returns a hash of Go's version and of all files of the module that may
// matter to a binary.
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
		case entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "node_modules" || path == filepath.Join(root, "build")):
			return fs.SkipDir
		case !entry.Type().IsRegular() || strings.HasSuffix(path, ".md") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		fmt.Fprintln(sum, strings.TrimPrefix(path, root))
		_, err = io.Copy(sum, file)
		return err
	})
	return fmt.Sprintf("%x", sum.Sum(nil)[:16]), err
})

// removeOld removes what no test has used for an hour: each change of the source
// leaves 50 MB.
func removeOld(cache string) {
	folders, _ := os.ReadDir(cache)
	for _, folder := range folders {
		if info, err := folder.Info(); err == nil && time.Since(info.ModTime()) > time.Hour {
			os.RemoveAll(filepath.Join(cache, folder.Name()))
		}
	}
}
