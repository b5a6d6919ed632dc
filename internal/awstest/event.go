package awstest

import (
	"io"
	"net/http"
	"net/url"
	"testing"

	"chat-service-backend/internal/apigateway"
	"chat-service-backend/internal/standin"
)

// ServiceEvent is the event in which a REST API passes on a request that it
// authenticated with IAM (payload 1.0). A body goes as base64, as one of a
// binary media type does.
func ServiceEvent(t testing.TB, r *http.Request, resource string) map[string]any {
	return serviceEvent(t, r, resource, "arn:aws:sts::123456789012:assumed-role/checkout/1")
}

// AnonymousServiceEvent is [ServiceEvent] for a route that asks for no
// authentication.
func AnonymousServiceEvent(t testing.TB, r *http.Request, resource string) map[string]any {
	return serviceEvent(t, r, resource, "")
}

func serviceEvent(t testing.TB, r *http.Request, resource, caller string) map[string]any {
	request := arrived(t, r, resource)
	request.Path, request.Caller, request.Binary = r.URL.EscapedPath(), caller, []string{"*/*"}
	event, _ := apigateway.RESTEvent(request)
	return event
}

// ClientEvent is the event in which an HTTP API passes on a request (payload
// 2.0).
func ClientEvent(t testing.TB, r *http.Request, resource string) map[string]any {
	request := arrived(t, r, resource)
	var err error
	if request.Path, err = url.PathUnescape(r.URL.EscapedPath()); err != nil {
		t.Fatal(err)
	}
	request.RouteKey = r.Method + " " + resource
	event, _ := apigateway.HTTPEvent(request)
	return event
}

func arrived(t testing.TB, r *http.Request, resource string) *apigateway.Request {
	request := &apigateway.Request{Request: r.Clone(t.Context()), Resource: resource, Stage: "v1", ID: standin.UUID()}
	if r.Body == nil {
		return request
	}
	var err error
	if request.Body, err = io.ReadAll(r.Body); err != nil {
		t.Fatal(err)
	}
	return request
}
