package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"chat-service-backend/internal/apigateway"
	"chat-service-backend/internal/cfn"
)

// testHTTPEvent is what a function sees of payload 2.0; the type in
// clientapi.go would hide a field that should not be there.
type testHTTPEvent struct {
	Version         string
	RouteKey        string
	RawPath         string
	RawQueryString  string
	Cookies         []string
	Headers         map[string]string
	Query           map[string]string `json:"queryStringParameters"`
	PathParameters  map[string]string
	Body            *string
	IsBase64Encoded bool
	RequestContext  struct {
		AccountID, APIID, DomainName, DomainPrefix, RequestID, RouteKey, Stage, Time string
		TimeEpoch                                                                    int64
		HTTP                                                                         struct{ Method, Path, Protocol, SourceIP, UserAgent string }
		Authorizer                                                                   any
	}
}

func TestHTTPAPIEvent(t *testing.T) {
	t.Parallel()
	s, _ := sharedTest(t)
	e := event[testHTTPEvent](t, call(t, "GET", s.clientURL+"/echo/a%20b%C3%A9%25?x=1&x=a%2Bb+c&empty=&bare&bad=%zz", "",
		"Cookie", "a=1; b=2", "Cookie", "c=3", "X-Two", "one", "X-Two", "two, three", "User-Agent", "tester",
		"X-Forwarded-For", "10.0.0.1", "X-Forwarded-Proto", "gopher", "X-Forwarded-Port", "1", "X-Amzn-Trace-Id", "Root=1-abc-def"))
	if e.Version != "2.0" || e.RouteKey != "GET /echo/{name}" || e.RawPath != "/echo/a bé%" {
		t.Errorf("want the decoded path, got %+v", e)
	}
	if e.RawQueryString != "x=1&x=a%2Bb+c&empty=&bare&bad=%zz" {
		t.Errorf("want the query verbatim, got %q", e.RawQueryString)
	}
	if got, want := e.Query, map[string]string{"x": "1,a+b c", "empty": "", "bare": "", "bad": "%zz"}; !jsonEqual(got, want) {
		t.Errorf("query: want %v, got %v", want, got)
	}
	if e.PathParameters["name"] != "a bé%" {
		t.Errorf("want the path parameter decoded, got %q", e.PathParameters)
	}
	if strings.Join(e.Cookies, "|") != "a=1|b=2|c=3" || e.Headers["cookie"] != "" {
		t.Errorf("want cookies out of the headers, got %q and %q", e.Cookies, e.Headers["cookie"])
	}
	host := strings.TrimPrefix(s.clientURL, "http://")
	_, port, _ := strings.Cut(host, ":")
	for name, want := range map[string]string{
		"x-two":             "one,two, three",
		"host":              host,
		"x-forwarded-for":   "10.0.0.1, 127.0.0.1",
		"x-forwarded-port":  port,
		"x-forwarded-proto": "http",
		"x-amzn-trace-id":   "Root=1-abc-def",
	} {
		if e.Headers[name] != want {
			t.Errorf("header %s: want %q, got %q", name, want, e.Headers[name])
		}
	}
	c := e.RequestContext
	if c.AccountID != apigateway.AccountID || c.APIID == "" || c.DomainName != host || c.DomainPrefix != "127" || c.RequestID == "" ||
		c.RouteKey != e.RouteKey || c.Stage != "$default" || c.Authorizer != nil {
		t.Errorf("requestContext: got %+v", c)
	}
	if h := c.HTTP; h.Method != "GET" || h.Path != e.RawPath || h.Protocol != "HTTP/1.1" || h.SourceIP != "127.0.0.1" || h.UserAgent != "tester" {
		t.Errorf("requestContext.http: got %+v", h)
	}
	at, err := time.Parse("02/Jan/2006:15:04:05 -0700", c.Time)
	if err != nil || at.Unix() != c.TimeEpoch/1000 {
		t.Errorf("want the same time twice, got %q and %d: %v", c.Time, c.TimeEpoch, err)
	}
	if e.Body != nil || e.Query == nil {
		t.Errorf("want no body, got %q", *e.Body)
	}
	if got := event[testHTTPEvent](t, call(t, "GET", s.clientURL+"/echo/x", "")); got.Query != nil || got.Cookies != nil ||
		!strings.HasPrefix(got.Headers["x-amzn-trace-id"], "Root=1-") {
		t.Errorf("want no query, no cookies and a trace id, got %+v", got)
	}
}

func jsonEqual(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

func TestHTTPAPIBodyIsTextOrBase64(t *testing.T) {
	t.Parallel()
	s, _ := sharedTest(t)
	for _, c := range []struct {
		kind, body string
		text       bool
		headers    []string
	}{
		{"application/json", `{"a":"é\n"}`, true, nil},
		{"application/json; charset=utf-8", `{}`, true, nil},
		{"text/csv", "a,b", true, nil},
		{"application/xml", "<a/>", true, nil},
		{"application/javascript", "x", true, nil},
		{"application/problem+json", "{}", true, nil},
		{"image/svg+xml", "<svg/>", true, nil},
		{"application/json", "\xff\xfe", false, nil},
		{"application/json", "{}", false, []string{"Content-Encoding", "gzip"}},
		{"application/octet-stream", "abc", false, nil},
		{"application/x-www-form-urlencoded", "a=b", false, nil},
		{"", "abc", false, nil},
	} {
		headers := append([]string{"Content-Type", c.kind}, c.headers...)
		if c.kind == "" {
			headers = c.headers
		}
		e := event[testHTTPEvent](t, call(t, "POST", s.clientURL+"/echo", c.body, headers...))
		want := c.body
		if !c.text {
			want = base64.StdEncoding.EncodeToString([]byte(c.body))
		}
		if e.Body == nil || *e.Body != want || e.IsBase64Encoded == c.text {
			t.Errorf("%s %q %v: want %q, got %+v", c.kind, c.body, c.headers, want, e)
		}
	}
	e := event[testHTTPEvent](t, call(t, "POST", s.clientURL+"/echo", "", "Content-Type", "application/json"))
	if e.Body != nil || e.IsBase64Encoded || e.Headers["content-length"] != "0" {
		t.Errorf("want no body and a length of 0, got %+v", e)
	}
}

func TestHTTPAPIAnswers(t *testing.T) {
	t.Parallel()
	s, log := sharedTest(t)
	if g := call(t, "GET", s.clientURL+"/echo/binary", ""); g.body != "\x00\xff" {
		t.Errorf("want the body decoded, got %q", g.body)
	}
	g := call(t, "GET", s.clientURL+"/echo/cookies", "", "Origin", "https://app.example.com")
	if got := g.header.Values("Set-Cookie"); g.status != 201 || len(got) != 2 || got[1] != "b=2; Path=/" || g.header.Get("X-One") != "1" {
		t.Errorf("want two cookies and a header, got %+v", g)
	}
	if got := g.header.Values("Access-Control-Allow-Origin"); len(got) != 1 || got[0] != "https://app.example.com" {
		t.Errorf("want the API's CORS and not the function's, got %q", got)
	}
	for _, name := range []string{"plain", "text", "bad-status", "error", "die", "large"} {
		g := call(t, "GET", s.clientURL+"/echo/"+name, "")
		if g.status != 502 || g.body != `{"message":"Internal server error"}` {
			t.Errorf("%s: want 502, got %+v", name, g)
		}
	}
	if text := log.String(); !strings.Contains(text, "want a statusCode from 200 to 599") || !strings.Contains(text, "echo: reported an error: errorString") ||
		!strings.Contains(text, "over 6291556 bytes") {
		t.Errorf("want the reasons in the log, got %s", text)
	}
	for _, c := range [][2]string{{"GET", "/nothing"}, {"POST", "/echo/x"}, {"GET", "/echo"}, {"HEAD", "/echo/x"}, {"GET", "/echo/a%2Fb"}} {
		g := call(t, c[0], s.clientURL+c[1], "")
		if g.status != 404 || c[0] != "HEAD" && g.body != `{"message":"Not Found"}` {
			t.Errorf("%s %s: want 404, got %+v", c[0], c[1], g)
		}
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	s, _ := sharedTest(t)
	for _, c := range []struct {
		name   string
		method string
		path   string
		header []string
		want   map[string]string // "" for none
	}{
		{"preflight", "OPTIONS", "/echo/x", []string{"Origin", "https://app.example.com", "Access-Control-Request-Method", "GET",
			"Access-Control-Request-Headers", "Authorization"}, map[string]string{
			"Access-Control-Allow-Origin":  "https://app.example.com",
			"Access-Control-Allow-Methods": "GET,POST",
			"Access-Control-Allow-Headers": "authorization,content-type",
			"Access-Control-Max-Age":       "3600",
		}},
		{"preflight of another origin", "OPTIONS", "/echo/x", []string{"Origin", "https://evil.example.com", "Access-Control-Request-Method", "GET"},
			map[string]string{"Access-Control-Allow-Origin": "", "Access-Control-Allow-Methods": ""}},
		{"preflight for another method", "OPTIONS", "/echo/x", []string{"Origin", "https://app.example.com", "Access-Control-Request-Method", "DELETE"},
			map[string]string{"Access-Control-Allow-Origin": ""}},
		{"preflight for another header", "OPTIONS", "/echo/x", []string{"Origin", "https://app.example.com", "Access-Control-Request-Method", "GET",
			"Access-Control-Request-Headers", "x-other"}, map[string]string{"Access-Control-Allow-Origin": ""}},
		{"answer", "GET", "/echo/x", []string{"Origin", "https://admin.example.com"}, map[string]string{
			"Access-Control-Allow-Origin":  "https://admin.example.com",
			"Access-Control-Allow-Methods": "",
		}},
		{"answer to another origin", "GET", "/echo/x", []string{"Origin", "https://evil.example.com"}, map[string]string{"Access-Control-Allow-Origin": ""}},
		{"answer without origin", "GET", "/echo/x", nil, map[string]string{"Access-Control-Allow-Origin": ""}},
		{"unknown route", "GET", "/nothing", []string{"Origin", "https://app.example.com"},
			map[string]string{"Access-Control-Allow-Origin": "https://app.example.com"}},
	} {
		g := call(t, c.method, s.clientURL+c.path, "", c.header...)
		if c.method == "OPTIONS" && g.status != http.StatusNoContent {
			t.Errorf("%s: want 204, got %d", c.name, g.status)
		}
		for name, want := range c.want {
			if got := strings.Join(g.header.Values(name), "|"); got != want {
				t.Errorf("%s: %s: want %q, got %q", c.name, name, want, got)
			}
		}
	}
}

func TestCORSOrigins(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cors   cfn.CORS
		origin string
		want   string
	}{
		{cfn.CORS{AllowOrigins: []string{"*"}}, "https://x.test", "*"},
		{cfn.CORS{AllowOrigins: []string{"https://*"}}, "https://x.test", "https://x.test"},
		{cfn.CORS{AllowOrigins: []string{"https://*"}}, "http://x.test", ""},
		{cfn.CORS{AllowOrigins: []string{"https://x.test"}}, "https://x.test.evil", ""},
		{cfn.CORS{AllowOrigins: []string{"*"}}, "", ""},
	} {
		r := &http.Request{Header: http.Header{"Origin": {c.origin}}}
		if got := allowedOrigin(&c.cors, r); got != c.want {
			t.Errorf("%+v %q: want %q, got %q", c.cors, c.origin, c.want, got)
		}
	}
}

func TestRequestsOverTheSizeLimitsNeverReachAFunction(t *testing.T) {
	t.Parallel()
	s, _ := sharedTest(t)
	for _, c := range []struct {
		url, kind string
		size      int
		status    int
		body      string
	}{
		{s.clientURL + "/echo", "text/plain", 11 << 20, 413, `{"message":"Request Entity Too Large"}`},
		{s.clientURL + "/echo", "text/plain", 7 << 20, 413, `{"message":"Request Entity Too Large"}`},
		{s.clientURL + "/echo", "application/octet-stream", 5 << 20, 413, `{"message":"Request Entity Too Large"}`},
		{s.serviceURL + "/echo", "text/plain", 11 << 20, 413, `{"message":"Request Too Long"}`},
		{s.serviceURL + "/echo", "text/plain", 7 << 20, 413, `{"message":"Request Too Long"}`},
		{s.serviceURL + "/proxy/x", "application/octet-stream", 5 << 20, 413, `{"message":"Request Too Long"}`},
	} {
		g := call(t, "POST", c.url, strings.Repeat("x", c.size), "Content-Type", c.kind)
		if g.status != c.status || g.body != c.body {
			t.Errorf("%s %s %d: want %d %s, got %d %.80s", c.url, c.kind, c.size, c.status, c.body, g.status, g.body)
		}
	}
	g := call(t, "POST", s.clientURL+"/echo", strings.Repeat("x", 5<<20), "Content-Type", "text/plain", "Do", "pid")
	if g.status != 200 {
		t.Errorf("want an event of 5 MB to pass, got %d %.80s", g.status, g.body)
	}
}

func TestHTTPAPITimeLimit(t *testing.T) {
	t.Parallel()
	s, _ := sharedTest(t)
	gate := newGate(t)
	defer close(gate.open)
	if g := call(t, "GET", s.clientURL+"/hasty/wait?gate="+gate.url, ""); g.status != 503 || g.body != `{"message":"Service Unavailable"}` {
		t.Errorf("HTTP API: want 503, got %+v", g)
	}
	if g := call(t, "GET", s.serviceURL+"/hasty/wait?gate="+gate.url, ""); g.status != 504 || g.body != `{"message":"Endpoint request timed out"}` {
		t.Errorf("REST API: want 504, got %+v", g)
	}
}
