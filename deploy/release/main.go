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
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"chat-service-backend/deploy/build"
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
	"stream.yaml", "samconfig.toml", "SECURITY.md", "CHANGELOG.md", "deploy/sample.env", "deploy/*.yaml", "deploy/Dockerfile",
	"README.md", "docs/*.md", "docs/images/*.png", "bench/README.md", "docs/openapi.yaml", "docs/stream.schema.json", "docs/policies/*.json",
	// Examples that need no Go.
	"examples/cdk/*.ts", "examples/cdk/cdk.json", "examples/cdk/package.json", "examples/cdk/tsconfig.json",
	"examples/clients/*", "examples/events/*.yaml", "examples/events/node/*.mjs", "examples/events/python/*.py", "examples/existing-users/*js",
	"examples/moderation/README.md", "examples/moderation/*.mjs", "examples/moderation/*.yaml", "examples/pipelines/*",
	"examples/services/allow/*.tf", "examples/services/allow/*.yaml", "examples/services/java/*.java",
	"examples/services/node/*.mjs", "examples/services/node/package.json", "examples/services/python/*.py",
	"examples/sign-in/*.mjs", "examples/sign-in/*.py", "examples/sign-in/*.yaml", "examples/terraform/*.tf",
	"examples/tests/*.mjs", "examples/tests/*.py", "examples/tests/package.json", "examples/tests/app/*",
	"examples/user-ids/user_id.*", "examples/user-ids/vectors.json", "examples/users/*.py",
	"examples/verify/*.java", "examples/verify/*.mjs", "examples/verify/*.py",
}

func main() {
	version := flag.String("version", "", "such as v1.2.3")
	runbook := flag.String("runbook", "", "URL of docs/runbook.md for the texts of alarms; a path without it")
	out := flag.String("out", "dist", "folder to write the release to; must not exist")
	flag.Parse()
	root, err := build.Root()
	if err == nil {
		err = release(context.Background(), root, *out, *version, *runbook, systems, billOfMaterials)
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
func release(ctx context.Context, root, out, version, runbook string, systems targets, materials sbom) error {
	if !versions.MatchString(version) {
		return fmt.Errorf("VERSION: %q is not a version like v1.2.3", version)
	}
	if _, err := os.Stat(out); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("-out: %s exists; remove it, or name another folder", out)
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
	if runbook == "" {
		runbook = "docs/runbook.md"
	} else if address, err := url.Parse(runbook); err != nil || address.Scheme != "https" || address.Host == "" || address.Fragment != "" {
		return fmt.Errorf("-runbook: %q is not an https URL to which #<heading> can be added", runbook)
	}
	binaries, err := build.Version(ctx, version, root, dir, systems.functions, packages...)
	if err != nil {
		return err
	}
	files, err := copies(root)
	if err != nil {
		return err
	}
	files["template.yaml"] = []byte(template)
	for name, content := range files {
		files[name] = bytes.ReplaceAll(content, []byte("Runbook - docs/runbook.md#"), []byte("Runbook - "+runbook+"#"))
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

// copies returns the copied files by path. Links to what a release has not, such as
// source code, are only text in it.
func copies(root string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, pattern := range copied {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(paths) == 0 {
			return nil, fmt.Errorf("there is no %s for the release: %w", pattern, cmp.Or(err, fs.ErrNotExist))
		}
		for _, file := range paths {
			name, err := filepath.Rel(root, file)
			if err != nil {
				return nil, err
			}
			if files[filepath.ToSlash(name)], err = os.ReadFile(file); err != nil {
				return nil, err
			}
		}
	}
	names := slices.Sorted(maps.Keys(files))
	for name, content := range files {
		if path.Ext(name) != ".md" {
			continue
		}
		files[name] = links.ReplaceAllFunc(content, func(link []byte) []byte {
			parts := links.FindSubmatch(link)
			target := path.Join(path.Dir(name), string(parts[2]))
			if slices.ContainsFunc(names, func(name string) bool { return name == target || strings.HasPrefix(name, target+"/") }) {
				return link
			}
			return parts[1]
		})
	}
	return files, nil
}

// links are those to other files, as text and path.
var links = regexp.MustCompile(`\[([^][]*)\]\(([^():#]+)(?:#[^()]*)?\)`)

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

// packaged returns the template with each function's code in a zip file, so that
// it needs no sam build, and the names of the functions. YAML's nodes tell which lines
// change; all others stay as they are, comments and layout included.
func packaged(template, version string) (string, []string, error) {
	var t struct {
		Globals struct {
			Function struct {
				CodeUri yaml.Node `yaml:"CodeUri"`
			} `yaml:"Function"`
		} `yaml:"Globals"`
		Resources map[string]struct {
			Type     string `yaml:"Type"`
			Metadata struct {
				BuildMethod yaml.Node `yaml:"BuildMethod"`
			} `yaml:"Metadata"`
			Properties yaml.Node `yaml:"Properties"`
		} `yaml:"Resources"`
		Outputs map[string]struct {
			Value yaml.Node `yaml:"Value"`
		} `yaml:"Outputs"`
	}
	if err := yaml.Unmarshal([]byte(template), &t); err != nil {
		return "", nil, fmt.Errorf("template.yaml: %w", err)
	}
	lines := strings.SplitAfter("\n"+template, "\n") // from 1, as nodes count
	// replace replaces the line of a node if it is old, and reports whether it was.
	replace := func(at yaml.Node, old, new string) bool {
		if at.Line == 0 || strings.TrimSpace(lines[at.Line]) != old {
			return false
		}
		lines[at.Line] = new
		return true
	}
	if !replace(t.Globals.Function.CodeUri, "CodeUri: .", "") {
		return "", nil, errors.New("template.yaml: Globals.Function has no line CodeUri: . for the release to leave out")
	}
	places := map[int]string{} // names of functions, by where their properties are
	for id, r := range t.Resources {
		if r.Type != "AWS::Serverless::Function" {
			continue
		}
		name, named := strings.CutSuffix(id, "Function")
		if !named || r.Properties.Line == 0 || !replace(r.Metadata.BuildMethod, "Metadata: {BuildMethod: makefile}", "") {
			return "", nil, fmt.Errorf("template.yaml: %s: a function's name ends with Function, and it has Properties and a line Metadata: {BuildMethod: makefile}", id)
		}
		places[r.Properties.Line] = strings.ToLower(name)
	}
	var names []string
	for _, line := range slices.Sorted(maps.Keys(places)) {
		lines[line] = "      CodeUri: " + places[line] + ".zip\n" + lines[line]
		names = append(names, places[line])
	}
	if len(names) == 0 || !replace(t.Outputs["Version"].Value, "Value: dev", "    Value: "+version+"\n") {
		return "", nil, fmt.Errorf("template.yaml: it has %d functions and an output Version of %q; a release needs functions, and Value: dev there", len(names), t.Outputs["Version"].Value.Value)
	}
	return strings.Join(lines, "")[1:], names, nil
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
