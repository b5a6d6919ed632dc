package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"
	"go.yaml.in/yaml/v3"
)

// docsAPIs are the tags of docs/openapi.yaml that name an API, and where on the
// page's own origin a browser calls it.
var docsAPIs = map[string]struct{ tag, server string }{
	"client":  {"Client API", "/"},
	"service": {"Service API", pagePath + "service"},
}

// docs serves Swagger UI for both APIs, ready to try: signed in as Alice.
func (p *page) docs(mux *http.ServeMux) {
	for name := range docsAPIs {
		path := pagePath + "docs/" + name
		mux.HandleFunc("GET "+path+".json", func(w http.ResponseWriter, _ *http.Request) {
			document, err := p.openAPI(name)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			answerJSON(w, document)
		})
		mux.HandleFunc("GET "+path+"/", func(w http.ResponseWriter, r *http.Request) {
			config := swgui.Config{Title: docsAPIs[name].tag, SwaggerJSON: path + ".json", BasePath: path + "/"}
			if p.issuer != nil && name == "client" {
				if bearer, err := p.issuer.Bearer("alice", nil); err == nil {
					config.PreAuthorizeApiKey = map[string]string{"bearer": bearer}
				}
			}
			v5emb.NewHandlerWithConfig(config).ServeHTTP(w, r)
		})
	}
}

// openAPI returns what docs/openapi.yaml has about one API, with this server as
// the only one, and with signatures that count here as examples.
func (p *page) openAPI(name string) (map[string]any, error) {
	text, err := os.ReadFile(filepath.Join(p.template.Dir, "docs", "openapi.yaml"))
	if err != nil {
		return nil, err
	}
	secret := ""
	if values, err := p.values(); err == nil {
		secret = values[p.prefix()+"/stream/api-secret"]
	}
	var document map[string]any
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("docs/openapi.yaml: %w", err)
	}
	document["servers"] = []any{map[string]any{"url": docsAPIs[name].server}}
	paths, _ := document["paths"].(map[string]any)
	if webhook, ok := member(paths, "/webhook", "post", "parameters").([]any); ok {
		for _, v := range webhook {
			if parameter, _ := v.(map[string]any); parameter["name"] == "X-Signature" {
				// Of the body's example, as Swagger UI writes it.
				parameter["example"] = signature(secret, []byte("{\n  \"type\": \"health.check\"\n}"))
			}
		}
	}
	if verify, ok := member(paths, "/webhook/verify", "post", "requestBody", "content", "application/json").(map[string]any); ok {
		verify["example"] = map[string]any{"rawBody": "{}", "signature": signature(secret, []byte("{}"))}
	}
	for path, item := range paths {
		item, _ := item.(map[string]any)
		delete(item, "servers")
		for method, operation := range item {
			operation, ok := operation.(map[string]any)
			if !ok || operation["tags"] == nil {
				continue
			}
			if tags, _ := operation["tags"].([]any); !slices.Contains(tags, any(docsAPIs[name].tag)) {
				delete(item, method)
				continue
			}
			operation["tags"] = []any{docsAPIs[name].tag}
			if name == "service" {
				delete(operation, "security") // every caller counts as signed here
			}
		}
		if len(item) == 0 || len(item) == 1 && item["parameters"] != nil {
			delete(paths, path)
		}
	}
	return document, nil
}

// member returns the value at a path of keys, or nil.
func member(v any, keys ...string) any {
	for _, key := range keys {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	return v
}
