package awstest

import (
	"io"
	"net/http"
	"testing"

	"chat-service-backend/internal/apigateway"
	"chat-service-backend/internal/standin"
)

// ServiceEvent returns the event with which a REST API passes on a request that
// it authenticated with IAM (payload 1.0). The body is base64, like those of a
// binary media type.
func ServiceEvent(t testing.TB, r *http.Request, resource string) map[string]any {
	request := received(t, r, resource)
	request.Caller = "arn:aws:sts::123456789012:assumed-role/checkout/1"
	event, _ := apigateway.RESTEvent(request)
	return event
}

// AnonymousServiceEvent is [ServiceEvent] for a route without authentication.
func AnonymousServiceEvent(t testing.TB, r *http.Request, resource string) map[string]any {
	event, _ := apigateway.RESTEvent(received(t, r, resource))
	return event
}

// ClientEvent returns the event with which an HTTP API passes on a request
// (payload 2.0).
func ClientEvent(t testing.TB, r *http.Request, resource string) map[string]any {
	request := received(t, r, resource)
	request.Path, request.RouteKey = r.URL.Path, r.Method+" "+resource
	event, _ := apigateway.HTTPEvent(request)
	return event
}

func received(t testing.TB, r *http.Request, resource string) *apigateway.Request {
	request := &apigateway.Request{
		Request: r.Clone(t.Context()), Path: r.URL.EscapedPath(), Resource: resource, Stage: "v1", ID: standin.UUID(), Binary: []string{"*/*"},
	}
	if r.Body != nil {
		request.Body, _ = io.ReadAll(r.Body)
	}
	return request
}
