// Package apigateway makes the events that API Gateway sends to a function and
// reads the function's answers, in both payload formats.
package apigateway

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// AccountID is that of the account in which everything seems to run.
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

// HTTPEvent is the request as an HTTP API passes it on, payload 2.0, and its
// X-Ray trace.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
func HTTPEvent(r *Request) (event map[string]any, trace string) {
	sourceIP, trace := r.arrive()
	headers := map[string]string{"host": r.Host}
	var cookies []string
	for name, values := range r.Header {
		if name != "Cookie" {
			headers[strings.ToLower(name)] = strings.Join(values, ",")
			continue
		}
		for cookie := range strings.SplitSeq(strings.Join(values, ";"), ";") {
			if cookie = strings.TrimSpace(cookie); cookie != "" {
				cookies = append(cookies, cookie)
			}
		}
	}
	if len(r.Body) > 0 || r.Header.Get("Content-Length") != "" {
		headers["content-length"] = strconv.Itoa(len(r.Body))
	}
	query := map[string]string{}
	for _, q := range r.query() {
		if before, ok := query[q.name]; ok {
			q.value = before + "," + q.value
		}
		query[q.name] = q.value
	}
	domain, _, _ := strings.Cut(r.Host, ".")
	event = map[string]any{
		"version": "2.0", "routeKey": r.RouteKey, "rawPath": r.Path, "rawQueryString": r.URL.RawQuery,
		"headers": headers, "isBase64Encoded": false,
		"requestContext": map[string]any{
			"accountId": AccountID, "apiId": "local", "domainName": r.Host, "domainPrefix": domain,
			"http": map[string]any{
				"method": r.Method, "path": r.Path, "protocol": r.Proto, "sourceIp": sourceIP, "userAgent": r.UserAgent(),
			},
			"requestId": r.ID, "routeKey": r.RouteKey, "stage": "$default",
			"time": clock(time.Now()), "timeEpoch": time.Now().UnixMilli(),
		},
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
	if len(r.Body) > 0 {
		event["body"], event["isBase64Encoded"] = encode(r.Body, !isText(r.Header) || !utf8.Valid(r.Body))
	}
	return event, trace
}

// RESTEvent is the request as a REST API passes it on, payload 1.0, and its
// X-Ray trace.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
func RESTEvent(r *Request) (event map[string]any, trace string) {
	sourceIP, trace := r.arrive()
	headers, multi := map[string]string{"Host": r.Host}, map[string][]string{"Host": {r.Host}}
	for name, values := range r.Header {
		if len(values) > 0 && name != "Content-Length" { // which a REST API does not pass on
			headers[name], multi[name] = values[len(values)-1], values
		}
	}
	var query map[string]string // null if there is none
	var multiQuery map[string][]string
	for _, q := range r.query() {
		if query == nil {
			query, multiQuery = map[string]string{}, map[string][]string{}
		}
		query[q.name] = q.value
		multiQuery[q.name] = append(multiQuery[q.name], q.value)
	}
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
	domain, _, _ := strings.Cut(r.Host, ".")
	event = map[string]any{
		"resource": r.Resource, "path": r.Path, "httpMethod": r.Method,
		"headers": headers, "multiValueHeaders": multi,
		"queryStringParameters": query, "multiValueQueryStringParameters": multiQuery,
		"pathParameters": r.Params, "stageVariables": nil, "body": nil, "isBase64Encoded": false,
		"requestContext": map[string]any{
			"accountId": AccountID, "apiId": "local", "domainName": r.Host, "domainPrefix": domain,
			"extendedRequestId": base64.StdEncoding.EncodeToString([]byte(RandomHex(6)[:11])),
			"httpMethod":        r.Method, "identity": identity, "path": "/" + r.Stage + r.Path, "protocol": r.Proto,
			"requestId": r.ID, "requestTime": clock(time.Now()), "requestTimeEpoch": time.Now().UnixMilli(),
			"resourceId": "local", "resourcePath": r.Resource, "stage": r.Stage,
		},
	}
	if len(r.Body) > 0 {
		event["body"], event["isBase64Encoded"] = encode(r.Body, r.isBinary())
	}
	return event, trace
}

func encode(body []byte, binary bool) (string, bool) {
	if binary {
		return base64.StdEncoding.EncodeToString(body), true
	}
	return string(body), false
}

// arrive sets the headers that AWS adds to a request: the peer at the end of
// X-Forwarded-For, the connection's own port and scheme, and a trace id unless
// the caller brought one.
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
	forwarded := strings.Join(append(r.Header.Values("X-Forwarded-For"), sourceIP), ", ")
	r.Header.Set("X-Forwarded-For", forwarded)
	r.Header.Set("X-Forwarded-Port", cmp.Or(port, "443"))
	r.Header.Set("X-Forwarded-Proto", "http")
	r.Header.Set("X-Amzn-Trace-Id", trace)
	return sourceIP, trace
}

// pair is one name=value of a query.
type pair struct{ name, value string }

// query splits the query at & and decodes each part once; what is no
// percent-encoding stays as it is.
func (r *Request) query() (pairs []pair) {
	decode := func(s string) string {
		if plain, err := url.QueryUnescape(s); err == nil {
			return plain
		}
		return s
	}
	for part := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if part != "" {
			name, value, _ := strings.Cut(part, "=")
			pairs = append(pairs, pair{decode(name), decode(value)})
		}
	}
	return pairs
}

// mediaType is the type that the Content-Type names, or "".
func mediaType(h http.Header) string {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return ""
	}
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
	for _, binary := range r.Binary {
		prefix, wildcard := strings.CutSuffix(binary, "*")
		if binary == "*/*" || kind != "" && (binary == kind || wildcard && strings.HasPrefix(kind, prefix)) {
			return true
		}
	}
	return false
}

// clock is a time as API Gateway writes it.
func clock(t time.Time) string { return t.UTC().Format("02/Jan/2006:15:04:05 +0000") }

// RandomHex returns n random bytes as hexadecimal digits.
func RandomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}
