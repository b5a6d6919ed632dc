package main

import (
	"cmp"
	"maps"
	"net/http"
	"slices"

	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"
	"go.yaml.in/yaml/v3"

	project "chat-service-backend"
)

const (
	docsPath    = pagePath + "docs/"
	servicePath = pagePath + "service" // where the page's own origin has the Service API
)

// docs serves Swagger UI for both APIs, ready to try and signed in as Alice.
func (s *server) docs(w http.ResponseWriter, r *http.Request) {
	config := swgui.Config{
		Title: "Chat Service Backend", SwaggerJSON: docsPath + "openapi.json", BasePath: docsPath,
		SettingsUI: map[string]string{
			// Swagger UI would send /proxy/users%2Falice, which the proxy refuses.
			"requestInterceptor": `(r) => { const [path, ...query] = r.url.split("?"); r.url = [path.replace(/%2F/gi, "/"), ...query].join("?"); return r; }`,
		},
	}
	if s.issuer != nil {
		config.PreAuthorizeApiKey = map[string]string{"bearer": s.issuer.Bearer("alice", nil)}
	}
	v5emb.NewHandlerWithConfig(config).ServeHTTP(w, r)
}

// openAPI answers with docs/openapi.yaml and this server's addresses of the APIs.
func (s *server) openAPI(w http.ResponseWriter, _ *http.Request) {
	var document map[string]any
	if err := yaml.Unmarshal(project.OpenAPI, &document); err != nil {
		panic(err) // the file is a part of this program
	}
	urls := map[any]string{"Client API": cmp.Or(s.basePath, "/"), "Service API": servicePath + s.basePath}
	paths, _ := document["paths"].(map[string]any)
	for _, item := range append(slices.Collect(maps.Values(paths)), document) {
		servers, _ := member(item, "servers").([]any)
		for i, server := range servers {
			name := member(server, "description")
			servers[i] = map[string]any{"description": name, "url": urls[name]}
		}
	}
	answerJSON(w, http.StatusOK, document)
}
