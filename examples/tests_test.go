package examples_test

import (
	"os"
	"os/exec"
	"testing"

	"chat-service-backend/internal/awstest"
)

func TestExamplesOfTestsPass(t *testing.T) {
	for name, c := range map[string]struct {
		needs, packages []string
		command         []string
	}{
		"node":          {[]string{"node"}, []string{"stream-chat"}, []string{"node", "--test", "chat.test.mjs"}},
		"client":        {[]string{"node"}, []string{"stream-chat"}, []string{"node", "--test", "--test-force-exit", "client.test.mjs"}},
		"clientbrowser": {[]string{"node", "chromium"}, []string{"stream-chat", "esbuild", "playwright-core"}, []string{"node", "--test", "--test-force-exit", "clientbrowser.test.mjs"}},
		"parse":         {[]string{"node"}, []string{"web-tree-sitter", "tree-sitter-wasms"}, []string{"node", "--test", "parse.test.mjs"}},
		"browser":       {[]string{"node", "chromium"}, []string{"stream-chat", "esbuild", "playwright-core"}, []string{"node", "--test", "app.test.mjs"}},
		"pytest":        {[]string{"pytest"}, nil, []string{"pytest", "-q", "-p", "no:cacheprovider", "test_service.py"}},
	} {
		t.Run(name, func(t *testing.T) {
			var chromium string
			for _, program := range c.needs {
				path, err := exec.LookPath(program)
				if err != nil {
					awstest.Missing(t, "%s is not installed", program)
				}
				chromium = path
			}
			for _, pkg := range c.packages {
				if _, err := os.Stat("tests/node_modules/" + pkg); err != nil {
					awstest.Missing(t, "npm's package %s is not installed; run npm install in examples/tests", pkg)
				}
			}
			cmd := exec.CommandContext(t.Context(), c.command[0], c.command[1:]...)
			cmd.Dir = "tests"
			cmd.Env = append(os.Environ(), "LOCAL="+awstest.Binary(t, "./local"), "CHROMIUM="+chromium, "PYTHONDONTWRITEBYTECODE=1")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
