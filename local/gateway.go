package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"chat-service-backend/internal/apigateway"
	"chat-service-backend/internal/cfn"
	"chat-service-backend/internal/runtimeapi"
	"chat-service-backend/internal/standin"
)

// What both gateways and Lambda allow, in bytes.
const (
	maxRequestBody = 10 << 20  // at the gateway
	maxEvent       = 6_291_456 // of JSON, at Lambda
	maxDrain       = 64 << 20  // of a refused body that are still read, so that its sender sees the answer
)

// gateway is one API.
type gateway struct {
	name   string // in the log
	api    cfn.API
	routes []route
	pools  map[string]*pool
	log    *lineLog
	feed   *feed
	limit  time.Duration // in which a buffered answer must come

	basePath string            // in front of every path
	refusals map[error]refusal // what a caller hears
}

// refusal is one of a gateway's own answers.
type refusal struct {
	status  int
	message string
	kind    string // X-Amzn-Errortype, of a REST API
}

var (
	errBadRequest       = errors.New("the request cannot be read")
	errNoRoute          = errors.New("no route")
	errTooLarge         = errors.New("the request is too large")
	errIntegrationLimit = errors.New("the gateway's time limit passed")
	errFunction         = errors.New("the function has no fitting answer")
	errCallerGone       = errors.New("the caller is gone")
)

// ServeHTTP answers with a panic kept to its request, and logs a line for it:
// the path without the query, and nothing that could be a secret.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	sw := &statusWriter{ResponseWriter: w, id: standin.UUID()}
	defer func() {
		broken := recover()
		status := strconv.Itoa(sw.status)
		if broken != nil {
			status = "broken off"
			if err, ok := broken.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				g.log.printf("%s: panic: %v", g.name, broken)
			}
		}
		path := sentPath(r)
		if len(path) > 200 {
			path = path[:200] + "..."
		}
		took := time.Since(began).Milliseconds()
		g.log.printf("%s %s %s %s %dms", g.name, r.Method, path, status, took)
		g.feed.send("request", map[string]any{
			"id": sw.id, "function": sw.function, "api": g.name, "method": r.Method, "path": path, "status": status, "ms": took,
		})
		if broken != nil {
			panic(http.ErrAbortHandler)
		}
	}()
	g.handle(sw, r)
}

// statusWriter remembers what the log says of a request.
type statusWriter struct {
	http.ResponseWriter
	status       int
	id, function string // of the invocation
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// handle finds the route, makes the event, and passes the function's answer on.
func (g *gateway) handle(w *statusWriter, r *http.Request) {
	request := &apigateway.Request{Request: r, Path: sentPath(r), Stage: g.api.Stage, Binary: g.api.BinaryMediaTypes}
	if g.api.REST {
		request.ID = standin.UUID()
		w.Header().Set("X-Amzn-Requestid", request.ID)
	} else {
		request.ID = apigateway.RandomHex(8)[:15] + "="
		w.Header().Set("Apigw-Requestid", request.ID)
		// An HTTP API decodes the path before it looks for a route, so %2F is a slash.
		path, err := url.PathUnescape(request.Path)
		if err != nil {
			g.refuse(w, errBadRequest)
			return
		}
		request.Path = path
	}
	// The base path is in the event, and in no route.
	below, mapped := strings.CutPrefix(request.Path, g.basePath)
	if !mapped {
		below = ""
	}
	rt, params := findRoute(g.routes, r.Method, below)
	if answered := g.cors(w, r, rt); answered {
		return
	}
	if rt == nil {
		g.refuse(w, errNoRoute)
		return
	}
	request.Resource, request.Params, request.RouteKey = rt.Path, params, rt.key()
	if rt.IAM {
		request.Caller = "arn:aws:iam::" + apigateway.AccountID + ":user/local"
	}
	var err error
	if request.Body, err = readBody(r); err != nil {
		g.refuse(w, err)
		return
	}
	newEvent := apigateway.HTTPEvent
	if g.api.REST {
		newEvent = apigateway.RESTEvent
	}
	event, trace := newEvent(request)
	payload, err := encodeEvent(event)
	if err != nil {
		g.refuse(w, err)
		return
	}
	w.function = rt.function
	answer, err := g.invoke(r, rt, runtimeapi.Event{ID: w.id, Payload: payload, Trace: trace, Stream: rt.Stream})
	if err == nil {
		if rt.Stream {
			err = g.writeStream(w, r, rt, answer)
		} else {
			err = g.writeBuffered(w, answer)
		}
	}
	if err != nil {
		if errors.Is(err, errCallerGone) {
			panic(http.ErrAbortHandler)
		}
		g.log.printf("%s: %s: %v", g.name, rt.function, err)
		if !errors.Is(err, errIntegrationLimit) {
			err = errFunction
		}
		g.refuse(w, err)
	}
}

// refuse writes one of the gateway's own answers.
func (g *gateway) refuse(w http.ResponseWriter, err error) {
	answer := g.refusals[err]
	if answer.kind != "" {
		w.Header().Set("X-Amzn-Errortype", answer.kind)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(answer.status)
	fmt.Fprintf(w, `{"message":%q}`, answer.message)
}

// readBody reads a request's body whole, as API Gateway does.
func readBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequestBody+1))
	if err != nil {
		return nil, errBadRequest
	}
	if len(body) > maxRequestBody {
		io.CopyN(io.Discard, r.Body, maxDrain)
		return nil, errTooLarge
	}
	return body, nil
}

// encodeEvent is the event as Lambda gets it. JSON has no other way to say it:
// bytes that are not UTF-8 become U+FFFD.
func encodeEvent(event any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(event); err != nil || b.Len()-1 > maxEvent { // Encode adds a newline
		return nil, errTooLarge
	}
	return b.Bytes()[:b.Len()-1], nil
}

// invoke sends an event through the function that answers rt.
func (g *gateway) invoke(r *http.Request, rt *route, event runtimeapi.Event) (*runtimeapi.Answer, error) {
	limit := g.limit
	if rt.Timeout > 0 && (rt.Timeout < limit || rt.Stream) {
		limit = rt.Timeout
	}
	ctx := r.Context()
	if !rt.Stream || rt.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, errIntegrationLimit)
		defer cancel()
	}
	event.Trace += ";Parent=" + apigateway.RandomHex(8) + ";Sampled=0"
	answer, err := g.pools[rt.function].invoke(ctx, event)
	if err != nil && r.Context().Err() != nil {
		err = errCallerGone
	}
	return answer, err
}

// writeBuffered turns a buffered answer into the gateway's. It writes nothing
// when it returns an error.
func (g *gateway) writeBuffered(w http.ResponseWriter, a *runtimeapi.Answer) error {
	if strings.HasPrefix(a.ContentType, runtimeapi.StreamingContentType) {
		return errors.New("the function streams, but the route is buffered (its event wants ResponseTransferMode: RESPONSE_STREAM)")
	}
	text, err := io.ReadAll(a.Body)
	if err != nil {
		return err
	}
	got, err := apigateway.ParseAnswer(text)
	if err != nil {
		return err
	}
	if g.api.CORS != nil {
		// The API's configuration counts, not the function's headers.
		for name := range got.Headers {
			if strings.HasPrefix(strings.ToLower(name), "access-control-") {
				delete(got.Headers, name)
			}
		}
	}
	got.SetHeaders(w.Header())
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	if len(got.Content) > 0 {
		w.Header().Set("Content-Length", strconv.Itoa(len(got.Content)))
	}
	w.WriteHeader(got.StatusCode)
	w.Write(got.Content)
	return nil
}
