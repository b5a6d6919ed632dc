package build

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// What a developer has set for other work must not be in what is deployed.
func TestUsersSettingsDoNotChangeTheBytes(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"go.mod":  "module small\ngo 1.26\n",
		"main.go": "package main\nfunc main() { println(kind) }\n",
		"a.go":    "//go:build !other\n\npackage main\n\nconst kind = \"a\"\n",
		"b.go":    "//go:build other\n\npackage main\n\nconst kind = \"b\"\n",
		"env":     "GOFLAGS=-race -tags=other -gcflags=-N\nCGO_ENABLED=1\nGOAMD64=v3\nGOARM64=v9.0\n",
	})
	binary := func(out string) []byte {
		t.Helper()
		binaries, err := Commands(t.Context(), dir, filepath.Join(dir, out), Host, "./.")
		if err != nil {
			t.Fatal(err)
		}
		files, _ := filepath.Glob(filepath.Join(dir, out, "*"))
		if len(binaries) != 1 || len(files) != 1 {
			t.Fatalf("want one binary, got %v, %v", binaries, files)
		}
		text, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	t.Setenv("GOFLAGS", "")
	want := binary("plain/")
	for name, set := range map[string]func(){
		"in the environment": func() {
			t.Setenv("GOFLAGS", "-tags=other -cover -asmflags=-S '-ldflags=-X main.x=y' -buildvcs=true -trimpath=false -buildmode=pie")
			t.Setenv("GOEXPERIMENT", "jsonv2")
			t.Setenv("GOAMD64", "v3")
			t.Setenv("GOARM64", "v9.0")
			t.Setenv("CGO_ENABLED", "1")
		},
		"with go env -w": func() {
			for _, name := range []string{"GOFLAGS", "GOEXPERIMENT", "GOAMD64", "GOARM64", "CGO_ENABLED"} {
				t.Setenv(name, "")
			}
			t.Setenv("GOENV", filepath.Join(dir, "env"))
		},
	} {
		set()
		if got := binary(name + "/"); !bytes.Equal(got, want) {
			t.Errorf("%s: want the same %d bytes, got %d others", name, len(want), len(got))
		}
	}
}

// A proxy, a cache or a flag such as -modcacherw is the developer's business.
func TestUsersOtherSettingsCount(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"go.mod": "module small\ngo 1.26\n", "main.go": "package main\nfunc main() {}\n"})
	t.Setenv("GOFLAGS", "-mod=vendor")
	if _, err := Commands(t.Context(), dir, dir, Host, "./."); err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{"go.mod": "module small\ngo 1.26\nrequire example.com/x v1.0.0\n"})
	if _, err := Commands(t.Context(), dir, dir, Host, "./."); err == nil || !strings.Contains(err.Error(), "vendor") {
		t.Errorf("want -mod=vendor to count, got %v", err)
	}
}

// make build and sam build are what is deployed; everything else is built here.
func TestMakeBuildsWithTheSameCommand(t *testing.T) {
	tool, err := exec.LookPath("make")
	if err != nil {
		t.Skip("make is not installed")
	}
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	for target, path := range map[string]string{"build/token/bootstrap": "./functions/token", "build-ApiKeyFunction": "./functions/apikey"} {
		cmd := exec.Command(tool, "-n", "--no-print-directory", target, "ARTIFACTS_DIR=out", "VERSION=VERSION")
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		want := "'" + strings.Join(strings.Split(strings.TrimSpace(command), "\n"), "' '") + "' -o "
		if err != nil || !strings.Contains(string(out), want) || !strings.HasSuffix(strings.TrimSpace(string(out)), path) {
			t.Errorf("%s: want %s... of %s, got %s, %v", target, want, path, out, err)
		}
	}
}

func TestMissingGoIsSaidPlainly(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := Commands(t.Context(), ".", t.TempDir(), Host, "./x"); err == nil || !strings.Contains(err.Error(), "want Go's toolchain") {
		t.Errorf("want an error about Go, got %v", err)
	}
}
