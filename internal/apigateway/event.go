// Package apigateway makes the events that API Gateway sends to a function and
// reads the function's answers, in both payload formats.
package apigateway

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// AccountID is the account that everything seems to run in.
const AccountID = "000000000000"

// A Request is what a gateway knows when it calls a function.
type Request struct {
	*http.Request
	Path     string            // HTTP API: decoded; REST API: as the caller sent it
	Body     []byte            // whole
	Resource string            // the route's path, "/token/{userId}"
	RouteKey string            // of an HTTP API, "GET /token/{userId}"
	Stage    string            // of a REST API
	Params   map[string]string // the path's
	ID       string            // of the request
	Caller   string            // ARN of the caller whom a REST API has authenticated
	Binary   []string          // a REST API's BinaryMediaTypes
}

// HTTPEvent returns the event with which an HTTP API passes a request on, payload
// 2.0, and its X-Ray trace.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
func HTTPEvent(r *Request) (event map[string]any, trace string) {
	sourceIP, trace := r.arrive()
	headers := map[string]string{"host": r.Host}
	for name, values := range r.Header {
		headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	delete(headers, "cookie")
	var cookies []string
	for cookie := range strings.SplitSeq(strings.Join(r.Header["Cookie"], ";"), ";") {
		if cookie = strings.TrimSpace(cookie); cookie != "" {
			cookies = append(cookies, cookie)
		}
	}
	if len(r.Body) > 0 || r.Header.Get("Content-Length") != "" {
		headers["content-length"] = strconv.Itoa(len(r.Body))
	}
	query := map[string]string{}
	for name, values := range r.query() {
		query[name] = strings.Join(values, ",")
	}
	event = map[string]any{
		"version": "2.0", "routeKey": r.RouteKey, "rawPath": r.Path, "rawQueryString": r.URL.RawQuery,
		"headers": headers, "isBase64Encoded": false,
		"requestContext": r.context(map[string]any{
			"http": map[string]any{
				"method": r.Method, "path": r.Path, "protocol": r.Proto, "sourceIp": sourceIP, "userAgent": r.UserAgent(),
			},
			"routeKey": r.RouteKey, "stage": "$default", "time": clock(time.Now()), "timeEpoch": time.Now().UnixMilli(),
		}),
	}
	if len(cookies) > 0 {
		event["cookies"] = cookies
	}
	if len(query) > 0 {
		event["queryStringParameters"] = query
	}
	if len(r.Params) > 0 {
		event["pathParameters"] = r.Params
	}
	r.setBody(event, !isText(r.Header))
	return event, trace
}

// RESTEvent returns the event with which a REST API passes a request on, payload
// 1.0, and its X-Ray trace.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
func RESTEvent(r *Request) (event map[string]any, trace string) {
	sourceIP, trace := r.arrive()
	headers := map[string][]string(r.Header.Clone())
	delete(headers, "Content-Length") // which a REST API does not pass on
	headers["Host"] = []string{r.Host}
	query := r.query()
	identity := map[string]any{
		"accessKey": nil, "accountId": nil, "caller": nil, "user": nil, "userArn": nil,
		"sourceIp": sourceIP, "userAgent": r.UserAgent(),
	}
	if r.Caller != "" {
		for _, name := range []string{"accessKey", "caller", "user"} {
			identity[name] = "local"
		}
		identity["accountId"], identity["userArn"] = AccountID, r.Caller
	}
	event = map[string]any{
		"resource": r.Resource, "path": r.Path, "httpMethod": r.Method,
		"headers": last(headers), "multiValueHeaders": headers,
		"queryStringParameters": last(query), "multiValueQueryStringParameters": query,
		"pathParameters": r.Params, "stageVariables": nil, "body": nil, "isBase64Encoded": false,
		"requestContext": r.context(map[string]any{
			"extendedRequestId": base64.StdEncoding.EncodeToString([]byte(RandomHex(6)[:11])),
			"httpMethod":        r.Method, "identity": identity, "path": "/" + r.Stage + r.Path, "protocol": r.Proto,
			"requestTime": clock(time.Now()), "requestTimeEpoch": time.Now().UnixMilli(),
			"resourceId": "local", "resourcePath": r.Resource, "stage": r.Stage,
		}),
	}
	r.setBody(event, r.isBinary())
	return event, trace
}

// context adds to a requestContext what both formats have.
func (r *Request) context(context map[string]any) map[string]any {
	prefix, _, _ := strings.Cut(r.Host, ".")
	maps.Copy(context, map[string]any{
		"accountId": AccountID, "apiId": "local", "domainName": r.Host, "domainPrefix": prefix, "requestId": r.ID,
	})
	return context
}

func (r *Request) setBody(event map[string]any, binary bool) {
	switch {
	case len(r.Body) == 0:
	case binary:
		event["body"], event["isBase64Encoded"] = base64.StdEncoding.EncodeToString(r.Body), true
	default:
		event["body"] = string(r.Body) // what is not UTF-8 arrives damaged: JSON has U+FFFD for each such byte
	}
}

// arrive sets the headers that AWS adds to a request: the peer at the end of
// X-Forwarded-For, the connection's own port and scheme, and a trace id unless
// the caller sent one.
func (r *Request) arrive() (sourceIP, trace string) {
	sourceIP, _, _ = net.SplitHostPort(r.RemoteAddr)
	port := ""
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		_, port, _ = net.SplitHostPort(local.String())
	}
	trace = r.Header.Get("X-Amzn-Trace-Id")
	if !strings.Contains(trace, "Root=") {
		root := fmt.Sprintf("Root=1-%08x-%s", time.Now().Unix(), RandomHex(12))
		trace = strings.TrimSuffix(root+";"+trace, ";")
	}
	r.Header.Set("X-Forwarded-For", strings.Join(append(r.Header.Values("X-Forwarded-For"), sourceIP), ", "))
	r.Header.Set("X-Forwarded-Port", cmp.Or(port, "443"))
	r.Header.Set("X-Forwarded-Proto", "http")
	r.Header.Set("X-Amzn-Trace-Id", trace)
	return sourceIP, trace
}

// query splits the query at & and decodes each part once. Invalid percent-encoding stays as
// it is. Without a query it is nil.
func (r *Request) query() (query map[string][]string) {
	decode := func(s string) string {
		if plain, err := url.QueryUnescape(s); err == nil {
			return plain
		}
		return s
	}
	for part := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if part == "" {
			continue
		}
		if query == nil {
			query = map[string][]string{}
		}
		name, value, _ := strings.Cut(part, "=")
		name = decode(name)
		query[name] = append(query[name], decode(value))
	}
	return query
}

// last returns the last of each name's values; of nil, which is null in an event, nil.
func last(all map[string][]string) map[string]string {
	if all == nil {
		return nil
	}
	one := map[string]string{}
	for name, values := range all {
		if len(values) > 0 {
			one[name] = values[len(values)-1]
		}
	}
	return one
}

// mediaType returns the type that Content-Type names, or "".
func mediaType(h http.Header) string {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type")) // which returns it beside an invalid parameter, too
	return kind
}

// isText reports whether an HTTP API passes a body with these headers on as text.
func isText(h http.Header) bool {
	switch kind := mediaType(h); {
	case h.Get("Content-Encoding") != "":
		return false
	case kind == "application/json", kind == "application/javascript", kind == "application/xml":
		return true
	default:
		return strings.HasPrefix(kind, "text/") || strings.HasSuffix(kind, "+json") || strings.HasSuffix(kind, "+xml")
	}
}

// isBinary reports whether the REST API's BinaryMediaTypes name the content type.
func (r *Request) isBinary() bool {
	kind := mediaType(r.Header)
	return slices.ContainsFunc(r.Binary, func(pattern string) bool {
		match, _ := path.Match(pattern, kind)
		return match || pattern == "*/*" // even without a type
	})
}

// clock returns a time as API Gateway writes it.
func clock(t time.Time) string { return t.UTC().Format("02/Jan/2006:15:04:05 +0000") }

// RandomHex returns n random bytes as hexadecimal digits.
func RandomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}
