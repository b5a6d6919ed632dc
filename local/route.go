package main

import (
	"cmp"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/time/rate"

	"chat-service-backend/ops/cfn"
)

// route is one of a function's routes. Each segment of its path is literal or a
// parameter, "{userId}"; the last may take the rest of the path, "{path+}".
type route struct {
	cfn.Route
	function string
	pattern  *regexp.Regexp // of the path, with a named group for each parameter
	limiter  *rate.Limiter  // full at the start
}

// Parameters of a path, after QuoteMeta.
var (
	parameter = regexp.MustCompile(`\\\{(\w+)\\\}`)
	greedy    = regexp.MustCompile(`\\\{(\w+)\\\+\\\}`)
)

func newRoute(function string, r cfn.Route) route {
	pattern := parameter.ReplaceAllString(regexp.QuoteMeta(r.Path), `(?P<$1>[^/]+)`)
	// The rest may be empty ("/proxy/"): the function says what is wrong with that.
	pattern = greedy.ReplaceAllString(pattern, `(?P<$1>.*)`)
	limit := rate.Limit(r.Limit.Rate)
	if limit == 0 {
		limit = rate.Inf // the account's limit is far away
	}
	return route{r, function, regexp.MustCompile(`(?s)^` + pattern + `$`), rate.NewLimiter(limit, r.Limit.Burst)}
}

// key is an HTTP API's name for the route.
func (rt *route) key() string { return rt.Method + " " + rt.Path }

// sortRoutes puts literals before parameters, since "{" sorts after every letter.
func sortRoutes(routes []route) {
	slices.SortFunc(routes, func(a, b route) int { return cmp.Compare(a.Path, b.Path) })
}

// findRoute returns the first route for a method and a path, or nil, and the
// path's parameters, still encoded.
func findRoute(routes []route, method, path string) (*route, map[string]string) {
	for i := range routes {
		rt := &routes[i]
		values := rt.pattern.FindStringSubmatch(path)
		if values == nil || rt.Method != method && rt.Method != "ANY" {
			continue
		}
		if len(values) == 1 {
			return rt, nil // an event without parameters has a null
		}
		params := map[string]string{}
		for group, name := range rt.pattern.SubexpNames()[1:] {
			params[name] = values[group+1]
		}
		return rt, params
	}
	return nil, nil
}

// sentPath returns the path as the caller sent it, with percent-escapes, dots and
// repeated slashes.
func sentPath(r *http.Request) string {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(path, "/") {
		return r.URL.EscapedPath() // "GET http://host/path", as sent to a proxy
	}
	return path
}
