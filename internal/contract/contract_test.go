// Package contract compares the documents with template.yaml and with the service's
// answers.
package contract

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"chat-service-backend/ops/cfn"
)

func load(t *testing.T) *openapi3.T {
	t.Helper()
	document, err := openapi3.NewLoader().LoadFromFile("../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func TestDocumentIsValidOpenAPI31(t *testing.T) {
	doc := load(t)
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !doc.IsOpenAPI31OrLater() {
		t.Errorf("want OpenAPI 3.1, got %s", doc.OpenAPI)
	}
}

// Clients follow an operation's servers, readers its tags. Both must name the APIs
// that template.yaml routes to a function.
func TestDocumentHasTheRoutesOfTheTemplate(t *testing.T) {
	template, err := cfn.Find(".")
	if err != nil {
		t.Fatal(err)
	}
	stack, err := template.Stack(cfn.Options{})
	if err != nil {
		t.Fatal(err)
	}
	functions, err := stack.Functions()
	if err != nil {
		t.Fatal(err)
	}
	want, byTag, byServer := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, f := range functions {
		for _, r := range f.Routes {
			if r.API == "WebhookApi" { // its path has the stack's id
				continue
			}
			api := "Client API"
			if r.REST {
				api = "Service API"
			}
			// OpenAPI has no word for the parameter of many segments, {path+}.
			want[api+" "+r.Method+" "+strings.ReplaceAll(r.Path, "+}", "}")] = true
		}
	}
	doc := load(t)
	for path, item := range doc.Paths.Map() {
		servers := item.Servers
		if len(servers) == 0 {
			servers = doc.Servers
		}
		for method, operation := range item.Operations() {
			for _, tag := range operation.Tags {
				byTag[tag+" "+method+" "+path] = true
			}
			for _, server := range servers {
				byServer[server.Description+" "+method+" "+path] = true
			}
		}
	}
	for by, got := range map[string]map[string]bool{"tags": byTag, "servers": byServer} {
		if !maps.Equal(got, want) {
			t.Errorf("by %s: want as in template.yaml:\n%q\ngot:\n%q", by, slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got)))
		}
	}
}
