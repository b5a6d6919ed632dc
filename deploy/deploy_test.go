// Package deploy_test runs deploy.sh with a sam and an aws that only record their
// arguments, and evaluates the deployer's policy.
package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"chat-service-backend/internal/cfn"
)

// deploy runs deploy.sh in a tree of its own, with an aws that reports the state of
// the stack and a sam that records its arguments, one per line.
func deploy(t *testing.T, aws, choices string, environment ...string) (sam []string, output string, err error) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, from := range map[string]string{"deploy/deploy.sh": "deploy.sh", "template.yaml": "../template.yaml"} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(name, string(text))
	}
	write("bin/aws", "#!/bin/sh\n"+aws)
	write("bin/sam", "#!/bin/sh\nfor a; do printf '%s\\n' \"$a\"; done >>'"+dir+"/args'\n")
	if choices != "" {
		write("deploy/qa.env", choices)
		write("deploy/prod.env", choices)
	}
	c := exec.CommandContext(t.Context(), "/bin/sh", filepath.Join(dir, "deploy/deploy.sh"))
	c.Env = append([]string{"PATH=" + filepath.Join(dir, "bin") + ":/usr/bin:/bin"}, environment...)
	out, err := c.CombinedOutput()
	args, _ := os.ReadFile(filepath.Join(dir, "args"))
	return strings.Split(strings.TrimSpace(string(args)), "\n"), string(out), err
}

const (
	newStack      = "echo 'An error occurred (ValidationError): Stack with id x does not exist' >&2; exit 254\n"
	existingStack = "echo UPDATE_COMPLETE\n"
)

func TestEachEnvironmentHasItsOwnStackAndParameters(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		environment, aws, choices, want string
	}{
		{"qa", newStack, "", "build deploy --stack-name chat-service-qa --s3-prefix chat-service-qa --no-confirm-changeset " +
			`--parameter-overrides ParameterPrefix="/chat-service-qa" Environment="dev" LogLevel="DEBUG" RetentionDays="7"`},
		{"prod", newStack, "# mine\n\nAlarmEmail=ops@example.com\nExpirationTokenDuration=\nAllowedOrigins=*", "build deploy --stack-name chat-service-prod --s3-prefix chat-service-prod --confirm-changeset " +
			`--parameter-overrides ParameterPrefix="/chat-service-prod" Environment="prod" RetentionDays="90" AlarmEmail="ops@example.com" ExpirationTokenDuration="" AllowedOrigins="*"`},
		{"prod", existingStack, "LogLevel=WARN\n", `build deploy --stack-name chat-service-prod --s3-prefix chat-service-prod --confirm-changeset --parameter-overrides LogLevel="WARN"`},
		{"qa", existingStack, "AlarmEmail=ops@example.com\r\nLogLevel=WARN\r\n", "build deploy --stack-name chat-service-qa --s3-prefix chat-service-qa --no-confirm-changeset " +
			`--parameter-overrides AlarmEmail="ops@example.com" LogLevel="WARN"`},
		{"qa", "echo REVIEW_IN_PROGRESS\n", "", "build deploy --stack-name chat-service-qa --s3-prefix chat-service-qa --no-confirm-changeset " +
			`--parameter-overrides ParameterPrefix="/chat-service-qa" Environment="dev" LogLevel="DEBUG" RetentionDays="7"`},
		{"qa", existingStack, "", "build deploy --stack-name chat-service-qa --s3-prefix chat-service-qa --no-confirm-changeset"},
	} {
		args, out, err := deploy(t, test.aws, test.choices, "ENV="+test.environment)
		if got := strings.Join(args, " "); err != nil || got != test.want {
			t.Errorf("%s: want\n%s\ngot\n%s\n%v %s", test.environment, test.want, got, err, out)
		}
	}
}

func TestDeployNeedsNoConfirmationInCI(t *testing.T) {
	t.Parallel()
	args, out, err := deploy(t, newStack, "AlarmEmail=ops@example.com\n", "ENV=prod", "CI=true")
	if err != nil || !slices.Contains(args, "--no-confirm-changeset") {
		t.Errorf("want --no-confirm-changeset, got %v, %v %s", args, err, out)
	}
}

func TestDeployExplainsWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ environment, aws, choices, want string }{
		{"ENV=../prod", newStack, "", "want ENV to be up to 20"},
		{"ENV=Prod", newStack, "", "want ENV to be up to 20"},
		{"ENV=a-name-of-over-20-chars", newStack, "", "want ENV to be up to 20"},
		{"PATH=/nonexistent", newStack, "", "want the command aws, found none in PATH"},
		{"ENV=qa", "echo 'Unable to locate credentials' >&2; exit 253\n", "", "Unable to locate credentials"},
		{"ENV=qa", "echo ROLLBACK_COMPLETE\n", "", "delete it (sam delete --stack-name chat-service-qa)"},
		{"ENV=qa", newStack, "OidcIssuer\n", "want Name=Value, got OidcIssuer"},
		{"ENV=qa", newStack, `OidcIssuer="https://issuer.example.com"`, "want a value without quotes"},
		{"ENV=qa", newStack, "OidcIsuer=https://issuer.example.com", "want a parameter of template.yaml, got OidcIsuer"},
		{"ENV=qa", newStack, "TokenFunction=x", "want a parameter of template.yaml, got TokenFunction"}, // a resource
		{"ENV=qa", newStack, "AlarmEmail =ops@example.com", "want a parameter of template.yaml, got AlarmEmail "},
	} {
		args, out, err := deploy(t, test.aws, test.choices, test.environment)
		if err == nil || !strings.Contains(out, test.want) || args[0] != "" {
			t.Errorf("%s %q: want %q and no call of sam, got %v %q %v", test.environment, test.choices, test.want, err, out, args)
		}
	}
}

// The settings in sample.env are commented out, so an unchanged copy deploys.
func TestSampleNamesParametersOfTheTemplate(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("sample.env")
	if err != nil {
		t.Fatal(err)
	}
	parameters := parse(t, "../template.yaml").Section("Parameters")
	for line := range strings.Lines(string(text)) {
		if id, _, ok := strings.Cut(strings.TrimPrefix(line, "#"), "="); ok && !strings.Contains(id, " ") && parameters[id] == nil {
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
