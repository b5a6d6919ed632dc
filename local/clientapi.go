package main

import (
	"net/http"
	"slices"
	"strings"

	"chat-service-backend/internal/cfn"
)

// clientRefusals are an HTTP API's own answers.
var clientRefusals = map[error]refusal{
	errBadRequest:       {http.StatusBadRequest, "Bad Request", ""},
	errNoRoute:          {http.StatusNotFound, "Not Found", ""},
	errTooLarge:         {http.StatusRequestEntityTooLarge, "Request Entity Too Large", ""},
	errIntegrationLimit: {http.StatusServiceUnavailable, "Service Unavailable", ""},
	errFunction:         {http.StatusBadGateway, "Internal server error", ""},
}

// cors puts on the headers that the API's CORS asks for, and reports whether
// that was the answer: a preflight, for which there is no route.
func (g *gateway) cors(w http.ResponseWriter, r *http.Request, rt *route) (answered bool) {
	c := g.api.CORS
	if c == nil {
		return false
	}
	preflight := r.Method == http.MethodOptions && rt == nil
	if origin := allowedOrigin(c, r); origin != "" && (!preflight || allowed(c, r)) {
		w.Header().Set("Access-Control-Allow-Origin", origin)
		if origin != "*" {
			w.Header().Add("Vary", "Origin")
		}
		if preflight {
			w.Header().Set("Access-Control-Allow-Methods", strings.Join(c.AllowMethods, ","))
			w.Header().Set("Access-Control-Allow-Headers", strings.Join(c.AllowHeaders, ","))
			w.Header().Set("Access-Control-Max-Age", c.MaxAge)
		}
	}
	if preflight {
		w.WriteHeader(http.StatusNoContent)
	}
	return preflight
}

// allowedOrigin is what Access-Control-Allow-Origin says to the request, or "".
func allowedOrigin(c *cfn.CORS, r *http.Request) string {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return ""
	}
	if slices.Contains(c.AllowOrigins, "*") {
		return "*"
	}
	scheme, _, _ := strings.Cut(origin, "://")
	if slices.Contains(c.AllowOrigins, origin) || slices.Contains(c.AllowOrigins, scheme+"://*") {
		return origin
	}
	return ""
}

// allowed reports whether the method and the headers that a preflight asks for
// are allowed. If not, it gets no CORS headers at all, so that the browser stops.
func allowed(c *cfn.CORS, r *http.Request) bool {
	if !slices.Contains(c.AllowMethods, r.Header.Get("Access-Control-Request-Method")) {
		return false
	}
	for name := range strings.SplitSeq(r.Header.Get("Access-Control-Request-Headers"), ",") {
		name = strings.TrimSpace(name)
		if name != "" && !slices.ContainsFunc(c.AllowHeaders, func(a string) bool { return strings.EqualFold(a, name) }) {
			return false
		}
	}
	return true
}
