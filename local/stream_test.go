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
	wait(t, "the function at the gate", gate.arrived)
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
	for _, do := range []string{"fail-midway"} {
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
	if g := call(t, "GET", s.serviceURL+"/proxy/x", "", "Do", "created"); g.status != 201 {
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
		{"/proxy/x", "buffered", "the prelude of the streamed answer does not end with 8 zero bytes"},
		{"/buffered", "", "is not a JSON object with statusCode"},
		{"/proxy/x", "bad-prelude", "it must be 200 to 599"},
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
	s, _ := sharedTest(t)
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
	wait(t, "the function at the gate", gate.arrived)
	conn.Close()
	for range 20 {
		call(t, "GET", s.serviceURL+"/nothing", "")
	}
	select {
	case <-gate.left:
		t.Error("want the function's work to go on, it ended")
	default:
	}
	close(gate.open)
}

func TestCallerWhoLeavesEndsTheWorkOnTheAnswer(t *testing.T) {
	t.Parallel()
	s, _ := startTest(t, func(o *options) { o.overrides["TimeoutSeconds"] = "900" }) // which does not end it
	for _, do := range []string{
		"slowly", // in the middle of the answer
		"wait",   // before it
	} {
		gate := newGate(t)
		ctx, cancel := context.WithCancel(t.Context())
		go open(ctx, s, do, gate) // and read nothing: whoever left on reading could be gone before the function is at the gate
		wait(t, "the function at the gate", gate.arrived)
		cancel()
		wait(t, "the end of the function's work", gate.left)
	}
}
