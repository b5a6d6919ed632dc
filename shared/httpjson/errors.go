package httpjson

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
)

// An Error is a failure with two readers: the caller gets Status and Message, the log
// gets Cause.
type Error struct {
	// Status is the HTTP status, 400 to 599.
	Status int
	// Message is one sentence that the caller can act on, with nothing that the
	// caller must not see.
	Message string
	// Cause goes only to the log. It may be nil.
	Cause error
}

// Error returns the cause if there is one, else the message.
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

// MethodNotAllowed sets the Allow header that RFC 9110 section 15.5.6 requires and
// returns the 405 for it.
func MethodNotAllowed(w http.ResponseWriter, allowed ...string) *Error {
	list := strings.Join(allowed, ", ")
	w.Header().Set("Allow", list)
	return Errorf(http.StatusMethodNotAllowed, "This method is not allowed here; use %s.", list)
}

// NotFound returns the error for a path that no route matches.
func NotFound() *Error {
	return Errorf(http.StatusNotFound, "There is nothing at this path.")
}

// retryAfter is the Retry-After of a 503, in seconds: about as long as a request waits
// for Parameter Store.
const retryAfter = "5"

// WriteError answers {"errorMsg": …} with err's status and message, or with a plain 500
// if err is not an [Error]. The response must not be cached. A 503 has a Retry-After.
//
// If w has a method Failed(error), as package lambdahttp's response writers do, it gets
// err for the request's log line. Else WriteError logs an err of 500 and up.
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
