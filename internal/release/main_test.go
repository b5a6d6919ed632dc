package main

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chat-service-backend/internal/build"
)

// made makes a release with a bill of materials that names the binary alone.
func made(t *testing.T, version string) (map[string][]byte, error) {
	t.Helper()
	root, err := build.Root()
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "dist")
	err = release(t.Context(), root, out, version, func(_ context.Context, binary, version string) ([]byte, error) {
		return []byte(filepath.Base(binary) + " " + version), nil
	})
	files := map[string][]byte{}
	entries, _ := os.ReadDir(out)
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(out, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files, err
}

func TestReleaseHasAllThatADeploymentNeedsAndIsTheSameTwice(t *testing.T) {
	first, err := made(t, "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	second, err := made(t, "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	sums := string(first["SHA256SUMS"])
	for name, content := range first {
		if !bytes.Equal(content, second[name]) {
			t.Errorf("%s: want the same bytes twice", name)
		}
		if name != "SHA256SUMS" && !strings.Contains(sums, fmt.Sprintf("%x  %s\n", sha256.Sum256(content), name)) {
			t.Errorf("want the checksum of %s, got\n%s", name, sums)
		}
	}
	for _, name := range []string{"token", "apikey", "config", "webhook", "proxy"} {
		archive, err := zip.NewReader(bytes.NewReader(first[name+".zip"]), int64(len(first[name+".zip"])))
		if err != nil || len(archive.File) != 1 || archive.File[0].Name != "bootstrap" || archive.File[0].Mode() != 0o755 {
			t.Errorf("%s.zip: want an executable bootstrap and nothing else, got %v, %v", name, archive, err)
			continue
		}
		file, err := archive.File[0].Open()
		if err != nil {
			t.Fatal(err)
		}
		binary, _ := io.ReadAll(file)
		if !bytes.HasPrefix(binary, []byte("\x7fELF")) || !bytes.Contains(binary, []byte("v1.2.3")) {
			t.Errorf("%s.zip: want a binary for Linux that knows its version", name)
		}
		if got := string(first[name+".cdx.json"]); got != name+" v1.2.3" {
			t.Errorf("want a bill of materials of %s, got %s", name, got)
		}
		if !strings.Contains(string(first["template.yaml"]), "      CodeUri: "+name+".zip\n") {
			t.Errorf("want %s.zip in the template", name)
		}
	}
	if text := string(first["template.yaml"]); strings.Contains(text, "BuildMethod") || strings.Contains(text, "CodeUri: .\n") || !strings.Contains(text, "    Value: v1.2.3\n") {
		t.Error("want a template that needs no build and has the version among its outputs")
	}
}

func TestReleaseRefusesWhatIsNoVersion(t *testing.T) {
	for _, version := range []string{"", "1.2.3", "v1.2", "v1.2.3 -X main.x=y", "v1.2.3'"} {
		if files, err := made(t, version); err == nil || len(files) > 0 {
			t.Errorf("%q: want it refused, got %v, %d files", version, err, len(files))
		}
	}
}

func TestTemplateThatIsNotAsExpectedIsNoRelease(t *testing.T) {
	root, err := build.Root()
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(root, "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"    CodeUri: .\n", "    Metadata: {BuildMethod: makefile}\n", "    Value: dev\n"} {
		if _, _, err := packaged(strings.Replace(string(source), part, "", 1), "v1.2.3"); err == nil || !strings.Contains(err.Error(), "want ") {
			t.Errorf("without %q: want an error that says what is missing, got %v", part, err)
		}
	}
}

func TestBillOfMaterialsTellsNothingOfThisMachine(t *testing.T) {
	const purl = `"purl":"pkg:golang/x@v1?goos=linux&goarch=`
	var texts []string
	for _, written := range []string{
		`{"metadata":{"timestamp":"2026-11-23T20:00:00Z","tools":[{"name":"t","hashes":[{"alg":"MD5","content":"a"}]}],"component":{` + purl + build.Host.Arch + `"}}}`,
		`{"metadata":{"timestamp":"2027-01-01T00:00:00Z","tools":[{"name":"t","hashes":[{"alg":"MD5","content":"b"}]}],"component":{` + purl + `arm64"}}}`,
	} {
		text, err := anywhere([]byte(written))
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	if texts[0] != texts[1] || !strings.Contains(texts[0], "goarch=arm64") {
		t.Errorf("want the same twice, got\n%s\n%s", texts[0], texts[1])
	}
}
