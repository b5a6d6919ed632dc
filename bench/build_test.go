package bench

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// functions are the deployed ones, by the folder of each.
var functions = sync.OnceValue(func() []string {
	folders, err := filepath.Glob("../functions/*")
	if err != nil || len(folders) == 0 {
		panic("want functions in ../functions, found none")
	}
	for i, folder := range folders {
		folders[i] = filepath.Base(folder)
	}
	return folders
})

// buildFlags are those of the Makefile: what is measured is what is deployed.
var buildFlags = []string{"-trimpath", "-buildvcs=false", "-tags", "lambda.norpc", "-ldflags", "-s -w -buildid="}

// tmp holds the binaries.
var tmp string

func TestMain(m *testing.M) {
	var err error
	if tmp, err = os.MkdirTemp("", "chat-service-bench-"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(tmp)
	os.Exit(code)
}

// goBuild builds commands, by their folders below the module's root, for an
// architecture and returns the folder that has the binaries.
func goBuild(arch, as string, commands ...string) (string, error) {
	out := filepath.Join(tmp, as)
	if err := os.MkdirAll(out, 0o755); err != nil {
		return "", err
	}
	args := append([]string{"build", "-o", out + string(filepath.Separator)}, buildFlags...)
	cmd := exec.Command("go", append(args, commands...)...)
	cmd.Dir = ".."
	goos := runtime.GOOS
	if arch != runtime.GOARCH {
		goos = "linux"
	}
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+arch)
	text, err := cmd.CombinedOutput()
	if err != nil {
		return "", &buildError{string(text), err}
	}
	return out, nil
}

type buildError struct {
	text string
	err  error
}

func (e *buildError) Error() string { return "go build: " + e.err.Error() + "\n" + e.text }

// under returns the folders name/<each of names> of this module.
func under(folder string, names ...string) []string {
	var all []string
	for _, name := range names {
		all = append(all, "./"+folder+"/"+name)
	}
	return all
}

var (
	builtFunctions = sync.OnceValues(func() (string, error) {
		return goBuild(runtime.GOARCH, "functions", under("functions", functions()...)...)
	})
	builtFloors = sync.OnceValues(func() (string, error) {
		return goBuild(runtime.GOARCH, "floors", under("bench/floors", "constant", "empty", "forward", "token")...)
	})
)

// binary returns a built command: one of the functions, or floor/<name>.
func binary(tb testing.TB, name string) string {
	tb.Helper()
	build := builtFunctions
	name, floor := strings.CutPrefix(name, "floor/")
	if floor {
		build = builtFloors
	}
	folder, err := build()
	if err != nil {
		tb.Fatal(err)
	}
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(folder, name)
}
