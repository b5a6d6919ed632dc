package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"chat-service-backend/internal/apigateway"
	"chat-service-backend/internal/runtimeapi"
)

type testRESTEvent struct {
	Resource, Path, HTTPMethod string
	Headers                    map[string]string
	MultiValueHeaders          map[string][]string
	Query                      map[string]string   `json:"queryStringParameters"`
	MultiQuery                 map[string][]string `json:"multiValueQueryStringParameters"`
	PathParameters             map[string]string
	StageVariables             map[string]string
	Body                       *string
	IsBase64Encoded            bool
	RequestContext             struct {
		AccountID, APIID, DomainName, ExtendedRequestID, HTTPMethod, Path, Protocol, RequestID string
		RequestTime, ResourceID, ResourcePath, Stage                                           string
		RequestTimeEpoch                                                                       int64
		Authorizer                                                                             any
		Identity                                                                               map[string]any
	}
}

func TestRESTEvent(t *testing.T) {
	t.Parallel()
	s, _ := sharedTest(t)
	g := call(t, "GET", s.serviceURL+"/echo/a%20b%2Fc?x=1&x=a%2Bb+c&empty=", "",
		"X-Two", "one", "x-two", "two", "Cookie", "a=1; b=2", "Connection", "X-Two", "X-Forwarded-For", "10.0.0.1, 10.0.0.2")
	e := event[testRESTEvent](t, g)
	if e.Resource != "/echo/{name}" || e.Path != "/echo/a%20b%2Fc" || e.HTTPMethod != "GET" || e.PathParameters["name"] != "a%20b%2Fc" {
		t.Errorf("want the path as it was sent, got %+v", e)
	}
	if !jsonEqual(e.Query, map[string]string{"x": "a+b c", "empty": ""}) ||
		!jsonEqual(e.MultiQuery, map[string][]string{"x": {"1", "a+b c"}, "empty": {""}}) {
		t.Errorf("query: got %v and %v", e.Query, e.MultiQuery)
	}
	if e.Headers["X-Two"] != "two" || !jsonEqual(e.MultiValueHeaders["X-Two"], []string{"one", "two"}) || e.Headers["Cookie"] != "a=1; b=2" ||
		e.Headers["Connection"] != "X-Two" || e.Headers["X-Forwarded-For"] != "10.0.0.1, 10.0.0.2, 127.0.0.1" ||
		e.Headers["Host"] != strings.TrimPrefix(s.serviceURL, "http://") {
		t.Errorf("headers: got %v and %v", e.Headers, e.MultiValueHeaders)
	}
	c := e.RequestContext
	if c.Path != "/v1/echo/a%20b%2Fc" || c.Stage != "v1" || c.ResourcePath != e.Resource || c.AccountID != apigateway.AccountID || c.Authorizer != nil ||
		c.RequestID != g.header.Get("X-Amzn-RequestId") || c.ExtendedRequestID == "" || c.RequestTimeEpoch == 0 || c.HTTPMethod != "GET" {
		t.Errorf("requestContext: got %+v", c)
	}
	if c.Identity["userArn"] != "arn:aws:iam::000000000000:user/local" || c.Identity["accountId"] != apigateway.AccountID || c.Identity["sourceIp"] != "127.0.0.1" {
		t.Errorf("want a signed caller, got %v", c.Identity)
	}
}

func TestRESTEventHasNullsWhereThereIsNothing(t *testing.T) {
	t.Parallel()
	s, _ := sharedTest(t)
	e := event[map[string]any](t, call(t, "GET", s.serviceURL+"/open", ""))
	for _, name := range []string{"queryStringParameters", "multiValueQueryStringParameters", "pathParameters", "stageVariables", "body"} {
		if v, ok := e[name]; !ok || v != nil {
			t.Errorf("%s: want null, got %v, %t", name, v, ok)
		}
	}
	identity := object(object(e["requestContext"])["identity"])
	for _, name := range []string{"userArn", "user", "caller", "accessKey", "accountId"} {
		if v, ok := identity[name]; !ok || v != nil {
			t.Errorf("identity.%s on a route without IAM: want null, got %v, %t", name, v, ok)
		}
	}
	if _, ok := object(e["requestContext"])["authorizer"]; ok {
		t.Error("want no authorizer")
	}
	if _, ok := object(e["headers"])["Content-Length"]; ok {
		t.Error("want no Content-Length: a REST API drops it")
	}
}

func TestRESTBodyIsBinaryOnlyForBinaryMediaTypes(t *testing.T) {
	t.Parallel()
	s, _ := sharedTest(t)
	for _, c := range []struct {
		kind, body, want string
		binary           bool
	}{
		{"application/json", `{"a":"é"}`, `{"a":"é"}`, false},
		{"application/octet-stream", "\x00\xff", "AP8=", true},
		{"Application/Octet-Stream; x=y", "a", "YQ==", true},
		{"image/png", "a", "YQ==", true},
		{"imagex/png", "a", "a", false},
		{"application/zip", "a\xff\xfeb", "a��b", false},
		{"", "a", "a", false},
	} {
		headers := []string{"Content-Type", c.kind}
		if c.kind == "" {
			headers = nil
		}
		e := event[testRESTEvent](t, call(t, "POST", s.serviceURL+"/echo", c.body, headers...))
		if e.Body == nil || *e.Body != c.want || e.IsBase64Encoded != c.binary {
			t.Errorf("%s %q: want %q, got %+v", c.kind, c.body, c.want, e)
		}
	}
}

func TestRESTAnswers(t *testing.T) {
	t.Parallel()
	s, _ := sharedTest(t)
	if g := call(t, "GET", s.serviceURL+"/echo/multi", ""); !jsonEqual(g.header.Values("X-Multi"), []string{"one", "two"}) {
		t.Errorf("want multiValueHeaders to win, got %+v", g)
	}
	if g := call(t, "GET", s.serviceURL+"/echo/binary", ""); g.body != "\x00\xff" || g.header.Get("Content-Length") != "2" {
		t.Errorf("want the body decoded, got %+v", g)
	}
	for _, name := range []string{"plain", "text", "bad-status", "error", "die", "large"} {
		if g := call(t, "GET", s.serviceURL+"/echo/"+name, ""); g.status != 502 || g.body != `{"message":"Internal server error"}` {
			t.Errorf("%s: want 502, got %+v", name, g)
		}
	}
	for _, c := range [][2]string{{"GET", "/nothing"}, {"DELETE", "/echo/x"}, {"GET", "/echo/"}, {"OPTIONS", "/echo/x"}, {"GET", "/echo/a/b"}} {
		g := call(t, c[0], s.serviceURL+c[1], "")
		if g.status != 403 || g.body != `{"message":"Missing Authentication Token"}` || g.header.Get("x-amzn-ErrorType") != "MissingAuthenticationTokenException" {
			t.Errorf("%s %s: want 403, got %+v", c[0], c[1], g)
		}
	}
}

// raw sends a request line as it stands, which net/http's client would not.
func raw(t *testing.T, url, request string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	io.WriteString(conn, request+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestProxyPathReachesTheFunctionAsSent(t *testing.T) {
	t.Parallel()
	s, _ := sharedTest(t)
	for _, path := range []string{"/proxy/a/../../b", "/proxy//a//", "/proxy/", "/proxy/a%2Fb%2f%5c", "/proxy/%E2%82%AC/é'()*!$&,;=:@", "/proxy/./a", "/proxy/a%"} {
		resp := raw(t, s.serviceURL, "GET "+path+"?q=/../")
		if path == "/proxy/a%" {
			if resp.StatusCode != 400 {
				t.Errorf("%s: want 400, got %d", path, resp.StatusCode)
			}
			continue
		}
		var e testRESTEvent
		if err := json.NewDecoder(resp.Body).Decode(&e); err != nil || e.Path != path || e.PathParameters["path"] != strings.TrimPrefix(path, "/proxy/") {
			t.Errorf("want path %q, got %q, %v", path, e.Path, err)
		}
	}
	resp := raw(t, s.serviceURL, "GET http://localhost/proxy/x")
	var e testRESTEvent
	if err := json.NewDecoder(resp.Body).Decode(&e); err != nil || e.Path != "/proxy/x" {
		t.Errorf("want the path of an absolute URL, got %q, %v", e.Path, err)
	}
}

func TestStreamedAnswerArrivesInPieces(t *testing.T) {
	t.Parallel()
	s, _ := sharedTest(t)
	gate := newGate(t)
	req, _ := http.NewRequestWithContext(t.Context(), "GET", s.serviceURL+"/proxy/x?gate="+gate.url, nil)
	req.Header.Set("Do", "slowly")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, 5)
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "first" {
		t.Fatalf("want the first piece before the second is there, got %q, %v", first, err)
	}
	<-gate.arrived
	close(gate.open)
	rest, err := io.ReadAll(resp.Body)
	if err != nil || string(rest) != "second" {
		t.Fatalf("want the second piece, got %q, %v", rest, err)
	}
}

func TestStreamedAnswerHasStatusAndHeaders(t *testing.T) {
	t.Parallel()
	s, _ := sharedTest(t)
	if g := call(t, "POST", s.serviceURL+"/proxy/x", "{}", "Do", "created"); g.status != 201 || !jsonEqual(g.header.Values("X-Multi"), []string{"one", "two"}) {
		t.Errorf("want 201 and both values, got %+v", g)
	}
	if g := call(t, "DELETE", s.serviceURL+"/proxy/x", "", "Do", "no-content"); g.status != 204 || g.body != "" {
		t.Errorf("want 204, got %+v", g)
	}
}

func TestHalfAnAnswerNeverLooksWhole(t *testing.T) {
	t.Parallel()
	s, _ := sharedTest(t)
	for _, do := range []string{"fail-midway", "die-midway"} {
		gate := newGate(t)
		req, _ := http.NewRequestWithContext(t.Context(), "GET", s.serviceURL+"/proxy/x?gate="+gate.url, nil)
		req.Header.Set("Do", do)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		half := make([]byte, 4)
		if _, err := io.ReadFull(resp.Body, half); err != nil || string(half) != "half" {
			t.Fatalf("%s: want the first half, got %q, %v", do, half, err)
		}
		close(gate.open)
		if rest, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("%s: want a broken answer, got a whole one that ends with %q", do, rest)
		}
	}
	if g := call(t, "GET", s.serviceURL+"/proxy/x", "", "Do", "pid"); g.status != 200 {
		t.Errorf("want the next request to be answered, got %+v", g)
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

// A caller that hangs up with all of the answer in its hands, as curl does where
// there is a Content-Length, did not go away.
func TestCallerWhoHasTheWholeAnswerMayHangUp(t *testing.T) {
	t.Parallel()
	s, _ := startTest(t)
	before := idlePID(t, s)
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
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "whole" {
		t.Fatalf("want the whole answer, got %q, %v", b, err)
	}
	<-gate.arrived
	conn.Close()
	// Were the function told, its connection would break while it waits here.
	for range 20 {
		call(t, "GET", s.serviceURL+"/nothing", "")
	}
	close(gate.open)
	for !idles(s.pools["proxy"], 1) {
		runtime.Gosched()
	}
	if after := call(t, "GET", s.serviceURL+"/proxy/x", "", "Do", "pid"); after.body != before {
		t.Errorf("want process %s again, got %+v", before, after)
	}
}

// The process ends when the Runtime API breaks its connection, which shows that
// it noticed.
func TestCallerWhoLeavesEndsTheStream(t *testing.T) {
	t.Parallel()
	s, _ := startTest(t)
	before := idlePID(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "GET", s.serviceURL+"/proxy/x", nil)
	req.Header.Set("Do", "endless")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	io.ReadFull(resp.Body, make([]byte, 1<<20))
	proc := onlyProcess(t, s.pools["proxy"])
	cancel()
	resp.Body.Close()
	<-proc.Ended()
	if after := call(t, "GET", s.serviceURL+"/proxy/x", "", "Do", "pid"); after.status != 200 || after.body == before {
		t.Errorf("want another process than %s, got %+v", before, after)
	}
}

// The same with a function that waits for its own source.
func TestCallerWhoLeavesEndsASilentStream(t *testing.T) {
	t.Parallel()
	s, _ := startTest(t)
	gate := newGate(t)
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "GET", s.serviceURL+"/proxy/x?gate="+gate.url, nil)
	req.Header.Set("Do", "slowly")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	<-gate.arrived
	proc := onlyProcess(t, s.pools["proxy"])
	cancel()
	resp.Body.Close()
	<-proc.Ended()
	close(gate.open)
}

// The same before anything of the answer is there.
func TestCallerWhoLeavesBeforeTheAnswerEndsTheWorkOnIt(t *testing.T) {
	t.Parallel()
	s, _ := startTest(t)
	gate := newGate(t)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		req, _ := http.NewRequestWithContext(ctx, "GET", s.serviceURL+"/proxy/x?gate="+gate.url, nil)
		req.Header.Set("Do", "wait")
		_, err := http.DefaultTransport.RoundTrip(req)
		gone <- err
	}()
	<-gate.arrived
	proc := onlyProcess(t, s.pools["proxy"])
	cancel()
	if err := <-gone; err == nil {
		t.Fatal("want no answer")
	}
	<-proc.Ended()
	close(gate.open)
}

// idlePID returns the id of the proxy's process once that is idle.
func idlePID(t *testing.T, s *server) string {
	t.Helper()
	pid := call(t, "GET", s.serviceURL+"/proxy/x", "", "Do", "pid").body
	for !idles(s.pools["proxy"], 1) {
		runtime.Gosched()
	}
	return pid
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
