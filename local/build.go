package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// builder makes the named functions' binaries in the folder out and returns
// where each is.
type builder func(ctx context.Context, root, out string, names []string) (map[string]string, error)

// goBuild builds ./functions/<name> below root for this machine, all in one
// call, as they are built for deployment.
func goBuild(ctx context.Context, root, out string, names []string) (map[string]string, error) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		return nil, errors.New("want Go's toolchain, found no `go` in PATH (https://go.dev/dl)")
	}
	args := []string{"build", "-trimpath", "-tags", "lambda.norpc", "-o", out + string(filepath.Separator)}
	binaries := make(map[string]string, len(names))
	for _, name := range names {
		args = append(args, "./functions/"+name)
		binaries[name] = filepath.Join(out, name)
		if runtime.GOOS == "windows" {
			binaries[name] += ".exe"
		}
	}
	cmd := exec.CommandContext(ctx, goTool, args...)
	cmd.Dir = root
	// Whatever the shell cross-compiles for, these run here.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	text, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("go build: %s", firstComplaint(string(text), err))
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
