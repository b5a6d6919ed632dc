package api

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"chat-service-backend/shared/httpjson"
)

// captureLog returns what is logged until the test ends.
func captureLog(t *testing.T) *bytes.Buffer {
	t.Helper()
	old, buf := slog.Default(), new(bytes.Buffer)
	slog.SetDefault(slog.New(slog.NewJSONHandler(buf, nil)))
	t.Cleanup(func() { slog.SetDefault(old) })
	return buf
}

func serve(t *testing.T, f func(http.ResponseWriter, *http.Request) error) *httptest.ResponseRecorder {
	t.Helper()
	w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	if err := f(w, r); err != nil {
		httpjson.WriteError(w, r, err)
	}
	return w
}

func TestErrorsAreErrorMsgWithStatusAndNotCached(t *testing.T) {
	cause := errors.New("dial tcp: hunter2")
	tests := map[string]struct {
		err    error
		status int
		body   string
	}{
		"with a cause":    {&httpjson.Error{Status: 503, Message: "Try <later>.", Cause: cause}, 503, `{"errorMsg":"Try <later>."}`},
		"without a cause": {httpjson.Errorf(400, "Want %d.", 3), 400, `{"errorMsg":"Want 3."}`},
		"wrapped":         {fmt.Errorf("hunter2: %w", httpjson.Errorf(403, "No.")), 403, `{"errorMsg":"No."}`},
		"another error":   {cause, 500, `{"errorMsg":"Something went wrong on our side; the log has the cause."}`},
		"no route":        {httpjson.NotFound(), 404, `{"errorMsg":"There is nothing at this path."}`},
		"quotation marks": {httpjson.Errorf(400, `say "x"`), 400, `{"errorMsg":"say \"x\""}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			captureLog(t)
			w := serve(t, func(http.ResponseWriter, *http.Request) error { return test.err })
			if w.Code != test.status || w.Body.String() != test.body {
				t.Errorf("want %d %s, got %d %s", test.status, test.body, w.Code, w.Body)
			}
			if got := w.Header(); got.Get("Content-Type") != "application/json" || got.Get("Cache-Control") != "no-store" {
				t.Errorf("want application/json and no-store, got %v", got)
			}
			if got := w.Header().Get("Retry-After"); (got == "5") != (test.status == 503) {
				t.Errorf("want Retry-After in a 503 only, got %q", got)
			}
			if strings.Contains(w.Body.String()+fmt.Sprint(w.Header()), "hunter2") {
				t.Errorf("want no cause in the response, got %v %s", w.Header(), w.Body)
			}
		})
	}
}

func TestErrorGivesItsCauseToTheLog(t *testing.T) {
	cause := errors.New("the cause")
	err := error(&httpjson.Error{Status: 503, Message: "Later.", Cause: cause})
	if err.Error() != "the cause" || !errors.Is(err, cause) {
		t.Errorf("want the cause, got %v", err)
	}
	if got := httpjson.Errorf(400, "No.").Error(); got != "No." {
		t.Errorf("without a cause: want the message, got %s", got)
	}
	log := captureLog(t)
	serve(t, func(http.ResponseWriter, *http.Request) error { return err })
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `"level":"ERROR"`) || !strings.Contains(got, "the cause") {
		t.Errorf("want one line at ERROR with the cause, got %s", got)
	}
	log.Reset()
	serve(t, func(http.ResponseWriter, *http.Request) error { return httpjson.Errorf(404, "No.") })
	if log.Len() != 0 {
		t.Errorf("want nothing logged for a caller's mistake, got %s", log)
	}
}

// A hook takes the cause, as response writers of lambdahttp do.
type hook struct {
	http.ResponseWriter
	causes []error
}

func (h *hook) Failed(cause error) { h.causes = append(h.causes, cause) }

func TestErrorGivesItsCauseToAWriterThatTakesIt(t *testing.T) {
	log := captureLog(t)
	w := &hook{ResponseWriter: httptest.NewRecorder()}
	cause := fmt.Errorf("outer: %w", &httpjson.Error{Status: 502, Message: "Later.", Cause: errors.New("the cause")})
	httpjson.WriteError(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), cause)
	if len(w.causes) != 1 || w.causes[0] != cause { // that very error
		t.Errorf("want the same error, once, got %v", w.causes)
	}
	if log.Len() != 0 {
		t.Errorf("want it only in the request's own line, got %s", log)
	}
}

func TestWriteDoesNotEscapeHTML(t *testing.T) {
	w := serve(t, func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Cache-Control", "max-age=60")
		return httpjson.Write(w, http.StatusCreated, map[string]string{"a": "<é>&"})
	})
	if w.Code != 201 || w.Body.String() != `{"a":"<é>&"}` || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "max-age=60" {
		t.Errorf(`want 201 {"a":"<é>&"} as JSON, got %d %v %s`, w.Code, w.Header(), w.Body)
	}
}

func TestValueThatCannotBeEncodedIsA500(t *testing.T) {
	log := captureLog(t)
	w := serve(t, func(w http.ResponseWriter, r *http.Request) error {
		return httpjson.Write(w, http.StatusOK, map[string]any{"fine": 1, "not": func() {}})
	})
	if w.Code != 500 || !strings.HasPrefix(w.Body.String(), `{"errorMsg":"`) || strings.Contains(w.Body.String(), "fine") {
		t.Errorf("want a whole 500, got %d %s", w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "encode the answer") {
		t.Errorf("want the cause in the log, got %s", log)
	}
}

func TestMethodNotAllowedNamesTheAllowed(t *testing.T) {
	w := serve(t, func(w http.ResponseWriter, r *http.Request) error { return httpjson.MethodNotAllowed(w, "GET", "POST") })
	if w.Code != 405 || w.Header().Get("Allow") != "GET, POST" || !strings.Contains(w.Body.String(), "GET, POST") {
		t.Errorf("want 405 with Allow: GET, POST, got %d %v %s", w.Code, w.Header(), w.Body)
	}
}
