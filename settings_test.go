package chatservice_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A setting is one row of README.md's table of settings.
type setting struct {
	environment, parameter []string
	defaults               []string // as code, none where a cell explains instead
}

// readmeSettings reads the table whose header names the columns environment and
// template parameter.
func readmeSettings(t *testing.T) (rows []setting) {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Skip("README.md has no table of settings yet")
	}
	code := regexp.MustCompile("`([^`]*)`")
	words := func(cell string) (found []string) {
		for _, match := range code.FindAllStringSubmatch(cell, -1) {
			found = append(found, match[1])
		}
		return found
	}
	inside := false
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		switch {
		case len(cells) < 4 || !strings.HasPrefix(line, "|"):
			inside = false
		case strings.TrimSpace(cells[0]) == "environment" && strings.TrimSpace(cells[1]) == "template parameter":
			inside = true
		case inside && !strings.HasPrefix(strings.TrimSpace(cells[0]), "--"):
			rows = append(rows, setting{words(cells[0]), words(cells[1]), words(cells[2])})
		}
	}
	if rows == nil {
		t.Skip("README.md has no table of settings yet")
	}
	return rows
}

// environmentInTemplate maps each variable that a function gets to the template
// parameter it comes from.
func environmentInTemplate(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for id := range functions {
		for key, value := range dig(source(t), "Resources", id+"Function", "Properties", "Environment", "Variables").(object) {
			found[key], _ = dig(value, "Ref").(string)
		}
	}
	return found
}

// environmentInCode lists the variables that the functions read, other than
// those that Lambda sets.
func environmentInCode(t *testing.T) []string {
	t.Helper()
	read := regexp.MustCompile(`getenv\("([A-Z]+_[A-Z0-9_]+)"\)|\(getenv, "([A-Z]+_[A-Z0-9_]+)"`)
	found := map[string]bool{}
	for _, dir := range []string{"functions", "shared"} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, match := range read.FindAllStringSubmatch(string(text), -1) {
				if name := match[1] + match[2]; !strings.HasPrefix(name, "AWS_") {
					found[name] = true
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return sortedKeys(found)
}

func TestTemplateSetsWhatTheCodeReads(t *testing.T) {
	t.Parallel()
	same(t, "environment in template.yaml, environment in the code", sortedKeys(environmentInTemplate(t)), environmentInCode(t))
}

func TestReadmeListsEverySetting(t *testing.T) {
	t.Parallel()
	rows := readmeSettings(t)
	parameters := source(t)["Parameters"].(object)
	var listed []string
	for _, row := range rows {
		listed = append(listed, row.environment...)
		for i, id := range row.parameter {
			p, ok := parameters[id].(object)
			if !ok {
				t.Errorf("README.md: want a parameter of the template, got %s", id)
				continue
			}
			if len(row.environment) > i {
				if want := environmentInTemplate(t)[row.environment[i]]; want != id {
					t.Errorf("README.md: %s: want the parameter %s, got %s", row.environment[i], want, id)
				}
			}
			if len(row.parameter) == 1 && len(row.defaults) > 0 {
				if want := fmt.Sprint(p["Default"]); row.defaults[0] != want {
					t.Errorf("README.md: %s: want the default %q, got %q", id, want, row.defaults[0])
				}
			}
		}
	}
	same(t, "environment in README.md, environment in template.yaml", listed, sortedKeys(environmentInTemplate(t)))

	// The other parameters may be explained where they are needed.
	files, _ := filepath.Glob("docs/*.md")
	var prose strings.Builder
	for _, file := range append(files, "README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		prose.Write(text)
	}
	for _, id := range sortedKeys(parameters) {
		if !strings.Contains(prose.String(), "`"+id+"`") {
			t.Errorf("want the parameter %s explained in README.md or docs/", id)
		}
	}
}
