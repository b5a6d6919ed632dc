// Package httpjson writes JSON answers and JSON errors.
package httpjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
)

// An Error is a failure with two readers: the caller, who gets Status and
// Message, and the log, which gets Cause.
type Error struct {
	// Status is the HTTP status of the answer, 400 to 599.
	Status int
	// Message is one sentence that the caller can act on. It never holds
	// anything the caller should not see.
	Message string
	// Cause goes to the log and never to the caller. It may be nil.
	Cause error
}

// Error returns the cause where there is one, else the message.
func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Cause.Error()
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Errorf returns an Error without a cause, its message formatted as by
// [fmt.Sprintf].
func Errorf(status int, format string, args ...any) *Error {
	return &Error{Status: status, Message: fmt.Sprintf(format, args...)}
}

// MethodNotAllowed sets the Allow header that RFC 9110 section 15.5.6 asks for
// and returns the 405 that goes with it.
func MethodNotAllowed(w http.ResponseWriter, allowed ...string) *Error {
	list := strings.Join(allowed, ", ")
	w.Header().Set("Allow", list)
	return Errorf(http.StatusMethodNotAllowed, "This method is not allowed here; use %s.", list)
}

// NotFound is the error for a path that no route of a function matches.
func NotFound() *Error {
	return Errorf(http.StatusNotFound, "There is nothing at this path.")
}

// Write answers with status and v as JSON. If v cannot be encoded, nothing is
// sent and the error says why.
func Write(w http.ResponseWriter, status int, v any) error {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// An error here means that the caller went away.
	_, _ = w.Write(bytes.TrimSuffix(body.Bytes(), []byte("\n")))
	return nil
}

// retryAfter is after how many seconds a caller may try again: about as long as
// a request waits for Parameter Store before it is refused.
const retryAfter = "5"

// WriteError answers {"errorMsg": …} with err's status and message, or with a
// plain 500 if err is not an [Error]. The answer may not be cached. A 503 says
// when to try again.
//
// If w has a method Failed(error), as the response writers of package lambdahttp
// do, it gets the cause, for the request's own log line; else the cause is
// logged here.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{
			Status:  http.StatusInternalServerError,
			Message: "Something went wrong on our side; the log has the cause.",
		}
	}
	if f, ok := w.(interface{ Failed(cause error) }); ok {
		f.Failed(err)
	} else if e.Status >= 500 {
		slog.ErrorContext(r.Context(), "request failed", "status", e.Status, "cause", err.Error())
	}
	w.Header().Set("Cache-Control", "no-store")
	if e.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	// A map of two strings always encodes.
	_ = Write(w, e.Status, map[string]string{"errorMsg": e.Message})
}
