package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"chat-service-backend/internal/apigateway"
	"chat-service-backend/internal/runtimeapi"
)

// serviceRefusals are a REST API's own answers.
var serviceRefusals = map[error]refusal{
	errBadRequest:       {http.StatusBadRequest, "Bad Request", ""},
	errNoRoute:          {http.StatusForbidden, "Missing Authentication Token", "MissingAuthenticationTokenException"},
	errTooLarge:         {http.StatusRequestEntityTooLarge, "Request Too Long", "RequestTooLargeException"},
	errIntegrationLimit: {http.StatusGatewayTimeout, "Endpoint request timed out", ""},
	errFunction:         {http.StatusBadGateway, "Internal server error", "InternalServerErrorException"},
}

// writeStream passes a streamed answer on: the prelude as status and headers,
// then each chunk as it arrives. It returns an error only while nothing is
// written; later it breaks the caller's connection, so that half an answer never
// looks whole.
func (g *gateway) writeStream(w http.ResponseWriter, r *http.Request, rt *route, a *runtimeapi.Answer) error {
	// A caller that goes away stops the reading below, and so the function.
	stop := context.AfterFunc(r.Context(), func() { a.Body.Close() })
	defer stop()
	defer a.Body.Close()
	if !strings.HasPrefix(a.ContentType, runtimeapi.StreamingContentType) {
		io.Copy(io.Discard, a.Body)
		return fmt.Errorf("the route streams, but the function answered with %s", a.ContentType)
	}
	got, rest, err := apigateway.ReadPrelude(a.Body)
	if err != nil {
		if _, failed := io.Copy(io.Discard, a.Body); failed != nil {
			err = failed
		}
		return err
	}
	got.SetHeaders(w.Header())
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(got.StatusCode)
	if got.StatusCode == http.StatusNoContent || got.StatusCode == http.StatusNotModified {
		_, err = io.Copy(io.Discard, rest)
	} else {
		// The caller may wait for the status alone, long before the first byte.
		http.NewResponseController(w).Flush()
		err = relay(w, rest, func() { stop() })
	}
	if err == nil {
		return nil
	}
	if r.Context().Err() == nil && !errors.Is(err, errCallerGone) {
		g.log.printf("%s: %s: the answer broke off: %v", g.name, rt.function, err)
	}
	panic(http.ErrAbortHandler)
}

// relay copies a stream to the caller, each chunk as it arrives. Before the last
// byte of an answer whose length is known goes out it calls last: the caller may
// hang up as soon as it has that.
func relay(w http.ResponseWriter, from io.Reader, last func()) error {
	length, err := strconv.ParseInt(w.Header().Get("Content-Length"), 10, 64)
	if err != nil {
		length = -1
	}
	buffer := make([]byte, 32<<10) // memory must not grow with what passes through
	for {
		if length == 0 {
			last()
		}
		n, err := from.Read(buffer)
		if length -= int64(n); length == 0 {
			last()
		}
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil {
				return fmt.Errorf("%w: %w", errCallerGone, err)
			}
			if err := http.NewResponseController(w).Flush(); err != nil {
				return fmt.Errorf("%w: %w", errCallerGone, err)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
