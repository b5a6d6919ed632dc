package deploy_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"chat-service-backend/deploy/build"
	"chat-service-backend/internal/awstest"
)

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// What a developer has set for other work must not end up in what is deployed.
func TestDevelopersSettingsDoNotChangeTheBytes(t *testing.T) {
	awstest.Long(t, "three builds take seconds, and only another build command changes what they show")
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
		binaries, err := build.Commands(t.Context(), dir, filepath.Join(dir, out), build.Host, "small")
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
			t.Errorf("%s: want the same %d bytes, got %d different ones", name, len(want), len(got))
		}
	}
}

// A proxy, a cache or a flag such as -modcacherw is the developer's business.
func TestDevelopersOtherSettingsApply(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"go.mod": "module small\ngo 1.26\n", "main.go": "package main\nfunc main() {}\n"})
	t.Setenv("GOFLAGS", "-mod=vendor")
	if _, err := build.Commands(t.Context(), dir, dir, build.Host, "small"); err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{"go.mod": "module small\ngo 1.26\nrequire example.com/x v1.0.0\n"})
	if _, err := build.Commands(t.Context(), dir, dir, build.Host, "small"); err == nil || !strings.Contains(err.Error(), "vendor") {
		t.Errorf("want -mod=vendor to apply, got %v", err)
	}
}

// make build and sam build make what is deployed; this package builds the rest.
func TestMakeBuildsWithTheSameCommand(t *testing.T) {
	tool, err := exec.LookPath("make")
	if err != nil {
		t.Skip("make is not installed")
	}
	root, err := build.Root()
	if err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]string{
		"build/token/bootstrap": "GOOS=linux GOARCH=amd64 COMMAND -o build/token/bootstrap ./functions/token/bootstrap\n",
		"build-ApiKeyFunction":  "GOOS=linux GOARCH=arm64 COMMAND -o \"out/bootstrap\" ./functions/apikey/bootstrap\n", // whatever GOARCH is
	} {
		cmd := exec.Command(tool, "-n", "--no-print-directory", target, "ARTIFACTS_DIR=out", "VERSION=VERSION", "GOARCH=amd64")
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "MAKEFLAGS=", "MFLAGS=") // of a make that runs this test
		want = strings.Replace(want, "COMMAND", "sh deploy/build/command.sh", 1)
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != want {
			t.Errorf("%s: want %s, got %s, %v", target, want, out, err)
		}
	}
}

func TestMissingGoIsAPlainError(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := build.Commands(t.Context(), ".", t.TempDir(), build.Host, "./x"); err == nil || !strings.Contains(err.Error(), "install Go's toolchain") {
		t.Errorf("want an error about Go, got %v", err)
	}
}

// The SDK's modules from some version on decode their service's API when a process
// starts, which costs a cold start 2 ms each. Such modules have a package schemas.
func TestFunctionsLinkNoModuleThatDecodesItsAPIAtStart(t *testing.T) {
	root, err := build.Root()
	if err != nil {
		t.Fatal(err)
	}
	list := exec.Command("go", "list", "-deps", "./functions/...")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.Lines(string(out)) {
		if strings.HasPrefix(name, "github.com/aws/aws-sdk-go-v2/service/") && strings.HasSuffix(strings.TrimSpace(name), "/schemas") {
			t.Errorf("%s is linked: go get an older version of its module", strings.TrimSpace(name))
		}
	}
}
