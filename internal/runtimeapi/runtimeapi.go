// Package runtimeapi runs a process of a function and plays AWS's Lambda Runtime API
// for it, in tests and benchmarks.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
package runtimeapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"chat-service-backend/internal/standin"
)

// StreamingContentType marks an answer that begins with a prelude.
const StreamingContentType = "application/vnd.awslambda.http-integration-response"

// The reasons why an event has no answer.
var (
	ErrNotTaken = errors.New("the process ended before it took the event") // another process may
	ErrEnded    = errors.New("the process ended before it answered")
	ErrNoAnswer = errors.New("the function asked for the next event without answering")
)

// An Event is an invocation of a function.
type Event struct {
	Payload []byte
	Trace   string // the X-Ray trace; may be empty
}

// An Answer is what a function posted. Its body can be read as it arrives, and ends with
// an error if the process or the trailers report one. The caller must read it to its end
// or close it, which breaks the function's connection.
type Answer struct {
	ContentType string
	Body        io.ReadCloser
	Trailer     func() http.Header // valid once the body is read
}

// invocation is an event on its way through the process.
type invocation struct {
	Event
	id       string
	answers  chan result // capacity 1
	answered bool        // guarded by Process.mu
}

type result struct {
	*Answer
	error
}

// Invoke gives the process an event as soon as it asks for one, and returns its
// answer. If ctx ends first, the error is its cause.
func (p *Process) Invoke(ctx context.Context, e Event) (*Answer, error) {
	inv := &invocation{Event: e, id: standin.UUID(), answers: make(chan result, 1)}
	select {
	case p.events <- inv:
	case <-p.ended:
		return nil, ErrNotTaken
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	select {
	case r := <-inv.answers:
		return r.Answer, r.error
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Idle returns once the process asks for an event. Its work on the previous one is
// done, and Lambda may freeze it.
func (p *Process) Idle(ctx context.Context) error {
	p.mu.Lock()
	idle := p.idle
	p.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-p.ended:
		return ErrEnded
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ServeHTTP is the Runtime API.
func (p *Process) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := strings.TrimPrefix(r.URL.Path, "/2018-06-01/runtime/"); {
	case r.Method == http.MethodGet && path == "invocation/next":
		p.serveNext(w, r)
	case r.Method == http.MethodPost && path == "init/error":
		w.WriteHeader(http.StatusAccepted)
	default:
		id, what, _ := strings.Cut(strings.TrimPrefix(path, "invocation/"), "/")
		inv := p.answering(id)
		switch {
		case inv == nil || r.Method != http.MethodPost || what != "response" && what != "error":
			refuse(w, http.StatusBadRequest, "InvalidRequestID", "no event with this id waits for an answer")
		case what == "error":
			var report struct{ ErrorType string } // the rest may contain what the caller sent
			_ = json.NewDecoder(r.Body).Decode(&report)
			inv.answers <- result{error: reported(report.ErrorType)}
			w.WriteHeader(http.StatusAccepted)
		default:
			serveAnswer(w, r, inv)
		}
	}
}

func (p *Process) serveNext(w http.ResponseWriter, r *http.Request) {
	p.finish(ErrNoAnswer)
	p.mu.Lock()
	if !p.waits {
		p.waits = true
		close(p.idle)
	}
	p.mu.Unlock()
	var inv *invocation
	select {
	case inv = <-p.events:
	case <-r.Context().Done():
		panic(http.ErrAbortHandler) // the process is gone
	}
	p.take(inv)
	if r.Context().Err() != nil { // it exited in the meantime
		p.finish(ErrNotTaken)
		panic(http.ErrAbortHandler)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(inv.Payload)))
	h.Set("Lambda-Runtime-Aws-Request-Id", inv.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(time.Minute).UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", p.arn)
	h.Set("Lambda-Runtime-Trace-Id", inv.Trace)
	_, err := w.Write(inv.Payload)
	if err = errors.Join(err, http.NewResponseController(w).Flush()); err != nil {
		p.finish(ErrNotTaken)
	}
}

// take makes inv the current event.
func (p *Process) take(inv *invocation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle, p.waits = make(chan struct{}), false
	p.current = inv
}

// answering marks the current event as answered and returns it, if it has this id
// and has no answer yet.
func (p *Process) answering(id string) *invocation {
	p.mu.Lock()
	defer p.mu.Unlock()
	inv := p.current
	if inv == nil || inv.id != id || inv.answered {
		return nil
	}
	inv.answered = true
	return inv
}

// finish ends the work on the current event, if any. Without an answer, it fails
// with err.
func (p *Process) finish(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	inv := p.current
	if inv == nil {
		return
	}
	p.current = nil
	if !inv.answered {
		inv.answers <- result{error: err}
	}
}

// serveAnswer gives an answer to whoever invoked the function, and waits until it is read.
func serveAnswer(w http.ResponseWriter, r *http.Request, inv *invocation) {
	body := &stream{r: r, read: make(chan bool, 2)}
	inv.answers <- result{Answer: &Answer{r.Header.Get("Content-Type"), body, func() http.Header { return r.Trailer }}}
	if whole := <-body.read; !whole {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(http.StatusAccepted)
}

// stream is the body of an answer.
type stream struct {
	r    *http.Request
	read chan bool // whether it was read to its end
	end  error     // what Read returns from now on
}

func (s *stream) Read(b []byte) (n int, err error) {
	if s.end != nil {
		return 0, s.end
	}
	if n, err = s.r.Body.Read(b); err != nil {
		if s.end = err; err == io.EOF {
			s.end = cmp.Or(trailerError(s.r.Trailer), io.EOF)
		}
		s.read <- err == io.EOF
	}
	return n, s.end
}

func (s *stream) Close() error {
	if s.end == nil {
		s.end = http.ErrBodyReadAfterClose
		s.read <- false
	}
	return nil
}

func reported(kind string) error { return errors.New("reported an error: " + kind) }

func trailerError(trailer http.Header) error {
	if kind := trailer.Get("Lambda-Runtime-Function-Error-Type"); kind != "" {
		return reported(kind)
	}
	return nil
}

func refuse(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"errorType": kind, "errorMessage": message})
}
