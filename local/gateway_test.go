package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/ops/cfn"
)

// What differs from one event to the next, and what the files in testdata/events
// have in its place.
var (
	eventIDs = regexp.MustCompile(`("(?:requestId|extendedRequestId)": )"[^"]{8,}"`)
	times    = regexp.MustCompile(`"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000"`)
	epochs   = regexp.MustCompile(`Epoch": \d{13}`)
	traces   = regexp.MustCompile(`Root=1-[0-9a-f]{8}-[0-9a-f]{24}`)
)

func TestEvents(t *testing.T) {
	t.Parallel()
	s, _ := sharedTest(t)
	for file, c := range map[string]struct {
		url     string
		headers []string
	}{
		"http.json": {s.clientURL + "/echo/a%20b%C3%A9%25?x=1&x=a%2Bb+c&empty=&bare&bad=%zz", []string{
			"Cookie", "a=1; b=2", "Cookie", "c=3", "X-Two", "one", "X-Two", "two, three", "User-Agent", "tester",
			"X-Forwarded-For", "10.0.0.1", "X-Forwarded-Proto", "gopher", "X-Forwarded-Port", "1", "X-Amzn-Trace-Id", "Root=1-abc-def"}},
		"http-bare.json": {s.clientURL + "/echo/x", nil},
		"rest.json": {s.serviceURL + "/echo/a%20b%2Fc?x=1&x=a%2Bb+c&empty=", []string{
			"X-Two", "one", "x-two", "two", "Cookie", "a=1; b=2", "Connection", "X-Two", "X-Forwarded-For", "10.0.0.1, 10.0.0.2"}},
		"rest-open.json": {s.serviceURL + "/open", nil}, // a route without IAM
	} {
		g := call(t, "GET", c.url, "", c.headers...)
		if id := g.header.Get("Apigw-Requestid") + g.header.Get("X-Amzn-Requestid"); !strings.Contains(g.body, `"requestId":"`+id+`"`) {
			t.Errorf("%s: want the caller to get the request's id, got %q", file, id)
		}
		var got bytes.Buffer
		if err := json.Indent(&got, []byte(g.body), "", "  "); err != nil {
			t.Fatal(err)
		}
		port := regexp.MustCompile(`:(\d+)`).FindStringSubmatch(c.url)[1]
		text := strings.ReplaceAll(got.String()+"\n", port, "3000")
		text = eventIDs.ReplaceAllString(text, `$1"ID"`)
		text = times.ReplaceAllString(text, `"TIME"`)
		text = epochs.ReplaceAllString(text, `Epoch": 0`)
		text = traces.ReplaceAllString(text, "Root=TRACE")
		if want, err := os.ReadFile("testdata/events/" + file); err != nil || text != string(want) {
			t.Errorf("%s: want %s\ngot %s\n%v", file, want, text, err)
		}
	}
}

// payload is what the tests look at in an event of either format.
type payload struct {
	Path            string
	Headers         map[string]string
	PathParameters  map[string]string
	Body            *string
	IsBase64Encoded bool
}

func TestBodiesAreTextOrBase64(t *testing.T) {
	t.Parallel()
	s, _ := sharedTest(t)
	for _, c := range []struct {
		url, kind, body string
		text            bool
		headers         []string
	}{
		{s.clientURL, "application/json", `{"a":"é\n"}`, true, nil},
		{s.clientURL, "application/json; charset=utf-8", `{}`, true, nil},
		{s.clientURL, "text/csv", "a,b", true, nil},
		{s.clientURL, "application/xml", "<a/>", true, nil},
		{s.clientURL, "application/javascript", "x", true, nil},
		{s.clientURL, "application/problem+json", "{}", true, nil},
		{s.clientURL, "image/svg+xml", "<svg/>", true, nil},
		{s.clientURL, "application/json", "\xff\xfe", true, nil}, // such as gzip without Content-Encoding: damaged
		{s.clientURL, "application/json", "{}", false, []string{"Content-Encoding", "gzip"}},
		{s.clientURL, "application/octet-stream", "abc", false, nil},
		{s.clientURL, "application/x-www-form-urlencoded", "a=b", false, nil},
		{s.clientURL, "", "abc", false, nil},
		// A REST API goes by its BinaryMediaTypes alone.
		{s.serviceURL, "application/json", `{"a":"é"}`, true, nil},
		{s.serviceURL, "application/octet-stream", "\x00\xff", false, nil},
		{s.serviceURL, "Application/Octet-Stream; x=y", "a", false, nil},
		{s.serviceURL, "image/png", "a", false, nil},
		{s.serviceURL, "imagex/png", "a", true, nil},
		{s.serviceURL, "application/zip", "a\xff\xfeb", true, nil},
		{s.serviceURL, "", "a", true, nil},
	} {
		headers := c.headers
		if c.kind != "" {
			headers = append(headers, "Content-Type", c.kind)
		}
		e := event[payload](t, call(t, "POST", c.url+"/echo", c.body, headers...))
		want := strings.ToValidUTF8(c.body, "\uFFFD\uFFFD")
		if !c.text {
			want = base64.StdEncoding.EncodeToString([]byte(c.body))
		}
		if e.Body == nil || *e.Body != want || e.IsBase64Encoded == c.text {
			t.Errorf("%s %s %q: want %q, got %+v", c.url, c.kind, c.body, want, e)
		}
	}
	e := event[payload](t, call(t, "POST", s.clientURL+"/echo", "", "Content-Type", "application/json"))
	if e.Body != nil || e.IsBase64Encoded || e.Headers["content-length"] != "0" {
		t.Errorf("want no body and a length of 0, got %+v", e)
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	s, log := sharedTest(t)
	for _, url := range []string{s.clientURL, s.serviceURL} {
		if g := call(t, "GET", url+"/echo/binary", ""); g.body != "\x00\xff" || g.header.Get("Content-Length") != "2" {
			t.Errorf("want the body decoded, got %+v", g)
		}
		for _, name := range []string{"plain", "text", "bad-status", "error"} {
			if g := call(t, "GET", url+"/echo/"+name, ""); g.status != 502 || g.body != `{"message":"Internal server error"}` {
				t.Errorf("%s: want 502, got %+v", name, g)
			}
		}
	}
	if why := "has the statusCode 42; it must be 200 to 599"; !strings.Contains(log.String(), why) {
		t.Errorf("want %q in the log, got %s", why, log)
	}
	if g := call(t, "GET", s.serviceURL+"/echo/multi", ""); !slices.Equal(g.header.Values("X-Multi"), []string{"one", "two"}) {
		t.Errorf("want multiValueHeaders to win, got %+v", g)
	}
	g := call(t, "GET", s.clientURL+"/echo/cookies", "", "Origin", "https://app.example.com")
	if got := g.header.Values("Set-Cookie"); g.status != 201 || len(got) != 2 || got[1] != "b=2; Path=/" || g.header.Get("X-One") != "1" {
		t.Errorf("want two cookies and a header, got %+v", g)
	}
	if got := g.header.Values("Access-Control-Allow-Origin"); !slices.Equal(got, []string{"https://app.example.com"}) {
		t.Errorf("want the API's CORS and not the function's, got %q", got)
	}
}

func TestUnknownRoutes(t *testing.T) {
	t.Parallel()
	s, _ := sharedTest(t)
	for _, c := range [][2]string{{"GET", "/nothing"}, {"POST", "/echo/x"}, {"GET", "/echo"}, {"HEAD", "/echo/x"}, {"GET", "/echo/a%2Fb"}} {
		if g := call(t, c[0], s.clientURL+c[1], ""); g.status != 404 || c[0] != "HEAD" && g.body != `{"message":"Not Found"}` {
			t.Errorf("%s %s: want 404, got %+v", c[0], c[1], g)
		}
	}
	for _, c := range [][2]string{{"GET", "/nothing"}, {"DELETE", "/echo/x"}, {"GET", "/echo/"}, {"OPTIONS", "/echo/x"}, {"GET", "/echo/a/b"}} {
		g := call(t, c[0], s.serviceURL+c[1], "")
		if g.status != 403 || g.body != `{"message":"Missing Authentication Token"}` || g.header.Get("x-amzn-ErrorType") != "MissingAuthenticationTokenException" {
			t.Errorf("%s %s: want 403, got %+v", c[0], c[1], g)
		}
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	s, _ := sharedTest(t)
	const app = "https://app.example.com"
	preflight := func(method string) []string {
		return []string{"Origin", app, "Access-Control-Request-Method", method}
	}
	all := map[string]string{
		"Access-Control-Allow-Origin": app, "Access-Control-Allow-Methods": "GET,POST",
		"Access-Control-Allow-Headers": "authorization,content-type", "Access-Control-Max-Age": "3600",
	}
	for name, c := range map[string]struct {
		method, path string
		header       []string
		want         map[string]string // of the names in all
	}{
		"preflight":                    {"OPTIONS", "/echo/x", append(preflight("GET"), "Access-Control-Request-Headers", "Authorization"), all},
		"preflight of another origin":  {"OPTIONS", "/echo/x", []string{"Origin", "https://evil.example.com", "Access-Control-Request-Method", "GET"}, nil},
		"preflight for another method": {"OPTIONS", "/echo/x", preflight("DELETE"), nil},
		"preflight for another header": {"OPTIONS", "/echo/x", append(preflight("GET"), "Access-Control-Request-Headers", "x-other"), nil},
		"answer":                       {"GET", "/echo/x", []string{"Origin", "https://admin.example.com"}, map[string]string{"Access-Control-Allow-Origin": "https://admin.example.com"}},
		"answer to another origin":     {"GET", "/echo/x", []string{"Origin", "https://evil.example.com"}, nil},
		"answer without origin":        {"GET", "/echo/x", nil, nil},
		"unknown route":                {"GET", "/nothing", []string{"Origin", app}, map[string]string{"Access-Control-Allow-Origin": app}},
	} {
		g := call(t, c.method, s.clientURL+c.path, "", c.header...)
		if c.method == "OPTIONS" && g.status != http.StatusNoContent {
			t.Errorf("%s: want 204, got %d", name, g.status)
		}
		for field := range all {
			if got := strings.Join(g.header.Values(field), "|"); got != c.want[field] {
				t.Errorf("%s: %s: want %q, got %q", name, field, c.want[field], got)
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
		w := httptest.NewRecorder()
		(&gateway{api: cfn.API{CORS: &c.cors}}).cors(w, &http.Request{Header: http.Header{"Origin": {c.origin}}}, &route{})
		if got := w.Header().Get("Access-Control-Allow-Origin"); got != c.want {
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
	for _, url := range []string{s.clientURL, s.serviceURL} {
		if g := call(t, "GET", url+"/echo/small", "", "Authorization", "Bearer "+strings.Repeat("x", 10_000)); g.status != 200 {
			t.Errorf("%s: want 10,000 bytes of header fields to pass, got %d", url, g.status)
		}
		if g := call(t, "GET", url+"/echo/small", "", "Authorization", "Bearer "+strings.Repeat("x", 10_240)); g.status != 431 {
			t.Errorf("%s: want over 10,240 bytes refused, got %d", url, g.status)
		}
	}
	g := call(t, "POST", s.clientURL+"/echo", strings.Repeat("x", 5<<20), "Content-Type", "text/plain", "Do", "small")
	if g.status != 200 {
		t.Errorf("want an event of 5 MB to pass, got %d %.80s", g.status, g.body)
	}
}

func TestTimeLimits(t *testing.T) {
	t.Parallel()
	s, _ := sharedTest(t)
	gate := newGate(t)
	defer close(gate.open)
	for _, c := range []struct {
		url    string
		status int
		body   string
	}{
		{s.clientURL, 503, `{"message":"Service Unavailable"}`},
		{s.serviceURL, 504, `{"message":"Endpoint request timed out"}`},
	} {
		if g := call(t, "GET", c.url+"/hasty/wait?gate="+gate.url, ""); g.status != c.status || g.body != c.body {
			t.Errorf("%s: want %d %s, got %+v", c.url, c.status, c.body, g)
		}
	}
}

// raw sends a request line as it is, which net/http's client would not.
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
		var e payload
		if err := json.NewDecoder(resp.Body).Decode(&e); err != nil || e.Path != path || e.PathParameters["path"] != strings.TrimPrefix(path, "/proxy/") {
			t.Errorf("want path %q, got %q, %v", path, e.Path, err)
		}
	}
	resp := raw(t, s.serviceURL, "GET http://localhost/proxy/x")
	var e payload
	if err := json.NewDecoder(resp.Body).Decode(&e); err != nil || e.Path != "/proxy/x" {
		t.Errorf("want the path of an absolute URL, got %q, %v", e.Path, err)
	}
}

func TestPanicInAHandlerStaysWithItsRequest(t *testing.T) {
	t.Parallel()
	lines := &awstest.Output{}
	// A defect: the route's function does not exist.
	g := &gateway{name: "client", server: &server{options: options{log: log.New(lines, "", 0)}}, routes: []route{newRoute("absent", cfn.Route{Method: "GET", Path: "/defect"})}}
	srv := httptest.NewUnstartedServer(g)
	srv.Config.ErrorLog = quiet
	srv.Start()
	defer srv.Close()
	if got, err := tryCall(t.Context(), "GET", srv.URL+"/defect", ""); err == nil {
		t.Errorf("want a broken answer, got %+v", got)
	}
	if got := call(t, "GET", srv.URL+"/", ""); got.status != 404 {
		t.Errorf("want the server to live on, got %+v", got)
	}
	if !strings.Contains(lines.String(), "client: panic: ") {
		t.Errorf("want the panic in the log, got %s", lines)
	}
}
