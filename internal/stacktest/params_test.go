package stacktest

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"chat-service-backend/internal/awstest"
)

// ssm starts moto's server on a free port and returns the environment with
// which the AWS CLI talks to it.
func ssm(t *testing.T) []string {
	t.Helper()
	need(t, "aws")
	return append(environ(), "AWS_ENDPOINT_URL="+awstest.Moto(t), "AWS_DEFAULT_REGION="+region, "AWS_REGION="+region,
		"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull,
		"PREFIX=", "KMS_KEY_ID=")
}

// environ is this process's environment without what make tells its children:
// these tests start a make of their own, often from within one.
func environ() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "MAKEFLAGS=") || strings.HasPrefix(v, "MAKELEVEL=") || strings.HasPrefix(v, "MFLAGS=")
	})
}

// A parameter is one as the AWS CLI lists it.
type parameter struct {
	Name, Type, Value string
}

func stored(t *testing.T, environment []string, names ...string) map[string]parameter {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "aws", append([]string{"ssm", "get-parameters", "--with-decryption", "--output", "json", "--names"}, names...)...)
	cmd.Env = environment
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("aws ssm get-parameters: %v\n%s", err, out)
	}
	var answer struct{ Parameters []parameter }
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatal(err)
	}
	found := map[string]parameter{}
	for _, p := range answer.Parameters {
		found[p.Name] = p
	}
	return found
}

func TestParamsWritesWhatIsTyped(t *testing.T) {
	t.Parallel()
	need(t, "make")
	environment := ssm(t)
	// A value with all that a shell or the CLI might take for its own.
	secret := `$(id) "q" 'x' \n %s file:///etc/hostname`
	config := `{"theme":"dark","url":"https://example.com/?a=1&b=%20"}`
	cmd := exec.CommandContext(t.Context(), "make", "params")
	cmd.Env = environment
	cmd.Stdin = strings.NewReader("/acme/chat\n  the-key \n" + secret + "\nweb\n" + config + "\n\n")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("make params: %v\n%s%s", err, stdout.Bytes(), stderr.Bytes())
	}
	if strings.Contains(stdout.String()+stderr.String(), secret) {
		t.Errorf("want the secret in no output, got %s%s", stdout.Bytes(), stderr.Bytes())
	}
	if want := "wrote /acme/chat/stream/api-key\nwrote /acme/chat/stream/api-secret\nwrote /acme/chat/client-config/web\n"; stdout.String() != want {
		t.Errorf("want a line for each parameter, got %s", stdout.Bytes())
	}
	got := stored(t, environment, "/acme/chat/stream/api-key", "/acme/chat/stream/api-secret", "/acme/chat/client-config/web")
	for _, want := range []parameter{
		{"/acme/chat/stream/api-key", "String", "the-key"},
		{"/acme/chat/stream/api-secret", "SecureString", secret},
		{"/acme/chat/client-config/web", "String", config},
	} {
		if got[want.Name] != want {
			t.Errorf("want %+v, got %+v", want, got[want.Name])
		}
	}
}

func TestParamsTakesPathFromMakeAndDefaultsToTheEnvironments(t *testing.T) {
	t.Parallel()
	need(t, "make")
	aws := fakeAWS(t)
	for _, c := range []struct{ argument, input, want string }{
		{"PREFIX=/from/make", "key\nsecret\n\n", "/from/make"},
		{"ENV=qa", "\nkey\nsecret\n\n", "/chat-service/qa"},
	} {
		out, err := params(t, aws, c.input, "make", "params", c.argument)
		if err != nil || !strings.Contains(out, "wrote "+c.want+"/stream/api-secret\n") {
			t.Errorf("%q: want %s written, got %v\n%s", c.argument, c.want, err, out)
		}
	}
}

func TestParamsRefusesWhatCannotWorkBeforeWritingIt(t *testing.T) {
	t.Parallel()
	aws := fakeAWS(t)
	for input, want := range map[string]string{
		"":                              "want an answer, got the end of input",
		"chat\n":                        "want a path that begins and does not end with a slash, got chat",
		"/chat/\n":                      "want a path that begins and does not end with a slash, got /chat/",
		"/\n":                           "want a path that begins and does not end with a slash, got /",
		"/chat\n\n":                     "the API key must not be empty",
		"/chat\n  \n":                   "the API key must not be empty",
		"/chat\nkey\n\n":                "the API secret must not be empty",
		"/chat\nkey\n":                  "want an answer, got the end of input",
		"/chat\nkey\nsecret\na/b\n":     "a client type may have letters, digits, _ . and -, got a/b",
		"/chat\nkey\nsecret\nweb\n[]\n": `want a JSON object such as {"theme":"dark"} for web`,
	} {
		out, err := params(t, aws, input, "./scripts/params")
		if err == nil || !strings.HasSuffix(out, "params: "+want+"\n") {
			t.Errorf("%q: want a failure with %q, got %v\n%s", input, want, err, out)
		}
		if wrote := strings.Contains(out, "wrote"); wrote && !strings.Contains(input, "secret\n") {
			t.Errorf("%q: want nothing written, got %s", input, out)
		}
	}
}

// The processes that a machine's other users can list are told no value.
func TestParamsShowsNoValueInTheListOfProcesses(t *testing.T) {
	t.Parallel()
	aws := fakeAWS(t)
	out, err := params(t, append(aws, "KMS_KEY_ID=alias/chat"), "/chat\nthe-key\nthe-secret\nweb\n{\"a\":1}\n\n", "./scripts/params")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, value := range []string{"the-key", "the-secret", `{"a":1}`} {
		if strings.Contains(out, value) {
			t.Errorf("want %s in no argument, got %s", value, out)
		}
	}
	if want := "ssm put-parameter --name /chat/stream/api-secret --type SecureString --value file:///dev/stdin --overwrite --key-id alias/chat"; !strings.Contains(out, want) {
		t.Errorf("want the key named, got %s", out)
	}
}

func TestParamsEndsWhenAWSRefuses(t *testing.T) {
	t.Parallel()
	out, err := params(t, append(fakeAWS(t), "FAKE_AWS_STATUS=254"), "/chat\nkey\nsecret\n\n", "./scripts/params")
	if err == nil || !strings.HasSuffix(out, "params: could not write /chat/stream/api-key\n") || strings.Contains(out, "wrote") {
		t.Errorf("want a failure that names the parameter, got %v\n%s", err, out)
	}
}

// fakeAWS returns an environment in which aws shows its arguments on standard
// error, reads its input, and ends with $FAKE_AWS_STATUS.
func fakeAWS(t *testing.T) []string {
	t.Helper()
	need(t, "sh")
	dir := t.TempDir()
	script := "#!/bin/sh\necho \"aws $*\" >&2\ncat >/dev/null\nexit ${FAKE_AWS_STATUS:-0}\n"
	if err := os.WriteFile(dir+"/aws", []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return append(environ(), "PATH="+dir+":"+os.Getenv("PATH"), "PREFIX=", "KMS_KEY_ID=")
}

// params runs a command with an input and returns what it says.
func params(t *testing.T, environment []string, input string, command ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	if command[len(command)-1] == "" {
		cmd.Args = command[:len(command)-1]
	}
	cmd.Env = environment
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
