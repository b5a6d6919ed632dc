// Package standin holds what the stand-ins for AWS share: answers of AWS's JSON
// protocols, signatures, and faults that can be switched on and off while they
// serve.
package standin

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	"golang.org/x/time/rate"
)

const maxBody = 10 << 20 // bytes of a request

// A Fault answers instead of a stand-in, or passes the request on to it.
type Fault func(w http.ResponseWriter, r *http.Request, next http.Handler)

// A Switch goes in front of a stand-in. The zero Switch passes everything on.
type Switch struct{ fault atomic.Pointer[Fault] }

// Set replaces the fault; with nil, the stand-in answers.
func (s *Switch) Set(f Fault) {
	if f == nil {
		s.fault.Store(nil)
		return
	}
	s.fault.Store(&f)
}

// Faulty reports whether a fault is set.
func (s *Switch) Faulty() bool { return s.fault.Load() != nil }

// Handler returns next behind the switch.
func (s *Switch) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := s.fault.Load(); f != nil {
			(*f)(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Refuse returns a fault that answers every call with an error.
func Refuse(status int, code string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		Error(w, status, code, "a fault is switched on")
	}
}

// HangUp closes every call's connection without an answer.
func HangUp(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }

// Hang makes every call wait until its caller gives up.
func Hang(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
	_, _ = io.Copy(io.Discard, r.Body) // or net/http does not watch the connection
	<-r.Context().Done()
}

// A Refusal is an error of AWS's JSON protocols.
type Refusal struct {
	Status        int
	Code, Message string
}

func (e *Refusal) Error() string { return e.Code + ": " + e.Message }

// Refused returns the usual one.
func Refused(code string) error {
	return &Refusal{http.StatusBadRequest, code, "AWS would refuse it"}
}

// Serve has a fault answer, or call with what becomes JSON, or with a [Refusal]. The request
// must be signed for service with c, unless c is nil.
func Serve(w http.ResponseWriter, r *http.Request, fault *Switch, c *Credentials, service string, call func(body []byte) (any, error)) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	fault.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c != nil && !c.Signed(r, body, service) {
			Error(w, http.StatusForbidden, "InvalidSignatureException", "the call is not signed with the credentials of this run")
			return
		}
		v, err := call(body)
		refused := &Refusal{http.StatusInternalServerError, "InternalServerError", "the stand-in failed"}
		if errors.As(err, &refused) || err != nil {
			Error(w, refused.Status, refused.Code, refused.Message)
		} else if v != nil {
			Answer(w, http.StatusOK, v)
		}
	})).ServeHTTP(w, r)
}

// Error writes an error of AWS's JSON protocols.
func Error(w http.ResponseWriter, status int, code, message string) {
	Answer(w, status, map[string]string{"__type": code, "message": message})
}

// Answer writes an answer of AWS's JSON protocols.
func Answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-Requestid", UUID())
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// UUID returns a random (version 4) UUID.
func UUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Limit admits a number of calls a second, and up to burst of those saved, and
// throttles the others as AWS does.
func Limit(perSecond, burst float64) Fault {
	limiter := rate.NewLimiter(rate.Limit(perSecond), int(burst))
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if limiter.Allow() {
			next.ServeHTTP(w, r)
			return
		}
		Error(w, http.StatusBadRequest, "ThrottlingException", "Rate exceeded")
	}
}
