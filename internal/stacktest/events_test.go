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

// routesOfFunctions lists the routes of each function in template.yaml, as
// "GET /config", whichever API they are on.
func routesOfFunctions(t *testing.T) map[string][]string {
	t.Helper()
	stack, err := deploy(t)
	if err != nil {
		t.Fatal(err)
	}
	all, err := stack.Functions()
	if err != nil {
		t.Fatal(err)
	}
	routes := map[string][]string{}
	for _, f := range all {
		folder := functions[strings.TrimSuffix(f.ID, "Function")]
		for _, r := range f.Routes {
			routes[folder] = append(routes[folder], r.Method+" "+r.Path)
		}
	}
	return routes
}

// strict decodes an event and refuses fields that the type does not have. A
// sample with a misspelled field would test nothing.
func strict(t *testing.T, file string, text []byte, event any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(event); err != nil {
		t.Errorf("%s: %v", file, err)
	}
}

func TestSampleEventsAreOnesThatApiGatewaySends(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("events/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("want sample events, got %d (%v)", len(files), err)
	}
	routes := routesOfFunctions(t)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		function, rest, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".json"), "-")
		var route, body string
		var encoded bool
		switch {
		case rest == "http" || strings.HasSuffix(rest, "-http"):
			var e events.APIGatewayV2HTTPRequest
			strict(t, file, text, &e)
			route, body, encoded = e.RouteKey, e.Body, e.IsBase64Encoded
			method, path, _ := strings.Cut(route, " ")
			if e.Version != "2.0" || e.RequestContext.RouteKey != route || e.RequestContext.HTTP.Method != method || e.RequestContext.HTTP.Path != e.RawPath {
				t.Errorf("%s: want payload 2.0 of route %s that agrees with itself", file, route)
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
		case rest == "rest" || strings.HasSuffix(rest, "-rest"):
			var e events.APIGatewayProxyRequest
			strict(t, file, text, &e)
			route, body, encoded = e.HTTPMethod+" "+e.Resource, e.Body, e.IsBase64Encoded
			if e.RequestContext.ResourcePath != e.Resource || e.RequestContext.HTTPMethod != e.HTTPMethod || e.RequestContext.Path != "/v1"+e.Path {
				t.Errorf("%s: want payload 1.0 of route %s that agrees with itself", file, route)
			}
			if want := fill(e.Resource, e.PathParameters); e.Path != want {
				t.Errorf("%s: want path %s, got %s", file, want, e.Path)
			}
			if !strings.HasPrefix(e.RequestContext.Identity.UserArn, "arn:aws:") {
				t.Errorf("%s: want the caller that IAM knows, got %q", file, e.RequestContext.Identity.UserArn)
			}
			if len(e.Headers) != len(e.MultiValueHeaders) {
				t.Errorf("%s: want the same headers twice, got %d and %d", file, len(e.Headers), len(e.MultiValueHeaders))
			}
		default:
			t.Errorf("%s: want a name that ends in -http.json or -rest.json", file)
		}
		if !slices.Contains(routes[function], route) {
			t.Errorf("%s: want one of the routes of %s, %q, got %q", file, function, routes[function], route)
		}
		if _, err := base64.StdEncoding.DecodeString(body); encoded && err != nil {
			t.Errorf("%s: want a body in base64, got %v", file, err)
		}
	}
}

func TestEveryFunctionHasSampleEventsOfBothShapes(t *testing.T) {
	t.Parallel()
	for _, function := range functions {
		for _, shape := range []string{"http", "rest"} {
			files, _ := filepath.Glob("events/" + function + "*-" + shape + ".json")
			if len(files) == 0 {
				t.Errorf("%s: want a sample event of shape %s", function, shape)
			}
		}
	}
}

// fill puts the path's parameters in: {userId}, {path+}.
func fill(path string, parameters map[string]string) string {
	for name, value := range parameters {
		path = strings.NewReplacer("{"+name+"}", value, "{"+name+"+}", value).Replace(path)
	}
	return path
}
