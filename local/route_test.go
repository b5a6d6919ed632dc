package main

import (
	"maps"
	"strings"
	"testing"

	"chat-service-backend/internal/cfn"
)

func testRoutes(t testing.TB, keys ...string) []route {
	t.Helper()
	var routes []route
	for _, key := range keys {
		method, path, _ := strings.Cut(key, " ")
		rt, err := newRoute("f", cfn.Route{Method: method, Path: path})
		if err != nil {
			t.Fatal(err)
		}
		routes = append(routes, rt)
	}
	return routes
}

func TestFindRoute(t *testing.T) {
	t.Parallel()
	routes := testRoutes(t,
		"ANY /{any+}", "GET /token/{userId}", "GET /token/me", "ANY /token/{userId}", "get /a/{x}/c", "POST /proxy/{path+}", "GET /api-key")
	for _, c := range []struct {
		method, path string
		want         string // the route's key
		params       map[string]string
	}{
		{"GET", "/token/alice", "GET /token/{userId}", map[string]string{"userId": "alice"}},
		{"GET", "/token/me", "GET /token/me", nil},
		{"PUT", "/token/me", "ANY /token/{userId}", map[string]string{"userId": "me"}},
		{"GET", "/token/a%2Fb", "GET /token/{userId}", map[string]string{"userId": "a%2Fb"}},
		{"GET", "/%74oken/x", "GET /token/{userId}", map[string]string{"userId": "x"}},
		{"GET", "/token/", "ANY /{any+}", map[string]string{"any": "token/"}},
		{"GET", "/token/alice/", "ANY /{any+}", map[string]string{"any": "token/alice/"}},
		{"GET", "/a/b/c", "GET /a/{x}/c", map[string]string{"x": "b"}},
		{"POST", "/proxy/a/../b//c%2f", "POST /proxy/{path+}", map[string]string{"path": "a/../b//c%2f"}},
		{"POST", "/proxy//", "POST /proxy/{path+}", map[string]string{"path": "/"}},
		{"POST", "/proxy/", "POST /proxy/{path+}", map[string]string{"path": ""}},
		{"POST", "/proxy", "ANY /{any+}", map[string]string{"any": "proxy"}},
	} {
		rt, params := findRoute(routes, c.method, c.path, true)
		if rt == nil || rt.key() != c.want || !maps.Equal(params, c.params) {
			t.Errorf("%s %s: want %s %v, got %+v %v", c.method, c.path, c.want, c.params, rt, params)
		}
	}
	for _, c := range [][2]string{{"POST", "/api-key"}, {"GET", "/api-key/"}, {"GET", "/other"}, {"GET", "*"}, {"GET", ""}} {
		if rt, _ := findRoute(routes[1:], c[0], c[1], true); rt != nil {
			t.Errorf("%s %s: want no route, got %s", c[0], c[1], rt.key())
		}
	}
}

func TestNewRouteRefusesWhatNoGatewayHas(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"x", "/{}", "/{+}", "/{a+}/b"} {
		if rt, err := newRoute("f", cfn.Route{Method: "GET", Path: path}); err == nil {
			t.Errorf("%s: want an error, got %+v", path, rt)
		}
	}
}
