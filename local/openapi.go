package main

import (
	"cmp"
	"fmt"
	"net/http"

	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"
	"go.yaml.in/yaml/v3"

	project "chat-service-backend"
)

// servicePath is where the page's own origin has the Service API.
const servicePath = pagePath + "service"

// docs serves Swagger UI for both APIs, ready to try and signed in as Alice.
func (s *server) docs(mux *http.ServeMux) {
	for name, api := range map[string]struct{ tag, url string }{
		"client":  {"Client API", cmp.Or(s.basePath, "/")},
		"service": {"Service API", servicePath + s.basePath},
	} {
		path := pagePath + "docs/" + name
		mux.HandleFunc("GET "+path+".json", func(w http.ResponseWriter, _ *http.Request) {
			document, err := s.openAPI(api.url)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			answerJSON(w, document)
		})
		mux.HandleFunc("GET "+path+"/", func(w http.ResponseWriter, r *http.Request) {
			config := swgui.Config{
				Title: api.tag, SwaggerJSON: path + ".json", BasePath: path + "/",
				SettingsUI: map[string]string{
					"filter": fmt.Sprintf("%q", api.tag), // by tag
					// Swagger UI would send /proxy/users%2Falice, which the proxy refuses.
					"requestInterceptor": `(r) => { const [path, ...query] = r.url.split("?"); r.url = [path.replace(/%2F/gi, "/"), ...query].join("?"); return r; }`,
				},
			}
			if s.issuer != nil && name == "client" {
				config.PreAuthorizeApiKey = map[string]string{"bearer": s.issuer.Bearer("alice", nil)}
			}
			v5emb.NewHandlerWithConfig(config).ServeHTTP(w, r)
		})
	}
}

// openAPI returns docs/openapi.yaml with url as the only server.
func (s *server) openAPI(url string) (map[string]any, error) {
	var document map[string]any
	if err := yaml.Unmarshal(project.OpenAPI, &document); err != nil {
		return nil, fmt.Errorf("docs/openapi.yaml: %w", err)
	}
	document["servers"] = []any{map[string]any{"url": url}}
	paths, _ := document["paths"].(map[string]any)
	for _, item := range paths {
		item, _ := item.(map[string]any)
		delete(item, "servers")
	}
	return document, nil
}
