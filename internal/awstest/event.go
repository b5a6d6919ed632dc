package awstest

import (
	"encoding/base64"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// ServiceEvent is the event in which a REST API passes on a request that it
// authenticated with IAM (payload 1.0). A body goes as base64, as one of a
// binary media type does.
func ServiceEvent(t testing.TB, r *http.Request, resource string) map[string]any {
	event := AnonymousServiceEvent(t, r, resource)
	event["requestContext"] = map[string]any{"identity": map[string]any{
		"sourceIp": "198.51.100.20",
		"userArn":  "arn:aws:sts::123456789012:assumed-role/checkout/1",
	}}
	return event
}

// AnonymousServiceEvent is [ServiceEvent] for a route that asks for no
// authentication.
func AnonymousServiceEvent(t testing.TB, r *http.Request, resource string) map[string]any {
	return map[string]any{
		"resource":                        resource,
		"path":                            r.URL.EscapedPath(),
		"httpMethod":                      r.Method,
		"multiValueHeaders":               r.Header,
		"multiValueQueryStringParameters": r.URL.Query(),
		"requestContext":                  map[string]any{"identity": map[string]any{"sourceIp": "198.51.100.20"}},
		"body":                            body(t, r),
		"isBase64Encoded":                 true,
	}
}

// ClientEvent is the event in which an HTTP API passes on a request (payload
// 2.0): names in lower case, repeated fields joined, the path decoded.
func ClientEvent(t testing.TB, r *http.Request, resource string) map[string]any {
	headers := make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		headers[strings.ToLower(name)] = strings.Join(r.Header[name], ",")
	}
	path, err := url.PathUnescape(r.URL.EscapedPath())
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{
		"version":        "2.0",
		"routeKey":       r.Method + " " + resource,
		"rawPath":        path,
		"rawQueryString": r.URL.RawQuery,
		"headers":        headers,
		"requestContext": map[string]any{"http": map[string]any{
			"method": r.Method, "path": path, "sourceIp": "203.0.113.10",
		}},
		"body":            body(t, r),
		"isBase64Encoded": true,
	}
}

func body(t testing.TB, r *http.Request) string {
	if r.Body == nil {
		return ""
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(text)
}
