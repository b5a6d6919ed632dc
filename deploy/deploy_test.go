// Package deploy_test runs deploy.sh with a sam and an aws that only take notes,
// and reads the deployer's policy.
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

// deploy runs deploy.sh in a tree of its own, with an aws that answers for
// the stack and a sam that notes its arguments, one a line.
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
	script, err := os.ReadFile("deploy.sh")
	if err != nil {
		t.Fatal(err)
	}
	write("deploy/deploy.sh", string(script))
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
	stackIsNew   = "echo 'An error occurred (ValidationError): Stack with id x does not exist' >&2; exit 254\n"
	stackIsThere = "echo UPDATE_COMPLETE\n"
)

func TestEachEnvironmentHasItsOwnStackAndParameters(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		environment, aws, choices, want string
	}{
		{"qa", stackIsNew, "", "build deploy --stack-name chat-service-qa --s3-prefix chat-service-qa --no-confirm-changeset " +
			`--parameter-overrides ParameterPrefix="/chat-service/qa" Environment="dev" LogLevel="DEBUG" LogRetentionDays="7"`},
		{"prod", stackIsNew, "# mine\n\nAlarmEmail=ops@example.com\nExpirationTokenDuration=\nAllowedOrigins=*", "build deploy --stack-name chat-service-prod --s3-prefix chat-service-prod --confirm-changeset " +
			`--parameter-overrides ParameterPrefix="/chat-service/prod" Environment="prod" LogRetentionDays="90" AlarmEmail="ops@example.com" ExpirationTokenDuration="" AllowedOrigins="*"`},
		{"prod", stackIsThere, "LogLevel=WARN\n", `build deploy --stack-name chat-service-prod --s3-prefix chat-service-prod --confirm-changeset --parameter-overrides LogLevel="WARN"`},
		{"qa", stackIsThere, "", "build deploy --stack-name chat-service-qa --s3-prefix chat-service-qa --no-confirm-changeset"},
	} {
		args, out, err := deploy(t, test.aws, test.choices, "ENV="+test.environment)
		if got := strings.Join(args, " "); err != nil || got != test.want {
			t.Errorf("%s: want\n%s\ngot\n%s\n%v %s", test.environment, test.want, got, err, out)
		}
	}
}

func TestDeployAsksNothingInCI(t *testing.T) {
	t.Parallel()
	args, out, err := deploy(t, stackIsNew, "AlarmEmail=ops@example.com\n", "ENV=prod", "CI=true")
	if err != nil || !slices.Contains(args, "--no-confirm-changeset") {
		t.Errorf("want --no-confirm-changeset, got %v, %v %s", args, err, out)
	}
}

func TestDeployRefusesWhatItCannotMean(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ environment, aws, choices, want string }{
		{"../prod", stackIsNew, "", "want ENV to be up to 20"},
		{"Prod", stackIsNew, "", "want ENV to be up to 20"},
		{"a-name-of-over-20-chars", stackIsNew, "", "want ENV to be up to 20"},
		{"qa", "echo 'Unable to locate credentials' >&2; exit 253\n", "", "Unable to locate credentials"},
		{"qa", stackIsNew, "OidcIssuer\n", "want Name=Value, got OidcIssuer"},
		{"qa", stackIsNew, `OidcIssuer="https://issuer.example.com"`, "want a value without quotes"},
	} {
		args, out, err := deploy(t, test.aws, test.choices, "ENV="+test.environment)
		if err == nil || !strings.Contains(out, test.want) || args[0] != "" {
			t.Errorf("%s %q: want %q and no sam, got %v %q %v", test.environment, test.choices, test.want, err, out, args)
		}
	}
}

// The choices in sample.env are commented out, so a copy of it deploys as it is.
func TestSampleOfChoicesNamesParameters(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("sample.env")
	if err != nil {
		t.Fatal(err)
	}
	parameters := parse(t, "../template.yaml").Section("Parameters")
	for line := range strings.Lines(string(text)) {
		if id, _, ok := strings.Cut(strings.TrimPrefix(line, "#"), "="); ok && !strings.Contains(id, " ") && parameters[id] == nil {
			t.Errorf("sample.env: want parameters of the template, got %s", line)
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
