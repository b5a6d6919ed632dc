package main

import (
	"os"
	"path/filepath"
	"testing"

	"chat-service-backend/ops/stack"
)

func TestHintsNameCommandsThatTheReaderHas(t *testing.T) {
	t.Parallel()
	release := t.TempDir()
	if err := os.WriteFile(filepath.Join(release, "template.yaml"), []byte("Resources: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const checkout, program = "..", "./ops-linux-amd64"
	for _, test := range []struct {
		dir     string
		target  stack.Target
		command string
		want    string
	}{
		{checkout, stack.Target{Environment: "prod"}, "deploy", "make deploy ENV=prod"},
		{checkout, stack.Target{Environment: "prod"}, "users check", "go run ./ops users check -env prod"},
		{checkout, stack.Target{Environment: "dev", StackName: "shop"}, "deploy", "go run ./ops deploy -env dev -stack shop"},
		{checkout, stack.Target{Environment: "dev", ServiceURL: "http://127.0.0.1:3001"}, "apply", "go run ./ops apply"},
		{release, stack.Target{Environment: "prod"}, "deploy", "./ops-linux-amd64 deploy -env prod"},
		{release, stack.Target{Environment: "dev", StackName: "shop"}, "rotate", "./ops-linux-amd64 rotate -env dev -stack shop"},
		{t.TempDir(), stack.Target{Environment: "dev"}, "params", "./ops-linux-amd64 params -env dev"},
	} {
		test.target.Dir, test.target.Program = test.dir, program
		if got := test.target.CommandLine(test.command); got != test.want {
			t.Errorf("%s in %s: want %q, got %q", test.command, test.dir, test.want, got)
		}
	}
}
