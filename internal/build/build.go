// Package build builds commands of this module as they are deployed.
package build

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// command is the one list of how a function is built, an argument of env(1) on
// each line; the Makefile reads it, too. It sets whatever decides on the bytes,
// mostly to Go's default, so that neither GOFLAGS nor `go env -w` does, and leaves
// the rest to them: a proxy, a cache, the number of processors. GOEXPERIMENT has
// no value for "the default", so it turns off something that is off.
//
// Binaries have no code for the RPC of Lambda's retired runtime (2 MB), no debug
// data, and no build id, which would differ from one machine to the next. VERSION
// stands for the version, dev where it is no release.
//
//go:embed command
var command string

// A System is what a binary runs on.
type System struct{ OS, Arch string }

// Host is this machine.
var Host = System{runtime.GOOS, runtime.GOARCH}

// Commands builds packages ("./functions/token") of the module at root for a
// system, all at once, and returns the binary of each in the folder out.
func Commands(ctx context.Context, root, out string, system System, packages ...string) (map[string]string, error) {
	return Version(ctx, "dev", root, out, system, packages...)
}

// Version is [Commands] for binaries that say they are of a version.
func Version(ctx context.Context, version, root, out string, system System, packages ...string) (map[string]string, error) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		return nil, errors.New("want Go's toolchain, found no `go` in PATH (https://go.dev/dl)")
	}
	environment, args, _ := strings.Cut(strings.TrimSpace(strings.ReplaceAll(command, "=VERSION", "="+version)), "\ngo\n")
	arguments := append(strings.Split(args, "\n"), "-o", out+string(filepath.Separator))
	cmd := exec.CommandContext(ctx, goTool, append(arguments, packages...)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), append(strings.Split(environment, "\n"), "GOOS="+system.OS, "GOARCH="+system.Arch)...)
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %s", firstComplaint(string(text), err))
	}
	binaries := make(map[string]string, len(packages))
	for _, path := range packages {
		binaries[path] = filepath.Join(out, filepath.Base(path))
		if system.OS == "windows" {
			binaries[path] += ".exe"
		}
	}
	return binaries, nil
}

// firstComplaint is the first line of the compiler's output that is no heading.
func firstComplaint(text string, err error) string {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "go: downloading") {
			return line
		}
	}
	return err.Error()
}

// Root returns the folder of the module around the working directory.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("want a go.mod in %s or above, found none", dir)
		}
	}
}
