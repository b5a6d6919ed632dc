// Package deploy_test evaluates the deployer's policy and reads the sample of settings.
package deploy_test

import (
	"os"
	"strings"
	"testing"

	"chat-service-backend/ops/cfn"
)

// The settings in sample.env are commented out, so an unchanged copy deploys.
func TestSampleNamesParametersOfTheTemplate(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("sample.env")
	if err != nil {
		t.Fatal(err)
	}
	parameters := parse(t, "../template.yaml").Section("Parameters")
	for line := range strings.Lines(string(text)) {
		if id, _, ok := strings.Cut(strings.TrimPrefix(line, "#"), "="); ok && !strings.Contains(id, " ") && parameters[id] == nil && id != "AwsAccount" && id != "AwsRegion" {
			t.Errorf("sample.env: want a parameter of template.yaml, got %s", line)
		}
	}
}

func parse(t *testing.T, file string) *cfn.Template {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	template, err := cfn.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return template
}
