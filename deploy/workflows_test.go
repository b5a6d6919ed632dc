package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var digest = regexp.MustCompile(`^[\w./-]+@[0-9a-f]{40}$`)

// An action that a tag names can become another one; text that an expression puts into
// a script is run as commands.
func TestWorkflowsPinActionsAndRunNoInput(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob("../.github/workflows/*.yml")
	more, _ := filepath.Glob("../examples/pipelines/*.yml")
	if files = append(files, more...); len(files) < 5 {
		t.Errorf("want the workflows and the examples, got %q", files)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var document any
		if err := yaml.Unmarshal(text, &document); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		var visit func(v any)
		visit = func(v any) {
			switch v := v.(type) {
			case []any:
				for _, item := range v {
					visit(item)
				}
			case map[string]any:
				if uses, ok := v["uses"].(string); ok && !digest.MatchString(uses) {
					t.Errorf("%s: want an action's digest, got %s", file, uses)
				}
				if run, ok := v["run"].(string); ok && strings.Contains(run, "${{") {
					t.Errorf("%s: want values from the environment, got %s", file, run)
				}
				for _, item := range v {
					visit(item)
				}
			}
		}
		visit(document)
	}
}

func TestENVReachesMakesShellAsAVariable(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "$(ENV)") || strings.Contains(string(text), "${ENV}") || strings.Count(string(text), `"$$ENV"`) < 3 {
		t.Error(`want ENV only as "$$ENV", which make does not expand`)
	}
}
