// Package chatservice_test checks what is not a Go program: the template, as
// SAM's own translator turns it into CloudFormation, the sample events, the
// sample policies, and the script that writes the parameters.
package chatservice_test

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
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"
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

// object and list are JSON's two containers as the template's values have them.
type (
	object = map[string]any
	list   = []any
)

var tools sync.Map // name → func() bool

// need skips the test when a tool that it calls is missing (not in PATH, or the
// probe fails), or fails it where CI=true says that there is no excuse.
func need(t *testing.T, tool string, probe ...string) {
	t.Helper()
	found, _ := tools.LoadOrStore(tool, sync.OnceValue(func() bool {
		if len(probe) == 0 {
			_, err := exec.LookPath(tool)
			return err == nil
		}
		return exec.Command(probe[0], probe[1:]...).Run() == nil
	}))
	if found.(func() bool)() {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("want %s, found none", tool)
	}
	t.Skipf("%s is not installed", tool)
}

// source is template.yaml as it is written, short forms like !Ref spelled out.
func source(t *testing.T) object {
	t.Helper()
	text, err := os.ReadFile("template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	v, err := fromYAML(document.Content[0])
	if err != nil {
		t.Fatal(err)
	}
	return v.(object)
}

func fromYAML(n *yaml.Node) (any, error) {
	var v any
	switch n.Kind {
	case yaml.MappingNode:
		m := object{}
		for i := 0; i < len(n.Content); i += 2 {
			item, err := fromYAML(n.Content[i+1])
			if err != nil {
				return nil, err
			}
			m[n.Content[i].Value] = item
		}
		v = m
	case yaml.SequenceNode:
		l := list{}
		for _, c := range n.Content {
			item, err := fromYAML(c)
			if err != nil {
				return nil, err
			}
			l = append(l, item)
		}
		v = l
	default:
		if strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!") {
			v = n.Value
		} else if err := n.Decode(&v); err != nil {
			return nil, err
		}
	}
	switch tag := strings.TrimPrefix(n.Tag, "!"); {
	case !strings.HasPrefix(n.Tag, "!") || strings.HasPrefix(n.Tag, "!!"):
		return v, nil
	case tag == "Ref" || tag == "Condition":
		return object{tag: v}, nil
	case tag == "GetAtt":
		id, attribute, _ := strings.Cut(v.(string), ".")
		return object{"Fn::GetAtt": list{id, attribute}}, nil
	default:
		return object{"Fn::" + tag: v}, nil
	}
}

// A stack is the template translated, with values for its parameters.
type stack struct {
	t          *testing.T
	body       object
	parameters map[string]string
}

// A translator is the running .ci/translate.py: starting Python and reading SAM
// takes longer than all translations. It ends with this process, when its
// standard input does.
type translator struct {
	mu     sync.Mutex
	in     io.Writer
	out    *bufio.Reader
	stderr bytes.Buffer
	done   map[string][]byte // by the parameters
}

var startTranslator = sync.OnceValues(func() (*translator, error) {
	tr := &translator{done: map[string][]byte{}}
	cmd := exec.Command("python3", ".ci/translate.py", "template.yaml")
	cmd.Stderr = &tr.stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	tr.in, tr.out = in, bufio.NewReader(out)
	return tr, cmd.Start()
})

func (tr *translator) translate(parameters map[string]string) ([]byte, error) {
	request, err := json.Marshal(parameters)
	if err != nil {
		return nil, err
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if answer, ok := tr.done[string(request)]; ok {
		return answer, nil
	}
	if _, err := fmt.Fprintf(tr.in, "%s\n", request); err != nil {
		return nil, err
	}
	answer, err := tr.out.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf(".ci/translate.py: %w\n%s", err, tr.stderr.Bytes())
	}
	tr.done[string(request)] = answer
	return answer, nil
}

// translate returns the stack with the given parameters, "Name=value" each, and
// defaults for the others.
func translate(t *testing.T, overrides ...string) *stack {
	t.Helper()
	need(t, "samtranslator", "python3", "-c", "import samtranslator")
	tr, err := startTranslator()
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]string{}
	for _, override := range overrides {
		id, value, _ := strings.Cut(override, "=")
		given[id] = value
	}
	text, err := tr.translate(given)
	if err != nil {
		t.Fatal(err)
	}
	s := &stack{t: t, parameters: map[string]string{}}
	if err := json.Unmarshal(text, &s.body); err != nil {
		t.Fatal(err)
	}
	for id, p := range s.body["Parameters"].(object) {
		s.parameters[id] = fmt.Sprint(p.(object)["Default"])
	}
	for id, value := range given {
		if _, ok := s.parameters[id]; !ok {
			t.Fatalf("there is no parameter %s", id)
		}
		s.parameters[id] = value
	}
	return s
}

// resources returns the properties of all resources of a type that the
// parameters call for, evaluated, by logical id.
func (s *stack) resources(kind string) map[string]object {
	s.t.Helper()
	found := map[string]object{}
	for id, v := range s.body["Resources"].(object) {
		r := v.(object)
		if r["Type"] != kind {
			continue
		}
		if condition, ok := r["Condition"].(string); ok && !s.condition(condition) {
			continue
		}
		properties, _ := r["Properties"].(object)
		found[id] = s.eval(properties).(object)
	}
	return found
}

// resource returns the properties of one resource, evaluated.
func (s *stack) resource(kind, id string) object {
	s.t.Helper()
	r, ok := s.resources(kind)[id]
	if !ok {
		s.t.Fatalf("want a resource %s of type %s, got none", id, kind)
	}
	return r
}

// gone is what AWS::NoValue evaluates to.
type gone struct{}

// eval evaluates intrinsic functions. A reference to a resource is its logical
// id; an ARN is spelled out where a policy has it.
func (s *stack) eval(v any) any {
	s.t.Helper()
	switch v := v.(type) {
	case list:
		out := list{}
		for _, item := range v {
			if item = s.eval(item); item != (any)(gone{}) {
				out = append(out, item)
			}
		}
		return out
	case object:
		if len(v) == 1 {
			for function, argument := range v {
				if function == "Ref" || strings.HasPrefix(function, "Fn::") {
					return s.call(function, argument)
				}
			}
		}
		out := object{}
		for key, item := range v {
			if item = s.eval(item); item != (any)(gone{}) {
				out[key] = item
			}
		}
		return out
	}
	return v
}

func (s *stack) call(function string, argument any) any {
	s.t.Helper()
	switch function {
	case "Ref":
		return s.ref(argument.(string))
	case "Fn::GetAtt":
		words := argument.(list)
		return s.attribute(words[0].(string), words[1].(string))
	case "Fn::If":
		arguments := argument.(list)
		if s.condition(arguments[0].(string)) {
			return s.eval(arguments[1])
		}
		return s.eval(arguments[2])
	case "Fn::Split":
		arguments := s.eval(argument).(list)
		out := list{}
		for _, word := range strings.Split(arguments[1].(string), arguments[0].(string)) {
			out = append(out, word)
		}
		return out
	case "Fn::Sub":
		text, own := argument, object{}
		if arguments, ok := argument.(list); ok {
			text, own = arguments[0], s.eval(arguments[1]).(object)
		}
		return s.sub(text.(string), own)
	}
	s.t.Fatalf("want an intrinsic function that these tests know, got %s", function)
	return nil
}

func (s *stack) ref(id string) any {
	s.t.Helper()
	switch id {
	case "AWS::NoValue":
		return gone{}
	case "AWS::AccountId":
		return account
	case "AWS::Region":
		return region
	case "AWS::StackName":
		return name
	case "AWS::Partition":
		return "aws"
	case "AWS::URLSuffix":
		return "amazonaws.com"
	}
	if value, ok := s.parameters[id]; ok {
		return value
	}
	if _, ok := s.body["Resources"].(object)[id]; !ok {
		s.t.Fatalf("there is no %s", id)
	}
	return id
}

func (s *stack) attribute(id, attribute string) string {
	s.t.Helper()
	r, ok := s.body["Resources"].(object)[id].(object)
	if !ok {
		s.t.Fatalf("there is no %s", id)
	}
	if r["Type"] == "AWS::Logs::LogGroup" && attribute == "Arn" {
		properties := s.eval(r["Properties"]).(object)
		return "arn:aws:logs:" + region + ":" + account + ":log-group:" + properties["LogGroupName"].(string) + ":*"
	}
	return id + "." + attribute
}

func (s *stack) sub(text string, own object) string {
	s.t.Helper()
	return os.Expand(text, func(id string) string {
		if v, ok := own[id]; ok {
			return v.(string)
		}
		if id, attribute, ok := strings.Cut(id, "."); ok {
			return s.attribute(id, attribute)
		}
		return s.ref(id).(string)
	})
}

// condition evaluates a condition by name.
func (s *stack) condition(id string) bool {
	s.t.Helper()
	c, ok := s.body["Conditions"].(object)[id]
	if !ok {
		s.t.Fatalf("there is no condition %s", id)
	}
	return s.truth(c)
}

func (s *stack) truth(v any) bool {
	s.t.Helper()
	for function, argument := range v.(object) {
		if function == "Condition" {
			return s.condition(argument.(string))
		}
		arguments := argument.(list)
		switch function {
		case "Fn::Equals":
			return s.eval(arguments[0]) == s.eval(arguments[1])
		case "Fn::Not":
			return !s.truth(arguments[0])
		case "Fn::And":
			return !slices.ContainsFunc(arguments, func(v any) bool { return !s.truth(v) })
		case "Fn::Or":
			return slices.ContainsFunc(arguments, s.truth)
		}
	}
	s.t.Fatalf("want a condition, got %v", v)
	return false
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

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// same fails the test unless got and want have the same lines, in any order.
func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("%s: too much: %s", what, line)
		}
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("%s: missing: %s", what, line)
		}
	}
	if len(got) != len(want) && !t.Failed() {
		t.Errorf("%s: want %q, got %q", what, want, got)
	}
}
