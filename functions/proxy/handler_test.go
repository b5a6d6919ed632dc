package proxy

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v4"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/shared/settings"
	"chat-service-backend/shared/streamchat"
)

// serverToken is the JWT of the app's servers.
var serverToken = func() string {
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"server": true}).SignedString([]byte(secret))
	if err != nil {
		panic(err)
	}
	return token
}()

// newProxy returns the function's handler in front of base.
func newProxy(t testing.TB, base string, transport http.RoundTripper) http.Handler {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	getenv := awstest.NewParameterStore(t, awstest.App(key, secret)).Getenv(nil)
	store, err := settings.Open(getenv)
	if err != nil {
		t.Fatal(err)
	}
	app, err := streamchat.Open(store, getenv)
	if err != nil {
		t.Fatal(err)
	}
	if transport == nil {
		own := newUpstream(u)
		t.Cleanup(own.transport.CloseIdleConnections)
		transport = own
	}
	return newHandler(app, u, transport)
}

// newBackend starts a server and returns its URL.
func newBackend(t testing.TB, h http.HandlerFunc) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// A seen is a request as the backend got it.
type seen struct {
	method, uri, host string
	header            http.Header
	body              string
	contentLength     int64
}

// recording returns a proxy in front of a backend that records its requests and
// answers them with answer, if any.
func recording(t testing.TB, answer http.HandlerFunc) (http.Handler, <-chan seen) {
	requests := make(chan seen, 1)
	return newProxy(t, newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- seen{r.Method, r.RequestURI, r.Host, r.Header.Clone(), string(body), r.ContentLength}
		if answer != nil {
			answer(w, r)
		}
	}), nil), requests
}

// newRequest returns a request with path and query as written.
func newRequest(method, target, body string, header http.Header) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	// An event's request has this; httptest's does not.
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
	for name, values := range header {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	return r
}

func do(h http.Handler, method, target, body string) *http.Response {
	return awstest.Do(h, newRequest(method, target, body, nil))
}

// wantOurs checks that a request has our credentials and no others.
func wantOurs(t *testing.T, got seen) {
	t.Helper()
	for name, want := range map[string]string{
		"Authorization": serverToken, "Stream-Auth-Type": "jwt", "X-Stream-Client": "chat-service-backend",
	} {
		if values := got.header[name]; !slices.Equal(values, []string{want}) {
			t.Errorf("%s: want %q, got %q", name, want, values)
		}
	}
}

func TestForwardsAsTheAppsServer(t *testing.T) {
	h, requests := recording(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Method) })
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		for _, body := range []string{"", `{"users":{}}`} {
			r := newRequest(method, "/proxy/users", body, nil)
			r.Host = "forged.example.com"
			answer, _ := io.ReadAll(awstest.Do(h, r).Body)
			got := <-requests
			wantOurs(t, got)
			if got.method != method || got.uri != "/users?api_key=the+key" || !strings.HasPrefix(got.host, "127.0.0.1:") {
				t.Errorf("want %s /users?api_key=the+key at the backend's host, got %s %s at %s", method, got.method, got.uri, got.host)
			}
			if got.body != body || got.contentLength != int64(len(body)) || string(answer) != method {
				t.Errorf("%s: want body %q and its length, and the backend's answer, got %q, %d and %q", method, body, got.body, got.contentLength, answer)
			}
		}
	}
}

func TestCallersCredentialsAndRouteDoNotReachStream(t *testing.T) {
	h, requests := recording(t, nil)
	header := http.Header{
		"Authorization": {"Bearer forged", "AWS4-HMAC-SHA256 Credential=forged"},
		"Connection":    {"X-Named, Upgrade", "X-Also-Named, authorization, stream-auth-type, x-stream-client"},
		"Te":            {"trailers"},
		"Expect":        {"100-continue"},
	}
	for name := range strings.FieldsSeq(`
		Stream-Auth-Type X-Stream-Client Api_key Api-Key X-Api-Key Cookie
		X-Amz-Date X-Amz-Security-Token X-Amz-Content-Sha256 X-Amzn-Trace-Id X-Amzn-Requestid X-Amzn-Vpc-Id
		X-Forwarded-For X-Forwarded-Host X-Forwarded-Port X-Forwarded-Proto X-Forwarded-User Forwarded Via
		X-Named X-Also-Named Upgrade Trailer Keep-Alive Proxy-Authorization Proxy-Authenticate Proxy-Connection Transfer-Encoding
		Idempotency-Key X-Idempotency-Key
		X-Http-Method-Override X-Method-Override X-Http-Method X-Original-Url X-Rewrite-Url X-Original-Uri
		Stream_auth_type Stream-Auth_type X_api_key X_stream_client Content_type
		X-Real-Ip True-Client-Ip Cf-Connecting-Ip Fastly-Client-Ip X-Client-Ip X-Cluster-Client-Ip
		Origin Referer Baggage Range If-None-Match`) {
		header[name] = []string{"forged"}
	}
	if response := awstest.Do(h, newRequest(http.MethodPost, "/proxy/users", "{}", header)); response.StatusCode != http.StatusOK {
		t.Fatalf("want status 200, got %d", response.StatusCode)
	}
	got := <-requests
	wantOurs(t, got)
	allowed := []string{"Authorization", "Content-Length", "Stream-Auth-Type", "X-Stream-Client"}
	if names := slices.Sorted(maps.Keys(got.header)); !slices.Equal(names, allowed) {
		t.Errorf("want only %q at Stream, got %q", allowed, names)
	}
}

// Besides credentials, Stream's own SDKs send Content-Type, Accept-Encoding,
// User-Agent and X-Client-Request-Id.
func TestWhatStreamNeedsReachesStream(t *testing.T) {
	h, requests := recording(t, nil)
	want := http.Header{
		"Content-Type":        {"application/json; charset=utf-8"},
		"Content-Encoding":    {"gzip"},
		"Content-Language":    {"de"},
		"Accept":              {"application/json", "text/plain"},
		"Accept-Charset":      {"utf-8"},
		"Accept-Encoding":     {"gzip, br"},
		"Accept-Language":     {"de, en;q=0.5"},
		"User-Agent":          {"checkout/1.0"},
		"X-Request-Id":        {"a,b; c"},
		"X-Client-Request-Id": {"6f1c"},
		"Traceparent":         {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
		"Tracestate":          {"a=1", "b=2"},
	}
	awstest.Do(h, newRequest(http.MethodGet, "/proxy/app", "", want))
	got := <-requests
	for name, values := range want {
		if !slices.Equal(got.header[name], values) {
			t.Errorf("%s: want %q, got %q", name, values, got.header[name])
		}
	}
	do(h, http.MethodGet, "/proxy/app", "")
	got = <-requests
	for _, name := range []string{"User-Agent", "Accept-Encoding"} {
		if values, ok := got.header[name]; ok {
			t.Errorf("%s: want none if the caller sends none, got %q", name, values)
		}
	}
}

// net/http would not send them, and the caller would be told that Stream is down.
func TestCharactersThatHTTPForbidsAreTheCallersFault(t *testing.T) {
	h, _ := recording(t, nil)
	for _, value := range []string{"a\r\nX-Evil: 1", "a\n", "\x00", "a\x7f"} {
		for _, name := range []string{"Accept", "User-Agent", "X-Request-Id"} {
			response := awstest.Do(h, newRequest(http.MethodPost, "/proxy/users", "{}", http.Header{name: {value}}))
			if message := awstest.WantError(t, response, http.StatusBadRequest); !strings.Contains(message, name) {
				t.Errorf("%s: %q: want the field named, got %s", name, value, message)
			}
		}
	}
	r := newRequest(http.MethodGet, "/proxy/users", "", nil)
	r.URL.RawQuery = "payload=a\n"
	awstest.WantError(t, awstest.Do(h, r), http.StatusBadRequest)
	if response := awstest.Do(h, newRequest(http.MethodPost, "/proxy/users", "{}", http.Header{"X-Other": {"\x00"}, "Accept": {"a\té\xff"}})); response.StatusCode != http.StatusOK {
		t.Errorf("want a field that is not sent on ignored, got %d", response.StatusCode)
	}
}

func TestPathReachesStreamAsWritten(t *testing.T) {
	h, requests := recording(t, nil)
	for _, path := range []string{
		"users", "channels/messaging/general", "channels/messaging/a%20b", "users/%C3%A9", "users/%c3%a9", "a+b",
		"channels/messaging:general", "users/@alice", "channels/messaging/!members-abc", "a%2Bb", "a%3Fb", "a%23b", "a%25b",
		"a~b", "a%7Eb", "a,b;c=d", "a.b", "a..b", "...", ".a", "a$&'()*b", "%61%62", "%252e%252e", "a%3Ab",
	} {
		if response := do(h, http.MethodGet, "/proxy/"+path, ""); response.StatusCode != http.StatusOK {
			t.Errorf("%s: want status 200, got %d", path, response.StatusCode)
		} else if got := <-requests; got.uri != "/"+path+"?api_key=the+key" {
			t.Errorf("want /%s, got %s", path, got.uri)
		}
	}
	below := make(chan string, 1)
	h = newProxy(t, newBackend(t, func(_ http.ResponseWriter, r *http.Request) { below <- r.RequestURI })+"/api%20v1", nil)
	do(h, http.MethodGet, "/proxy/users/%c3%a9", "")
	if got := <-below; got != "/api%20v1/users/%c3%a9?api_key=the+key" {
		t.Errorf("want the path below the base URL's, got %s", got)
	}
}

func TestQueryReachesStreamAsWritten(t *testing.T) {
	h, requests := recording(t, nil)
	for query, want := range map[string]string{
		"":                                 "",
		"a=1":                              "a=1&",
		"b=2&a=1&b=1":                      "b=2&a=1&b=1&",
		"a=&b&=c":                          "a=&b&=c&",
		"a=x+y%20z%2B":                     "a=x+y%20z%2B&",
		"payload=%7B%22a%22%3A1%7D":        "payload=%7B%22a%22%3A1%7D&",
		"payload={%22a%22:[1,2]}":          "payload={%22a%22:[1,2]}&",
		"é=%C3%A9&n=%c3%a9":                "é=%C3%A9&n=%c3%a9&",
		"api_key=x":                        "",
		"a=1&api_key=x&b=2&api_key=y":      "a=1&b=2&",
		"api%5fkey=x&api%5Fkey=y":          "",
		"%61%70%69_key=x&API_KEY=y":        "",
		"api_key":                          "",
		"api_key=x=y":                      "",
		"a=1;api_key=x":                    "a=1%3Bapi_key=x&",
		"my_api_key=1&api_key_2=2":         "my_api_key=1&api_key_2=2&",
		"user_id=alice&connection_id=%":    "user_id=alice&connection_id=%&",
		"&&a=1&&":                          "a=1&",
		"a=api_key=x":                      "a=api_key=x&",
		"a=%26api_key%3Dx":                 "a=%26api_key%3Dx&",
		"Stream-Auth-Type=x&authorization": "Stream-Auth-Type=x&authorization&",
	} {
		r := newRequest(http.MethodGet, "/proxy/users", "", nil)
		r.URL.RawQuery = query
		awstest.Do(h, r)
		if got, want := (<-requests).uri, "/users?"+want+"api_key=the+key"; got != want {
			t.Errorf("%s: want %s, got %s", query, want, got)
		}
	}
}

func TestPathsThatMeanAnotherResourceAreRefused(t *testing.T) {
	h, requests := recording(t, nil)
	for _, path := range []string{
		"", "/", "..", ".", "../app", "users/..", "users/../app", "users/./alice", "users/.", "/users", "users//alice", "users/", "users//", "channels/messaging/general/", "users%2F",
		"%2e%2e/app", "users/%2E%2E/app", "users/.%2e/app", "users/%2e/alice", "%2E%2e",
		"users%2Falice", "users%2falice", "a%5Cb", "a%5cb", "users/..%2fapp", "..%5Capp", "users%2f..%2fapp", "%2F", "%5C",
	} {
		r := newRequest(http.MethodGet, "/", "", nil)
		decoded, err := url.PathUnescape("/proxy/" + path)
		if err != nil {
			t.Fatal(err)
		}
		r.URL = &url.URL{Path: decoded, RawPath: "/proxy/" + path}
		message := awstest.WantError(t, awstest.Do(h, r), http.StatusBadRequest)
		if !strings.Contains(message, "/proxy/") {
			t.Errorf("%q: want a message that explains which paths are allowed, got %q", path, message)
		}
		select {
		case got := <-requests:
			t.Errorf("%q: want nothing at the backend, got %s", path, got.uri)
		default:
		}
	}
	awstest.WantError(t, do(h, http.MethodGet, "/proxy", ""), http.StatusBadRequest)
	// An HTTP API decodes the path, so a backslash arrives as it is.
	r := newRequest(http.MethodGet, "/", "", nil)
	r.URL = &url.URL{Path: `/proxy/users\..\app`}
	awstest.WantError(t, awstest.Do(h, r), http.StatusBadRequest)
}

func FuzzWhatPassesNamesOneResource(f *testing.F) {
	for _, path := range []string{"users", "users/%2e%2e", "a//b", "a%2fb", "a%5cb", "users/", "%", "%zz", "a%252fb", "."} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if checkPath(path) != nil {
			return
		}
		for segment := range strings.SplitSeq(path, "/") {
			decoded, err := url.PathUnescape(segment)
			if err != nil {
				t.Fatalf("%q: want percent-escapes that can be decoded, got %v", path, err)
			}
			if decoded == "" || decoded == "." || decoded == ".." || strings.ContainsAny(decoded, `/\`) {
				t.Errorf("%q: want no segment like %q", path, segment)
			}
		}
	})
}

func TestOtherMethodsAndPathsAreRefused(t *testing.T) {
	h := newProxy(t, "http://127.0.0.1:1", nil)
	for _, method := range []string{"HEAD", "OPTIONS", "CONNECT", "get"} {
		r := newRequest(http.MethodGet, "/proxy/users", "", nil)
		r.Method = method
		response := awstest.Do(h, r)
		if got := response.Header.Get("Allow"); got != "GET, POST, PUT, PATCH, DELETE" {
			t.Errorf("%s: Allow: want GET, POST, PUT, PATCH, DELETE, got %q", method, got)
		}
		awstest.WantError(t, response, http.StatusMethodNotAllowed)
	}
	for _, path := range []string{"/", "/proxyusers", "/users"} {
		awstest.WantError(t, do(h, http.MethodGet, path, ""), http.StatusNotFound)
	}
}

func TestAnswerComesBackAsItIs(t *testing.T) {
	body := `{"code":9,"message":"Too many requests for user \u003calice\u003e",` + "\n" + ` "StatusCode":429,"duration":"0.00ms","big":9007199254740993}` + "\n"
	header := http.Header{
		"Content-Type":          {"application/json; charset=UTF-8"},
		"X-Ratelimit-Limit":     {"60"},
		"X-Ratelimit-Remaining": {"0"},
		"X-Ratelimit-Reset":     {"1795348800"},
		"X-Budget-Used":         {"1.5"},
		"X-Budget-Limit":        {"100", "200"},
		"Retry-After":           {"7"},
		"Cache-Control":         {"private, max-age=1"},
		"Content-Disposition":   {`attachment; filename="a.pdf"`},
		"X-Request-Id":          {"6f1c"},
	}
	var status int
	h := newProxy(t, newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		maps.Copy(w.Header(), header)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}), nil)
	for _, status = range []int{200, 201, 204, 304, 400, 401, 404, 429, 500, 503} {
		response := do(h, http.MethodPost, "/proxy/users", "{}")
		want := body
		if status == 204 || status == 304 { // which have no body
			want = ""
		}
		if got, _ := io.ReadAll(response.Body); response.StatusCode != status || string(got) != want {
			t.Errorf("want %d %s, got %d %s", status, want, response.StatusCode, got)
		}
		for name, values := range header {
			// net/http's server sends no Content-Type with a 304.
			if got := response.Header[name]; !slices.Equal(got, values) && (status != 304 || name != "Content-Type") {
				t.Errorf("%d: %s: want %q, got %q", status, name, values, got)
			}
		}
	}
}

func TestOtherFieldsOfTheAnswerStayHere(t *testing.T) {
	dropped := strings.Fields(`
		Set-Cookie Set-Cookie2 Access-Control-Allow-Origin Access-Control-Allow-Credentials Access-Control-Allow-Headers
		Access-Control-Allow-Methods Access-Control-Expose-Headers Access-Control-Max-Age Vary Strict-Transport-Security
		Content-Security-Policy Alt-Svc Clear-Site-Data Location Refresh Link Server Via X-Amzn-Requestid X-Powered-By X-Hop Keep-Alive`)
	h := newProxy(t, newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		for _, name := range dropped {
			w.Header()[name] = []string{"a", "b"}
		}
		w.Header().Set("Connection", "X-Hop")
		w.Header().Set("Trailer", "X-Late")
		_, _ = io.WriteString(w, "{}")
		w.Header().Set("X-Late", "1")
	}), nil)
	response := do(h, http.MethodGet, "/proxy/app", "")
	_, _ = io.ReadAll(response.Body)
	for _, name := range append(dropped, "Connection", "Trailer", "X-Late") {
		if got, ok := response.Header[name]; ok {
			t.Errorf("want no %s in the answer, got %q", name, got)
		}
	}
	if len(response.Trailer) != 0 {
		t.Errorf("want no trailers, which API Gateway cannot send, got %v", response.Trailer)
	}
}

func TestCompressedAnswersStayCompressed(t *testing.T) {
	var compressed bytes.Buffer
	zip := gzip.NewWriter(&compressed)
	_, _ = zip.Write([]byte(`{"users":[]}`))
	_ = zip.Close()
	h := newProxy(t, newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(compressed.Bytes())
	}), nil)
	for _, accepted := range []http.Header{nil, {"Accept-Encoding": {"gzip"}}} {
		response := awstest.Do(h, newRequest(http.MethodGet, "/proxy/users", "", accepted))
		body, _ := io.ReadAll(response.Body)
		if !bytes.Equal(body, compressed.Bytes()) || response.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("want the gzip bytes with Content-Encoding gzip, got %x with %q", body, response.Header.Get("Content-Encoding"))
		}
	}
}

// refused returns the address of a port where nobody listens.
func refused(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestUnreachableStreamIsABadGateway(t *testing.T) {
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	defer untrusted.Close()
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	for name, base := range map[string]string{
		"connection refused":    "http://" + refused(t),
		"TLS refused":           "https://" + refused(t),
		"untrusted certificate": untrusted.URL,
		"no TLS":                "https://" + strings.TrimPrefix(newBackend(t, nil), "http://"),
	} {
		t.Run(name, func(t *testing.T) {
			message := awstest.WantError(t, do(newProxy(t, base, nil), http.MethodPost, "/proxy/users", "{}"), http.StatusBadGateway)
			if !strings.Contains(message, "could not be reached") {
				t.Errorf("want a message that says that Stream was not reached, got %q", message)
			}
		})
	}
}

func TestSwitchingProtocolsIsABadGateway(t *testing.T) {
	h := newProxy(t, newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		w.WriteHeader(http.StatusSwitchingProtocols)
	}), nil)
	header := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}
	awstest.WantError(t, awstest.Do(h, newRequest(http.MethodGet, "/proxy/connect", "", header)), http.StatusBadGateway)
}

func TestCallerWhoLeavesEndsTheRequestToStream(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	ended := make(chan struct{})
	h := newProxy(t, newBackend(t, func(_ http.ResponseWriter, r *http.Request) {
		leave()
		<-r.Context().Done()
		close(ended)
	}), nil)
	response := awstest.Do(h, newRequest(http.MethodGet, "/proxy/app", "", nil).WithContext(ctx))
	<-ended
	awstest.WantError(t, response, http.StatusBadGateway) // not the timeout's, after 25 s
}

// everyByte is not UTF-8.
func everyByte() string {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return string(all)
}

// logLineOfTheDocs is the sample line in docs/monitoring.md.
func logLineOfTheDocs(t *testing.T) (line map[string]any) {
	t.Helper()
	page, err := os.ReadFile("../../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?s)\{"timestamp".*?\}\n`).Find(page)
	if err := json.Unmarshal(text, &line); err != nil {
		t.Fatalf("docs/monitoring.md: want a log line, got %s: %v", text, err)
	}
	return line
}

// logLines stops f and returns the log lines of its requests, by path.
func logLines(t *testing.T, f *awstest.Function) map[any]map[string]any {
	t.Helper()
	if err := f.Idle(t.Context()); err != nil { // it has logged by then
		t.Fatal(err)
	}
	f.Stop()
	lines := make(map[any]map[string]any)
	for text := range strings.Lines(f.Output()) {
		var line map[string]any
		if json.Unmarshal([]byte(text), &line) == nil && line["message"] == "request" {
			lines[line["path"]] = line
		}
	}
	return lines
}

// The function's own process, whose answers are streamed.
func TestFunctionStreamsAndLogsWhoDidWhatAtStream(t *testing.T) {
	more, requests := make(chan struct{}), make(chan seen, 1)
	base := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		flush := http.NewResponseController(w).Flush
		switch r.URL.Path {
		case "/first-bytes":
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "first")
			_ = flush()
			<-more
			_, _ = io.WriteString(w, " last")
		case "/status":
			w.Header().Set("X-Ratelimit-Limit", "60")
			w.WriteHeader(http.StatusCreated)
			_ = flush()
			<-more
		case "/fails":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/breaks-off", "/breaks-off-before-its-length":
			if r.URL.Path != "/breaks-off" {
				w.Header().Set("Content-Length", "1000")
			}
			_, _ = io.WriteString(w, `{"users":[`)
			_ = flush()
			panic(http.ErrAbortHandler)
		default:
			body, _ := io.ReadAll(r.Body)
			requests <- seen{method: r.Method, uri: r.RequestURI, body: string(body)}
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, everyByte())
		}
	})
	f := awstest.StartFunction(t, awstest.NewParameterStore(t, awstest.App(key, secret)).Env(map[string]string{"STREAM_BASE_URL": base}))
	invoke := func(method, target, body string) *http.Response {
		return f.Invoke(awstest.ServiceEvent(t, newRequest(method, target, body, nil), "/proxy/{path+}"))
	}

	response := invoke(http.MethodGet, "/proxy/first-bytes", "")
	first := make([]byte, 5)
	if _, err := io.ReadFull(response.Body, first); err != nil || string(first) != "first" {
		t.Errorf("want the first bytes before the end, got %q, %v", first, err)
	}
	more <- struct{}{}
	if rest, err := io.ReadAll(response.Body); err != nil || string(rest) != " last" {
		t.Errorf("want the last bytes, got %q, %v", rest, err)
	}

	response = invoke(http.MethodPost, "/proxy/status", "{}")
	if response.StatusCode != http.StatusCreated || response.Header.Get("X-Ratelimit-Limit") != "60" {
		t.Errorf("want 201 with X-Ratelimit-Limit 60 before the first byte of the body, got %d with %v", response.StatusCode, response.Header)
	}
	more <- struct{}{}
	_, _ = io.ReadAll(response.Body)

	for _, path := range []string{"/proxy/breaks-off", "/proxy/breaks-off-before-its-length"} {
		if body, err := io.ReadAll(invoke(http.MethodGet, path, "").Body); err == nil || string(body) != `{"users":[` {
			t.Errorf("%s: want the bytes that arrived and an error, got %s, %v", path, body, err)
		}
	}

	_, _ = io.ReadAll(invoke(http.MethodGet, "/proxy/fails", "").Body)

	const target = "/proxy/channels/messaging/a%20b%c3%a9?a=x+y&a=z&api_key=forged"
	if body, err := io.ReadAll(invoke(http.MethodPut, target, everyByte()).Body); err != nil || string(body) != everyByte() {
		t.Errorf("want every byte back, got %x, %v", body, err)
	}
	if got := <-requests; got.method != http.MethodPut || got.uri != "/channels/messaging/a%20b%c3%a9?a=x+y&a=z&api_key=the+key" || got.body != everyByte() {
		t.Errorf("want the request as it was sent, got %s %s %x", got.method, got.uri, got.body)
	}

	// The credentials are above all permissions at Stream: the log is the record of
	// who did what with them.
	const arn = "arn:aws:sts::123456789012:assumed-role/checkout/1" // as awstest has it
	path := "/channels/messaging/a%20b%c3%a9"
	lines := logLines(t, f)
	line := lines[path]
	// Without the field, Stream's failures would roll a deployment back.
	if fails := lines["/fails"]; fails["status"] != 503.0 || fails["fault"] != "Stream" || line["fault"] != nil {
		t.Errorf("want Stream's 503 marked as Stream's fault, got %v", fails)
	}
	if line["callerArn"] != arn || line["method"] != "PUT" || line["status"] != 202.0 {
		t.Errorf("want %s, PUT and 202 logged, got %v", arn, line)
	}
	for _, metric := range []string{`"Upstream2xx":1`, `"UpstreamLatency":`} {
		if !strings.Contains(f.Output(), metric) {
			t.Errorf("want %s among the metrics, got\n%s", metric, f.Output())
		}
	}
	for name, hidden := range map[string]string{"token": serverToken, "secret": secret, "query": "forged"} {
		if strings.Contains(f.Output(), hidden) {
			t.Errorf("want no %s in the log, got\n%s", name, f.Output())
		}
	}
	sample := logLineOfTheDocs(t)
	if want, got := slices.Sorted(maps.Keys(line)), slices.Sorted(maps.Keys(sample)); !slices.Equal(got, want) {
		t.Errorf("docs/monitoring.md: want a line with %q, got %q", want, got)
	}
	// Go trims trailing zeros.
	if stamp, _ := sample["timestamp"].(string); !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$`).MatchString(stamp) {
		t.Errorf("docs/monitoring.md: want nanoseconds as in %v, got %s", line["timestamp"], stamp)
	}
}

func BenchmarkProxy(b *testing.B) {
	for _, size := range []int{1 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			answer := bytes.Repeat([]byte("x"), size)
			h := newProxy(b, newBackend(b, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(answer) }), nil)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				w := &discardWriter{header: make(http.Header)}
				h.ServeHTTP(w, newRequest(http.MethodGet, "/proxy/app", "", nil))
				if w.n != size {
					b.Fatalf("want %d bytes, got %d", size, w.n)
				}
			}
		})
	}
}

// A discardWriter counts the bytes of an answer.
type discardWriter struct {
	header http.Header
	n      int
}

func (w *discardWriter) Header() http.Header { return w.header }

func (w *discardWriter) WriteHeader(int) {}

func (w *discardWriter) Write(p []byte) (int, error) {
	w.n += len(p)
	return len(p), nil
}
