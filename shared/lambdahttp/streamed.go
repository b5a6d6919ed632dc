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

// errBroken ends the body of an answer that its handler gave up on after it
// had begun. aws-lambda-go reports it to API Gateway in the stream's trailers,
// so that the caller sees a broken answer and not a short one.
var errBroken = errors.New("the answer broke off")

// A stream passes on what a handler writes while it writes it. The handler is
// a coroutine of whoever reads the answer: it runs while the reader waits, and
// nobody else does, so passing a byte on wakes no thread.
type stream struct {
	header http.Header
	status int         // 0 until it is final
	sent   http.Header // header as it was then
	cause  error
	pass   func([]byte) bool // hands the reader what it reads next
	end    error             // what the reader gets after the last byte
}

func (s *stream) Header() http.Header { return s.header }

func (s *stream) WriteHeader(status int) {
	if status < 200 || s.status != 0 {
		return
	}
	s.status = status
	// The handler may go on changing its map while this is encoded.
	s.sent = maps.Clone(s.header)
	s.pass(nil)
}

func (s *stream) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.WriteHeader(http.StatusOK)
	if !s.pass(p) {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

// Flush sends the header, if that has not happened. There is nothing else to
// do: every Write is on its way when it returns.
func (s *stream) Flush() { s.WriteHeader(http.StatusOK) }

// Failed keeps the cause for the request's log line.
func (s *stream) Failed(cause error) { s.cause = cause }

// serveStreamed starts h and returns when its status is known; done is called
// when the body is closed, after the caller has the answer's end and before
// Lambda may stop the process. h must write in the goroutine in which it is
// called.
func serveStreamed(h http.Handler, r *http.Request, done func(status int, cause error)) *events.APIGatewayProxyStreamingResponse {
	ctx, cancel := context.WithCancel(r.Context())
	r = r.WithContext(ctx)
	s := &stream{header: make(http.Header)}
	next, stop := iter.Pull(func(pass func([]byte) bool) {
		defer cancel()
		s.pass, s.end = pass, io.EOF
		if err := call(h, s, r); err != nil {
			if s.status == 0 {
				// Nobody has seen anything yet, so this is an ordinary error.
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
		Body: &body{stream: s, next: next, stop: stop, cancel: cancel, done: sync.OnceFunc(func() {
			done(s.status, s.cause)
		})},
	}
}

// A body is the reading end of a streamed answer. aws-lambda-go closes it when
// the answer has been taken, or when nobody takes it any more: then the
// handler's context ends, and with it what the handler waits for.
type body struct {
	stream *stream
	cancel context.CancelFunc

	mu   sync.Mutex // net/http may be reading still what aws-lambda-go closes
	next func() ([]byte, bool)
	stop func()
	done func()
	rest []byte // of what the handler is writing
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.rest) == 0 {
		var ok bool
		if b.rest, ok = b.next(); !ok {
			return 0, b.stream.end
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// Close returns when the handler has, and the request is logged.
func (b *body) Close() error {
	b.cancel()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stop()
	b.rest, b.stream.end = nil, io.ErrClosedPipe
	b.done()
	return nil
}
