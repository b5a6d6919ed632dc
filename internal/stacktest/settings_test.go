package stacktest

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/settings.md from template.yaml")

// environmentInTemplate maps each variable that a function gets to the template
// parameter it comes from.
func environmentInTemplate(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	all := list{dig(source(t), "Globals", "Function")}
	for id := range functions {
		all = append(all, dig(source(t), "Resources", id+"Function", "Properties"))
	}
	for _, properties := range all {
		variables, _ := dig(properties, "Environment", "Variables").(object)
		for key, value := range variables {
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

// docs/settings.md is written from the template: go test ./internal/stacktest -run SettingsPage -update
func TestSettingsPageIsTheTemplates(t *testing.T) {
	t.Parallel()
	const page = "docs/settings.md"
	want := settingsPage(t)
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s: want what template.yaml says; go test ./internal/stacktest -run SettingsPage -update writes it", page)
	}
}

func settingsPage(t *testing.T) string {
	t.Helper()
	parameters := source(t)["Parameters"].(object)
	variables, ownVariables := map[string]string{}, []string(nil)
	for name, id := range environmentInTemplate(t) {
		if id == "" {
			ownVariables = append(ownVariables, "`"+name+"`")
			continue
		}
		variables[id] = "`" + name + "`"
	}
	slices.Sort(ownVariables)
	var page strings.Builder
	fmt.Fprintf(&page, "# Settings\n\n"+
		"All template parameters, written from `template.yaml` by a test. Functions read the environment variable; the stack sets %s itself. "+
		"The values below `ParameterPrefix` are in [operations.md](operations.md#parameters).\n", strings.Join(ownVariables, ", "))
	page.WriteString("\n| parameter | variable | default | meaning |\n|---|---|---|---|\n")
	for _, group := range dig(source(t), "Metadata", "AWS::CloudFormation::Interface", "ParameterGroups").(list) {
		for _, id := range dig(group, "Parameters").(list) {
			p := parameters[id.(string)].(object)
			value := "empty"
			if p["Default"] != "" {
				value = fmt.Sprintf("`%v`", p["Default"])
			}
			meaning := p["Description"].(string)
			if values, ok := p["AllowedValues"].(list); ok && !slices.Equal(values, list{"true", "false"}) {
				meaning += fmt.Sprintf(" One of %s.", strings.Trim(strings.Join(strings.Fields(fmt.Sprint(values)), ", "), "[]"))
			}
			if p["MinValue"] != nil {
				meaning += fmt.Sprintf(" From %v to %v.", p["MinValue"], p["MaxValue"])
			}
			fmt.Fprintf(&page, "| `%s` | %s | %s | %s |\n", id, variables[id.(string)], value, strings.ReplaceAll(meaning, "<", "&lt;"))
		}
	}
	return page.String()
}
