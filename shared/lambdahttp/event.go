package lambdahttp

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/aws/aws-lambda-go/events"
)

// An event is what API Gateway sends, in either payload format. One type for
// both means that the payload is decoded once, whichever it is: a body may be
// 6 MB, and a look ahead at the version would read it twice.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
type event struct {
	// Both formats.
	Headers         map[string]string `json:"headers"`
	Body            string            `json:"body"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
	RequestContext  requestContext    `json:"requestContext"`

	// Payload 1.0 (REST API).
	Resource                        string              `json:"resource"`
	Path                            string              `json:"path"`
	HTTPMethod                      string              `json:"httpMethod"`
	MultiValueHeaders               map[string][]string `json:"multiValueHeaders"`
	QueryStringParameters           map[string]string   `json:"queryStringParameters"`
	MultiValueQueryStringParameters map[string][]string `json:"multiValueQueryStringParameters"`

	// Payload 2.0 (HTTP API).
	Version        string   `json:"version"`
	RouteKey       string   `json:"routeKey"`
	RawPath        string   `json:"rawPath"`
	RawQueryString string   `json:"rawQueryString"`
	Cookies        []string `json:"cookies"`

	// Records are messages, where a queue calls and no API.
	Records []events.SQSMessage `json:"Records"`
}

type requestContext struct {
	// Payload 1.0.
	Identity struct {
		SourceIP string `json:"sourceIp"`
		UserArn  string `json:"userArn"`
	} `json:"identity"`

	// Payload 2.0.
	HTTP events.APIGatewayV2HTTPRequestContextHTTPDescription `json:"http"`

	// Authorizer is decoded late: on a REST API it holds whatever a custom
	// authorizer returned, on an HTTP API it has AWS's own shape.
	Authorizer json.RawMessage `json:"authorizer"`
}

// isHTTPAPI says that the event has payload format 2.0.
func (e *event) isHTTPAPI() bool { return e.Version == "2.0" }

// callerARN is the ARN of the IAM principal whose signature API Gateway has
// checked, or empty. Nothing else in an event proves an IAM caller.
func (e *event) callerARN() string {
	if !e.isHTTPAPI() {
		return e.RequestContext.Identity.UserArn
	}
	var authorizer events.APIGatewayV2HTTPRequestContextAuthorizerDescription
	if len(e.RequestContext.Authorizer) == 0 || json.Unmarshal(e.RequestContext.Authorizer, &authorizer) != nil {
		return ""
	}
	if authorizer.IAM == nil {
		return ""
	}
	return authorizer.IAM.UserARN
}

// route is the resource of the matched route, such as /token/{userId}, or
// empty. Unlike the path it names nobody, so it is what the log shows.
func (e *event) route() string {
	if !e.isHTTPAPI() {
		return e.Resource
	}
	_, resource, _ := strings.Cut(e.RouteKey, " ")
	return resource
}

// method is the request's HTTP method.
func (e *event) method() string {
	if e.isHTTPAPI() {
		return e.RequestContext.HTTP.Method
	}
	return e.HTTPMethod
}

// sourceIP is the address of the peer that called API Gateway.
func (e *event) sourceIP() string {
	if e.isHTTPAPI() {
		return e.RequestContext.HTTP.SourceIP
	}
	return e.RequestContext.Identity.SourceIP
}

// url is the path and query that the caller asked for.
//
// A REST API passes the path on as it was sent and the query decoded, an HTTP
// API the path decoded and the query as it was sent.
func (e *event) url() (*url.URL, error) {
	if e.isHTTPAPI() {
		return &url.URL{
			Path:     stripBasePath(e.RawPath, e.route()),
			RawQuery: e.RawQueryString,
		}, nil
	}
	escaped := stripBasePath(e.Path, e.route())
	path, err := url.PathUnescape(escaped)
	if err != nil {
		return nil, fmt.Errorf("path: %w", err)
	}
	return &url.URL{Path: path, RawPath: escapeRest(escaped), RawQuery: e.query()}, nil
}

// escapeRest percent-encodes in an encoded path what should have been and was
// not, such as a quotation mark. With that in it, net/url would ignore RawPath
// and encode Path, which no longer knows an encoded slash from a slash.
func escapeRest(path string) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			strings.IndexByte("%/-._~!$&'()*+,;=:@", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// query is the query string of a REST API's request, rebuilt: names in
// alphabetical order, the values of each in the order they were sent.
func (e *event) query() string {
	if len(e.MultiValueQueryStringParameters) > 0 {
		return url.Values(e.MultiValueQueryStringParameters).Encode()
	}
	values := make(url.Values, len(e.QueryStringParameters))
	for name, value := range e.QueryStringParameters {
		values.Set(name, value)
	}
	return values.Encode()
}

// stripBasePath removes what a custom domain's API mapping put in front of the
// route: /chat/token/u1 on route /token/{userId} becomes /token/u1.
func stripBasePath(path, route string) string {
	literal, _, _ := strings.Cut(route, "{")
	if strings.HasPrefix(path, literal) {
		return path
	}
	if i := strings.Index(path, literal); i > 0 {
		return path[i:]
	}
	return path
}

// header is the request's header fields as they arrived, less those that
// pretend to come from the event adapter.
func (e *event) header() http.Header {
	header := make(http.Header, len(e.Headers)+1)
	if e.MultiValueHeaders != nil && !e.isHTTPAPI() {
		for name, values := range e.MultiValueHeaders {
			name = textproto.CanonicalMIMEHeaderKey(name)
			header[name] = append(header[name], values...)
		}
	} else {
		// An HTTP API has joined repeated fields with commas. They stay
		// joined: only the reader of a field knows which commas separate.
		for name, value := range e.Headers {
			header.Add(name, value)
		}
	}
	if e.isHTTPAPI() && len(e.Cookies) > 0 {
		header.Set("Cookie", strings.Join(e.Cookies, "; "))
	}
	for name := range header {
		if strings.HasPrefix(name, adapterHeaderPrefix) {
			delete(header, name)
		}
	}
	return header
}

// adapterHeaderPrefix begins the names of the header fields in which
// aws-lambda-go-api-proxy can carry the event's context. This package never
// uses them, so one that is there was sent by the caller.
const adapterHeaderPrefix = "X-Golambdaproxy-"

// complete gives r, made by the event adapter from the body alone, what the
// adapter would get wrong: URL, header fields, host and peer address.
func (e *event) complete(r *http.Request) error {
	u, err := e.url()
	if err != nil {
		return err
	}
	r.URL = u
	r.RequestURI = u.RequestURI()
	r.Header = e.header()
	r.Host = r.Header.Get("Host")
	r.Header.Del("Host")
	// Without a port, httputil.ReverseProxy and others do not see an address.
	r.RemoteAddr = net.JoinHostPort(e.sourceIP(), "0")
	return nil
}
