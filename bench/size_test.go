package bench

import (
	"archive/zip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What Lambda loads at a cold start, in bytes.
const (
	maxBinary = 9_000_000
	maxZip    = 3_300_000
)

func TestFunctionsAreSmall(t *testing.T) {
	folder, err := goBuild("arm64", "arm64", under("functions", functions()...)...)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range functions() {
		t.Run(name, func(t *testing.T) {
			binary, err := os.ReadFile(filepath.Join(folder, name))
			if err != nil {
				t.Fatal(err)
			}
			if len(binary) > maxBinary {
				t.Errorf("want a binary of at most %d bytes, got %d", maxBinary, len(binary))
			}
			var size count
			archive := zip.NewWriter(&size)
			w, err := archive.Create("bootstrap")
			if err == nil {
				_, err = w.Write(binary)
			}
			if err == nil {
				err = archive.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
			if size > maxZip {
				t.Errorf("want a zip of at most %d bytes, got %d", maxZip, size)
			}
			t.Logf("%d bytes, %d as a zip", len(binary), size)
		})
	}
}

// A count counts what is written.
type count int

func (c *count) Write(p []byte) (int, error) {
	*c += count(len(p))
	return len(p), nil
}

// net/rpc, which only Lambda's retired go1.x runtime spoke, keeps 2 MB of
// otherwise dead code alive.
func TestFunctionsLinkNoRPC(t *testing.T) {
	cmd := exec.Command("go", append([]string{"list", "-deps", "-tags", "lambda.norpc"}, under("functions", functions()...)...)...)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(out))
	if !slices.Contains(packages, "github.com/aws/aws-lambda-go/lambda") {
		t.Fatal("want the packages of the functions, got others")
	}
	for _, gone := range []string{"net/rpc", "html/template", "text/template"} {
		if slices.Contains(packages, gone) {
			t.Errorf("want %s not linked, but it is", gone)
		}
	}
}

// What is measured here must be what is deployed.
func TestMakefileBuildsWithTheseFlags(t *testing.T) {
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	_, line, ok := strings.Cut(string(makefile), "GOBUILD = ")
	if !ok {
		t.Fatal("want GOBUILD in the Makefile, found none")
	}
	line, _, _ = strings.Cut(line, "\n")
	line = strings.ReplaceAll(line, `"`, "")
	if want := "CGO_ENABLED=0 GOOS=linux go build " + strings.Join(buildFlags, " "); line != want {
		t.Errorf("want GOBUILD = %s, got %s", want, line)
	}
}
