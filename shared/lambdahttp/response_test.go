package lambdahttp

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestResponseHasStatusHeaderAndBody(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Add("X-Tag", "b")
		w.Header().Add("X-Tag", "a")
		w.Header().Add("Set-Cookie", "a=1; Expires=Sun, 06 Nov 1994 08:49:37 GMT")
		w.Header().Add("Set-Cookie", "b=2")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"a":`)
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, `"é"}`)
	})
	cookies := []string{"a=1; Expires=Sun, 06 Nov 1994 08:49:37 GMT", "b=2"}

	for name, text := range shapes {
		a := serveEvent(t, wrap(h), text)
		if a.StatusCode != 201 || a.Body != `{"a":"é"}` || a.IsBase64Encoded {
			t.Errorf("%s: want 201 and the body as text, got %+v", name, a)
		}
		tags, set := a.MultiValueHeaders["X-Tag"], a.MultiValueHeaders["Set-Cookie"]
		if name == "HTTP API" {
			tags, set = strings.Split(a.Headers["X-Tag"], ","), a.Cookies
		}
		if !slices.Equal(tags, []string{"b", "a"}) || !slices.Equal(set, cookies) {
			t.Errorf("%s: want all fields in order, got %+v", name, a)
		}
	}
}

func TestBinaryResponseIsBase64(t *testing.T) {
	body := []byte("\x89PNG\xff\x00")
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(body) })
	for name, text := range shapes {
		a := serveEvent(t, wrap(h), text)
		got, err := base64.StdEncoding.DecodeString(a.Body)
		if !a.IsBase64Encoded || err != nil || !slices.Equal(got, body) {
			t.Errorf("%s: want base64 of %q, got %q (%v), %v", name, body, a.Body, a.IsBase64Encoded, err)
		}
	}
}

func TestFirstStatusCounts(t *testing.T) {
	tests := map[string]struct {
		handler http.HandlerFunc
		want    int
	}{
		"nothing written":         {func(w http.ResponseWriter, r *http.Request) {}, 200},
		"body alone":              {func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "x") }, 200},
		"second WriteHeader":      {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404); w.WriteHeader(201) }, 404},
		"WriteHeader after Write": {func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "x"); w.WriteHeader(404) }, 200},
		"informational first":     {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(103); w.WriteHeader(204) }, 204},
		"informational alone":     {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(100) }, 200},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for shape, text := range shapes {
				if got := serveEvent(t, wrap(test.handler), text).StatusCode; got != test.want {
					t.Errorf("%s: want %d, got %d", shape, test.want, got)
				}
			}
			if got := readStream(t, stream1(t, test.handler, restEvent)).status; got != test.want {
				t.Errorf("streamed: want %d, got %d", test.want, got)
			}
		})
	}
}

// panics are handlers that panic, some with a secret, and what must be in the log.
var panics = map[string]struct {
	handler http.HandlerFunc
	log     string
}{
	"no error": {func(http.ResponseWriter, *http.Request) { panic("hunter2") }, "panic: a string"},
	"a struct": {func(http.ResponseWriter, *http.Request) { panic(struct{ Body string }{"hunter2"}) }, "panic: a struct"},
	"an error": {func(http.ResponseWriter, *http.Request) { panic(errors.New("no such thing")) }, "panic: no such thing"},
	"half an answer": {func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Half", "1")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"half":`)
		panic(fmt.Stringer(nil))
	}, "panic: "},
}

func TestPanicIsA500AndTheNextRequestIsServed(t *testing.T) {
	for name, test := range panics {
		t.Run(name, func(t *testing.T) {
			for shape, text := range shapes {
				first := true
				h := wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if first {
						first = false
						test.handler(w, r)
					}
				}))
				a := serveEvent(t, h, text)
				a.wantErrorMsg(t, 500)
				if a.Headers["X-Half"] != "" || a.MultiValueHeaders["X-Half"] != nil {
					t.Errorf("%s: want nothing from before the panic, got %+v", shape, a)
				}
				log := logs.take()
				if got := requestLines(t, log); len(got) != 1 || got[0]["level"] != "ERROR" || got[0]["status"] != 500.0 {
					t.Fatalf("%s: want one line at ERROR with status 500, got %s", shape, log)
				} else if cause, _ := got[0]["cause"].(string); !strings.Contains(cause, test.log) || !strings.Contains(cause, "response_test.go") {
					t.Errorf("%s: want a cause with %q and the stack, got %s", shape, test.log, cause)
				}
				if strings.Contains(log+a.Body, "hunter2") {
					t.Errorf("%s: want the panic's value in neither response nor log, got %s%s", shape, a.Body, log)
				}
				if got := serveEvent(t, h, text).StatusCode; got != 200 {
					t.Errorf("%s: want the next request served, got %d", shape, got)
				}
			}
		})
	}
}

func TestAbortedResponseIsA502(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"half":`)
		panic(http.ErrAbortHandler)
	})
	for name, text := range shapes {
		serveEvent(t, wrap(h), text).wantErrorMsg(t, 502)
		if got := requestLines(t, logs.take()); len(got) != 1 || got[0]["level"] != "ERROR" {
			t.Errorf("%s: want one line at ERROR, got %v", name, got)
		}
	}
}

func TestHandlerIsBehindAServer(t *testing.T) {
	// Without it, httputil.ReverseProxy hides that a response broke off.
	if requestFor(t, restEvent).Context().Value(http.ServerContextKey) == nil {
		t.Error("want http.ServerContextKey in the request's context, got none")
	}
}

func TestResponseOver6MBIsA502(t *testing.T) {
	chunk := []byte(strings.Repeat("x", 1<<20))
	write := func(n int, p []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for range n {
				_, _ = w.Write(p)
			}
		}
	}
	tests := map[string]struct {
		handler http.Handler
		want    int
	}{
		"fits":                     {write(5, chunk), 200},
		"too long":                 {write(7, chunk), 502},
		"too long in one Write":    {write(1, slices.Repeat(chunk, 7)), 502},
		"just fits":                {write(1, []byte(strings.Repeat("x", maxResponse-200))), 200},
		"too long with the header": {write(1, []byte(strings.Repeat("x", maxResponse-10))), 502},
		"too long by escaping":     {write(2, []byte(strings.Repeat("\x01", 1<<20))), 502},
		"too long by quoting":      {write(4, []byte(strings.Repeat(`"`, 1<<20))), 502},
		"too long as base64":       {write(5, []byte(strings.Repeat("\xff", 1<<20))), 502},
		"fits, HTML not escaped":   {write(4, []byte(strings.Repeat("<", 1<<20))), 200},
		"too long, and the handler returns an error": {returning(func(w http.ResponseWriter, r *http.Request) error {
			if _, err := w.Write(slices.Repeat(chunk, 7)); err == nil {
				t.Error("want Write to fail, got no error")
			}
			return errors.New("something else")
		}), 502},
		"too long, and the handler aborts": {http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write(slices.Repeat(chunk, 7))
			panic(http.ErrAbortHandler)
		}), 502},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for shape, text := range shapes {
				if shape == "HTTP API" && name != "too long by escaping" {
					continue // one is enough, since this is slow
				}
				a := serveEvent(t, wrap(test.handler), text)
				if test.want == 200 {
					if a.StatusCode != 200 {
						t.Errorf("%s: want 200, got %d %.100s", shape, a.StatusCode, a.Body)
					}
					continue
				}
				a.wantErrorMsg(t, test.want)
				if !strings.Contains(a.Body, "6 MB") {
					t.Errorf("%s: want a message about 6 MB, got %s", shape, a.Body)
				}
				if got := requestLines(t, logs.take()); len(got) != 1 || got[0]["status"] != 502.0 || !strings.Contains(fmt.Sprint(got[0]["cause"]), "6 MB") {
					t.Errorf("%s: want one line with status 502 and the cause, got %v", shape, got)
				}
			}
		})
	}
}

func BenchmarkWrap(b *testing.B) {
	h := wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"ok":true}`)
	}))
	for name, text := range shapes {
		b.Run(name, func(b *testing.B) {
			ctx, e := invocation(b), *decode(b, text)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h(ctx, e); err != nil {
					b.Fatal(err)
				}
			}
			logs.take()
		})
	}
}
