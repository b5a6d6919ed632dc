// Package lambdahttp runs an [http.Handler] as an AWS Lambda function behind
// API Gateway. It is the only package that knows Lambda.
//
// A function answers both payload formats: 1.0, which a REST API sends, and
// 2.0, which an HTTP API sends. The request that the handler sees is the one
// the caller made, as far as API Gateway tells; the identity of an IAM caller
// comes from the event alone (see [CallerARN]).
package lambdahttp

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"chat-service-backend/shared/httpjson"
)

// Build assembles a function's handler from the environment. It runs in
// Lambda's init phase; ctx ends with the part of that phase in which a
// function should be ready. An error ends the process, so Build returns one
// only for what no later attempt can mend.
type Build func(ctx context.Context, getenv func(string) string) (http.Handler, error)

// initTimeout is how long a function may prepare itself, out of the 10 s that
// Lambda allows for the init phase.
const initTimeout = 8 * time.Second

// Main runs the function that build assembles. It does not return.
func Main(build Build) { run(build, wrap) }

// MainStreamed is [Main] for a function whose answers to a REST API are
// streamed: its routes must have the response transfer mode STREAM. An HTTP
// API cannot stream, so answers to its events are buffered.
func MainStreamed(build Build) { run(build, wrapStreamed) }

func run(build Build, wrap func(http.Handler) handler) {
	slog.SetDefault(slog.New(newLogHandler(os.Stdout, os.Getenv("AWS_LAMBDA_LOG_LEVEL"))))
	ctx, cancel := context.WithTimeout(context.Background(), initTimeout)
	h, err := build(ctx, os.Getenv)
	cancel()
	if err != nil {
		slog.Error("cannot start: " + err.Error())
		os.Exit(1)
	}
	lambda.Start(wrap(h))
}

// A handler is what aws-lambda-go calls with each event. The event is no
// pointer, since the payload null would make it a nil one.
type handler func(context.Context, event) (any, error)

// wrap returns h as a Lambda handler whose answers are buffered.
func wrap(h http.Handler) handler {
	return func(ctx context.Context, e event) (any, error) {
		if m, ok := h.(MessageHandler); ok && len(e.Records) > 0 {
			return serveMessages(ctx, m, e.Records), nil
		}
		shape := restAnswer
		if e.isHTTPAPI() {
			shape = httpAnswer
		}
		h, r, req := begin(ctx, h, &e)
		a := serve(h, r)
		response := a.finish(r, shape)
		req.end(a.status, a.cause)
		return response, nil
	}
}

// wrapStreamed returns h as a Lambda handler that streams its answers to a
// REST API.
func wrapStreamed(h http.Handler) handler {
	buffered := wrap(h)
	return func(ctx context.Context, e event) (any, error) {
		if e.isHTTPAPI() {
			return buffered(ctx, e)
		}
		h, r, req := begin(ctx, h, &e)
		return serveStreamed(h, r, req.end), nil
	}
}

// begin returns the request that an event is, its log line, and what answers
// it: h, or for an event that is no request its refusal.
func begin(ctx context.Context, h http.Handler, e *event) (http.Handler, *http.Request, *requestLog) {
	ctx, req := newRequestLog(ctx, e)
	r, err := newRequest(ctx, e)
	if err != nil {
		return unreadable(err), blankRequest(ctx), req
	}
	return h, r, req
}

// unreadable answers an event that cannot be turned into a request.
func unreadable(cause error) http.Handler {
	return httpjson.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
		return &httpjson.Error{
			Status:  http.StatusBadRequest,
			Message: "This request could not be read; check its path and the encoding of its body.",
			Cause:   cause,
		}
	})
}

// blankRequest stands in for a request that could not be read.
func blankRequest(ctx context.Context) *http.Request {
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	return r
}

// call runs h and returns an error where h panicked. A panic is the request's
// failure and not the process's: what it has cost so far (connections, keys,
// settings) stays warm for the next one.
func call(h http.Handler, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		switch v := recover(); v := v.(type) {
		case nil:
		case error:
			if v == http.ErrAbortHandler { // net/http compares it like this, too
				err = &httpjson.Error{
					Status:  http.StatusBadGateway,
					Message: "The answer broke off before its end; try again.",
					Cause:   errBroken,
				}
				return
			}
			err = fmt.Errorf("panic: %w\n%s", v, debug.Stack())
		default:
			// Only its type: a value that is no error may be anything, a
			// body or a token included.
			err = fmt.Errorf("panic: a %T\n%s", v, debug.Stack())
		}
	}()
	// httputil.ReverseProxy tells of an answer that broke off only where it
	// finds itself behind an http.Server.
	h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), http.ServerContextKey, server)))
	return nil
}

var server = &http.Server{ReadHeaderTimeout: time.Second}
