package lambdahttp

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/awslabs/aws-lambda-go-api-proxy/core"
)

// An event is what Lambda hands a function: a request from a REST API (payload
// 1.0) or an HTTP API (payload 2.0), or messages from an SQS queue. One type for
// all means that the payload is decoded once, whichever it is: a body may be
// 6 MB, and a look ahead at the version would read it twice.
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

// A request is what either kind of API asks for, in the terms of HTTP.
type request struct {
	method    string
	route     string // resource of the matched route, such as /token/{userId}
	callerARN string // see [CallerARN]
	sourceIP  string // of the peer that called API Gateway
	url       *url.URL
	header    http.Header
}

// errNotRequest is a payload that no API Gateway sends.
var errNotRequest = errors.New("the payload is no API Gateway proxy event of format 1.0 or 2.0")

// request returns the request that the event is. Where it cannot be read, the
// error says why, and the request holds what can.
func (e *event) request() (request, error) {
	if e.Version == "2.0" {
		return e.httpRequest()
	}
	return e.restRequest()
}

// toHTTP returns q as an [http.Request], with the event's body.
//
// aws-lambda-go-api-proxy decodes the body. It is shown no path, query or header
// field: it would splice the path into a URL (where a decoded ? or # changes its
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
	// Without a port, httputil.ReverseProxy and others see no address.
	r.RemoteAddr = net.JoinHostPort(q.sourceIP, "0")
	return r, nil
}

// withoutForged removes the fields in which aws-lambda-go-api-proxy can carry
// an event's context. This package never sets them, so the caller did.
func withoutForged(header http.Header) http.Header {
	for name := range header {
		if strings.HasPrefix(name, "X-Golambdaproxy-") {
			delete(header, name)
		}
	}
	return header
}

// withoutBasePath returns a path without what a custom domain's API mapping puts
// in front of the route: /chat/token/u1 on route /token/{userId} is /token/u1.
// The route is compared segment by segment, so nothing that the caller wrote in
// its parameters can pass for its beginning. Literal segments come back as the
// route has them, however the caller encoded them. A path that does not match
// the route comes back as it is.
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

// optional decodes JSON that may be absent, or have another shape.
func optional[T any](raw json.RawMessage) (v T) {
	if len(raw) == 0 || json.Unmarshal(raw, &v) != nil {
		var none T
		return none
	}
	return v
}
