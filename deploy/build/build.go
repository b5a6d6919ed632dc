// Package build builds commands of this module with the flags of a deployment.
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

// command builds a function with the arguments of go build that it gets. The Makefile runs
// the same file.
//
//go:embed command.sh
var command string

// A System is the operating system and the architecture of a binary.
type System struct{ OS, Arch string }

// Host is this machine.
var Host = System{runtime.GOOS, runtime.GOARCH}

// Function returns the package of a function's command.
func Function(name string) string { return "./functions/" + name + "/bootstrap" }

// Name returns the name of a command, or of the function whose command it is.
func Name(pkg string) string { return filepath.Base(strings.TrimSuffix(pkg, "/bootstrap")) }

// Commands builds packages ("./local", or a [Function]) of the module at root for a
// system. It returns the path of each one's binary, in the folder out, under
// its [Name].
func Commands(ctx context.Context, root, out string, system System, packages ...string) (map[string]string, error) {
	return Version(ctx, "dev", root, out, system, packages...)
}

// Version is [Commands] for binaries that report a version.
func Version(ctx context.Context, version, root, out string, system System, packages ...string) (map[string]string, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return nil, errors.New("go is not in PATH; install Go's toolchain (https://go.dev/dl)")
	}
	binaries := make(map[string]string, len(packages))
	// One after the other: the first compiles what they share, and all functions' commands have one name.
	for _, pkg := range packages {
		binary := filepath.Join(out, Name(pkg))
		if system.OS == "windows" {
			binary += ".exe"
		}
		cmd := exec.CommandContext(ctx, "sh", "-c", command, "sh", "-o", binary, pkg)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "GOOS="+system.OS, "GOARCH="+system.Arch, "VERSION="+version)
		if text, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("go build: %s", firstComplaint(string(text), err))
		}
		binaries[pkg] = binary
	}
	return binaries, nil
}

// firstComplaint returns the first error in the compiler's output, without the
// headings.
func firstComplaint(text string, err error) string {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "go: downloading") {
			return line
		}
	}
	return err.Error()
}

// Root returns the root of the module that the working directory is in.
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
			return "", fmt.Errorf("there is no go.mod in %s or above; run this in a checkout", dir)
		}
	}
}
