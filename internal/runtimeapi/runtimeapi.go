// Package runtimeapi runs a process of a function and plays AWS's Lambda Runtime API
// for it, in tests and benchmarks.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
package runtimeapi

import (
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
	ErrEnded    = errors.New("the process ended before it answered")
	ErrNoAnswer = errors.New("the function asked for the next event without answering")
)

// invocation is an event on its way through the process.
type invocation struct {
	id      string
	payload []byte
	answers chan result // capacity 1
}

type result struct {
	*http.Response
	error
}

// Invoke gives the process an event as soon as it asks for one, and returns what it posts
// as the answer. If ctx ends first, the error is its cause. The body can be read as it
// arrives, and ends with an error if the process or the trailers report one. The caller
// must read it to its end or close it, which breaks the function's connection.
func (p *Process) Invoke(ctx context.Context, event []byte) (*http.Response, error) {
	inv := &invocation{id: standin.UUID(), payload: event, answers: make(chan result, 1)}
	if err := p.give(ctx, inv); err != nil {
		return nil, err
	}
	select {
	case r := <-inv.answers:
		return r.Response, r.error
	case <-p.ended:
		select {
		case r := <-inv.answers:
			return r.Response, r.error
		default: // it was given when the process was gone already
			return nil, ErrEnded
		}
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Idle returns once the process asks for an event. Its work on the previous one is
// done, and Lambda may freeze it.
func (p *Process) Idle(ctx context.Context) error { return p.give(ctx, nil) }

// give waits until the process asks for an event, and gives it one unless it is nil.
func (p *Process) give(ctx context.Context, inv *invocation) error {
	select {
	case p.events <- inv:
		return nil
	case <-p.ended:
		return ErrEnded
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ServeHTTP is the Runtime API.
func (p *Process) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/2018-06-01/runtime/")
	if path == "invocation/next" {
		p.serveNext(w, r)
		return
	}
	id, what, _ := strings.Cut(strings.TrimPrefix(path, "invocation/"), "/")
	inv := p.current.Load()
	switch {
	case path == "init/error":
	case inv == nil || inv.id != id || !p.current.CompareAndSwap(inv, nil):
		http.Error(w, `{"errorType":"InvalidRequestID","errorMessage":"no event with this id waits for an answer"}`, http.StatusBadRequest)
		return
	case what == "error":
		var report struct{ ErrorType string } // the rest may contain what the caller sent
		_ = json.NewDecoder(r.Body).Decode(&report)
		inv.answers <- result{error: reported(report.ErrorType)}
	default:
		// The next event waits until this answer is read.
		body, writer := io.Pipe()
		inv.answers <- result{Response: &http.Response{Header: r.Header, Body: body, Trailer: r.Trailer}}
		if _, err := io.Copy(writer, r.Body); err != nil {
			writer.CloseWithError(err)
			panic(http.ErrAbortHandler)
		}
		var err error
		if kind := r.Trailer.Get("Lambda-Runtime-Function-Error-Type"); kind != "" {
			err = reported(kind)
		}
		writer.CloseWithError(err)
	}
	w.WriteHeader(http.StatusAccepted)
}

func (p *Process) serveNext(w http.ResponseWriter, r *http.Request) {
	p.finish(ErrNoAnswer)
	var inv *invocation
	for inv == nil {
		select {
		case inv = <-p.events:
		case <-r.Context().Done():
			panic(http.ErrAbortHandler) // the process is gone
		}
	}
	p.current.Store(inv)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(inv.payload)))
	h.Set("Lambda-Runtime-Aws-Request-Id", inv.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(time.Minute).UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:000000000000:function:function")
	h.Set("Lambda-Runtime-Trace-Id", "Root=1-2-3")
	if _, err := w.Write(inv.payload); err != nil {
		p.finish(ErrEnded)
	}
}

// finish ends the work on the current event, if it has no answer yet.
func (p *Process) finish(err error) {
	if inv := p.current.Swap(nil); inv != nil {
		inv.answers <- result{error: err}
	}
}

func reported(kind string) error { return errors.New("reported an error: " + kind) }
