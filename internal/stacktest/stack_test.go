// Package stacktest tests what is deployed but is not Go: template.yaml, as SAM's
// own translator turns it into CloudFormation, the sample events, and the sample
// policies. It has tests only.
package stacktest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/ops/cfn"
	"chat-service-backend/shared/lambdahttp"
)

// Where these tests deploy the stack, and its name.
const (
	account = "123456789012"
	region  = "eu-central-1"
	name    = "chat"
)

const (
	hookARN        = "arn:aws:lambda:eu-central-1:123456789012:function:moderation"
	boundaryARN    = "arn:aws:iam::123456789012:policy/boundary"
	signInARN      = "arn:aws:lambda:eu-central-1:123456789012:function:sign-in"
	kmsARN         = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	topicARN       = "arn:aws:sns:eu-central-1:123456789012:alarms"
	certificateARN = "arn:aws:acm:eu-central-1:123456789012:certificate/1234abcd"
)

// The parameters of the stacks that tests look at.
var (
	// stacks lists them all; nil stands for the defaults.
	stacks = [][]string{nil, full, private, off, clientDomain, bothDomains, openDomains, edge}
	// full has everything on that works together, and no setting at its default.
	full = []string{
		"Environment=prod", "AlarmTarget=ops@example.com", "NoEventsHours=6", "RetentionDays=14", "Tracing=true", "ServiceApiAccessLogs=true",
		"ParameterPrefix=/acme/prod/chat", "ParameterTtl=7", "KmsKeyArn=" + kmsARN, "PermissionsBoundaryArn=" + boundaryARN, "StreamBaseUrl=https://s",
		"OidcIssuer=https://i", "OidcAudience=a", "OidcDiscoveryUrl=https://d", "UserIdClaim=c", "SyncUsers=true",
		"OidcJwksUrl=https://k", "MaxTokenLifetime=62,63", "RequiredClaims=p=v", "CreateUsers=false", "RefuseUsers=banned", "UserInfo=true", "SignInFunctionArn=" + signInARN, "SignInFailClosed=false",
		"UserFields=n=c", "ExpirationTokenDuration=9", "UserIdHeaderKey=h", "ErrorObjKey=e",
		"AllowedOrigins=https://a.example.com,https://b.example.com", "AllowedHeaders=x-app,x-team",
		"Size=medium", "Monitoring=70000,8", "ClientApiLimit=11,12", "WebhookLimit=13,14,9", "ServiceApiLimit=15,16", "WebhookPath=-rotated",
		"EventReaderAccountIds=111122223333,444455556666", "StreamQueue=true", "HookFunctionArn=" + hookARN, "HookTimeoutMs=900", "HookFailClosed=true",
	}
	// private has what excludes something in full.
	private = []string{
		"ServiceApiVpcEndpointIds=vpce-0a,vpce-0b", "ServiceApiAccountIds=111122223333,444455556666", "ServiceApiAccessLogs=false",
		"Size=large", "AlarmTarget=" + topicARN + "," + topicARN + "-tickets",
	}
	// off has everything off.
	off = []string{"Monitoring=false", "AlarmTarget=ops@example.com", "AllowedOrigins=", "LogLevel=DEBUG"}

	clientDomain = []string{"ClientApiDomainName=chat.example.com", "CertificateArn=" + certificateARN}
	bothDomains  = append(slices.Clone(clientDomain), "ServiceApiDomainName=internal.chat.example.com")
	edge         = []string{"KeepExecuteApi=never"}
	openDomains  = append(slices.Clone(bothDomains), "KeepExecuteApi=true")
)

// functions maps the logical ids of the functions, without "Function", to the
// folders of their code.
var functions = map[string]string{"Token": "token", "ApiKey": "apikey", "Config": "config", "Webhook": "webhook", "Proxy": "proxy"}

// object and list are the containers of a template's values.
type (
	object = map[string]any
	list   = []any
)

// All paths in these tests begin at the repository's root.
func TestMain(m *testing.M) {
	if err := os.Chdir("../.."); err != nil {
		panic(err)
	}
	awstest.Main(m, func() { lambdahttp.Main(failing) })
}

var template = sync.OnceValues(func() (*cfn.Template, error) { return cfn.Find(".") })

// source returns template.yaml as it is written.
func source(t *testing.T) object {
	t.Helper()
	found, err := template()
	if err != nil {
		t.Fatal(err)
	}
	return found.Body
}

// deploy gives the parameters of template.yaml their values, "Name=value" each.
func deploy(t *testing.T, overrides ...string) (*cfn.Stack, error) {
	t.Helper()
	found, err := template()
	if err != nil {
		t.Fatal(err)
	}
	return found.Stack(options(overrides))
}

func options(overrides []string) cfn.Options {
	o := cfn.Options{Region: region, Account: account, StackName: name, Parameters: map[string]string{}}
	for _, override := range overrides {
		id, value, _ := strings.Cut(override, "=")
		o.Parameters[id] = value
	}
	return o
}

// translated returns the stacks by their parameters, as [key] writes them: one
// start of Python for all tests, because it takes longer than the translations.
// It returns nil where Python or samtranslator is not installed.
var translated = sync.OnceValues(func() (map[string]stack, error) {
	var requests []byte
	for _, overrides := range stacks {
		request, err := json.Marshal(options(overrides).Parameters)
		if err != nil {
			return nil, err
		}
		requests = append(append(requests, request...), '\n')
	}
	cmd := exec.Command("python3", "internal/stacktest/translate.py", "template.yaml")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(requests), os.Stderr
	answers, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) || cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == 3 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("translate.py: %w", err)
	}
	found := map[string]stack{}
	for i, answer := range slices.Collect(bytes.Lines(answers)) {
		if found[key(stacks[i])], err = newStack(answer, options(stacks[i])); err != nil {
			return nil, fmt.Errorf("%q: %w", stacks[i], err)
		}
	}
	return found, nil
})

func key(overrides []string) string { return strings.Join(overrides, " ") }

func newStack(text []byte, o cfn.Options) (s stack, err error) {
	template, err := cfn.Parse(text)
	if err != nil {
		return s, err
	}
	if s.Stack, err = template.Stack(o); err != nil {
		return s, err
	}
	s.kinds, s.properties = map[string]string{}, map[string]object{}
	for id, v := range template.Section("Resources") {
		kind := dig(v, "Type").(string)
		existing, err := s.Resources(kind)
		if err != nil {
			return s, err
		}
		if existing[id] == nil {
			continue // its condition does not hold
		}
		properties, err := s.Eval(dig(v, "Properties"))
		if err != nil {
			return s, fmt.Errorf("%s: %w", id, err)
		}
		s.kinds[id] = kind
		s.properties[id], _ = properties.(object)
	}
	return s, nil
}

// A stack is the translated template with values for its parameters. Tests share
// it and must not change it.
type stack struct {
	*cfn.Stack
	kinds      map[string]string // types of the resources that exist with these parameters, by logical id
	properties map[string]object // and their properties, evaluated
}

// translate returns one of the stacks, by its parameters.
func translate(t *testing.T, overrides ...string) stack {
	t.Helper()
	all, err := translated()
	if err != nil {
		t.Fatal(err)
	}
	if all == nil {
		awstest.Missing(t, "Python's samtranslator is not installed")
	}
	s, ok := all[key(overrides)]
	if !ok {
		t.Fatalf("want a stack that is translated for all tests, got %q", overrides)
	}
	return s
}

// all returns the properties of the resources of a type, by logical id.
func (s stack) all(kind string) map[string]object {
	found := map[string]object{}
	for id := range s.kinds {
		if s.kinds[id] == kind {
			found[id] = s.properties[id]
		}
	}
	return found
}

// get returns a property of a resource, nil where either does not exist. Further
// keys lead into nested objects.
func (s stack) get(id string, keys ...string) any {
	if s.kinds[id] == "" {
		return nil
	}
	return dig(s.properties[id], keys...)
}

// output returns the value of an output.
func (s stack) output(t *testing.T, id string) any {
	t.Helper()
	value, err := s.Eval(dig(s.Template.Body, "Outputs", id, "Value"))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// dig follows keys into nested objects and returns nil where one is missing.
func dig(v any, keys ...string) any {
	for _, key := range keys {
		m, _ := v.(object)
		v = m[key]
	}
	return v
}

// texts returns the elements of a list, or a string as the only one.
func texts(v any) (out []string) {
	if s, ok := v.(string); ok {
		return []string{s}
	}
	items, _ := v.(list)
	for _, item := range items {
		out = append(out, fmt.Sprint(item))
	}
	return out
}

// number returns a whole number of a template.
func number(t *testing.T, v any) int {
	t.Helper()
	n, err := strconv.Atoi(fmt.Sprint(v))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// same fails the test unless got and want have the same lines, in any order.
func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if slices.Equal(got, want) {
		return
	}
	without := func(a, b []string) []string {
		return slices.DeleteFunc(slices.Clone(a), func(line string) bool { return slices.Contains(b, line) })
	}
	t.Errorf("%s: missing: %q, unexpected: %q, all: %q", what, without(want, got), without(got, want), got)
}
