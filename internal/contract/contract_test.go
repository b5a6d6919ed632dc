package contract

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"chat-service-backend/internal/cfn"
)

const file = "../../docs/openapi.yaml"

func load(t *testing.T) *Contract {
	t.Helper()
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDocumentIsValidOpenAPI31(t *testing.T) {
	doc := load(t).Document
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !doc.IsOpenAPI31OrLater() {
		t.Errorf("want OpenAPI 3.1, got %s", doc.OpenAPI)
	}
}

// An operation's servers are what a client follows, its tags what a reader
// sees. Both must name the APIs that template.yaml routes to a function.
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
			api := ClientAPI
			if r.REST {
				api = ServiceAPI
			}
			// OpenAPI has no word for the parameter of many segments, {path+}.
			want[api+" "+r.Method+" "+strings.ReplaceAll(r.Path, "+}", "}")] = true
		}
	}
	doc := load(t).Document
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

// A document that agrees with everything would prove nothing.
func TestCheckRefusesWhatTheDocumentDoesNotHave(t *testing.T) {
	const image = "/proxy/channels/messaging/general/image"
	for name, e := range map[string]struct {
		api, method, path, sent string
		status                  int
		body                    string
		request, answer         bool // allowed
	}{
		"a right token":         {ClientAPI, "GET", "/token/alice", "", 201, `{"userId":"alice","token":"a.b.c"}`, true, true},
		"a right answer":        {ClientAPI, "GET", "/api-key", "", 200, `{"api_key":"k"}`, true, true},
		"no token":              {ClientAPI, "GET", "/token/alice", "", 201, `{"userId":"alice"}`, true, false},
		"a token to be kept":    {ClientAPI, "GET", "/token/keep", "", 201, `{"userId":"keep","token":"a.b.c"}`, true, false},
		"another field":         {ClientAPI, "GET", "/api-key", "", 200, `{"api_key":"k","secret":"s"}`, true, false},
		"another status":        {ClientAPI, "GET", "/api-key", "", 202, `{"api_key":"k"}`, true, false},
		"an error's spelling":   {ClientAPI, "GET", "/api-key", "", 503, `{"error":"x"}`, true, false},
		"both keys":             {ClientAPI, "GET", "/config?clientType=web", "", 200, `{"errors":{},"authentication":{"apiKey":"k","userId":"u","userToken":"a.b.c"}}`, true, false},
		"no client type":        {ClientAPI, "GET", "/config", "", 400, `{"errorMsg":"x"}`, false, true},
		"no signature":          {ClientAPI, "POST", "/webhook", `{}`, 401, `{"errorMsg":"x"}`, false, true},
		"half a verification":   {ServiceAPI, "POST", "/webhook/verify", `{"rawBody":"{}"}`, 400, `{"errorMsg":"x"}`, false, true},
		"any body to the proxy": {ServiceAPI, "POST", image, "\x89PNG", 201, `{}`, true, true},
	} {
		c := load(t)
		r, err := http.NewRequestWithContext(t.Context(), e.method, "http://127.0.0.1"+e.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer x"}}
		if e.path == image {
			r.Header.Set("Content-Type", "image/png")
		}
		exchange := Exchange{
			API: e.api, Request: r, Path: r.URL.EscapedPath(), RequestBody: []byte(e.sent), Body: []byte(e.body),
			Response: &http.Response{StatusCode: e.status, Header: http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}}},
		}
		if e.path == "/token/keep" {
			exchange.Response.Header.Set("Cache-Control", "max-age=60")
		}
		request, answer := c.Check(t.Context(), exchange)
		if (request == nil) != e.request || (answer == nil) != e.answer {
			t.Errorf("%s: want request and answer allowed: %t, %t; got %v, %v", name, e.request, e.answer, request, answer)
		}
	}
}
