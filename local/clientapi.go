package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// clientAPI plays an HTTP API with payload format 2.0:
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
type clientAPI struct {
	gateway
	api httpAPI
}

// httpEvent is a request, payload 2.0.
type httpEvent struct {
	Version         string            `json:"version"`
	RouteKey        string            `json:"routeKey"`
	RawPath         string            `json:"rawPath"`
	RawQueryString  string            `json:"rawQueryString"`
	Cookies         []string          `json:"cookies,omitempty"`
	Headers         map[string]string `json:"headers"`
	Query           map[string]string `json:"queryStringParameters,omitempty"`
	RequestContext  httpContext       `json:"requestContext"`
	Body            string            `json:"body,omitempty"`
	PathParameters  map[string]string `json:"pathParameters,omitempty"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
}

type httpContext struct {
	AccountID    string          `json:"accountId"`
	APIID        string          `json:"apiId"`
	DomainName   string          `json:"domainName"`
	DomainPrefix string          `json:"domainPrefix"`
	HTTP         httpContextHTTP `json:"http"`
	RequestID    string          `json:"requestId"`
	RouteKey     string          `json:"routeKey"`
	Stage        string          `json:"stage"`
	Time         string          `json:"time"`
	TimeEpoch    int64           `json:"timeEpoch"`
}

type httpContextHTTP struct {
	Method    string `json:"method"`
	Path      string `json:"path"`
	Protocol  string `json:"protocol"`
	SourceIP  string `json:"sourceIp"`
	UserAgent string `json:"userAgent"`
}

func (c *clientAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.serve(w, r, c.handle)
}

func (c *clientAPI) handle(w http.ResponseWriter, r *http.Request) {
	requestID := base64.StdEncoding.EncodeToString([]byte(randomHex(8)[:11]))
	w.Header().Set("Apigw-Requestid", requestID)
	// An HTTP API decodes the path before it looks for a route, so %2F is a slash.
	path, err := url.PathUnescape(sentPath(r))
	if err != nil {
		say(w, http.StatusBadRequest, "Bad Request")
		return
	}
	rt, params := findRoute(c.api.routes, r.Method, path, false)
	if c.api.cors != nil {
		if r.Method == http.MethodOptions && (rt == nil || rt.method == "ANY") {
			c.api.cors.preflight(w.Header(), r)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		c.api.cors.set(w.Header(), r)
	}
	if rt == nil {
		say(w, http.StatusNotFound, "Not Found")
		return
	}
	body, err := readBody(r)
	if errors.Is(err, errTooLarge) {
		say(w, http.StatusRequestEntityTooLarge, "Request Entity Too Large")
		return
	}
	if err != nil {
		say(w, http.StatusBadRequest, "Bad Request")
		return
	}
	event, trace := c.event(r, rt, path, params, body, requestID)
	payload, err := encodeEvent(event)
	if err != nil {
		say(w, http.StatusRequestEntityTooLarge, "Request Entity Too Large")
		return
	}
	a, err := c.invoke(r, rt, payload, trace)
	if errors.Is(err, errIntegrationLimit) {
		c.complain(rt, err)
		say(w, http.StatusServiceUnavailable, "Service Unavailable")
		return
	}
	if err == nil {
		err = c.write(w, a)
	}
	if err != nil {
		c.complain(rt, err)
		say(w, http.StatusBadGateway, "Internal server error")
	}
}

func (c *clientAPI) event(r *http.Request, rt *route, path string, params map[string]string, body []byte, requestID string) (*httpEvent, string) {
	at := newEdge(r)
	now := time.Now()
	event := &httpEvent{
		Version:        "2.0",
		RouteKey:       rt.key(),
		RawPath:        path,
		RawQueryString: r.URL.RawQuery,
		Headers:        make(map[string]string, len(r.Header)+2),
		PathParameters: params,
		RequestContext: httpContext{
			AccountID:    accountID,
			APIID:        "local",
			DomainName:   r.Host,
			DomainPrefix: firstLabel(r.Host),
			HTTP: httpContextHTTP{
				Method:    r.Method,
				Path:      path,
				Protocol:  r.Proto,
				SourceIP:  at.sourceIP,
				UserAgent: r.UserAgent(),
			},
			RequestID: requestID,
			RouteKey:  rt.key(),
			Stage:     "$default",
			Time:      clock(now),
			TimeEpoch: now.UnixMilli(),
		},
	}
	for name, values := range r.Header {
		if name == "Cookie" {
			for _, v := range values {
				for cookie := range strings.SplitSeq(v, ";") {
					if cookie = strings.TrimSpace(cookie); cookie != "" {
						event.Cookies = append(event.Cookies, cookie)
					}
				}
			}
			continue
		}
		event.Headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	event.Headers["host"] = r.Host
	if len(body) > 0 || r.Header.Get("Content-Length") != "" {
		event.Headers["content-length"] = strconv.Itoa(len(body))
	}
	for _, q := range parseQuery(r.URL.RawQuery) {
		if event.Query == nil {
			event.Query = map[string]string{}
		}
		if before, ok := event.Query[q.name]; ok {
			q.value = before + "," + q.value
		}
		event.Query[q.name] = q.value
	}
	if len(body) > 0 {
		if isText(r.Header) && utf8.Valid(body) {
			event.Body = string(body)
		} else {
			event.Body = base64.StdEncoding.EncodeToString(body)
			event.IsBase64Encoded = true
		}
	}
	return event, at.trace
}

func firstLabel(host string) string {
	label, _, _ := strings.Cut(host, ".")
	return label
}

// isText tells whether an HTTP API hands a body with these headers on as text.
func isText(h http.Header) bool {
	if h.Get("Content-Encoding") != "" {
		return false
	}
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return false
	}
	switch kind {
	case "application/json", "application/javascript", "application/xml":
		return true
	}
	return strings.HasPrefix(kind, "text/") || strings.HasSuffix(kind, "+json") || strings.HasSuffix(kind, "+xml")
}

// write turns an answer of payload 2.0 into the gateway's. Nothing is written
// when it returns an error.
func (c *clientAPI) write(w http.ResponseWriter, a *answer) error {
	if !json.Valid(a.body) {
		return errors.New("the answer is not JSON")
	}
	var fields map[string]json.RawMessage
	json.Unmarshal(a.body, &fields)
	if _, ok := fields["statusCode"]; !ok {
		// Without a statusCode the answer is the body.
		body := a.body
		var s string
		if json.Unmarshal(body, &s) == nil {
			body = []byte(s)
		}
		w.Header().Set("Content-Type", "application/json")
		writeBody(w, http.StatusOK, body)
		return nil
	}
	got, status, body, err := parseAnswer(a.body, "2.0")
	if err != nil {
		return err
	}
	got.MultiValueHeaders = nil // payload 2.0 has none
	if c.api.cors != nil {
		// The configuration of the API counts, what the function says does not.
		for name := range got.Headers {
			if strings.HasPrefix(strings.ToLower(name), "access-control-") {
				delete(got.Headers, name)
			}
		}
	}
	got.setHeaders(w.Header())
	for _, cookie := range got.Cookies {
		w.Header().Add("Set-Cookie", cookie)
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	writeBody(w, status, body)
	return nil
}

// allowedOrigin is what Access-Control-Allow-Origin says to the request, or "".
func (c *cors) allowedOrigin(r *http.Request) string {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return ""
	}
	for _, allowed := range c.AllowOrigins {
		scheme, ok := strings.CutSuffix(allowed, "://*")
		switch {
		case allowed == "*" && !c.AllowCredentials:
			return "*"
		case allowed == "*", allowed == origin, ok && strings.HasPrefix(origin, scheme+"://"):
			return origin
		}
	}
	return ""
}

// set puts the headers on h that an answer to a page of an allowed origin has.
func (c *cors) set(h http.Header, r *http.Request) bool {
	origin := c.allowedOrigin(r)
	if origin == "" {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	if origin != "*" {
		h.Add("Vary", "Origin")
	}
	if c.AllowCredentials {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	if len(c.ExposeHeaders) > 0 {
		h.Set("Access-Control-Expose-Headers", strings.Join(c.ExposeHeaders, ","))
	}
	return true
}

// preflight answers OPTIONS. A method or header that is not allowed gets no
// CORS headers at all, so that the browser stops.
func (c *cors) preflight(h http.Header, r *http.Request) {
	method := r.Header.Get("Access-Control-Request-Method")
	if method == "" || !allows(c.AllowMethods, method, false) {
		return
	}
	for name := range strings.SplitSeq(r.Header.Get("Access-Control-Request-Headers"), ",") {
		if name = strings.TrimSpace(name); name != "" && !allows(c.AllowHeaders, name, true) {
			return
		}
	}
	if !c.set(h, r) {
		return
	}
	if len(c.AllowMethods) > 0 {
		h.Set("Access-Control-Allow-Methods", strings.Join(c.AllowMethods, ","))
	}
	if len(c.AllowHeaders) > 0 {
		h.Set("Access-Control-Allow-Headers", strings.Join(c.AllowHeaders, ","))
	}
	if c.MaxAge != "" {
		h.Set("Access-Control-Max-Age", c.MaxAge)
	}
}

func allows(list []string, name string, fold bool) bool {
	return slices.ContainsFunc(list, func(allowed string) bool {
		return allowed == "*" || allowed == name || fold && strings.EqualFold(allowed, name)
	})
}
