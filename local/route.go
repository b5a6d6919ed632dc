package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// segment is one part of a route's path: literal text, or a parameter, which
// is greedy when it takes all that is left ("{path+}").
type segment struct {
	text   string // the literal, or the parameter's name
	param  bool
	greedy bool
}

// newRoute reads a route's path, "/token/{userId}" or "/proxy/{path+}". An
// empty path is an HTTP API's $default route.
func newRoute(method, path string) (route, error) {
	rt := route{method: strings.ToUpper(method), path: path}
	if rt.method == "*" || rt.method == "X-AMAZON-APIGATEWAY-ANY-METHOD" {
		rt.method = "ANY"
	}
	if path == "" || path == "$default" {
		rt.path = "$default"
		rt.segments = []segment{{text: "", param: true, greedy: true}}
		return rt, nil
	}
	if !strings.HasPrefix(path, "/") {
		return rt, fmt.Errorf("want a path that begins with /, got %q", path)
	}
	parts := strings.Split(path[1:], "/")
	for i, part := range parts {
		s := segment{text: part}
		if strings.HasPrefix(part, "{") && strings.HasSuffix(part, "}") {
			s.param = true
			s.text, s.greedy = strings.CutSuffix(part[1:len(part)-1], "+")
			if s.text == "" {
				return rt, fmt.Errorf("want a name between the braces of %q", path)
			}
			if s.greedy && i != len(parts)-1 {
				return rt, fmt.Errorf("want %s at the end of %q", part, path)
			}
		}
		rt.segments = append(rt.segments, s)
	}
	return rt, nil
}

// key is how an HTTP API names the route: "GET /token/{userId}", or $default.
func (rt *route) key() string {
	if rt.path == "$default" {
		return rt.path
	}
	return rt.method + " " + rt.path
}

// findRoute returns the route that answers method and path, or nil, and the
// path's parameters as they stand there. A literal beats a parameter, a
// parameter a greedy one, counted from the left, and a named method beats ANY.
// With escaped, literals are compared after percent-decoding.
func findRoute(routes []route, method, path string, escaped bool) (*route, map[string]string) {
	if !strings.HasPrefix(path, "/") {
		return nil, nil
	}
	parts := strings.Split(path[1:], "/")
	var best *route
	for i := range routes {
		rt := &routes[i]
		if rt.method != method && rt.method != "ANY" {
			continue
		}
		if rt.matches(parts, escaped) && (best == nil || rt.beats(best)) {
			best = rt
		}
	}
	if best == nil {
		return nil, nil
	}
	var params map[string]string
	for i, s := range best.segments {
		if !s.param || s.text == "" {
			continue
		}
		if params == nil {
			params = map[string]string{}
		}
		params[s.text] = parts[i]
		if s.greedy {
			params[s.text] = strings.Join(parts[i:], "/")
		}
	}
	return best, params
}

func (rt *route) matches(parts []string, escaped bool) bool {
	for i, s := range rt.segments {
		if i >= len(parts) {
			return false
		}
		part := parts[i]
		switch {
		case s.greedy:
			// An empty rest ("/proxy/") matches, so that the function says what is wrong with it.
			return true
		case s.param:
			if part == "" {
				return false
			}
		default:
			if escaped {
				if plain, err := url.PathUnescape(part); err == nil {
					part = plain
				}
			}
			if part != s.text {
				return false
			}
		}
	}
	return len(parts) == len(rt.segments)
}

func (rt *route) beats(other *route) bool {
	for i := range min(len(rt.segments), len(other.segments)) {
		a, b := rt.segments[i].rank(), other.segments[i].rank()
		if a != b {
			return a > b
		}
	}
	return rt.method != "ANY" && other.method == "ANY"
}

func (s segment) rank() int {
	switch {
	case s.greedy:
		return 0
	case s.param:
		return 1
	}
	return 2
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
