// Package lambdahttp runs an [http.Handler] as an AWS Lambda function behind API
// Gateway. It is the only package that knows Lambda.
//
// A function accepts both payload formats: 1.0 from a REST API, 2.0 from an HTTP API.
// The handler sees the caller's request, as far as API Gateway passes it on. The
// identity of an IAM caller comes only from the event (see [CallerARN]).
package lambdahttp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"chat-service-backend/shared/httpjson"
)

// Build assembles a function's handler from the environment. If it is a
// [MessageHandler], it also gets messages from a queue. Build runs in Lambda's init
// phase, and ctx ends when the function should be ready. An error ends the process, so
// Build returns one only if a later attempt would fail as well.
type Build func(ctx context.Context, getenv func(string) string) (http.Handler, error)

// version is set by the linker: see deploy/build.
var version = "dev"

// Version returns the release of the running function, or dev.
func Version() string { return version }

// initTimeout bounds Build. Lambda allows the init phase 10 s, but API Gateway gives the
// request that waits for it 14.5 s for that and for all waits of its own.
const initTimeout = 4 * time.Second

// AtOnce calls the functions fs concurrently and returns when all have returned. If
// one panics, so does AtOnce, and the process lives on.
func AtOnce(ctx context.Context, fs ...func(context.Context)) {
	panics := make([]error, len(fs))
	var wg sync.WaitGroup
	for i, f := range fs {
		wg.Go(func() { panics[i] = withoutPanic(func() error { f(ctx); return nil }) })
	}
	wg.Wait()
	if err := errors.Join(panics...); err != nil {
		panic(err)
	}
}

// Main runs the function that build assembles, and does not return.
func Main(build Build) { run(build, wrap) }

// MainStreamed is [Main] for a function that streams its responses to a REST API: in the
// SAM template its events must have ResponseTransferMode: RESPONSE_STREAM. An HTTP API
// cannot stream, so responses to one are buffered.
func MainStreamed(build Build) { run(build, wrapStreamed) }

func run(build Build, wrap func(http.Handler) handler) {
	slog.SetDefault(slog.New(newLogHandler(os.Stdout, os.Getenv("AWS_LAMBDA_LOG_LEVEL"))))
	readOneBundle(bundle)
	ctx, cancel := context.WithTimeout(context.Background(), initTimeout)
	h, err := build(ctx, os.Getenv)
	cancel()
	if err != nil {
		slog.Error("cannot start: " + err.Error())
		os.Exit(1)
	}
	lambda.Start(wrap(h))
}

// bundle holds all certificates that Amazon Linux trusts.
const bundle = "/etc/pki/tls/certs/ca-bundle.crt"

// readOneBundle keeps crypto/x509 from reading the directories that hold the bundle's
// certificates a second time on Amazon Linux: parsing certificates is most of the cost
// of a start. It changes nothing if there is no bundle, or if the environment names the
// certificates.
//
// https://pkg.go.dev/crypto/x509#SystemCertPool
func readOneBundle(bundle string) {
	if os.Getenv("SSL_CERT_FILE") != "" || os.Getenv("SSL_CERT_DIR") != "" {
		return
	}
	if _, err := os.Stat(bundle); err == nil {
		_ = os.Setenv("SSL_CERT_DIR", os.DevNull)
	}
}

// A handler is what aws-lambda-go calls with each event. The event is not a pointer,
// because the payload null would make it nil.
type handler func(context.Context, event) (any, error)

// wrap returns h as a Lambda handler that buffers responses.
func wrap(h http.Handler) handler {
	return func(ctx context.Context, e event) (any, error) {
		if len(e.Records) > 0 {
			return serveMessages(ctx, h, e.Records)
		}
		shape := restResponse
		if e.Version == "2.0" {
			shape = httpResponse
		}
		h, r, done := begin(ctx, h, &e)
		b := serve(h, r)
		response := b.finish(r, shape)
		done(b.status, b.cause)
		return response, nil
	}
}

// wrapStreamed returns h as a Lambda handler that streams responses to a REST API.
func wrapStreamed(h http.Handler) handler {
	buffered := wrap(h)
	return func(ctx context.Context, e event) (any, error) {
		if e.Version == "2.0" || len(e.Records) > 0 {
			return buffered(ctx, e)
		}
		h, r, done := begin(ctx, h, &e)
		return serveStreamed(h, r, done), nil
	}
}

// begin returns the event's request and its handler: h, or one that answers with an
// error if the event cannot be read. done writes the request's log line.
func begin(ctx context.Context, h http.Handler, e *event) (_ http.Handler, r *http.Request, done func(status int, cause error)) {
	q, err := e.request()
	ctx, line := newLogLine(ctx, q.callerARN)
	if err == nil {
		r, err = e.toHTTP(ctx, q)
	}
	if err != nil {
		h = unreadable(err)
		r, _ = http.NewRequestWithContext(ctx, http.MethodGet, "/", nil) // for its context; the rest is not read
	}
	return h, r, func(status int, cause error) { line.endRequest(q, status, cause) }
}

// unreadable answers an event that cannot be turned into a request.
func unreadable(cause error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		httpjson.WriteError(w, r, &httpjson.Error{
			Status:  http.StatusBadRequest,
			Message: "This request could not be read; check its path and the encoding of its body.",
			Cause:   cause,
		})
	})
}

// call runs h and returns an error if h panicked.
func call(h http.Handler, w http.ResponseWriter, r *http.Request) error {
	return withoutPanic(func() error {
		// httputil.ReverseProxy aborts a response that breaks off only if the context
		// holds an http.Server.
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), http.ServerContextKey, server)))
		return nil
	})
}

var server = &http.Server{ReadHeaderTimeout: time.Second}

// withoutPanic calls f and returns a panic as an error. A panic fails one request, and
// the process keeps its connections, keys and settings for the next.
func withoutPanic(f func() error) (err error) {
	defer func() {
		switch v := recover(); v := v.(type) {
		case nil:
		case error:
			if v == http.ErrAbortHandler { // as net/http compares it
				err = &httpjson.Error{
					Status:  http.StatusBadGateway,
					Message: "The answer broke off before its end; try again.",
					Cause:   errBroken,
				}
				return
			}
			err = fmt.Errorf("panic: %w\n%s", v, debug.Stack())
		default:
			// Only its type: any other value may be a body or a token.
			err = fmt.Errorf("panic: a %T\n%s", v, debug.Stack())
		}
	}()
	return f()
}
