// Command release builds what users deploy without building anything themselves:
// a zip file for each function and a template that refers to it, the operator's tool
// and the development server for each system, bills of materials, what else of the
// repository they need, and checksums of all of these. The same source and the same Go
// make the same bytes on any machine.
package main

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"chat-service-backend/internal/build"
)

// sbomTool lists the modules in a binary as a CycloneDX document.
const sbomTool = "github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.9.0"

// Systems of the functions and of the tools, as in a release.
var systems = targets{
	functions: build.System{OS: "linux", Arch: "arm64"}, // as in the template
	tools: []build.System{
		{OS: "linux", Arch: "amd64"}, {OS: "linux", Arch: "arm64"}, {OS: "darwin", Arch: "amd64"},
		{OS: "darwin", Arch: "arm64"}, {OS: "windows", Arch: "amd64"}, {OS: "windows", Arch: "arm64"},
	},
}

type targets struct {
	functions build.System
	tools     []build.System
}

// tools are the commands that a release has for each system.
var tools = []string{"./ops", "./local"}

// copied are the files of the repository that a release has as they are.
var copied = []string{
	"stream.yaml", "samconfig.toml", "SECURITY.md", "CHANGELOG.md", "deploy/sample.env", "deploy/*.yaml",
	"examples/cdk/*.ts", "examples/terraform/*.tf", "examples/pipelines/*",
}

func main() {
	version := flag.String("version", "", "such as v1.2.3")
	out := flag.String("out", "dist", "folder to write the release to; must not exist")
	flag.Parse()
	root, err := build.Root()
	if err == nil {
		err = release(context.Background(), root, *out, *version, systems, billOfMaterials)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "release: %v\n", err)
		os.Exit(1)
	}
}

var versions = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)

// sbom returns the bill of materials of a binary.
type sbom func(ctx context.Context, binary, version string, system build.System) ([]byte, error)

// release builds the module at root and writes the release to the folder out.
func release(ctx context.Context, root, out, version string, systems targets, materials sbom) error {
	if !versions.MatchString(version) {
		return fmt.Errorf("want a version like v1.2.3, got %q", version)
	}
	if _, err := os.Stat(out); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("want an output folder that does not exist, got %s", out)
	}
	source, err := os.ReadFile(filepath.Join(root, "template.yaml"))
	if err != nil {
		return err
	}
	template, names, err := packaged(string(source), version)
	if err != nil {
		return err
	}
	packages := make([]string, len(names))
	for i, name := range names {
		packages[i] = build.Function(name)
	}
	dir, err := os.MkdirTemp("", "release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binaries, err := build.Version(ctx, version, root, dir, systems.functions, packages...)
	if err != nil {
		return err
	}
	files := map[string][]byte{"template.yaml": []byte(template)}
	for _, pattern := range copied {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(paths) == 0 {
			return fmt.Errorf("there is no %s for the release: %w", pattern, cmp.Or(err, fs.ErrNotExist))
		}
		for _, path := range paths {
			name, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			if files[filepath.ToSlash(name)], err = os.ReadFile(path); err != nil {
				return err
			}
		}
	}
	if files["Dockerfile"], err = os.ReadFile(filepath.Join(root, "deploy/Dockerfile")); err != nil {
		return err
	}
	for i, name := range names {
		binary := binaries[packages[i]]
		content, err := os.ReadFile(binary)
		if err != nil {
			return err
		}
		if files[name+".zip"], err = zipped(content); err != nil {
			return err
		}
		if files[name+".cdx.json"], err = materials(ctx, binary, version, systems.functions); err != nil {
			return fmt.Errorf("bill of materials of %s: %w", name, err)
		}
	}
	executable := map[string]bool{}
	for i, system := range systems.tools {
		binaries, err := build.Version(ctx, version, root, filepath.Join(dir, system.OS+system.Arch), system, tools...)
		if err != nil {
			return err
		}
		for _, pkg := range tools {
			name := build.Name(pkg)
			if i == 0 {
				if files[name+".cdx.json"], err = materials(ctx, binaries[pkg], version, system); err != nil {
					return fmt.Errorf("bill of materials of %s: %w", name, err)
				}
			}
			name = fmt.Sprintf("%s-%s-%s%s", name, system.OS, system.Arch, filepath.Ext(binaries[pkg]))
			executable[name] = true
			if files[name], err = os.ReadFile(binaries[pkg]); err != nil {
				return err
			}
		}
	}
	var sums strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(files[name]), name)
	}
	files["SHA256SUMS"] = []byte(sums.String())
	for name, content := range files {
		path, mode := filepath.Join(out, name), fs.FileMode(0o644)
		if executable[name] {
			mode = 0o755
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, mode); err != nil {
			return err
		}
	}
	return nil
}

// zipped returns a zip file with the binary as its only file, bootstrap. Neither
// the time nor the user changes its bytes.
func zipped(binary []byte) ([]byte, error) {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	// A zip file cannot hold an earlier date.
	header := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
	header.SetMode(0o755)
	file, err := w.CreateHeader(header)
	if err != nil {
		return nil, err
	}
	if _, err := file.Write(binary); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

var (
	codeHere  = regexp.MustCompile(`(?m)^    CodeUri: \.\n`)
	makefiles = regexp.MustCompile(`(?m)^  (\w+)Function:\n    Type: AWS::Serverless::Function\n    Metadata: \{BuildMethod: makefile\}\n    Properties:\n`)
	noRelease = regexp.MustCompile(`(?m)^    Value: dev\n`)
)

// packaged returns the template with each function's code in a zip file, so that
// it needs no sam build, and the names of the functions. It edits the template as
// text, so that the comments and the layout remain.
func packaged(template, version string) (string, []string, error) {
	var names []string
	for _, match := range makefiles.FindAllStringSubmatch(template, -1) {
		names = append(names, strings.ToLower(match[1]))
	}
	for _, part := range []struct {
		what    string
		pattern *regexp.Regexp
		count   int
	}{
		{"CodeUri: . in Globals", codeHere, 1},
		{"function with BuildMethod makefile", makefiles, strings.Count(template, "AWS::Serverless::Function\n")},
		{"output with Value: dev", noRelease, 1},
	} {
		if got := len(part.pattern.FindAllString(template, -1)); got != part.count || got == 0 {
			return "", nil, fmt.Errorf("template.yaml: want %s %d times, got %d", part.what, max(part.count, 1), got)
		}
	}
	template = codeHere.ReplaceAllString(template, "")
	template = makefiles.ReplaceAllStringFunc(template, func(text string) string {
		name := makefiles.FindStringSubmatch(text)[1]
		return "  " + name + "Function:\n    Type: AWS::Serverless::Function\n    Properties:\n      CodeUri: " + strings.ToLower(name) + ".zip\n"
	})
	return noRelease.ReplaceAllString(template, "    Value: "+version+"\n"), names, nil
}

// billOfMaterials runs sbomTool, which go run fetches and builds for this machine.
func billOfMaterials(ctx context.Context, binary, version string, system build.System) ([]byte, error) {
	var stderr strings.Builder
	cmd := exec.CommandContext(ctx, "go", "run", sbomTool, "bin", "-json", "-noserial", "-std", "-version", version, binary)
	cmd.Stderr = &stderr
	document, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, stderr.String())
	}
	return reproducible(document, system)
}

// reproducible removes from a bill of materials what differs between times and
// machines: the timestamp and the tool's own checksums. It also puts the binary's
// system where the tool has written that of this machine.
func reproducible(document []byte, system build.System) ([]byte, error) {
	var bom map[string]any
	if err := json.Unmarshal(document, &bom); err != nil {
		return nil, err
	}
	metadata, _ := bom["metadata"].(map[string]any)
	delete(metadata, "timestamp")
	tools, _ := metadata["tools"].([]any)
	for _, tool := range tools {
		if tool, ok := tool.(map[string]any); ok {
			delete(tool, "hashes")
		}
	}
	text, err := json.MarshalIndent(bom, "", "  ")
	if err != nil {
		return nil, err
	}
	here := strings.NewReplacer("goos="+runtime.GOOS, "goos="+system.OS, "goarch="+runtime.GOARCH, "goarch="+system.Arch)
	return []byte(here.Replace(string(text)) + "\n"), nil
}
