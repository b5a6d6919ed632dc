package main

import (
	"cmp"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"chat-service-backend/internal/cfn"
)

// route is one of a function's routes. A part of its path is a literal, a
// parameter, "{userId}", or at the end one that takes all that is left, "{path+}".
type route struct {
	cfn.Route
	function string         // its name
	pattern  *regexp.Regexp // of the path, with a named group for each parameter
}

// What a parameter is in a path whose special characters are quoted.
var (
	parameter = regexp.MustCompile(`\\\{(\w+)\\\}`)
	greedy    = regexp.MustCompile(`\\\{(\w+)\\\+\\\}`)
)

func newRoute(function string, r cfn.Route) (route, error) {
	pattern := parameter.ReplaceAllString(regexp.QuoteMeta(r.Path), `(?P<$1>[^/]+)`)
	// An empty rest ("/proxy/") counts: the function says what is wrong with it.
	pattern = greedy.ReplaceAllString(pattern, `(?P<$1>.*)`)
	compiled, err := regexp.Compile(`(?s)^` + pattern + `$`)
	return route{r, function, compiled}, err
}

// key is how an HTTP API names the route.
func (rt *route) key() string { return rt.Method + " " + rt.Path }

// sortRoutes puts the routes in the order in which they are tried: literals
// before parameters, since "{" sorts after every letter.
func sortRoutes(routes []route) {
	slices.SortFunc(routes, func(a, b route) int { return cmp.Compare(a.Path, b.Path) })
}

// findRoute returns the route that answers method and path, or nil, and the
// path's parameters as the path has them, nil for none.
func findRoute(routes []route, method, path string) (*route, map[string]string) {
	for i := range routes {
		rt := &routes[i]
		values := rt.pattern.FindStringSubmatch(path)
		if values == nil || rt.Method != method && rt.Method != "ANY" {
			continue
		}
		var params map[string]string
		for group, name := range rt.pattern.SubexpNames()[1:] {
			if params == nil {
				params = map[string]string{}
			}
			params[name] = values[group+1]
		}
		return rt, params
	}
	return nil, nil
}

// sentPath is the path as the caller wrote it, percent-escapes, dots and
// doubled slashes included.
func sentPath(r *http.Request) string {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(path, "/") {
		return r.URL.EscapedPath() // "GET http://host/path", as to a proxy
	}
	return path
}
