package stacktest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/internal/cfn"
)

// Where the stack of these tests lies.
const (
	account = "123456789012"
	region  = "eu-central-1"
	name    = "chat"
)

// functions are the logical ids of the template's functions without
// "Function", and the folders of their code.
var functions = map[string]string{
	"Token":   "token",
	"ApiKey":  "apikey",
	"Config":  "config",
	"Webhook": "webhook",
	"Proxy":   "proxy",
}

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
	awstest.Main(m, nil)
}

// need skips the test when a tool that it calls is missing, or fails it where
// CI=true says that there is no excuse.
func need(t *testing.T, tool string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		awstest.Missing(t, "%s is not installed", tool)
	}
}

var template = sync.OnceValues(func() (*cfn.Template, error) { return cfn.Find(".") })

// source is template.yaml as it is written.
func source(t *testing.T) object {
	t.Helper()
	found, err := template()
	if err != nil {
		t.Fatal(err)
	}
	return found.Body
}

// deploy gives template.yaml parameters, "Name=value" each.
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

// A translator is the running translate.py: starting Python and reading SAM
// takes longer than all translations. It ends with this process, when its
// standard input does.
type translator struct {
	mu   sync.Mutex
	in   io.Writer
	out  *bufio.Reader
	done map[string]*cfn.Template // by the parameters
}

var startTranslator = sync.OnceValues(func() (*translator, error) {
	if err := exec.Command("python3", "-c", "import importlib.util, sys; sys.exit(not importlib.util.find_spec('samtranslator'))").Run(); err != nil {
		return nil, nil
	}
	cmd := exec.Command("python3", "internal/stacktest/translate.py", "template.yaml")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &translator{in: in, out: bufio.NewReader(out), done: map[string]*cfn.Template{}}, cmd.Start()
})

func (tr *translator) translate(parameters map[string]string) (*cfn.Template, error) {
	request, err := json.Marshal(parameters)
	if err != nil {
		return nil, err
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if done := tr.done[string(request)]; done != nil {
		return done, nil
	}
	if _, err := fmt.Fprintf(tr.in, "%s\n", request); err != nil {
		return nil, err
	}
	answer, err := tr.out.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("translate.py: %w", err)
	}
	translated, err := cfn.Parse(bytes.TrimSpace(answer))
	tr.done[string(request)] = translated
	return translated, err
}

// A stack is the template translated, with values for its parameters.
type stack struct {
	t *testing.T
	*cfn.Stack
}

// translate returns the stack with the given parameters, "Name=value" each, and
// defaults for the others.
func translate(t *testing.T, overrides ...string) stack {
	t.Helper()
	tr, err := startTranslator()
	if err != nil {
		t.Fatal(err)
	}
	if tr == nil {
		awstest.Missing(t, "Python's samtranslator is not installed")
	}
	o := options(overrides)
	translated, err := tr.translate(o.Parameters)
	if err != nil {
		t.Fatal(err)
	}
	deployed, err := translated.Stack(o)
	if err != nil {
		t.Fatalf("%q: %v", overrides, err)
	}
	return stack{t, deployed}
}

// resources returns the properties of all resources of a type that the
// parameters call for, evaluated, by logical id.
func (s stack) resources(kind string) map[string]object {
	s.t.Helper()
	all, err := s.Resources(kind)
	if err != nil {
		s.t.Fatal(err)
	}
	for id, resource := range all {
		all[id], _ = s.eval(resource["Properties"]).(object)
	}
	return all
}

// resource returns the properties of one resource, evaluated.
func (s stack) resource(kind, id string) object {
	s.t.Helper()
	r, ok := s.resources(kind)[id]
	if !ok {
		s.t.Fatalf("want a resource %s of type %s, got none", id, kind)
	}
	return r
}

func (s stack) eval(v any) any {
	s.t.Helper()
	got, err := s.Eval(v)
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

// dig follows keys into nested objects, nil where one is missing.
func dig(v any, keys ...string) any {
	for _, key := range keys {
		m, _ := v.(object)
		v = m[key]
	}
	return v
}

// texts returns a text as one element, or a list's elements.
func texts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case list:
		var out []string
		for _, item := range v {
			out = append(out, fmt.Sprint(item))
		}
		return out
	}
	return nil
}

// number is a whole number in a template.
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
	t.Errorf("%s: missing: %q, too much: %q, in all: %q", what, without(want, got), without(got, want), got)
}
