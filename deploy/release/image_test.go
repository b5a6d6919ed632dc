package main

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"chat-service-backend/deploy/build"
)

// image lays out in a folder what the definition of the image copies from a release, for
// this machine, and returns it and the command that the image runs.
func image(t *testing.T, release string) (folder, entrypoint string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(release, "deploy/Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	folder = t.TempDir()
	for line := range strings.Lines(strings.ReplaceAll(string(text), "${TARGETARCH}", build.Host.Arch)) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || strings.HasPrefix(line, "#"):
		case words[0] == "COPY":
			var files []string
			for _, word := range words[1:] {
				if !strings.HasPrefix(word, "--") {
					files = append(files, word)
				}
			}
			to := files[len(files)-1]
			for _, file := range files[:len(files)-1] {
				path := filepath.Join(folder, to)
				if strings.HasSuffix(to, "/") {
					path = filepath.Join(path, filepath.Base(file))
				}
				content, err := os.ReadFile(filepath.Join(release, file))
				if err == nil {
					_ = os.MkdirAll(filepath.Dir(path), 0o755)
					err = os.WriteFile(path, content, 0o755)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		case words[0] == "ENTRYPOINT":
			entrypoint = strings.Trim(words[1], `[]"`)
		case words[0] == "RUN":
			t.Errorf("want nothing run in an image without a shell, got %s", line)
		}
	}
	return folder, entrypoint
}

// checkImage runs what is in the image, with nothing else of the release around.
func checkImage(t *testing.T, release string) {
	t.Helper()
	folder, entrypoint := image(t, release)
	if entrypoint != "local" {
		t.Errorf("want the image to start local, got %s", entrypoint)
	}
	var files []string
	_ = filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			name, _ := filepath.Rel(folder, path)
			files = append(files, name)
		}
		return err
	})
	if got, want := strings.Join(files, " "), "deploy/sample.env local ops samconfig.toml stream.yaml template.yaml"; got != want {
		t.Errorf("want %s in the image, got %s", want, got)
	}
	for _, name := range []string{"local", "ops"} {
		if binary, err := elf.Open(filepath.Join(folder, name)); err == nil { // not on other systems
			for _, part := range binary.Progs {
				if part.Type == elf.PT_INTERP {
					t.Errorf("%s: want a static binary, because the image has no loader", name)
				}
			}
			binary.Close()
		}
		c := exec.CommandContext(t.Context(), filepath.Join(folder, name), "-h")
		c.Dir, c.Env = folder, []string{"PATH=" + folder, "HOME=/home/nonroot"}
		if out, err := c.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("-")) {
			t.Errorf("%s -h: %v\n%s", name, err, out)
		}
	}
}
