package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"chat-service-backend/internal/cfn"
)

// route is one of a function's routes. A part of its path is a literal, a
// parameter, "{userId}", or at the end one that takes all that is left, "{path+}".
type route struct {
	cfn.Route
	function string // its name
	parts    []string
}

func newRoute(function string, r cfn.Route) (route, error) {
	rt := route{r, function, strings.Split(strings.TrimPrefix(r.Path, "/"), "/")}
	rt.Method = strings.ToUpper(rt.Method)
	for i, part := range rt.parts {
		if part == "{}" || part == "{+}" || rank(part) == greedy && i < len(rt.parts)-1 {
			return rt, fmt.Errorf("want named parameters, a greedy one at the end, got %q", r.Path)
		}
	}
	if !strings.HasPrefix(r.Path, "/") {
		return rt, fmt.Errorf("want a path that begins with /, got %q", r.Path)
	}
	return rt, nil
}

// key is how an HTTP API names the route.
func (rt *route) key() string { return rt.Method + " " + rt.Path }

// What a part of a path is, the one that wins last.
const (
	greedy = iota
	parameter
	literal
)

func rank(part string) int {
	switch {
	case !strings.HasPrefix(part, "{"):
		return literal
	case strings.HasSuffix(part, "+}"):
		return greedy
	}
	return parameter
}

// findRoute returns the route that answers method and path, or nil, and the
// path's parameters as they stand there. A literal beats a parameter, a
// parameter a greedy one, counted from the left, and a named method beats ANY.
// With escaped, literals are compared after percent-decoding.
func findRoute(routes []route, method, path string, escaped bool) (best *route, params map[string]string) {
	if !strings.HasPrefix(path, "/") {
		return nil, nil
	}
	parts := strings.Split(path[1:], "/")
	for i := range routes {
		rt := &routes[i]
		if rt.Method != method && rt.Method != "ANY" {
			continue
		}
		if found, ok := rt.match(parts, escaped); ok && (best == nil || rt.beats(best)) {
			best, params = rt, found
		}
	}
	return best, params
}

// match returns the path's parameters, if it is one of the route's. An empty
// rest ("/proxy/") matches a greedy parameter: the function says what is wrong
// with it.
func (rt *route) match(parts []string, escaped bool) (params map[string]string, ok bool) {
	set := func(name, value string) {
		if params == nil {
			params = map[string]string{}
		}
		params[name] = value
	}
	for i, want := range rt.parts {
		if i >= len(parts) {
			return nil, false
		}
		part := parts[i]
		switch rank(want) {
		case greedy:
			set(want[1:len(want)-2], strings.Join(parts[i:], "/"))
			return params, true
		case parameter:
			if part == "" {
				return nil, false
			}
			set(want[1:len(want)-1], part)
		case literal:
			if plain, err := url.PathUnescape(part); escaped && err == nil {
				part = plain
			}
			if part != want {
				return nil, false
			}
		}
	}
	return params, len(parts) == len(rt.parts)
}

func (rt *route) beats(other *route) bool {
	by := slices.CompareFunc(rt.parts, other.parts, func(a, b string) int { return rank(a) - rank(b) })
	return by > 0 || by == 0 && rt.Method != "ANY" && other.Method == "ANY"
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
