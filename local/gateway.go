package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"chat-service-backend/internal/apigateway"
	"chat-service-backend/internal/standin"
	"chat-service-backend/ops/cfn"
	"chat-service-backend/shared/httpjson"
)

// What Lambda and API Gateway allow.
const (
	maxEvent    = 6_291_456        // bytes of JSON; API Gateway's 10 MB are never reached
	maxHead     = 10_240           // bytes of the request line and the header fields
	maxHTTPTime = 30 * time.Second // until a buffered answer
	maxRESTTime = 29 * time.Second
)

// A refusal is an answer of API Gateway's own, which each kind of API words in
// its own way.
type refusal struct {
	cause      string
	http, rest message
}

type message struct {
	status    int
	text      string
	errorType string // X-Amzn-Errortype, which only REST APIs send
}

func (r *refusal) Error() string { return r.cause }

var (
	errBadRequest = &refusal{"the request cannot be read", message{400, "Bad Request", ""}, message{400, "Bad Request", ""}}
	errNoRoute    = &refusal{"no such route", message{404, "Not Found", ""}, message{403, "Missing Authentication Token", "MissingAuthenticationTokenException"}}
	errHead       = &refusal{"the request line and header fields are over 10,240 bytes", message{431, "Request Header Fields Too Large", ""}, message{431, "Request Header Fields Too Large", "RequestHeaderFieldsTooLargeException"}}
	errTooLarge   = &refusal{"the request is too large", message{413, "Request Entity Too Large", ""}, message{413, "Request Too Long", "RequestTooLargeException"}}
	errThrottled  = &refusal{"too many requests", message{429, "Too Many Requests", ""}, message{429, "Too Many Requests", "TooManyRequestsException"}}
	errTimeout    = &refusal{"the gateway's time limit passed", message{503, "Service Unavailable", ""}, message{504, "Endpoint request timed out", ""}}
	errFunction   = &refusal{"the function failed", message{502, "Internal server error", ""}, message{502, "Internal server error", "InternalServerErrorException"}}
)

// gateway is one of the stack's APIs.
type gateway struct {
	*server
	name   string // in the log
	api    cfn.API
	routes []route
}

// ServeHTTP answers a request and logs it: the path without the query, and
// nothing that could be a secret. A panic costs only its own request.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	sw := &statusWriter{ResponseWriter: w, id: standin.UUID()}
	defer func() {
		broken := recover()
		status := strconv.Itoa(sw.status)
		if broken != nil {
			status = "broken off"
			if broken != http.ErrAbortHandler {
				g.log.Printf("%s: panic: %v", g.name, broken)
			}
		}
		path, took := sentPath(r), time.Since(began).Milliseconds()
		g.log.Printf("%s %s %s %s %dms", g.name, r.Method, path, status, took)
		g.feed.send("request", map[string]any{
			"id": sw.id, "function": sw.function, "api": g.name, "method": r.Method, "path": path, "status": status, "ms": took,
		})
		if broken != nil {
			panic(http.ErrAbortHandler)
		}
	}()
	err := g.handle(sw, r)
	if err == nil {
		return
	}
	if r.Context().Err() != nil { // the caller left
		panic(http.ErrAbortHandler)
	}
	var refused *refusal
	if !errors.As(err, &refused) {
		refused = errFunction
	}
	if sw.function != "" {
		g.log.Printf("%s: %s: %v", g.name, sw.function, err)
	}
	answer := refused.http
	if g.api.REST {
		answer = refused.rest
	}
	if answer.errorType != "" {
		w.Header().Set("X-Amzn-Errortype", answer.errorType)
	}
	writeMessage(sw, answer.status, answer.text)
}

// statusWriter remembers what the log says about a request.
type statusWriter struct {
	http.ResponseWriter
	status       int
	id, function string // of the invocation
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// writeMessage writes an answer that no function makes.
func writeMessage(w http.ResponseWriter, status int, text string) {
	_ = httpjson.Write(w, status, map[string]string{"message": text})
}

// handle finds the route, makes the event, and passes the function's answer on.
// If it returns an error, it has written nothing.
func (g *gateway) handle(w *statusWriter, r *http.Request) (err error) {
	request := &apigateway.Request{Request: r, Path: sentPath(r), Stage: g.api.Stage, Binary: g.api.BinaryMediaTypes}
	newEvent := apigateway.RESTEvent
	if g.api.REST {
		request.ID = standin.UUID()
		w.Header().Set("X-Amzn-Requestid", request.ID)
	} else {
		newEvent = apigateway.HTTPEvent
		request.ID = apigateway.RandomHex(8)[:15] + "="
		w.Header().Set("Apigw-Requestid", request.ID)
		// An HTTP API decodes the path before it looks for a route, so %2F is a slash.
		if request.Path, err = url.PathUnescape(request.Path); err != nil {
			return errBadRequest
		}
	}
	// Events contain the base path, routes do not.
	var rt *route
	if below, ok := strings.CutPrefix(request.Path, g.basePath); ok {
		rt, request.Params = findRoute(g.routes, r.Method, below)
	}
	if headSize(r) > maxHead {
		return errHead
	}
	if preflight := g.cors(w, r, rt); preflight {
		return nil
	}
	if rt == nil {
		return errNoRoute
	}
	if !rt.limiter.AllowN(g.clock(), 1) {
		return errThrottled
	}
	request.Resource, request.RouteKey = rt.Path, rt.key()
	if rt.IAM {
		request.Caller = "arn:aws:iam::" + apigateway.AccountID + ":user/local"
	}
	if request.Body, err = io.ReadAll(r.Body); err != nil {
		return errBadRequest
	}
	event, trace := newEvent(request)
	payload, err := json.Marshal(event)
	if err != nil || len(payload) > maxEvent {
		return errTooLarge
	}
	w.function = rt.function
	f := g.functions[rt.function].Load()
	work, stop := context.WithTimeout(context.WithoutCancel(r.Context()), f.Timeout)
	work = f.host.Context(work, w.id, trace+";Parent="+apigateway.RandomHex(8)+";Sampled=0")
	var answer io.ReadCloser
	left := func() bool { return false }
	if rt.Stream {
		// A caller that leaves ends the work on a streamed answer.
		defer stop()
		left = context.AfterFunc(r.Context(), stop)
		defer left()
		answer, err = f.invoke(work, payload)
	} else {
		answer, err = g.buffered(r.Context(), work, stop, f, rt, payload)
	}
	if err != nil {
		return err
	}
	defer answer.Close()
	response, err := apigateway.ReadAnswer(answer, rt.Stream)
	if err == nil {
		g.passOn(w, r, response, left)
	}
	return err
}

// headSize is the size of a request's first line and header fields.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
func headSize(r *http.Request) int {
	var fields bytes.Buffer
	_ = r.Header.Write(&fields) // a Buffer takes everything
	return len(r.Method) + len(r.RequestURI) + len(r.Proto) + len("  \r\n") + len("Host: \r\n") + len(r.Host) + fields.Len()
}

// buffered returns a whole answer, or an error once the gateway or the function has no more
// time. The function then goes on, as on AWS.
func (g *gateway) buffered(caller, work context.Context, stop func(), f *function, rt *route, payload []byte) (io.ReadCloser, error) {
	limit := cmp.Or(rt.Timeout, maxHTTPTime)
	if g.api.REST {
		limit = cmp.Or(rt.Timeout, maxRESTTime)
	}
	caller, cancel := context.WithTimeoutCause(caller, limit, errTimeout)
	defer cancel()
	type result struct {
		io.ReadCloser
		error
	}
	results := make(chan result, 1)
	go func() {
		defer stop()
		answer, err := f.invoke(work, payload)
		results <- result{answer, err}
	}()
	select {
	case <-work.Done(): // it has answered, or its time is over
	case <-caller.Done():
		return nil, context.Cause(caller)
	}
	select {
	case r := <-results:
		return r.ReadCloser, r.error
	default:
		return nil, fmt.Errorf("Task timed out after %.2f seconds", f.Timeout.Seconds())
	}
}

// passOn passes a function's answer on: the status and the header fields, then each chunk
// of the body as it arrives. On an error it breaks the caller's connection, so that half an
// answer never looks whole.
func (g *gateway) passOn(w *statusWriter, r *http.Request, answer *http.Response, left func() bool) {
	h := w.Header()
	for name, values := range answer.Header {
		// Of CORS, the API's configuration counts.
		if g.api.CORS == nil || !strings.HasPrefix(name, "Access-Control-") {
			h[name] = values
		}
	}
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	if answer.ContentLength > 0 {
		h.Set("Content-Length", strconv.FormatInt(answer.ContentLength, 10))
	}
	if h.Get("Content-Length") != "" {
		left() // the caller may leave because it has everything
	}
	w.WriteHeader(answer.StatusCode)
	flush := http.NewResponseController(w).Flush
	var err error
	if answer.ContentLength < 0 { // the caller may wait for the status alone
		err = flush()
	}
	if err == nil {
		_, err = io.Copy(writerFunc(func(chunk []byte) (int, error) {
			n, err := w.Write(chunk)
			return n, errors.Join(err, flush())
		}), answer.Body)
	}
	if err != nil {
		if r.Context().Err() == nil {
			g.log.Printf("%s: %s: the answer broke off: %v", g.name, w.function, err)
		}
		panic(http.ErrAbortHandler)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// cors sets the headers that the API's CORS configuration asks for. It reports
// whether the request was a preflight, which has no route and is now answered.
func (g *gateway) cors(w http.ResponseWriter, r *http.Request, rt *route) (preflight bool) {
	c, h, origin := g.api.CORS, w.Header(), r.Header.Get("Origin")
	if c == nil {
		return false
	}
	preflight = r.Method == http.MethodOptions && rt == nil
	scheme, _, _ := strings.Cut(origin, "://")
	may := ""
	switch {
	case origin == "", preflight && !allowed(c, r):
	case slices.Contains(c.AllowOrigins, "*"):
		may = "*"
	case slices.Contains(c.AllowOrigins, origin), slices.Contains(c.AllowOrigins, scheme+"://*"):
		may = origin
		h.Add("Vary", "Origin")
	}
	if may != "" {
		h.Set("Access-Control-Allow-Origin", may)
		if preflight {
			h.Set("Access-Control-Allow-Methods", strings.Join(c.AllowMethods, ","))
			h.Set("Access-Control-Allow-Headers", strings.Join(c.AllowHeaders, ","))
			h.Set("Access-Control-Max-Age", c.MaxAge)
		} else if len(c.ExposeHeaders) > 0 {
			h.Set("Access-Control-Expose-Headers", strings.Join(c.ExposeHeaders, ","))
		}
	}
	if preflight {
		w.WriteHeader(http.StatusNoContent)
	}
	return preflight
}

// allowed reports whether the method and the headers that a preflight asks for
// are allowed. If not, it gets no CORS headers at all, so that the browser stops.
func allowed(c *cfn.CORS, r *http.Request) bool {
	for name := range strings.SplitSeq(r.Header.Get("Access-Control-Request-Headers"), ",") {
		name = strings.TrimSpace(name)
		if name != "" && !slices.ContainsFunc(c.AllowHeaders, func(a string) bool { return strings.EqualFold(a, name) }) {
			return false
		}
	}
	return slices.Contains(c.AllowMethods, r.Header.Get("Access-Control-Request-Method"))
}
