package main

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"chat-service-backend/deploy/build"
)

const tool = "package main\nfunc main() {}\n"

// small is a module like this one, but with two functions that link in no time.
// It is built for this machine, whose standard library other tests have compiled.
var small = map[string]string{
	"go.mod":                          "module chat-service-backend\ngo 1.26\n",
	"shared/lambdahttp/lambdahttp.go": "package lambdahttp\nvar version string\nfunc Main() { println(version) }\n",
	"ops/main.go":                     tool, "local/main.go": tool,
	"functions/token/bootstrap/main.go":  "package main\nimport \"chat-service-backend/shared/lambdahttp\"\nfunc main() { lambdahttp.Main() }\n",
	"functions/apikey/bootstrap/main.go": "package main\nimport \"chat-service-backend/shared/lambdahttp\"\nfunc main() { lambdahttp.Main() }\n",
	"template.yaml": `Globals:
  Function:
    CodeUri: .
Resources:
  TokenFunction:
    Type: AWS::Serverless::Function
    Metadata: {BuildMethod: makefile}
    Properties:
      Description: one
  ApiKeyFunction:
    Type: AWS::Serverless::Function
    Metadata: {BuildMethod: makefile}
    Properties:
      Description: two. Runbook - docs/runbook.md#two
Outputs:
  Version:
    Value: dev
`,
}

// file is one which the pattern matches.
func file(pattern string) string { return strings.ReplaceAll(pattern, "*", "a") }

// released releases the small module from a folder of its own and returns the
// files of the release. Bills of materials only name binary and version.
func released(t *testing.T, version, runbook string) (map[string]string, error) {
	t.Helper()
	root, out := t.TempDir(), filepath.Join(t.TempDir(), "dist")
	sources := maps.Clone(small)
	for _, pattern := range copied {
		sources[file(pattern)] = "s"
	}
	for name, text := range sources {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	err := release(t.Context(), root, out, version, runbook, targets{build.Host, []build.System{build.Host}}, func(_ context.Context, binary, version string, _ build.System) ([]byte, error) {
		return []byte(filepath.Base(binary) + " " + version), nil
	})
	files := map[string]string{}
	_ = filepath.WalkDir(out, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name, _ := filepath.Rel(out, path)
		files[filepath.ToSlash(name)] = string(content)
		return nil
	})
	return files, err
}

func TestReleaseHasAllThatADeploymentNeeds(t *testing.T) {
	t.Parallel()
	files, err := released(t, "v1.2.3", "https://example.com/runbook")
	if err != nil {
		t.Fatal(err)
	}
	var sums strings.Builder
	ops, local := "ops-"+build.Host.OS+"-"+build.Host.Arch, "local-"+build.Host.OS+"-"+build.Host.Arch
	want := []string{"apikey.cdx.json", "apikey.zip", local, "local.cdx.json", ops, "ops.cdx.json", "template.yaml", "token.cdx.json", "token.zip"}
	for _, pattern := range copied {
		want = append(want, file(pattern))
	}
	slices.Sort(want)
	for _, name := range want {
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256([]byte(files[name])), name)
	}
	if len(files) != len(want)+1 || files["SHA256SUMS"] != sums.String() {
		t.Errorf("want %d files, among them SHA256SUMS with\n%s\ngot %q\n%s", len(want)+1, &sums, slices.Sorted(maps.Keys(files)), files["SHA256SUMS"])
	}
	for _, name := range []string{"token", "apikey"} {
		archive, err := zip.NewReader(strings.NewReader(files[name+".zip"]), int64(len(files[name+".zip"])))
		if err != nil || len(archive.File) != 1 || archive.File[0].Name != "bootstrap" || archive.File[0].Mode() != 0o755 {
			t.Errorf("%s.zip: want an executable bootstrap and nothing else, got %v, %v", name, archive, err)
			continue
		}
		file, err := archive.File[0].Open()
		if err != nil {
			t.Fatal(err)
		}
		if binary, err := io.ReadAll(file); err != nil || !bytes.Contains(binary, []byte("v1.2.3")) {
			t.Errorf("%s.zip: want a binary that knows its version, got %d bytes, %v", name, len(binary), err)
		}
		if got := files[name+".cdx.json"]; got != name+" v1.2.3" {
			t.Errorf("want a bill of materials of %s, got %s", name, got)
		}
	}
	if want := `Globals:
  Function:
Resources:
  TokenFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: token.zip
      Description: one
  ApiKeyFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: apikey.zip
      Description: two. Runbook - https://example.com/runbook#two
Outputs:
  Version:
    Value: v1.2.3
`; files["template.yaml"] != want {
		t.Errorf("want a template that needs no build and has the version and the runbook's address:\n%s\ngot\n%s", want, files["template.yaml"])
	}

	again, err := released(t, "v1.2.3", "https://example.com/runbook")
	if err != nil || !maps.Equal(files, again) {
		t.Errorf("want the same bytes from another folder, got %q, %v", slices.Sorted(maps.Keys(again)), err)
	}
}

// needGo are the examples in the documentation which only a machine with Go can use.
var needGo = []string{"examples/consumer", "examples/services/go/main.go"}

func TestReleaseHasEachExampleThatNeedsNoGo(t *testing.T) {
	t.Parallel()
	var files []string
	for _, pattern := range copied {
		found, err := filepath.Glob("../../" + pattern)
		if err != nil || len(found) == 0 {
			t.Errorf("want files that match %s, got none, %v", pattern, err)
		}
		files = append(files, found...)
	}
	pages, _ := filepath.Glob("../../docs/*.md")
	named := regexp.MustCompile(`\]\(\.\./(examples/[^)#]+)`)
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range named.FindAllStringSubmatch(string(text), -1) {
			has := slices.ContainsFunc(files, func(path string) bool { return strings.HasPrefix(path+"/", "../../"+match[1]+"/") })
			if has == slices.Contains(needGo, match[1]) {
				t.Errorf("%s names %s, which must be in the release or need Go; in the release: %t", page, match[1], has)
			}
		}
	}
	for _, path := range files {
		if filepath.Ext(path) == ".go" {
			t.Errorf("want no Go in a release, got %s", path)
		}
	}
}

func TestReleaseHasNoLinkToWhatItHasNot(t *testing.T) {
	t.Parallel()
	files, err := copies("../..")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if path.Ext(name) != ".md" {
			continue
		}
		for _, link := range regexp.MustCompile(`\]\(([^)#]+)`).FindAllStringSubmatch(string(content), -1) {
			target := path.Join(path.Dir(name), link[1])
			_, file := files[target]
			if folder := slices.ContainsFunc(slices.Collect(maps.Keys(files)), func(name string) bool { return strings.HasPrefix(name, target+"/") }); !file && !folder && !strings.Contains(link[1], "://") {
				t.Errorf("%s: want no link to %s", name, link[1])
			}
		}
	}
	if page := string(files["docs/user-ids.md"]); !strings.Contains(page, "userid.go") || !strings.Contains(page, "(../examples/user-ids/user_id.mjs)") {
		t.Errorf("want the text of a link to source code, and other links, got %s", page)
	}
}

func TestReleaseRefusesWhatIsNoVersion(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"", "1.2.3", "v1.2", "v1.2.3 -X main.x=y", "v1.2.3'"} {
		if files, err := released(t, version, ""); err == nil || len(files) > 0 {
			t.Errorf("%q: want an error and no files, got %v, %d files", version, err, len(files))
		}
	}
}

func TestReleaseRefusesARunbookThatNobodyCanOpen(t *testing.T) {
	t.Parallel()
	for _, runbook := range []string{"docs/runbook.md", "http://example.com/runbook", "https://example.com/runbook#top", "///blob/v1.2.3/docs/runbook.md"} {
		if files, err := released(t, "v1.2.3", runbook); err == nil || len(files) > 0 {
			t.Errorf("%q: want an error and no files, got %v, %d files", runbook, err, len(files))
		}
	}
}

// Lines of the template are replaced, so an edit of the template can break a release.
func TestReleaseUnderstandsTheTemplate(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text, names, err := packaged(string(source), "v1.2.3")
	if want := []string{"token", "apikey", "config", "webhook", "proxy"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("want functions %q, got %q, %v", want, names, err)
	}
	if strings.Contains(text, "BuildMethod") || strings.Contains(text, "CodeUri: .\n") || !strings.Contains(text, "    Value: v1.2.3\n") {
		t.Error("want a template that needs no build and has the version among its outputs")
	}
	for _, part := range []string{"    CodeUri: .\n", "    Metadata: {BuildMethod: makefile}\n", "    Value: dev\n"} {
		if _, _, err := packaged(strings.Replace(string(source), part, "", 1), "v1.2.3"); err == nil || !strings.HasPrefix(err.Error(), "template.yaml: ") {
			t.Errorf("without %q: want an error that names what is missing, got %v", part, err)
		}
	}
}

func TestBillOfMaterialsIsTheSameOnEveryMachine(t *testing.T) {
	t.Parallel()
	const purl = `"purl":"pkg:golang/x@v1?goos=linux&goarch=`
	var texts []string
	for _, written := range []string{
		`{"metadata":{"timestamp":"2026-11-23T20:00:00Z","tools":[{"name":"t","hashes":[{"alg":"MD5","content":"a"}]}],"component":{` + purl + build.Host.Arch + `"}}}`,
		`{"metadata":{"timestamp":"2027-01-01T00:00:00Z","tools":[{"name":"t","hashes":[{"alg":"MD5","content":"b"}]}],"component":{` + purl + `arm64"}}}`,
	} {
		text, err := reproducible([]byte(written), systems.functions)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	if texts[0] != texts[1] || !strings.Contains(texts[0], "goarch=arm64") {
		t.Errorf("want the same twice, got\n%s\n%s", texts[0], texts[1])
	}
}
