package lambdahttp

import (
	"context"
	"errors"
	"io"
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

// A stream passes on what a handler writes while it writes it.
type stream struct {
	header http.Header
	status int
	cause  error
	body   *io.PipeWriter

	begin sync.Once
	begun chan struct{} // closed once header and status are final
	sent  http.Header   // header as it was then
}

func (s *stream) Header() http.Header { return s.header }

func (s *stream) WriteHeader(status int) {
	if status < 200 {
		return
	}
	s.begin.Do(func() {
		s.status = status
		// The handler may go on changing its map while this is encoded.
		s.sent = maps.Clone(s.header)
		close(s.begun)
	})
}

func (s *stream) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.WriteHeader(http.StatusOK)
	return s.body.Write(p)
}

// Flush sends the header, if that has not happened. There is nothing else to
// do: every Write is on its way when it returns.
func (s *stream) Flush() { s.WriteHeader(http.StatusOK) }

// Failed keeps the cause for the request's log line.
func (s *stream) Failed(cause error) { s.cause = cause }

// serveStreamed starts h and returns when its status is known; done is called
// after h's last byte has been taken and before the answer's end is seen.
func serveStreamed(h http.Handler, r *http.Request, done func(status int, cause error)) *events.APIGatewayProxyStreamingResponse {
	ctx, cancel := context.WithCancel(r.Context())
	r = r.WithContext(ctx)
	reader, writer := io.Pipe()
	s := &stream{header: make(http.Header), body: writer, begun: make(chan struct{})}
	go func() {
		defer cancel()
		err := call(h, s, r)
		select {
		case <-s.begun:
			if err != nil {
				s.Failed(err)
				err = errBroken
			}
		default:
			if err != nil {
				// Nobody has seen anything yet, so this is an ordinary error.
				httpjson.WriteError(s, r, err)
				err = nil
			}
			s.WriteHeader(http.StatusOK)
		}
		done(s.status, s.cause)
		_ = writer.CloseWithError(err)
	}()
	<-s.begun
	return &events.APIGatewayProxyStreamingResponse{
		StatusCode:        s.status,
		MultiValueHeaders: s.sent,
		Body:              body{reader, cancel},
	}
}

// A body is the reading end of a streamed answer. aws-lambda-go closes it when
// the answer has been taken, or when nobody takes it any more: then the
// handler's context ends, and with it what the handler waits for.
type body struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (b body) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}
