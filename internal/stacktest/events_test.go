package stacktest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
)

// strict decodes an event and reports fields that the type does not have: a sample
// with a misspelled field would test nothing.
func strict(t *testing.T, file string, text []byte, event any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(event); err != nil {
		t.Errorf("%s: %v", file, err)
	}
}

func TestSampleEventsAreAsAPIGatewaySendsThem(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("events/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("want sample events, got %d (%v)", len(files), err)
	}
	missing := map[string]bool{} // "token http"
	for _, function := range functions {
		missing[function+" http"], missing[function+" rest"] = true, true
	}
	routes := routes(t)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		function, rest, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".json"), "-")
		var route, body string
		var encoded bool
		shape := rest[strings.LastIndex(rest, "-")+1:]
		delete(missing, function+" "+shape)
		switch shape {
		case "http":
			var e events.APIGatewayV2HTTPRequest
			strict(t, file, text, &e)
			route, body, encoded = e.RouteKey, e.Body, e.IsBase64Encoded
			method, path, _ := strings.Cut(route, " ")
			if e.Version != "2.0" || e.RequestContext.RouteKey != route || e.RequestContext.HTTP.Method != method || e.RequestContext.HTTP.Path != e.RawPath {
				t.Errorf("%s: want payload 2.0 of route %s, the same in all fields", file, route)
			}
			if want := fill(path, e.PathParameters); e.RawPath != want {
				t.Errorf("%s: want path %s, got %s", file, want, e.RawPath)
			}
			if _, err := url.ParseQuery(e.RawQueryString); err != nil {
				t.Errorf("%s: %v", file, err)
			}
			for name := range e.Headers {
				if name != strings.ToLower(name) {
					t.Errorf("%s: want header names in lower case, got %s", file, name)
				}
			}
		case "rest":
			var e events.APIGatewayProxyRequest
			strict(t, file, text, &e)
			route, body, encoded = e.HTTPMethod+" "+e.Resource, e.Body, e.IsBase64Encoded
			if e.RequestContext.ResourcePath != e.Resource || e.RequestContext.HTTPMethod != e.HTTPMethod || e.RequestContext.Path != "/v1"+e.Path {
				t.Errorf("%s: want payload 1.0 of route %s, the same in all fields", file, route)
			}
			if want := fill(e.Resource, e.PathParameters); e.Path != want {
				t.Errorf("%s: want path %s, got %s", file, want, e.Path)
			}
			if !strings.HasPrefix(e.RequestContext.Identity.UserArn, "arn:aws:") {
				t.Errorf("%s: want the ARN of an IAM caller, got %q", file, e.RequestContext.Identity.UserArn)
			}
			if len(e.Headers) != len(e.MultiValueHeaders) {
				t.Errorf("%s: want the same headers twice, got %d and %d", file, len(e.Headers), len(e.MultiValueHeaders))
			}
		default:
			t.Errorf("%s: want a name that ends in -http.json or -rest.json", file)
		}
		if !slices.Contains(routes[function], route) {
			t.Errorf("%s: want a route of %s, %q, got %q", file, function, routes[function], route)
		}
		if _, err := base64.StdEncoding.DecodeString(body); encoded && err != nil {
			t.Errorf("%s: want a body in base64, got %v", file, err)
		}
	}
	if len(missing) > 0 {
		t.Errorf("want sample events of both shapes for each function, missing: %q", sortedKeys(missing))
	}
}

// fill puts parameters such as {userId} and {path+} into a path.
func fill(path string, parameters map[string]string) string {
	for name, value := range parameters {
		path = strings.NewReplacer("{"+name+"}", value, "{"+name+"+}", value).Replace(path)
	}
	return path
}
