package awstest

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"chat-service-backend/internal/build"
)

// built has the binaries of this process, in a folder that [Main] removes.
var built struct {
	sync.Mutex
	folder   string
	commands map[string]string // by package
}

// Functions returns the functions' binaries, by name, built as for a deployment
// but for this machine, once for each process. Its TestMain must be [Main].
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

// Binaries is [Functions] for any commands of this module, by package:
// "./local".
func Binaries(t testing.TB, packages ...string) map[string]string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	root, err := build.Root()
	if err != nil {
		t.Fatal(err)
	}
	if built.folder == "" {
		folder, err := os.MkdirTemp("", "chat-service-test-")
		if err != nil {
			t.Fatal(err)
		}
		built.folder, built.commands = folder, make(map[string]string)
	}
	binaries := make(map[string]string)
	var missing []string
	for _, path := range packages {
		if built.commands[path] == "" {
			missing = append(missing, path)
		}
	}
	if len(missing) > 0 {
		out := filepath.Join(built.folder, strings.Trim(filepath.Dir(missing[0]), "./"))
		made, err := build.Commands(t.Context(), root, out, build.Host, missing...)
		if err != nil {
			t.Fatal(err)
		}
		for path, binary := range made {
			built.commands[path] = binary
		}
	}
	for _, path := range packages {
		binaries[path] = built.commands[path]
	}
	return binaries
}

func removeBinaries() {
	built.Lock()
	defer built.Unlock()
	if built.folder != "" {
		os.RemoveAll(built.folder)
	}
}
