package stacktest

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"chat-service-backend/ops/cfn"
)

const small = `
Parameters:
  Name: {Type: String, Default: bob}
  Empty: {Type: String, Default: ""}
Conditions:
  Yes: !Equals [!Ref Name, bob]
  No: !Not [!Condition Yes]
  Both: !And [!Condition Yes, !Condition No]
  Either: !Or [!Condition No, !Condition Yes]
  Circle: !Not [!Condition Circle]
  Unknown: !Equals [!FindInMap [A, B, C], x]
Resources:
  Thing: {Type: X}
Outputs:
  X: `

// evaluated returns the stack of a template.
func evaluated(text string, parameters map[string]string) (*cfn.Stack, error) {
	t, err := cfn.Parse([]byte(text))
	if err != nil {
		return nil, err
	}
	return t.Stack(cfn.Options{Region: "us-east-1", Account: "111122223333", StackName: "chat", Parameters: parameters})
}

func TestIntrinsicFunctionsEvaluateAsInCloudFormation(t *testing.T) {
	eval := func(value string) (any, error) {
		s, err := evaluated(small+value, nil)
		if err != nil {
			t.Fatalf("%s: %v", value, err)
		}
		return s.Eval(s.Template.Section("Outputs")["X"])
	}
	for value, want := range map[string]any{
		"12":                         "12",
		"true":                       "true",
		"~":                          nil,
		"!Ref Name":                  "bob",
		"{Ref: Name}":                "bob",
		"!Ref AWS::Region":           "us-east-1",
		"!Ref AWS::NoValue":          nil,
		"!Ref Thing":                 "Thing",
		"!GetAtt Thing.Arn":          "Thing.Arn",
		"{Fn::GetAtt: [Thing, Arn]}": "Thing.Arn",
		"!Sub '${Name} ${AWS::Region} ${Thing.Arn} $Name'": "bob us-east-1 Thing.Arn $Name",
		"!Sub ['${A}-${Name}', {A: !Ref Empty}]":           "-bob",
		"!If [Yes, 1, 2]":                                  "1",
		"!If [No, 1, 2]":                                   "2",
		"!If [Both, 1, 2]":                                 "2",
		"!If [Either, 1, 2]":                               "1",
		"{a: !If [No, x, !Ref AWS::NoValue]}":              map[string]any{},
		"[1, !If [Yes, !Ref AWS::NoValue, x], 3]":          []any{"1", "3"},
		"!Split [',', 'x,y']":                              []any{"x", "y"},
		"!Rain [1]":                                        map[string]any{"Fn::Rain": []any{"1"}},
		"{Condition: {StringEquals: x}}":                   map[string]any{"Condition": map[string]any{"StringEquals": "x"}},
	} {
		if got, err := eval(value); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: want %#v, got %#v, %v", value, want, got, err)
		}
	}
	for _, value := range []string{
		"!Ref Nobody", "!Sub '${Nobody}'", "!Sub '${AWS::NoValue}'", "!Sub ['${A}', {A: [1]}]", "!Sub []", "!If [Nothing, 1, 2]", "!If [Yes, 1]",
		"!If [Circle, 1, 2]", "!GetAtt Thing", "!Split [1]", "!Split [',', !Ref AWS::NoValue]", "!Not [1]", "!If [Unknown, 1, 2]",
	} {
		if got, err := eval(value); err == nil {
			t.Errorf("%s: want an error, got %#v", value, got)
		}
	}
}

func TestParameterConstraintsAreChecked(t *testing.T) {
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
		{"{Type: String, MaxLength: 3}", "ééé", true},
		{"{Type: String, MaxLength: 3}", "éééé", false},
		{"{Type: Number, MinValue: 1, MaxValue: 10}", "10", true},
		{"{Type: Number, MinValue: 1, MaxValue: 10}", "11", false},
		{"{Type: Number, MinValue: 1}", "0", false},
		{"{Type: Number}", "many", false},
		{"{Type: CommaDelimitedList}", "a,b", false},
	} {
		_, err := evaluated("Resources: {X: {}}\nParameters: {P: "+c.declared+"}", map[string]string{"P": c.value})
		if (err == nil) != c.ok {
			t.Errorf("%s = %q: want ok %t, got %v", c.declared, c.value, c.ok, err)
		}
	}
}

const sam = `
Parameters:
  Seconds: {Type: Number, Default: 5}
Conditions:
  Never: !Equals [1, 2]
Globals:
  Function:
    Timeout: !Ref Seconds
    LoggingConfig: {LogFormat: JSON, ApplicationLogLevel: DEBUG}
    Environment: {Variables: {A: shared, B: shared}}
  HttpApi:
    CorsConfiguration: {AllowOrigins: [a, b], MaxAge: 60}
Resources:
  ClientApi: {Type: AWS::Serverless::HttpApi}
  ServiceApi:
    Type: AWS::Serverless::Api
    Properties: {StageName: v1, BinaryMediaTypes: [Image~1*], Auth: {DefaultAuthorizer: AWS_IAM}}
  AFunction:
    Type: AWS::Serverless::Function
    Properties:
      MemorySize: 256
      LoggingConfig: {SystemLogLevel: WARN}
      Environment: {Variables: {B: own, C: !If [Never, x, !Ref AWS::NoValue]}}
      VpcConfig: !ImportValue not read here
      Events:
        E1: {Type: HttpApi, Properties: {ApiId: !Ref ClientApi, Path: /x, Method: GET, TimeoutInMillis: 9000}}
        E2: {Type: Api, Properties: {RestApiId: !Ref ServiceApi, Path: /y, ResponseTransferMode: RESPONSE_STREAM}}
        # STREAM has no effect in a SAM event.
        E3: {Type: Api, Properties: {RestApiId: !Ref ServiceApi, Path: /z, Auth: {Authorizer: NONE}, ResponseTransferMode: STREAM}}
        E4: {Type: SQS, Properties: {Queue: !ImportValue not read here}}
  BFunction: {Type: AWS::Serverless::Function}
  CFunction: {Type: AWS::Serverless::Function, Condition: Never}
`

func TestFunctionsAndAPIsHaveSAMsDefaults(t *testing.T) {
	s, err := evaluated(sam, map[string]string{"Seconds": "7"})
	if err != nil {
		t.Fatal(err)
	}
	functions, err := s.Functions()
	want := []cfn.Function{
		{
			ID: "AFunction", Name: "chat-AFunction", Environment: map[string]string{"A": "shared", "B": "own"},
			Timeout: 7 * time.Second, MemorySize: 256, LogLevel: "DEBUG",
			Routes: []cfn.Route{
				{API: "ClientApi", Method: "GET", Path: "/x", Timeout: 9 * time.Second},
				{REST: true, API: "ServiceApi", Method: "ANY", Path: "/y", IAM: true, Stream: true},
				{REST: true, API: "ServiceApi", Method: "ANY", Path: "/z"},
			},
		},
		{
			ID: "BFunction", Name: "chat-BFunction", Environment: map[string]string{"A": "shared", "B": "shared"},
			Timeout: 7 * time.Second, MemorySize: 128, LogLevel: "DEBUG",
		},
	}
	if err != nil || !reflect.DeepEqual(functions, want) {
		t.Errorf("want %+v, got %+v, %v", want, functions, err)
	}
	apis, err := s.APIs()
	if err != nil || len(apis) != 2 {
		t.Fatalf("want two APIs, got %+v, %v", apis, err)
	}
	cors := &cfn.CORS{AllowOrigins: []string{"a", "b"}, MaxAge: "60"}
	if client := apis[0]; client.ID != "ClientApi" || client.REST || client.Stage != "Prod" || !reflect.DeepEqual(client.CORS, cors) || client.BinaryMediaTypes != nil {
		t.Errorf("want the HTTP API with CORS, got %+v", client)
	}
	if service := apis[1]; service.ID != "ServiceApi" || !service.REST || service.Stage != "v1" || !slices.Equal(service.BinaryMediaTypes, []string{"image/*"}) || service.CORS != nil {
		t.Errorf("want the REST API with its media type, got %+v", service)
	}
}

func TestErrorsAreOneLineThatNamesThePlace(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "Resources",
		"[]":                      "into map",
		"Resources: {A: [}":       "did not find expected node content",
		"Resources: {A: 1, A: 2}": `mapping key "A" already defined`,
		"Resources: {A: {}}\nParameters: {P: {Type: String}}":                                             "parameter P has no default",
		"Resources: {A: {}}\nParameters: {P: {Default: x, MaxLength: 0, ConstraintDescription: no}}":      "parameter P: it has over 0 characters (no)",
		"Resources: {A: {}}\nRules: {R: {Assertions: [{Assert: !Equals [1, 2], AssertDescription: no}]}}": "rule R: no",
		strings.Replace(sam, "MemorySize: 256", "Timeout: 1h", 1):                                         "AFunction: Timeout: 1h is not a number of seconds from 1 to 900",
		strings.Replace(sam, "B: own", "B: [1]", 1):                                                       "AFunction: Environment: B: it is not text",
		strings.Replace(sam, "B: own", "B: !Ref Nothing", 1):                                              `there is no "Nothing"`,
		strings.Replace(sam, "Path: /x", "Path: !Ref Nothing", 1):                                         "AFunction: Events: E1: Properties: Path: Ref",
	} {
		s, err := evaluated(text, nil)
		if err == nil {
			_, err = s.Functions()
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: want one line with %q, got %v", text, want, err)
		}
	}
	if _, err := evaluated(small, map[string]string{"Nothing": "1"}); err == nil || !strings.Contains(err.Error(), `no parameter "Nothing"`) {
		t.Errorf("want an error that names the parameter, got %v", err)
	}
}

func TestFindLooksUpwards(t *testing.T) {
	dir := t.TempDir()
	deep := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := cfn.Find(deep); err == nil || !strings.Contains(err.Error(), "no template.yaml") {
		t.Fatalf("want an error that names template.yaml, got %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "template.yaml"), []byte("Resources: {A: {}}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if found, err := cfn.Find(deep); err != nil || found.Dir != dir {
		t.Fatalf("want the template in %s, got %+v, %v", dir, found, err)
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add(sam)
	f.Add("Resources: {AFunction: {Type: AWS::Serverless::Function, Properties: !If [x, 1, 2]}}")
	f.Add("? {a: b}\n: !Sub '${'")
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := evaluated(text, nil); err == nil {
			_, _ = s.Functions()
		}
	})
}
