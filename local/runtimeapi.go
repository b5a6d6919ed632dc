package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The Lambda Runtime API, 2018-06-01:
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html

// maxAnswerBytes is what Lambda takes as a buffered answer.
const maxAnswerBytes = 6_291_556

// streamingContentType marks an answer that begins with a prelude.
const streamingContentType = "application/vnd.awslambda.http-integration-response"

// ServeHTTP is the Runtime API of one process.
func (proc *process) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, "/2018-06-01/runtime/")
	if !ok {
		refuse(w, http.StatusNotFound, "NotFound", "want a path below /2018-06-01/runtime/")
		return
	}
	if path == "invocation/next" && r.Method == http.MethodGet {
		proc.serveNext(w, r)
		return
	}
	if path == "init/error" && r.Method == http.MethodPost {
		proc.logError("init error", r.Body)
		w.WriteHeader(http.StatusAccepted)
		return
	}
	rest, ok := strings.CutPrefix(path, "invocation/")
	id, what, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 || r.Method != http.MethodPost {
		refuse(w, http.StatusNotFound, "NotFound", "no such path")
		return
	}
	inv := proc.pool.working(proc, id)
	if inv == nil {
		refuse(w, http.StatusBadRequest, "InvalidRequestID", "this is not the event being worked on")
		return
	}
	switch {
	case what == "response" && inv.stream:
		proc.serveStream(w, r, inv)
	case what == "response":
		proc.serveAnswer(w, r, inv)
	case what == "error":
		proc.logError("reported an error", r.Body)
		proc.pool.post(proc, id, &answer{err: errFunctionFailed})
		w.WriteHeader(http.StatusAccepted)
	default:
		refuse(w, http.StatusNotFound, "NotFound", "no such path")
	}
}

func (proc *process) serveNext(w http.ResponseWriter, r *http.Request) {
	p := proc.pool
	inv := p.next(r.Context(), proc)
	if inv == nil {
		panic(http.ErrAbortHandler) // the process is gone
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(inv.payload)))
	h.Set("Lambda-Runtime-Aws-Request-Id", inv.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(p.fn.Timeout).UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", p.arn)
	h.Set("Lambda-Runtime-Trace-Id", inv.trace)
	if _, err := w.Write(inv.payload); err != nil {
		p.giveBack(proc, inv)
		return
	}
	if err := http.NewResponseController(w).Flush(); err != nil {
		p.giveBack(proc, inv)
	}
}

// serveAnswer takes a buffered answer, of at most maxAnswerBytes.
func (proc *process) serveAnswer(w http.ResponseWriter, r *http.Request, inv *invocation) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxAnswerBytes+1))
	if err != nil {
		return // the process is gone; its end is the answer
	}
	if len(body) > maxAnswerBytes {
		proc.pool.post(proc, inv.id, &answer{err: errAnswerTooLarge})
		io.CopyN(io.Discard, r.Body, maxDrain) // or the function would see a broken connection
		refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge",
			fmt.Sprintf("Exceeded maximum allowed payload size (%d bytes).", maxAnswerBytes))
		return
	}
	a := &answer{contentType: r.Header.Get("Content-Type"), body: body}
	if err := trailerError(r.Trailer); err != nil {
		a = &answer{err: err}
	}
	proc.pool.post(proc, inv.id, a)
	w.WriteHeader(http.StatusAccepted)
}

// serveStream lets the gateway read the answer as it arrives.
func (proc *process) serveStream(w http.ResponseWriter, r *http.Request, inv *invocation) {
	control := http.NewResponseController(w)
	a := &answer{
		contentType: r.Header.Get("Content-Type"),
		stream:      r.Body,
		trailer:     func() http.Header { return r.Trailer },
		abort:       func() { control.SetReadDeadline(time.Unix(1, 0)) },
		done:        make(chan error, 1),
	}
	taken, ok := proc.pool.post(proc, inv.id, a)
	if !ok {
		return
	}
	err := errCallerGone
	if taken {
		err = <-a.done
	}
	if err != nil {
		proc.pool.abandon(inv)
		// Breaking the connection is the only way to make the function stop.
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(http.StatusAccepted)
}

// trailerError is the error that a function's trailers report, or nil.
func trailerError(trailer http.Header) error {
	if kind := trailer.Get("Lambda-Runtime-Function-Error-Type"); kind != "" {
		return fmt.Errorf("%w: %s", errFunctionFailed, kind)
	}
	return nil
}

// logError logs the type of a reported error. Its message is the function's to
// log: it may hold what the caller sent.
func (proc *process) logError(what string, body io.Reader) {
	var report struct {
		Type string `json:"errorType"`
	}
	err := json.NewDecoder(io.LimitReader(body, 1<<20)).Decode(&report)
	if err != nil && !errors.Is(err, io.EOF) {
		report.Type = "in a form that is not JSON"
	}
	proc.pool.log.printf("%s: %s: %s", proc.pool.fn.name, what, report.Type)
}

func refuse(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"errorType": kind, "errorMessage": message})
}

// newUUID is a random (version 4) UUID.
func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	var s [36]byte
	hex.Encode(s[:8], b[:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:], b[10:])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}
