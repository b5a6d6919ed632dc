package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Where this stack seems to be deployed.
const (
	accountID     = "000000000000"
	stackName     = "chat-service-local"
	defaultRegion = "us-east-1"
)

// template is a SAM template as read, before its parameters have values.
type template struct {
	dir  string // the folder it lies in
	body map[string]any
}

// stack is what the server takes from a template with given parameters.
type stack struct {
	functions []function // those with a route, in order of their names
	http      httpAPI
	rest      restAPI
	prefix    string // the ParameterPrefix
	streamURL string // the StreamBaseUrl
}

// function is one AWS::Serverless::Function.
type function struct {
	id           string // logical id
	name         string // the folder below functions/
	functionName string
	environment  map[string]string
	timeout      time.Duration
	memory       int // MB
	logLevel     string
	logGroup     string
}

type httpAPI struct {
	id     string
	routes []route
	cors   *cors // nil without a CorsConfiguration
}

type restAPI struct {
	id          string
	routes      []route
	stage       string
	binaryTypes []string // lower case, may end in /*
}

// cors is an HTTP API's CorsConfiguration.
type cors struct {
	origins, methods, headers, expose []string
	maxAge                            string // seconds, "" for none
	credentials                       bool
}

// route is one HttpApi or Api event.
type route struct {
	function string // its name
	method   string // upper case, or ANY
	path     string // as the template writes it
	segments []segment
	iam      bool          // callers are signed
	stream   bool          // ResponseTransferMode: RESPONSE_STREAM
	limit    time.Duration // TimeoutInMillis; 0 means the gateway's own limit
}

// findTemplate reads template.yaml in dir or the nearest folder above it.
func findTemplate(dir string) (*template, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	for at := dir; ; at = filepath.Dir(at) {
		file := filepath.Join(at, "template.yaml")
		text, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			if at != filepath.Dir(at) {
				continue
			}
			return nil, fmt.Errorf("want template.yaml in %s or above, got none", dir)
		}
		if err != nil {
			return nil, err
		}
		body, err := parseTemplate(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		return &template{dir: at, body: body}, nil
	}
}

func parseTemplate(text []byte) (map[string]any, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, errors.New(strings.ReplaceAll(err.Error(), "\n", " "))
	}
	if doc.IsZero() {
		return nil, errors.New("want a template with Resources, got an empty file")
	}
	v, err := fromYAML(&doc)
	if err != nil {
		return nil, err
	}
	body, ok := v.(map[string]any)
	if !ok || object(body["Resources"]) == nil {
		return nil, errors.New("want a template with Resources")
	}
	return body, nil
}

// hasParameter reports whether the template declares the parameter.
func (t *template) hasParameter(name string) bool {
	_, ok := object(t.body["Parameters"])[name]
	return ok
}

// evaluate gives the template its parameters: values over the defaults. What
// own holds is the server's own doing and not measured by the constraints.
func (t *template) evaluate(region string, values, own map[string]string) (*stack, error) {
	parameters, err := t.parameters(values, own)
	if err != nil {
		return nil, err
	}
	e := &evaluator{
		parameters: parameters,
		pseudo: map[string]string{
			"AWS::AccountId": accountID,
			"AWS::Partition": "aws",
			"AWS::Region":    region,
			"AWS::StackId":   "arn:aws:cloudformation:" + region + ":" + accountID + ":stack/" + stackName + "/local",
			"AWS::StackName": stackName,
			"AWS::URLSuffix": "amazonaws.com",
		},
		conditions: object(t.body["Conditions"]),
		mappings:   object(t.body["Mappings"]),
		resources:  object(t.body["Resources"]),
	}
	if err := e.checkRules(object(t.body["Rules"])); err != nil {
		return nil, err
	}
	s := &stack{}
	s.prefix, _ = parameters["ParameterPrefix"].(string)
	s.streamURL, _ = parameters["StreamBaseUrl"].(string)
	r := &reader{e: e, globals: object(t.body["Globals"]), stack: s}
	for _, id := range slices.Sorted(maps.Keys(e.resources)) {
		if err := r.api(id, object(e.resources[id])); err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(e.resources)) {
		if err := r.function(id, object(e.resources[id])); err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
	}
	if len(s.functions) == 0 {
		return nil, errors.New("want a function with an HttpApi or Api event, got none")
	}
	return s, nil
}

// parameters returns each parameter's value: text, or a []any for a list type.
func (t *template) parameters(values, own map[string]string) (map[string]any, error) {
	declared := object(t.body["Parameters"])
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if _, ok := declared[name]; !ok {
			return nil, fmt.Errorf("the template has no parameter %q", name)
		}
	}
	got := make(map[string]any, len(declared))
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		p := object(declared[name])
		value, given := values[name]
		if !given {
			value, given = p["Default"].(string)
		}
		if v, ok := own[name]; ok {
			value = v
		} else if !given {
			return nil, fmt.Errorf("parameter %s has no default and wants a value (-parameter-overrides)", name)
		} else if err := checkParameter(p, value); err != nil {
			if hint, ok := p["ConstraintDescription"].(string); ok {
				err = fmt.Errorf("%w (%s)", err, strings.Join(strings.Fields(hint), " "))
			}
			return nil, fmt.Errorf("parameter %s: %w", name, err)
		}
		kind, _ := p["Type"].(string)
		if kind == "CommaDelimitedList" || strings.HasPrefix(kind, "List<") {
			list := []any{}
			for item := range strings.SplitSeq(value, ",") {
				list = append(list, strings.TrimSpace(item))
			}
			got[name] = list
			continue
		}
		got[name] = value
	}
	return got, nil
}

// checkParameter measures a value by CloudFormation's constraints. Its error
// does not repeat the value, which may be a secret.
func checkParameter(p map[string]any, value string) error {
	kind, _ := p["Type"].(string)
	values := []string{value}
	if kind == "CommaDelimitedList" || kind == "List<Number>" {
		values = strings.Split(value, ",")
	}
	for _, value := range values {
		value = strings.TrimSpace(value)
		if kind == "Number" || kind == "List<Number>" {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return errors.New("want a number")
			}
			if low, ok := number(p["MinValue"]); ok && n < low {
				return fmt.Errorf("want at least %v", p["MinValue"])
			}
			if high, ok := number(p["MaxValue"]); ok && n > high {
				return fmt.Errorf("want at most %v", p["MaxValue"])
			}
		}
		if low, ok := number(p["MinLength"]); ok && float64(len([]rune(value))) < low {
			return fmt.Errorf("want at least %v characters, got %d", p["MinLength"], len([]rune(value)))
		}
		if high, ok := number(p["MaxLength"]); ok && float64(len([]rune(value))) > high {
			return fmt.Errorf("want at most %v characters, got %d", p["MaxLength"], len([]rune(value)))
		}
		if pattern, ok := p["AllowedPattern"].(string); ok {
			// CloudFormation matches the whole value. A pattern that only Java
			// understands (look-ahead) is left to the deployment.
			if re, err := regexp.Compile(`\A(?:` + pattern + `)\z`); err == nil && !re.MatchString(value) {
				return fmt.Errorf("want a value that matches %s", pattern)
			}
		}
		if allowed, ok := p["AllowedValues"].([]any); ok && !slices.Contains(allowed, any(value)) {
			return fmt.Errorf("want one of %q", words(p["AllowedValues"]))
		}
	}
	return nil
}

// checkRules applies the template's Rules: what CloudFormation would refuse to
// deploy is refused here. Rule functions that are not known here are left to it.
func (e *evaluator) checkRules(rules map[string]any) error {
	for _, id := range slices.Sorted(maps.Keys(rules)) {
		rule := object(rules[id])
		if condition, ok := rule["RuleCondition"]; ok {
			if applies, err := e.truth(condition); err != nil || !applies {
				continue
			}
		}
		for _, v := range list(rule["Assertions"]) {
			assertion := object(v)
			if holds, err := e.truth(assertion["Assert"]); err == nil && !holds {
				return fmt.Errorf("rule %s: %s", id, text(assertion["AssertDescription"], "its assertion does not hold"))
			}
		}
	}
	return nil
}

// reader fills a stack resource by resource.
type reader struct {
	e       *evaluator
	globals map[string]any
	stack   *stack
}

// exists reports whether the resource's Condition, if any, holds.
func (r *reader) exists(resource map[string]any) (bool, error) {
	id, ok := resource["Condition"].(string)
	if !ok {
		return true, nil
	}
	return r.e.condition(id)
}

// section evaluates one property of a resource, merged over the section of
// Globals: maps by key, for the rest the resource's own wins.
func (r *reader) section(global string, resource map[string]any, name string) (any, error) {
	own, err := r.e.eval(object(resource["Properties"])[name])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	shared, err := r.e.eval(object(r.globals[global])[name])
	if err != nil {
		return nil, fmt.Errorf("Globals %s %s: %w", global, name, err)
	}
	return merge(shared, own), nil
}

func merge(shared, own any) any {
	if _, gone := own.(noValue); gone || own == nil {
		if _, gone := shared.(noValue); gone {
			return nil
		}
		return shared
	}
	a, aok := shared.(map[string]any)
	b, bok := own.(map[string]any)
	if !aok || !bok {
		return own
	}
	both := maps.Clone(a)
	for key, v := range b {
		both[key] = merge(a[key], v)
	}
	return both
}

func (r *reader) api(id string, resource map[string]any) error {
	kind, _ := resource["Type"].(string)
	if kind != "AWS::Serverless::HttpApi" && kind != "AWS::Serverless::Api" {
		return nil
	}
	if yes, err := r.exists(resource); err != nil || !yes {
		return err
	}
	if kind == "AWS::Serverless::HttpApi" {
		if r.stack.http.id != "" {
			return fmt.Errorf("want one HTTP API, got %s too", r.stack.http.id)
		}
		r.stack.http.id = id
		v, err := r.section("HttpApi", resource, "CorsConfiguration")
		if err != nil {
			return err
		}
		r.stack.http.cors = readCORS(v)
		return nil
	}
	if r.stack.rest.id != "" {
		return fmt.Errorf("want one REST API, got %s too", r.stack.rest.id)
	}
	r.stack.rest.id = id
	stage, err := r.section("Api", resource, "StageName")
	if err != nil {
		return err
	}
	if r.stack.rest.stage, _ = stage.(string); r.stack.rest.stage == "" {
		r.stack.rest.stage = "Prod"
	}
	types, err := r.section("Api", resource, "BinaryMediaTypes")
	if err != nil {
		return err
	}
	for _, v := range list(types) {
		if s, ok := v.(string); ok {
			// SAM lets one write ~1 for the slash, as OpenAPI's pointers do.
			r.stack.rest.binaryTypes = append(r.stack.rest.binaryTypes, strings.ToLower(strings.ReplaceAll(s, "~1", "/")))
		}
	}
	return nil
}

// readCORS reads a CorsConfiguration: a map, or true or an origin, for which
// SAM allows the origin alone.
func readCORS(v any) *cors {
	switch v := v.(type) {
	case string:
		switch v {
		case "true":
			return &cors{origins: []string{"*"}}
		case "false", "":
			return nil
		}
		return &cors{origins: []string{v}}
	case map[string]any:
		c := &cors{
			origins: words(v["AllowOrigins"]),
			methods: words(v["AllowMethods"]),
			headers: words(v["AllowHeaders"]),
			expose:  words(v["ExposeHeaders"]),
		}
		c.maxAge, _ = v["MaxAge"].(string)
		c.credentials = v["AllowCredentials"] == "true"
		return c
	}
	return nil
}

func (r *reader) function(id string, resource map[string]any) error {
	if resource["Type"] != "AWS::Serverless::Function" {
		return nil
	}
	if yes, err := r.exists(resource); err != nil || !yes {
		return err
	}
	f := function{
		id:           id,
		name:         strings.ToLower(strings.TrimSuffix(id, "Function")),
		functionName: stackName + "-" + id,
		timeout:      3 * time.Second,
		memory:       128,
		logLevel:     "INFO",
	}
	routes, err := r.events(f.name, object(resource["Properties"])["Events"])
	if err != nil || routes == 0 {
		return err
	}
	if name, err := r.section("Function", resource, "FunctionName"); err != nil {
		return err
	} else if s, ok := name.(string); ok {
		f.functionName = s
	}
	environment, err := r.section("Function", resource, "Environment")
	if err != nil {
		return err
	}
	f.environment = map[string]string{}
	for key, v := range object(object(environment)["Variables"]) {
		s, ok := v.(string)
		if !ok {
			return fmt.Errorf("Environment: %s: want text", key)
		}
		f.environment[key] = s
	}
	timeout, err := r.section("Function", resource, "Timeout")
	if err != nil {
		return err
	}
	if timeout != nil {
		seconds, ok := number(timeout)
		if !ok || seconds < 1 || seconds > 900 {
			return fmt.Errorf("Timeout: want 1 to 900 seconds, got %v", timeout)
		}
		f.timeout = time.Duration(seconds * float64(time.Second))
	}
	memory, err := r.section("Function", resource, "MemorySize")
	if err != nil {
		return err
	}
	if n, ok := number(memory); ok {
		f.memory = int(n)
	}
	logging, err := r.section("Function", resource, "LoggingConfig")
	if err != nil {
		return err
	}
	if level, ok := object(logging)["ApplicationLogLevel"].(string); ok {
		f.logLevel = level
	}
	f.logGroup = "/aws/lambda/" + f.functionName
	if group, ok := object(logging)["LogGroup"].(string); ok && strings.HasPrefix(group, "/") {
		f.logGroup = group
	}
	r.stack.functions = append(r.stack.functions, f)
	return nil
}

// events adds a function's routes to the two APIs and returns their number.
func (r *reader) events(name string, v any) (int, error) {
	n := 0
	events := object(v)
	for _, id := range slices.Sorted(maps.Keys(events)) {
		event := object(events[id])
		kind, _ := event["Type"].(string)
		if kind != "HttpApi" && kind != "Api" {
			continue
		}
		v, err := r.e.eval(event["Properties"])
		if err != nil {
			return 0, fmt.Errorf("Events: %s: %w", id, err)
		}
		properties := object(v)
		rt, err := newRoute(text(properties["Method"], "ANY"), text(properties["Path"], ""))
		if err != nil {
			return 0, fmt.Errorf("Events: %s: %w", id, err)
		}
		rt.function = name
		if ms, ok := number(properties["TimeoutInMillis"]); ok {
			rt.limit = time.Duration(ms) * time.Millisecond
		}
		if kind == "HttpApi" {
			if api := text(properties["ApiId"], r.stack.http.id); api != r.stack.http.id {
				return 0, fmt.Errorf("Events: %s: want ApiId %s, got %q", id, r.stack.http.id, api)
			}
			r.stack.http.routes = append(r.stack.http.routes, rt)
			n++
			continue
		}
		if api := text(properties["RestApiId"], r.stack.rest.id); api != r.stack.rest.id {
			return 0, fmt.Errorf("Events: %s: want RestApiId %s, got %q", id, r.stack.rest.id, api)
		}
		auth, err := r.section("Api", object(r.e.resources[r.stack.rest.id]), "Auth")
		if err != nil {
			return 0, err
		}
		authorizer := text(object(auth)["DefaultAuthorizer"], "")
		rt.iam = text(object(properties["Auth"])["Authorizer"], authorizer) == "AWS_IAM"
		// STREAM is the word of the API's own description; in an event SAM passes it
		// on without any effect, so only the right word streams.
		rt.stream = properties["ResponseTransferMode"] == "RESPONSE_STREAM"
		r.stack.rest.routes = append(r.stack.rest.routes, rt)
		n++
	}
	return n, nil
}

// The following read a value of the wanted kind, or the zero value.

func object(v any) map[string]any { m, _ := v.(map[string]any); return m }
func list(v any) []any            { l, _ := v.([]any); return l }

func text(v any, otherwise string) string {
	if s, ok := v.(string); ok {
		return s
	}
	return otherwise
}

func words(v any) []string {
	if s, ok := v.(string); ok {
		return []string{s}
	}
	w, _ := texts(list(v))
	return w
}

func number(v any) (float64, bool) {
	s, ok := v.(string)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil
}
