package main

import (
	"net/http"
	"slices"
	"strings"

	"chat-service-backend/internal/cfn"
)

// cors sets the headers that the API's CORS configuration asks for. It reports
// whether the request was a preflight, which has no route and is now answered.
func (g *gateway) cors(w http.ResponseWriter, r *http.Request, rt *route) (preflight bool) {
	c := g.api.CORS
	if c == nil {
		return false
	}
	preflight = r.Method == http.MethodOptions && rt == nil
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

// allowedOrigin returns the Access-Control-Allow-Origin for a request, or "".
func allowedOrigin(c *cfn.CORS, r *http.Request) string {
	origin := r.Header.Get("Origin")
	scheme, _, _ := strings.Cut(origin, "://")
	switch {
	case origin == "":
		return ""
	case slices.Contains(c.AllowOrigins, "*"):
		return "*"
	case slices.Contains(c.AllowOrigins, origin), slices.Contains(c.AllowOrigins, scheme+"://*"):
		return origin
	}
	return ""
}

// allowed reports whether the method and the headers that a preflight asks for
// are allowed. If not, it gets no CORS headers at all, so that the browser stops.
func allowed(c *cfn.CORS, r *http.Request) bool {
	for name := range strings.SplitSeq(r.Header.Get("Access-Control-Request-Headers"), ",") {
		name = strings.TrimSpace(name)
		if name != "" && !slices.ContainsFunc(c.AllowHeaders, func(a string) bool { return strings.EqualFold(a, name) }) {
			return false
		}
	}
	return slices.Contains(c.AllowMethods, r.Header.Get("Access-Control-Request-Method"))
}
