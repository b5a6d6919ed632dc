package lambdahttp

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/awslabs/aws-lambda-go-api-proxy/core"
)

// An event is a request from a REST API (payload 1.0) or an HTTP API (payload 2.0), or
// messages from an SQS queue. With one type for all, the payload is decoded once:
// its body may have 6 MB, and looking at the version first would read it twice.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
type event struct {
	Headers         map[string]string `json:"headers"`
	Body            string            `json:"body"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
	RequestContext  struct {
		restContext
		httpContext
	} `json:"requestContext"`

	restFields
	httpFields
	Records []sqsRecord `json:"Records"`
}

// A request is the HTTP request in an event of either kind of API.
type request struct {
	method    string
	route     string // resource of the matched route, such as /token/{userId}
	callerARN string // see [CallerARN]
	sourceIP  string // of API Gateway's peer
	url       *url.URL
	header    http.Header
}

// errNotRequest is the error of a payload that API Gateway never sends.
var errNotRequest = errors.New("the payload is not an API Gateway proxy event of format 1.0 or 2.0")

// request returns the event's request. With an error, the request has whatever could
// be read.
func (e *event) request() (request, error) {
	if e.Version == "2.0" {
		return e.httpRequest()
	}
	return e.restRequest()
}

// toHTTP returns q as an [http.Request], with the event's body.
//
// aws-lambda-go-api-proxy decodes the body. It does not get the path, query or header
// fields: it would splice the path into a URL (where a decoded ? or # changes its
// meaning), shuffle the query, and split header fields at commas.
func (e *event) toHTTP(ctx context.Context, q request) (*http.Request, error) {
	if q.method == "" {
		return nil, errNotRequest
	}
	var adapter core.RequestAccessor
	r, err := adapter.EventToRequestWithContext(ctx, events.APIGatewayProxyRequest{
		HTTPMethod: q.method, Path: "/", Body: e.Body, IsBase64Encoded: e.IsBase64Encoded,
	})
	if err != nil {
		return nil, err
	}
	r.URL, r.RequestURI, r.Header = q.url, q.url.RequestURI(), q.header
	r.Host = r.Header.Get("Host")
	r.Header.Del("Host")
	// Without a port, httputil.ReverseProxy and others ignore the address.
	r.RemoteAddr = net.JoinHostPort(q.sourceIP, "0")
	return r, nil
}

// withoutForged removes the fields that aws-lambda-go-api-proxy reads an event's
// context from. This package never sets them, so they are the caller's.
func withoutForged(header http.Header) http.Header {
	for name := range header {
		if strings.HasPrefix(name, "X-Golambdaproxy-") {
			delete(header, name)
		}
	}
	return header
}

// withoutBasePath removes the base path of a custom domain's API mapping: on route
// /token/{userId}, /chat/token/u1 becomes /token/u1. The route is compared segment by
// segment, so that nothing in a parameter can pass for its beginning. Literal segments
// are returned as the route spells them, however the caller encoded them. A path that
// does not match the route is returned unchanged.
func withoutBasePath(path, route string, decode func(string) (string, error)) string {
	if !strings.HasPrefix(path, "/") || !strings.HasPrefix(route, "/") {
		return path
	}
	have, want := strings.Split(path[1:], "/"), strings.Split(route[1:], "/")
	first, last := len(have)-len(want), len(have)-len(want)
	if strings.HasSuffix(route, "+}") {
		first = 0 // a greedy parameter takes any number of segments
	}
	for base := first; base >= 0 && base <= last; base++ {
		matched := append([]string{""}, have[base:]...)
		fits := true
		for i, segment := range want {
			if strings.HasPrefix(segment, "{") {
				continue
			}
			plain, err := decode(have[base+i])
			fits = fits && err == nil && plain == segment
			matched[i+1] = segment
		}
		if fits {
			return strings.Join(matched, "/")
		}
	}
	return path
}
