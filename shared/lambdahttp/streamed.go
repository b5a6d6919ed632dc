package lambdahttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"sync"

	"github.com/aws/aws-lambda-go/events"

	"chat-service-backend/shared/httpjson"
)

// errBroken ends the body of a response whose handler failed after the status was
// sent. aws-lambda-go reports it to API Gateway in the stream's trailers, so that the
// caller sees a broken response and not a short one.
var errBroken = errors.New("the answer broke off")

// A streamed passes on each Write of a handler as it happens. The handler is a coroutine
// of the body's reader: it runs while the reader waits, so passing on bytes wakes no
// thread.
type streamed struct {
	header http.Header
	status int         // 0 until it is final
	sent   http.Header // the header at that time
	cause  error
	pass   func([]byte) bool // passes the reader its next bytes
	end    error             // for the reader, after the last byte
}

func (s *streamed) Header() http.Header { return s.header }

func (s *streamed) WriteHeader(status int) {
	if status < 200 || s.status != 0 {
		return
	}
	s.status = status
	// The handler may change its map while this one is encoded.
	s.sent = maps.Clone(s.header)
	s.pass(nil)
}

func (s *streamed) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.WriteHeader(http.StatusOK)
	if !s.pass(p) {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

// Flush sends the header, unless that has happened. The bytes of each Write are on
// their way when it returns.
func (s *streamed) Flush() { s.WriteHeader(http.StatusOK) }

// Failed keeps the cause for the request's log line.
func (s *streamed) Failed(cause error) { s.cause = cause }

// serveStreamed starts h and returns when its status is known. It calls done when the
// body is closed: after the caller has the end of the response, and before Lambda may
// stop the process. h must write in the goroutine that it is called in.
func serveStreamed(h http.Handler, r *http.Request, done func(status int, cause error)) *events.APIGatewayProxyStreamingResponse {
	ctx, cancel := context.WithCancel(r.Context())
	r = r.WithContext(ctx)
	s := &streamed{header: make(http.Header)}
	next, stop := iter.Pull(func(pass func([]byte) bool) {
		defer cancel()
		s.pass, s.end = pass, io.EOF
		if err := call(h, s, r); err != nil {
			if s.status == 0 {
				// Nothing has been sent yet, so this is an ordinary error.
				httpjson.WriteError(s, r, err)
			} else {
				if !errors.Is(err, errBroken) {
					err = fmt.Errorf("%w: %w", errBroken, err)
				}
				s.Failed(err)
				s.end = errBroken
			}
		}
		s.WriteHeader(http.StatusOK)
	})
	next()
	return &events.APIGatewayProxyStreamingResponse{
		StatusCode:        s.status,
		MultiValueHeaders: s.sent,
		Body: &body{from: s, next: next, stop: stop, cancel: cancel, done: sync.OnceFunc(func() {
			done(s.status, s.cause)
		})},
	}
}

// A body is the reader of a streamed response. aws-lambda-go closes it at its end, or
// when the caller is gone. That ends the handler's context, and whatever the handler
// waits for.
type body struct {
	from   *streamed
	cancel context.CancelFunc

	mu   sync.Mutex // net/http may still read when aws-lambda-go closes
	next func() ([]byte, bool)
	stop func()
	done func()
	rest []byte // of the handler's current Write
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.rest) == 0 {
		var ok bool
		if b.rest, ok = b.next(); !ok {
			return 0, b.from.end
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// Close returns when the handler has returned and the request is logged.
func (b *body) Close() error {
	b.cancel()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stop()
	b.rest, b.from.end = nil, io.ErrClosedPipe
	b.done()
	return nil
}
