package lambdahttp

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/awslabs/aws-lambda-go-api-proxy/core"
)

// httpFields are the fields that only an HTTP API's event has (payload 2.0).
type httpFields struct {
	Version        string            `json:"version"`
	RouteKey       string            `json:"routeKey"`
	RawPath        string            `json:"rawPath"`
	RawQueryString string            `json:"rawQueryString"`
	PathParameters map[string]string `json:"pathParameters"`
	Cookies        []string          `json:"cookies"`
}

type httpContext struct {
	HTTP events.APIGatewayV2HTTPRequestContextHTTPDescription `json:"http"`
	// Authorizer is decoded later: in a REST API's event it may be anything that a
	// custom authorizer returns.
	Authorizer json.RawMessage `json:"authorizer"`
}

// httpRequest reads an HTTP API's event, whose path is decoded and whose query is as
// the caller sent it.
func (e *event) httpRequest() (request, error) {
	_, route, _ := strings.Cut(e.RouteKey, " ")
	q := request{
		method:   e.RequestContext.HTTP.Method,
		route:    route,
		sourceIP: e.RequestContext.HTTP.SourceIP,
		header:   e.httpHeader(),
		url:      &url.URL{Path: e.httpPath(route), RawQuery: e.RawQueryString},
	}
	var authorizer events.APIGatewayV2HTTPRequestContextAuthorizerDescription
	if len(e.RequestContext.Authorizer) > 0 && json.Unmarshal(e.RequestContext.Authorizer, &authorizer) == nil && authorizer.IAM != nil {
		q.callerARN = authorizer.IAM.UserARN
	}
	return q, nil
}

// httpPath returns the path without a base path. Since the path is decoded, %2Ftoken%2F
// in a parameter may look like the route's beginning: a path that would cut a parameter
// short is returned unchanged.
func (e *event) httpPath(route string) string {
	path := withoutBasePath(e.RawPath, route, func(s string) (string, error) { return s, nil })
	for _, value := range e.PathParameters {
		if plain, err := url.PathUnescape(value); err == nil {
			value = plain
		}
		if !strings.Contains(path+"/", "/"+value+"/") {
			return e.RawPath
		}
	}
	return path
}

// httpHeader returns the header fields as they arrived, except that an HTTP API joins
// repeated ones with commas. They stay joined: only the reader of a field knows which
// commas separate.
func (e *event) httpHeader() http.Header {
	header := make(http.Header, len(e.Headers)+1)
	for name, value := range e.Headers {
		header.Add(name, value)
	}
	if len(e.Cookies) > 0 {
		header.Set("Cookie", strings.Join(e.Cookies, "; "))
	}
	return withoutForged(header)
}

// httpResponse returns b as a response for an HTTP API.
func httpResponse(b *buffer) any {
	w := core.NewProxyResponseWriterV2()
	b.copyTo(w)
	// GetProxyResponse fails only without a status, and serve has set one.
	response, _ := w.GetProxyResponse()
	return response
}
