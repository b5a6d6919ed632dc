package lambdahttp

import (
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/awslabs/aws-lambda-go-api-proxy/core"
)

// restFields are the fields that only a REST API's event has (payload 1.0).
type restFields struct {
	Resource                        string              `json:"resource"`
	Path                            string              `json:"path"`
	HTTPMethod                      string              `json:"httpMethod"`
	MultiValueHeaders               map[string][]string `json:"multiValueHeaders"`
	QueryStringParameters           map[string]string   `json:"queryStringParameters"`
	MultiValueQueryStringParameters map[string][]string `json:"multiValueQueryStringParameters"`
}

type restContext struct {
	Identity struct {
		SourceIP string `json:"sourceIp"`
		UserArn  string `json:"userArn"`
	} `json:"identity"`
}

// restRequest reads a REST API's event, whose path is percent-encoded as the caller
// sent it, and whose query is decoded.
func (e *event) restRequest() (request, error) {
	q := request{
		method:    e.HTTPMethod,
		route:     e.Resource,
		callerARN: e.RequestContext.Identity.UserArn,
		sourceIP:  e.RequestContext.Identity.SourceIP,
		header:    e.restHeader(),
	}
	escaped := withoutBasePath(e.Path, q.route, url.PathUnescape)
	path, err := url.PathUnescape(escaped)
	if err != nil {
		return q, fmt.Errorf("path: %w", err)
	}
	q.url = &url.URL{Path: path, RawPath: escapeRest(escaped), RawQuery: e.restQuery()}
	return q, nil
}

// restHeader returns the header fields as they arrived.
func (e *event) restHeader() http.Header {
	header := make(http.Header, len(e.MultiValueHeaders))
	for name, values := range e.MultiValueHeaders {
		name = textproto.CanonicalMIMEHeaderKey(name)
		header[name] = append(header[name], values...)
	}
	if e.MultiValueHeaders == nil {
		for name, value := range e.Headers {
			header.Add(name, value)
		}
	}
	return withoutForged(header)
}

// restQuery rebuilds the query string: names in alphabetical order, the values of each
// in the order sent.
func (e *event) restQuery() string {
	if len(e.MultiValueQueryStringParameters) > 0 {
		return url.Values(e.MultiValueQueryStringParameters).Encode()
	}
	values := make(url.Values, len(e.QueryStringParameters))
	for name, value := range e.QueryStringParameters {
		values.Set(name, value)
	}
	return values.Encode()
}

// escapeRest percent-encodes what should be encoded in a path and is not, such as a
// quotation mark. Because of one, net/url would ignore RawPath and encode Path, in which
// an encoded slash is a slash.
func escapeRest(path string) string {
	const unescaped = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789%/-._~!$&'()*+,;=:@"
	if strings.Trim(path, unescaped) == "" {
		return path
	}
	var b strings.Builder
	for _, c := range []byte(path) {
		if strings.IndexByte(unescaped, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// restResponse returns b as a response for a REST API.
func restResponse(b *buffer) any {
	w := core.NewProxyResponseWriter()
	b.copyTo(w)
	// GetProxyResponse fails only without a status, and serve has set one.
	response, _ := w.GetProxyResponse()
	return response
}
