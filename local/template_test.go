package main

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// evalYAML evaluates the value of Outputs.X in a small template.
func evalYAML(t *testing.T, text string) (any, error) {
	t.Helper()
	body, err := parseTemplate([]byte(`
Parameters:
  Name: {Type: String, Default: bob}
  Empty: {Type: String, Default: ""}
  Many: {Type: CommaDelimitedList, Default: "a, b"}
Mappings:
  Regions: {us-east-1: {Short: use1}}
Conditions:
  Yes: !Equals [!Ref Name, bob]
  No: !Not [!Condition Yes]
  Both: !And [!Condition Yes, !Condition No]
  Either: !Or [!Condition No, !Condition Yes]
  Circle: !Not [!Condition Circle]
Resources:
  Thing: {Type: X}
Outputs:
  X: ` + text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	tmpl := &template{body: body}
	parameters, err := tmpl.parameters(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	e := &evaluator{
		parameters: parameters,
		pseudo:     map[string]string{"AWS::Region": "us-east-1"},
		conditions: object(body["Conditions"]),
		mappings:   object(body["Mappings"]),
		resources:  object(body["Resources"]),
	}
	return e.eval(object(body["Outputs"])["X"])
}

func TestIntrinsicFunctions(t *testing.T) {
	for text, want := range map[string]any{
		"12":                         "12",
		"true":                       "true",
		"~":                          nil,
		"!Ref Name":                  "bob",
		"{Ref: Name}":                "bob",
		"!Ref Many":                  []any{"a", "b"},
		"!Ref AWS::Region":           "us-east-1",
		"!Ref Thing":                 "Thing",
		"!GetAtt Thing.Arn":          "Thing.Arn",
		"{Fn::GetAtt: [Thing, Arn]}": "Thing.Arn",
		"!Sub '${Name} ${!Name} ${AWS::Region} ${Thing.Arn}'": "bob ${Name} us-east-1 Thing.Arn",
		"!Sub ['${A}-${Name}', {A: !Ref Empty}]":              "-bob",
		"!If [Yes, 1, 2]":                                     "1",
		"!If [No, 1, 2]":                                      "2",
		"!If [Both, 1, 2]":                                    "2",
		"!If [Either, 1, 2]":                                  "1",
		"{a: !If [No, x, !Ref AWS::NoValue]}":                 map[string]any{},
		"[1, !If [Yes, !Ref AWS::NoValue, x], 3]":             []any{"1", "3"},
		"!Join ['-', [a, !Ref Name]]":                         "a-bob",
		"!Join [',', !Ref Many]":                              "a,b",
		"!Split [',', 'x,y']":                                 []any{"x", "y"},
		"!Select [1, !Ref Many]":                              "b",
		"!FindInMap [Regions, !Ref AWS::Region, Short]":       "use1",
		"!Base64 x": "eA==",
	} {
		got, err := evalYAML(t, text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: want %#v, got %#v, %v", text, want, got, err)
		}
	}
	for _, text := range []string{
		"!Ref Nobody", "!Sub '${Nobody}'", "!Sub '${Name'", "!Sub '${Many}'", "!If [Nothing, 1, 2]", "!If [Yes, 1]", "!If [Circle, 1, 2]",
		"!Select [2, !Ref Many]", "!Select [x, !Ref Many]", "!FindInMap [Regions, mars, Short]", "!GetAtt Thing", "!Join [a]", "!Rain [1]",
		"!Ref [Name]", "!Split [1]",
	} {
		if got, err := evalYAML(t, text); err == nil {
			t.Errorf("%s: want an error, got %#v", text, got)
		}
	}
}

func testStack(t *testing.T, values map[string]string) (*stack, error) {
	t.Helper()
	tmpl, err := findTemplate("testdata/stack")
	if err != nil {
		t.Fatal(err)
	}
	return tmpl.evaluate("eu-west-1", values, nil)
}

func TestTemplateGivesFunctionsAndRoutes(t *testing.T) {
	s, err := testStack(t, map[string]string{"ParameterPrefix": "/other", "TimeoutSeconds": "7"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range s.functions {
		names = append(names, f.name)
	}
	if want := []string{"echo", "proxy"}; !slices.Equal(names, want) {
		t.Fatalf("want functions %q, got %q", want, names)
	}
	f := s.functions[0]
	if f.timeout != 7*time.Second || f.memory != 256 || f.logLevel != "DEBUG" || f.id != "EchoFunction" {
		t.Errorf("want 7s, 256 MB, DEBUG from Globals, got %+v", f)
	}
	if f.environment["PARAMETER_PREFIX"] != "/other" || s.prefix != "/other" {
		t.Errorf("want the prefix /other everywhere, got %q and %q", f.environment, s.prefix)
	}
	if got := s.functions[1].environment["LOCAL_TEST_FUNCTION"]; got != "stream" {
		t.Errorf("want a function's own variable to win over Globals, got %q", got)
	}
	if s.rest.stage != "v1" || !slices.Equal(s.rest.binaryTypes, []string{"application/octet-stream", "image/*"}) {
		t.Errorf("want stage v1 and two binary types, got %+v", s.rest)
	}
	if c := s.http.cors; c == nil || len(c.origins) != 2 || c.maxAge != "3600" || !slices.Equal(c.methods, []string{"GET", "POST"}) {
		t.Errorf("want the CorsConfiguration, got %+v", c)
	}
	got := map[string]route{}
	for _, rt := range s.rest.routes {
		got[rt.key()] = rt
	}
	if rt := got["ANY /proxy/{path+}"]; !rt.stream || !rt.iam || rt.function != "proxy" {
		t.Errorf("want a streamed route with IAM, got %+v", rt)
	}
	if rt := got["GET /open"]; rt.iam || rt.stream {
		t.Errorf("want an open route: its Auth says NONE, got %+v", rt)
	}
	if rt := got["GET /echo/{name}"]; !rt.iam {
		t.Errorf("want the API's DefaultAuthorizer on %+v", rt)
	}
	if len(s.http.routes) != 2 {
		t.Errorf("want 2 client routes (one function's condition does not hold), got %+v", s.http.routes)
	}
}

// The word STREAM in an event has no effect at AWS, so it must have none here.
func TestOnlyTheRightWordStreams(t *testing.T) {
	text, err := os.ReadFile("testdata/stack/template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	body, err := parseTemplate([]byte(strings.ReplaceAll(string(text), "RESPONSE_STREAM", "STREAM")))
	if err != nil {
		t.Fatal(err)
	}
	s, err := (&template{body: body}).evaluate("eu-west-1", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, rt := range s.rest.routes {
		if rt.stream {
			t.Errorf("%s: want a buffered route", rt.key())
		}
	}
}

func TestParameterConstraints(t *testing.T) {
	for _, c := range []struct {
		declared, value string
		ok              bool
	}{
		{"{Type: String, AllowedPattern: '[a-z]+'}", "abc", true},
		{"{Type: String, AllowedPattern: '[a-z]+'}", "abc1", false},
		{"{Type: String, AllowedPattern: 'a|b'}", "bx", false},
		{"{Type: String, AllowedPattern: '(?=x)'}", "y", true}, // Java only
		{"{Type: String, AllowedValues: [a, 'true', 3]}", "3", true},
		{"{Type: String, AllowedValues: [a, true]}", "true", true},
		{"{Type: String, AllowedValues: [a]}", "b", false},
		{"{Type: String, MinLength: 2, MaxLength: 3}", "é", false},
		{"{Type: String, MinLength: 2, MaxLength: 3}", "éé", true},
		{"{Type: String, MinLength: 2, MaxLength: 3}", "éééé", false},
		{"{Type: Number, MinValue: 1, MaxValue: 10}", "10", true},
		{"{Type: Number, MinValue: 1, MaxValue: 10}", "11", false},
		{"{Type: Number, MinValue: 1}", "0", false},
		{"{Type: Number}", "many", false},
		{"{Type: CommaDelimitedList, AllowedPattern: '[a-z]'}", "a,b", true},
		{"{Type: CommaDelimitedList, AllowedPattern: '[a-z]'}", "a,bb", false},
	} {
		body, err := parseTemplate([]byte("Resources: {X: {}}\nParameters: {P: " + c.declared + "}"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = (&template{body: body}).parameters(map[string]string{"P": c.value}, nil)
		if (err == nil) != c.ok {
			t.Errorf("%s = %q: want ok %t, got %v", c.declared, c.value, c.ok, err)
		}
	}
}

func TestTemplateErrorsNameTheirPlace(t *testing.T) {
	small := "Resources:\n  AFunction:\n    Type: AWS::Serverless::Function\n    Properties:\n      Events:\n        E: {Type: HttpApi, Properties: {Path: /x, Method: GET}}\n"
	for text, want := range map[string]string{
		"":                            "Resources",
		"[]":                          "Resources",
		"Resources: {A: [}":           "did not find expected node content",
		"Resources: {}":               "want a function with an HttpApi or Api event",
		"Resources: {A: 1, A: 2}":     `"A" stands there twice`,
		small + "      Timeout: 1h\n": "AFunction: Timeout: want 1 to 900 seconds",
		small + "      Environment: {Variables: {A: !Ref Nothing}}\n":                           `there is no "Nothing"`,
		small + "      Environment: {Variables: {A: [1]}}\n":                                    "A: want text",
		small + "Parameters: {P: {Type: String}}\n":                                             "parameter P has no default",
		strings.Replace(small, "/x", "x", 1):                                                    "begins with /",
		strings.Replace(small, "Path: /x", "ApiId: Other, Path: /x", 1):                         "want ApiId",
		small + "Rules: {R: {Assertions: [{Assert: !Equals [1, 2], AssertDescription: no}]}}\n": "rule R: no",
	} {
		body, err := parseTemplate([]byte(text))
		if err == nil {
			_, err = (&template{body: body}).evaluate("eu-west-1", nil, nil)
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: want one line with %q, got %v", text, want, err)
		}
	}
}

func TestFindTemplateLooksUpwards(t *testing.T) {
	dir := t.TempDir()
	deep := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := findTemplate(deep); err == nil || !strings.Contains(err.Error(), "want template.yaml") {
		t.Fatalf("want an error that names template.yaml, got %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "template.yaml"), []byte("Resources: {A: {}}"), 0o644); err != nil {
		t.Fatal(err)
	}
	tmpl, err := findTemplate(deep)
	if err != nil || tmpl.dir != dir {
		t.Fatalf("want the template in %s, got %+v, %v", dir, tmpl, err)
	}
}

func FuzzTemplate(f *testing.F) {
	text, err := os.ReadFile("testdata/stack/template.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("a: &a [x, x]\nb: &b [*a, *a]\nResources: {A: *b}"))
	f.Add([]byte("Resources: {AFunction: {Type: AWS::Serverless::Function, Properties: !If [x, 1, 2]}}"))
	f.Add([]byte("? {a: b}\n: !Sub '${'"))
	f.Fuzz(func(t *testing.T, text []byte) {
		body, err := parseTemplate(text)
		if err != nil {
			return
		}
		(&template{body: body}).evaluate("eu-west-1", nil, nil)
	})
}
