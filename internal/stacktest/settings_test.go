package stacktest

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/settings.md from template.yaml")

// variables maps each environment variable of a function to the template parameter
// it gets its value from, "" for one that is not a parameter's alone.
func variables(t *testing.T) map[string]string {
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

func TestTemplateSetsWhatTheCodeReads(t *testing.T) {
	t.Parallel()
	read := slices.DeleteFunc(inCode(t, `getenv\("([A-Z]+_[A-Z0-9_]+)"\)|\(getenv, "([A-Z]+_[A-Z0-9_]+)"`),
		func(name string) bool { return strings.HasPrefix(name, "AWS_") }) // which Lambda sets
	same(t, "environment in template.yaml, compared with the code", sortedKeys(variables(t)), read)
}

// docs/settings.md is generated: go test ./internal/stacktest -run SettingsPage -update
func TestSettingsPageIsUpToDate(t *testing.T) {
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
		t.Errorf("%s: want the page for this template.yaml; write it with go test ./internal/stacktest -run SettingsPage -update", page)
	}
}

func settingsPage(t *testing.T) string {
	t.Helper()
	parameters := source(t)["Parameters"].(object)
	byParameter, own := map[string]string{}, []string(nil)
	for name, id := range variables(t) {
		if id == "" {
			own = append(own, "`"+name+"`")
			continue
		}
		byParameter[id] = "`" + name + "`"
	}
	slices.Sort(own)
	var page strings.Builder
	fmt.Fprintf(&page, "# Settings\n\n"+
		"All parameters of `template.yaml`, from which a test generates this page. Functions read the environment variable; the stack sets %s itself. "+
		"The values below `ParameterPrefix` are in [rotate.md](rotate.md#parameters).\n", strings.Join(own, ", "))
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
			switch {
			case p["MaxValue"] != nil:
				meaning += fmt.Sprintf(" From %v to %v.", p["MinValue"], p["MaxValue"])
			case p["MinValue"] != nil:
				meaning += fmt.Sprintf(" At least %v.", p["MinValue"])
			}
			fmt.Fprintf(&page, "| `%s` | %s | %s | %s |\n", id, byParameter[id.(string)], value, strings.ReplaceAll(meaning, "<", "&lt;"))
		}
	}
	return page.String()
}
