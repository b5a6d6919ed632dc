package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"chat-service-backend/internal/runtimeapi"
)

// open asks the streaming function to do something, and returns the answer as soon
// as it begins.
func open(ctx context.Context, s *server, do string, g *gate) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", s.serviceURL+"/proxy/x?gate="+g.url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Do", do)
	return http.DefaultTransport.RoundTrip(req)
}

// wantNext reads as much as want has.
func wantNext(t *testing.T, resp *http.Response, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != want {
		t.Fatalf("want %q, got %q, %v", want, got, err)
	}
}

func TestStreamedAnswerArrivesInPieces(t *testing.T) {
	t.Parallel()
	s, _ := sharedTest(t)
	gate := newGate(t)
	resp, err := open(t.Context(), s, "slowly", gate)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	wantNext(t, resp, "first") // before the second is there
	<-gate.arrived
	close(gate.open)
	if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "second" {
		t.Fatalf("want the second piece, got %q, %v", rest, err)
	}
}

func TestStreamedAnswerHasStatusAndHeaders(t *testing.T) {
	t.Parallel()
	s, _ := sharedTest(t)
	if g := call(t, "POST", s.serviceURL+"/proxy/x", "{}", "Do", "created"); g.status != 201 || !slices.Equal(g.header.Values("X-Multi"), []string{"one", "two"}) {
		t.Errorf("want 201 and both values, got %+v", g)
	}
	if g := call(t, "DELETE", s.serviceURL+"/proxy/x", "", "Do", "no-content"); g.status != 204 || g.body != "" {
		t.Errorf("want 204, got %+v", g)
	}
}

func TestHalfAnAnswerNeverLooksWhole(t *testing.T) {
	t.Parallel()
	s, log := sharedTest(t)
	for _, do := range []string{"fail-midway", "die-midway"} {
		gate := newGate(t)
		resp, err := open(t.Context(), s, do, gate)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		wantNext(t, resp, "half")
		close(gate.open)
		if rest, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("%s: want a broken answer, got a whole one that ends with %q", do, rest)
		}
	}
	if g := call(t, "GET", s.serviceURL+"/proxy/x", "", "Do", "pid"); g.status != 200 {
		t.Errorf("want the next request to be answered, got %+v", g)
	}
	if !strings.Contains(log.String(), "service: proxy: the answer broke off: ") {
		t.Errorf("want the reason in the log, got %s", log)
	}
}

func TestMismatchOfRouteAndAnswerIsExplained(t *testing.T) {
	t.Parallel()
	s, log := sharedTest(t)
	for _, c := range []struct{ path, do, why string }{
		{"/proxy/x", "buffered", "the route streams, but the function answered with application/"},
		{"/buffered", "", "the function streams, but the route is buffered"},
		{"/proxy/x", "bad-prelude", "prelude: want a statusCode"},
	} {
		g := call(t, "GET", s.serviceURL+c.path, "", "Do", c.do)
		if g.status != 502 || g.body != `{"message":"Internal server error"}` || !strings.Contains(log.String(), c.why) {
			t.Errorf("%s %s: want 502 and %q in the log, got %+v, %s", c.path, c.do, c.why, g, log)
		}
	}
}

// Where there is a Content-Length, a caller may hang up as soon as it has the whole
// answer, as curl does. The function goes on.
func TestCallerWithTheWholeAnswerMayHangUp(t *testing.T) {
	t.Parallel()
	s, _ := startTest(t)
	p := s.pools["proxy"]
	before := onlyProcess(t, p)
	gate := newGate(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.serviceURL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, "GET /proxy/x?gate="+gate.url+" HTTP/1.1\r\nHost: localhost\r\nDo: known-length\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	wantNext(t, resp, "whole")
	<-gate.arrived
	conn.Close()
	// If this told the function, its connection would break while it waits here.
	for range 20 {
		call(t, "GET", s.serviceURL+"/nothing", "")
	}
	close(gate.open)
	within(t, "the function done", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.idle) == 1
	})
	if onlyProcess(t, p) != before {
		t.Error("want the same process as before, got another")
	}
}

// The process ends because the Runtime API breaks its connection.
func TestCallerWhoLeavesEndsTheWorkOnTheAnswer(t *testing.T) {
	t.Parallel()
	for do, read := range map[string]string{
		"endless": strings.Repeat("x", 1<<20),
		"slowly":  "first", // the function waits for its own source
		"wait":    "",      // even before the answer
	} {
		s, _ := startTest(t, func(o *options) { o.overrides["TimeoutSeconds"] = "900" }) // which does not end it
		p, gate := s.pools["proxy"], newGate(t)
		proc := onlyProcess(t, p)
		ctx, cancel := context.WithCancel(t.Context())
		answered := make(chan bool)
		go func() {
			defer close(answered)
			if resp, err := open(ctx, s, do, gate); err == nil {
				wantNext(t, resp, read)
			}
		}()
		if read != "" {
			<-answered
		}
		if do != "endless" {
			<-gate.arrived
		}
		cancel()
		<-proc.Ended()
		<-answered
		if g := call(t, "GET", s.serviceURL+"/proxy/x", "", "Do", "pid"); g.status != 200 {
			t.Errorf("%s: want the next request to be answered, got %+v", do, g)
		}
		close(gate.open)
	}
}

func onlyProcess(t *testing.T, p *pool) *runtimeapi.Process {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.alive) != 1 {
		t.Fatalf("want one process, got %d", len(p.alive))
	}
	for proc := range p.alive {
		return proc
	}
	return nil
}
