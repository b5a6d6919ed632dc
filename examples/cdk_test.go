package examples_test

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/ops/cfn"
)

var update = flag.Bool("update", false, "write parameters.ts from template.yaml")

// parameters.ts is generated: go test ./examples -run Parameters -update
func TestParametersAreTheTemplates(t *testing.T) {
	t.Parallel()
	template, err := cfn.Find(".")
	if err != nil {
		t.Fatal(err)
	}
	want := parametersFile(template)
	if *update {
		if err := os.WriteFile("cdk/parameters.ts", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile("cdk/parameters.ts"); err != nil || string(got) != want {
		t.Errorf("parameters.ts: want the file for this template.yaml; write it with go test ./examples -run Parameters -update (%v)", err)
	}
}

func parametersFile(template *cfn.Template) string {
	var file strings.Builder
	file.WriteString("// The parameters of template.yaml, from which a test generates this file.\nexport interface Parameters {\n")
	for _, group := range dig(template.Body, "Metadata", "AWS::CloudFormation::Interface", "ParameterGroups").([]any) {
		for _, id := range dig(group, "Parameters").([]any) {
			p := dig(template.Body, "Parameters", id.(string))
			kind := "string"
			if dig(p, "Type") == "Number" {
				kind = "`${number}`"
			}
			if values, ok := dig(p, "AllowedValues").([]any); ok {
				kind = fmt.Sprintf("'%s'", strings.Trim(strings.ReplaceAll(fmt.Sprint(values), " ", "' | '"), "[]"))
			}
			fmt.Fprintf(&file, "  /** %s */\n  readonly %s?: %s;\n", dig(p, "Description"), id, kind)
		}
	}
	file.WriteString("}\n")
	return file.String()
}

func dig(v any, keys ...string) any {
	for _, key := range keys {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	return v
}

// run runs a command in cdk and returns its output.
func run(t *testing.T, variable string, words ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), words[0], words[1:]...)
	c.Dir, c.Env = "cdk", append(os.Environ(), "CI=true", variable)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", words, err, out)
	}
	return string(out)
}

// release returns a folder with template.yaml as it is in a release, and zip files.
func release(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile("../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"token", "apikey", "config", "webhook", "proxy"} {
		file, err := os.Create(filepath.Join(dir, name+".zip"))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(zip.NewWriter(file).Close(), file.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "template.yaml"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Both are translated by SAM's translator.
func TestCDKDeploysTheTemplatesResources(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("cdk/node_modules/aws-cdk-lib"); err != nil {
		awstest.Missing(t, "npm install was not run in examples/cdk: %v", err)
	}
	dir, out := release(t), t.TempDir()
	modules, err := filepath.Abs("cdk/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	run(t, "", modules+"/.bin/tsc", "--outDir", out+"/js")
	if err := os.Symlink(modules, out+"/node_modules"); err != nil {
		t.Fatal(err)
	}
	synth := func(name, variable string) *cfn.Template {
		run(t, variable, modules+"/.bin/cdk", "synth", "--quiet", "--app", "node "+out+"/js/app.js", "--output", filepath.Join(out, name))
		text, err := os.ReadFile(filepath.Join(out, name, "chat-service-dev.template.json"))
		if err != nil {
			t.Fatal(err)
		}
		template, err := cfn.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return template
	}

	t.Run("included", func(t *testing.T) {
		synth("included", "RELEASE="+dir)
		ours, theirs := translate(t, "../template.yaml"), translate(t, filepath.Join(out, "included/chat-service-dev.template.json"))
		for id, resource := range ours {
			if !reflect.DeepEqual(resource, theirs[id]) {
				want, _ := json.Marshal(resource)
				got, _ := json.Marshal(theirs[id])
				t.Errorf("%s: want, as in template.yaml,\n%s\ngot from the CDK\n%s", id, want, got)
			}
			delete(theirs, id)
		}
		added := map[string]int{}
		for id, resource := range theirs {
			added[fmt.Sprint(dig(resource, "Type"))]++
			if strings.HasPrefix(id, "Caller") && dig(resource, "Type") == "AWS::IAM::Policy" {
				text, _ := json.Marshal(resource)
				for _, route := range []string{"/POST/proxy/users", "/POST/proxy/api/v2/users", "/GET/token/alice"} {
					if !strings.Contains(string(text), route+`"`) {
						t.Errorf("want the caller to be allowed %s, got %s", route, text)
					}
				}
			}
		}
		want := map[string]int{"AWS::Lambda::Function": 1, "AWS::IAM::Role": 1, "AWS::IAM::Policy": 1, "AWS::Events::Rule": 1, "AWS::SQS::Queue": 1, "AWS::SQS::QueuePolicy": 1, "AWS::CDK::Metadata": 1}
		if !reflect.DeepEqual(added, want) {
			t.Errorf("want only the app's own resources besides, %v, got %v", want, added)
		}
	})

	t.Run("scanned", func(t *testing.T) {
		for _, parameters := range []string{"{}", `{"StreamQueue":"true","AlarmTarget":"ops@example.com","Tracing":"true","KmsKeyArn":"arn:aws:kms:eu-central-1:123456789012:key/1234abcd"}`} {
			c := exec.CommandContext(t.Context(), "node", out+"/js/nag.js")
			c.Env = append(os.Environ(), "RELEASE="+dir, "PARAMETERS="+parameters)
			if text, err := c.CombinedOutput(); err != nil {
				t.Errorf("%s: want a fix, or a reason beside the resource, got %v\n%s", parameters, err, text)
			}
		}
	})

	t.Run("nested", func(t *testing.T) {
		template := synth("nested", "TEMPLATE_URL=https://bucket.s3.amazonaws.com/packaged.yaml")
		for id, resource := range template.Section("Resources") {
			switch dig(resource, "Type") {
			case "AWS::CloudFormation::Stack":
				if got := dig(resource, "Properties", "Parameters", "ParameterPrefix"); got != "/chat-service-dev" {
					t.Errorf("want the parameters passed on, got %v", got)
				}
			case "AWS::Events::Rule":
				if got := fmt.Sprint(dig(resource, "Properties", "EventBusName")); !strings.Contains(got, "Outputs.EventBusName") {
					t.Errorf("want a rule on the nested stack's bus, got %s", got)
				}
			case "AWS::Serverless::Function":
				t.Errorf("want the functions in the nested stack, got %s", id)
			}
		}
	})

	t.Run("a wrong value", func(t *testing.T) {
		for parameters, want := range map[string]string{
			"{OidcIssuer: 'http://issuer.example.com'}": "OidcIssuer",
			"{Environment: 'production'}":               "Environment",
			"{OidcIsuer: 'https://issuer.example.com'}": "OidcIsuer",
		} {
			got := run(t, "", "node", "-e", fmt.Sprintf(`
				const { App, Stack } = require('%[1]s/node_modules/aws-cdk-lib'), { ChatService } = require('%[1]s/js/chat-service.js');
				try { new ChatService(new Stack(new App()), 'Chat', { release: '%[2]s', parameters: %[3]s }) } catch (e) { console.log(e.message) }`, out, dir, parameters))
			if !strings.Contains(got, want) {
				t.Errorf("%s: want an error that names it, got %q", parameters, got)
			}
		}
	})
}

var madeUp = regexp.MustCompile(`(FunctionVersion|ApiDeployment)[0-9a-f]{10}`)

// given are the parameters in app.ts.
var given = map[string]string{
	"OidcIssuer": "https://example.eu.auth0.com/", "OidcAudience": "https://chat.example.com",
	"AllowedOrigins": "https://app.example.com", "AlarmTarget": "ops@example.com",
}

// translate returns the resources in a template as CloudFormation sees them, with
// the parameters in app.ts, and without what is made from the code's location.
func translate(t *testing.T, file string) map[string]any {
	t.Helper()
	request, _ := json.Marshal(given)
	c := exec.CommandContext(t.Context(), "python3", "../internal/stacktest/translate.py", file)
	c.Stdin = strings.NewReader(string(request) + "\n")
	text, err := c.Output()
	if errors.Is(err, exec.ErrNotFound) || c.ProcessState != nil && c.ProcessState.ExitCode() == 3 {
		awstest.Missing(t, "Python's samtranslator is not installed")
	}
	if err != nil {
		t.Fatalf("translate.py %s: %v %s", file, err, text)
	}
	text = madeUp.ReplaceAll(text, []byte("$1"))
	template, err := cfn.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	delete(template.Section("Parameters"), "BootstrapVersion") // the CDK's own
	delete(template.Section("Rules"), "CheckBootstrapVersion")
	options := cfn.Options{Region: "eu-central-1", Account: "123456789012", StackName: "chat-service-dev", Parameters: map[string]string{}}
	for id, value := range given {
		if template.Section("Parameters")[id] != nil {
			options.Parameters[id] = value
		}
	}
	stack, err := template.Stack(options)
	if err != nil {
		t.Fatal(err)
	}
	resources := map[string]any{}
	for id, resource := range template.Section("Resources") {
		resource := resource.(map[string]any)
		delete(resource, "Metadata")
		if strings.HasPrefix(fmt.Sprint(resource["Type"]), "AWS::Lambda::Function") {
			delete(resource["Properties"].(map[string]any), "Code")
		}
		if resources[id], err = stack.Eval(resource); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
	}
	return resources
}
