package main

import (
	"maps"
	"strings"
	"testing"

	"chat-service-backend/ops/cfn"
)

func TestFindRoute(t *testing.T) {
	t.Parallel()
	var routes []route
	for _, key := range []string{"GET /token/{userId}", "GET /token/me", "GET /a/{x}/c/{y}", "POST /proxy/{path+}", "ANY /api-key"} {
		method, path, _ := strings.Cut(key, " ")
		routes = append(routes, newRoute("f", cfn.Route{Method: method, Path: path}))
	}
	sortRoutes(routes)
	for _, c := range []struct {
		method, path string
		want         string // the route's key
		params       map[string]string
	}{
		{"GET", "/token/alice", "GET /token/{userId}", map[string]string{"userId": "alice"}},
		{"GET", "/token/me", "GET /token/me", nil},
		{"GET", "/token/a%2Fb", "GET /token/{userId}", map[string]string{"userId": "a%2Fb"}},
		{"GET", "/a/b/c/d", "GET /a/{x}/c/{y}", map[string]string{"x": "b", "y": "d"}},
		{"PUT", "/api-key", "ANY /api-key", nil},
		{"POST", "/proxy/a/../b//c%2f", "POST /proxy/{path+}", map[string]string{"path": "a/../b//c%2f"}},
		{"POST", "/proxy//", "POST /proxy/{path+}", map[string]string{"path": "/"}},
		{"POST", "/proxy/", "POST /proxy/{path+}", map[string]string{"path": ""}},
	} {
		rt, params := findRoute(routes, c.method, c.path)
		if rt == nil || rt.key() != c.want || !maps.Equal(params, c.params) {
			t.Errorf("%s %s: want %s %v, got %+v %v", c.method, c.path, c.want, c.params, rt, params)
		}
	}
	for _, c := range [][2]string{{"POST", "/token/alice"}, {"GET", "/token/"}, {"GET", "/token/alice/"}, {"POST", "/proxy"}, {"GET", "/api-key/"}, {"GET", "*"}, {"GET", ""}} {
		if rt, _ := findRoute(routes, c[0], c[1]); rt != nil {
			t.Errorf("%s %s: want no route, got %s", c[0], c[1], rt.key())
		}
	}
}
