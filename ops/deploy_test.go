package main

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// tools gives the deployment a PATH with programs that only record their arguments,
// and returns a function that reads them, one call per line.
func (d *deployment) tools(t *testing.T, names ...string) (calls func() string) {
	t.Helper()
	bin := t.TempDir()
	for _, name := range names {
		script := "#!/bin/sh\necho " + name + " \"$@\" >>" + bin + "/calls\ncase $* in *head-bucket*) exit 1;; *--no-execute*) echo arn:aws:cloudformation:eu-central-1:123456789012:changeSet/x/1;; esac\n"
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
	return func() string {
		text, _ := os.ReadFile(bin + "/calls")
		_ = os.Remove(bin + "/calls")
		text = regexp.MustCompile(`\S+/deploy-\d+/`).ReplaceAll(text, nil)
		return strings.TrimSpace(string(text))
	}
}

// settings writes deploy/<environment>.env.
func (d *deployment) settings(t *testing.T, environment, text string) {
	t.Helper()
	d.choose("")
	if err := os.WriteFile(d.dir+"/deploy/"+environment+".env", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// released makes the template one that needs no build.
func (d *deployment) released(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(d.dir + "/template.yaml")
	if err == nil {
		_ = os.Remove(d.dir + "/template.yaml") // a link to the repository's
		err = os.WriteFile(d.dir+"/template.yaml", []byte(strings.Replace(string(text), "    CodeUri: .\n", "", 1)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestDeployGivesEachEnvironmentItsOwnStackAndParameters(t *testing.T) {
	const (
		build = "sam build --region eu-central-1\n"
		dev   = `Environment="dev" LogLevel="DEBUG" RetentionDays="7"`
	)
	for name, test := range map[string]struct {
		environment, settings string
		missing               bool
		ci, want              string
	}{
		"new":                     {"qa", "", true, "", build + "sam deploy --stack-name chat-service-qa --s3-prefix chat-service-qa --no-confirm-changeset --parameter-overrides " + dev},
		"new, with settings":      {"qa", "# mine\r\n\r\nLogLevel=WARN\r\nExpirationTokenDuration=\r\n", true, "", build + `sam deploy --stack-name chat-service-qa --s3-prefix chat-service-qa --no-confirm-changeset --parameter-overrides Environment="dev" ExpirationTokenDuration="" LogLevel="WARN" RetentionDays="7"`},
		"production by its line":  {"shop-live", "Environment=prod\nAlarmTarget=ops@example.com", true, "", build + `sam deploy --stack-name chat-service-shop-live --s3-prefix chat-service-shop-live --confirm-changeset --parameter-overrides AlarmTarget="ops@example.com" Environment="prod" RetentionDays="90"`},
		"production in CI":        {"prod", "Environment=prod\nAlarmTarget=ops@example.com", true, "true", build + `sam deploy --stack-name chat-service-prod --s3-prefix chat-service-prod --no-confirm-changeset --parameter-overrides AlarmTarget="ops@example.com" Environment="prod" RetentionDays="90"`},
		"a name is no production": {"prod", "Environment=dev", true, "", build + `sam deploy --stack-name chat-service-prod --s3-prefix chat-service-prod --no-confirm-changeset --parameter-overrides Environment="dev" LogLevel="DEBUG" RetentionDays="7"`},
		"existing":                {"qa", "", false, "", build + "sam deploy --stack-name chat-service-qa --s3-prefix chat-service-qa --no-confirm-changeset"},
		"existing, with settings": {"qa", "AwsAccount=123456789012\nAwsRegion=eu-central-1\nLogLevel=WARN", false, "", build + `sam deploy --stack-name chat-service-qa --s3-prefix chat-service-qa --no-confirm-changeset --parameter-overrides LogLevel="WARN"`},
	} {
		t.Run(name, func(t *testing.T) {
			d := deploy(t, nil)
			d.missing, d.env = test.missing, map[string]string{"CI": test.ci}
			d.settings(t, test.environment, test.settings)
			calls := d.tools(t, "sam", "aws")
			d.tool.run(t.Context(), "", "deploy", "-env", test.environment).want(t, 0, "Account 123456789012, region eu-central-1, stack chat-service-"+test.environment)
			if got := calls(); got != test.want {
				t.Errorf("want\n%s\ngot\n%s", test.want, got)
			}
		})
	}
}

func TestDeployOfAReleaseNeedsNoSAMCLI(t *testing.T) {
	d := deploy(t, nil)
	d.settings(t, "qa", "")
	d.released(t)
	calls := d.tools(t, "aws")
	const bucket = "chat-service-artifacts-123456789012-eu-central-1"
	before := "aws s3api head-bucket --bucket " + bucket + " --expected-bucket-owner 123456789012\naws s3 mb s3://" + bucket +
		"\naws cloudformation package --template-file template.yaml --s3-bucket " + bucket + " --s3-prefix chat-service-qa --output-template-file template.yaml\n" +
		"aws cloudformation deploy --template-file template.yaml --stack-name chat-service-qa --s3-bucket " + bucket + " --s3-prefix chat-service-qa" +
		" --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND --no-fail-on-empty-changeset"
	d.tool.run(t.Context(), "", "deploy", "-env", "qa").want(t, 0)
	if got := calls(); got != before {
		t.Errorf("want\n%s\ngot\n%s", before, got)
	}
	d.settings(t, "qa", "Environment=prod\nAlarmTarget=ops@example.com")
	d.released(t)
	const change = " --change-set-name arn:aws:cloudformation:eu-central-1:123456789012:changeSet/x/1"
	shown := " --parameter-overrides AlarmTarget=ops@example.com Environment=prod --no-execute-changeset\naws cloudformation describe-change-set" + change +
		" --output table --query Changes[].ResourceChange.[Action,LogicalResourceId,ResourceType,Replacement]\n"
	d.tool.run(t.Context(), "yes\n", "deploy", "-env", "qa").want(t, 0, "Make these changes?")
	if got, want := calls(), before+shown+"aws cloudformation execute-change-set"+change+"\naws cloudformation wait stack-update-complete --stack-name chat-service-qa"; got != want {
		t.Errorf("want\n%s\ngot\n%s", want, got)
	}
	d.tool.run(t.Context(), "no\n", "deploy", "-env", "qa").want(t, 0)
	if got, want := calls(), before+shown+"aws cloudformation delete-change-set"+change; got != want {
		t.Errorf("want\n%s\ngot\n%s", want, got)
	}
}

func TestDeploySaysWhatIsWrongBeforeItDoesAnything(t *testing.T) {
	for _, test := range []struct{ environment, settings, want string }{
		{"../prod", "", "not the name of an environment"},
		{"Prod", "", "not the name of an environment"},
		{"a-name-of-over-20-chars", "", "not the name of an environment"},
		{"qa; id", "", "not the name of an environment"},
		{"qa", "AwsAccount=210987654321", "says AwsAccount=210987654321, but the credentials are for account 123456789012"},
		{"qa", "AwsRegion=eu-west-1", "says AwsRegion=eu-west-1, but the region is eu-central-1: set AWS_REGION=eu-west-1"},
		{"qa", "AwsAccount=12345", "but an account has 12 digits"},
		{"qa", "\ufeffLogLevel=WARN", "line 1: begins with a byte-order mark"},
		{"qa", "# mine\nLogLevel=WARN ", "line 2: the value of LogLevel begins or ends with a space"},
		{"qa", "LogLevel=WARN\u200b", "has a character that is not shown"},
		{"qa", "LogLevel=WA\u00a0RN", "has a character that is not shown"},
		{"qa", "LogLevel =WARN", "has a space around its name"},
		{"qa", "LogLevel", "is not Name=Value"},
		{"qa", `OidcIssuer="https://issuer.example.com"`, "has a quote or a backslash"},
		{"qa", "OidcIsuer=https://issuer.example.com", "OidcIsuer is not a parameter"},
		{"qa", "TokenFunction=x", "TokenFunction is not a parameter"}, // a resource
		{"qa", "LogLevel=WARN\nLogLevel=INFO", "line 2: LogLevel stands twice"},
		{"qa", "HookTimeoutMs=0", "HookTimeoutMs"},
		{"qa", "Environment=prod", "ProdNeedsAlarmTarget"},
		{"shop-prod", "AlarmTarget=ops@example.com", "does not say whether this is production"},
	} {
		d := deploy(t, nil)
		d.missing = true
		calls := d.tools(t, "sam", "aws")
		if environmentName.MatchString(test.environment) {
			d.settings(t, test.environment, test.settings)
		} else {
			d.choose("")
		}
		r := d.tool.run(t.Context(), "", "deploy", "-env", test.environment)
		r.want(t, max(r.status, 1), test.want)
		if got := calls(); got != "" {
			t.Errorf("%s %q: want no call, got %s", test.environment, test.settings, got)
		}
	}
	t.Run("every command checks the account", func(t *testing.T) {
		d := deploy(t, nil)
		d.settings(t, "dev", "AwsAccount=210987654321")
		d.tool.run(t.Context(), "key\nsecret\n\n", "params").want(t, 1, "says AwsAccount=210987654321")
		if values, _ := d.values.Values(); values[prefix+apiSecret] != secret {
			t.Errorf("want nothing written, got %q", values[prefix+apiSecret])
		}
	})
	t.Run("every command reads the file before it needs credentials", func(t *testing.T) {
		for _, command := range []string{"params", "rotate", "rotate -webhook", "redrive", "plan", "apply", "pull", "doctor", "users import x", "users check x", "listen", "trigger message.new", "events"} {
			d := deploy(t, nil)
			d.settings(t, "dev", "LogLevel")
			file := filepath.Join(d.dir, "x")
			if err := os.WriteFile(file, []byte(`{"id":"x"}`), 0o600); err != nil {
				t.Fatal(err)
			}
			d.tool.run(t.Context(), "", strings.Fields(strings.ReplaceAll(command, " x", " "+file))...).want(t, 1, "deploy/dev.env, line 1: \"LogLevel\" is not Name=Value")
			if len(d.calls) > 0 {
				t.Errorf("%s: want no call to AWS, got %q", command, d.calls)
			}
		}
	})
	for state, want := range map[string]string{
		"UPDATE_IN_PROGRESS": "chat-service-dev is UPDATE_IN_PROGRESS, perhaps by somebody else",
		"ROLLBACK_COMPLETE":  "delete it (aws cloudformation delete-stack --stack-name chat-service-dev)", // after a failed first deployment
	} {
		t.Run(state, func(t *testing.T) {
			d := deploy(t, nil)
			d.settings(t, "dev", "")
			calls := d.tools(t, "sam")
			d.onAWS = func(w http.ResponseWriter, r *http.Request, body string) bool {
				if strings.Contains(body, "Action=DescribeStacks") {
					d.describe(w, state)
					return true
				}
				return false
			}
			d.tool.run(t.Context(), "", "deploy").want(t, 1, want)
			if got := calls(); got != "" {
				t.Errorf("want no call, got %s", got)
			}
		})
	}
	t.Run("no tool", func(t *testing.T) {
		d := deploy(t, nil)
		d.settings(t, "dev", "")
		d.tools(t, "aws")
		d.tool.run(t.Context(), "", "deploy").want(t, 1, "the command sam is not in PATH")
		d.released(t)
		d.tools(t)
		d.tool.run(t.Context(), "", "deploy").want(t, 1, "neither sam nor aws is in PATH")
	})
}

var environmentName = regexp.MustCompile(`^[a-z-]{1,20}$`)
