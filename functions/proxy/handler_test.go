package main

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

// serverToken is the JWT that the app's servers show.
var serverToken = func() string {
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"server": true}).SignedString([]byte(secret))
	if err != nil {
		panic(err)
	}
	return token
}()

// newProxy is the function's handler in front of base.
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
	return newHandler(app, u, transport, true)
}

// A seen is a request as the backend got it.
type seen struct {
	method, uri, host string
	header            http.Header
	body              []byte
	contentLength     int64
}

// recording is a proxy in front of a backend that keeps what it is sent, and
// answers with answer, if any.
func recording(t testing.TB, answer http.HandlerFunc) (http.Handler, <-chan seen) {
	requests := make(chan seen, 1)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- seen{r.Method, r.RequestURI, r.Host, r.Header.Clone(), body, r.ContentLength}
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(backend.Close)
	return newProxy(t, backend.URL, nil), requests
}

// newRequest is a request with the path and query as written.
func newRequest(method, target, body string, header http.Header) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	// As the event's request has it, and httptest's has not.
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
	for name, values := range header {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	return r
}

func do(h http.Handler, method, target, body string) *http.Response {
	return serve(h, newRequest(method, target, body, nil))
}

func serve(h http.Handler, r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestForwardsAsTheAppsServer(t *testing.T) {
	h, requests := recording(t, nil)
	do(h, http.MethodPost, "/proxy/users", `{"users":{}}`)
	got := <-requests
	for name, want := range map[string]string{
		"Authorization": serverToken, "Stream-Auth-Type": "jwt", "X-Stream-Client": "chat-service-backend",
	} {
		if values := got.header[name]; !slices.Equal(values, []string{want}) {
			t.Errorf("%s: want %q, got %q", name, want, values)
		}
	}
	if got.uri != "/users?api_key=the+key" {
		t.Errorf("want /users?api_key=the+key, got %s", got.uri)
	}
	if string(got.body) != `{"users":{}}` || got.contentLength != 12 {
		t.Errorf("want the caller's body and its length, got %s, %d", got.body, got.contentLength)
	}
}

func TestCallersCredentialsAndRouteDoNotReachStream(t *testing.T) {
	h, requests := recording(t, nil)
	r := newRequest(http.MethodPost, "/proxy/users", "{}", http.Header{
		"Authorization":        {"Bearer forged", "AWS4-HMAC-SHA256 Credential=forged"},
		"Stream-Auth-Type":     {"anonymous"},
		"X-Stream-Client":      {"forged"},
		"Api_key":              {"forged"},
		"Api-Key":              {"forged"},
		"X-Api-Key":            {"forged"},
		"Cookie":               {"session=forged"},
		"X-Amz-Date":           {"forged"},
		"X-Amz-Security-Token": {"forged"},
		"X-Amz-Content-Sha256": {"forged"},
		"X-Amzn-Trace-Id":      {"forged"},
		"X-Amzn-Requestid":     {"forged"},
		"X-Forwarded-For":      {"forged"},
		"X-Forwarded-Host":     {"forged"},
		"X-Forwarded-Port":     {"forged"},
		"X-Forwarded-Proto":    {"forged"},
		"X-Forwarded-User":     {"forged"},
		"Forwarded":            {"for=forged"},
		"Via":                  {"forged"},
		"Connection":           {"X-Named, Upgrade", "X-Also-Named, Authorization"},
		"X-Named":              {"forged"},
		"X-Also-Named":         {"forged"},
		"Upgrade":              {"forged"},
		"Te":                   {"trailers"},
		"Trailer":              {"X-Forged"},
		"Keep-Alive":           {"forged"},
		"Proxy-Authorization":  {"forged"},
		"Proxy-Authenticate":   {"forged"},
		"Proxy-Connection":     {"forged"},
		"Transfer-Encoding":    {"forged"},
		"Expect":               {"100-continue"},
		// net/http repeats a POST that has one of these.
		"Idempotency-Key":        {"forged"},
		"X-Idempotency-Key":      {"forged"},
		"X-Http-Method-Override": {"DELETE forged"},
		"X-Method-Override":      {"DELETE forged"},
		"X-Http-Method":          {"DELETE forged"},
		"X-Original-Url":         {"/app?forged"},
		"X-Rewrite-Url":          {"/app?forged"},
		"X-Original-Uri":         {"/app?forged"},
		"Stream_auth_type":       {"forged"},
		"Stream-Auth_type":       {"forged"},
		"X_api_key":              {"forged"},
		"X_stream_client":        {"forged"},
		"Content_type":           {"forged"},
		"X-Real-Ip":              {"forged"},
		"True-Client-Ip":         {"forged"},
		"Cf-Connecting-Ip":       {"forged"},
		"Fastly-Client-Ip":       {"forged"},
		"X-Client-Ip":            {"forged"},
		"X-Cluster-Client-Ip":    {"forged"},
		"X-Amzn-Vpc-Id":          {"forged"},
		"Origin":                 {"https://forged.example"},
		"Referer":                {"https://forged.example"},
		"Baggage":                {"forged"},
		"Range":                  {"bytes=forged"},
		"If-None-Match":          {"forged"},
	})
	if response := serve(h, r); response.StatusCode != http.StatusOK {
		t.Fatalf("want status 200, got %d", response.StatusCode)
	}
	got := <-requests
	allowed := map[string]bool{"Authorization": true, "Stream-Auth-Type": true, "X-Stream-Client": true, "Content-Length": true}
	for name, values := range got.header {
		if !allowed[name] {
			t.Errorf("want no %s at Stream, got %q", name, values)
		}
		for _, value := range values {
			if strings.Contains(value, "forged") {
				t.Errorf("%s: want nothing of the caller's, got %q", name, value)
			}
		}
	}
}

func TestConnectionCannotNameOurFieldsAway(t *testing.T) {
	h, requests := recording(t, nil)
	serve(h, newRequest(http.MethodGet, "/proxy/app", "", http.Header{"Connection": {"authorization, stream-auth-type, x-stream-client"}}))
	got := <-requests
	if got.header.Get("Authorization") != serverToken || got.header.Get("Stream-Auth-Type") != "jwt" || got.header.Get("X-Stream-Client") == "" {
		t.Errorf("want our fields at Stream, got %v", got.header)
	}
}

// What Stream's own SDKs send besides credentials is Content-Type,
// Accept-Encoding, User-Agent and X-Client-Request-Id.
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
	serve(h, newRequest(http.MethodGet, "/proxy/app", "", want))
	got := <-requests
	for name, values := range want {
		if !slices.Equal(got.header[name], values) {
			t.Errorf("%s: want %q, got %q", name, values, got.header[name])
		}
	}
	serve(h, newRequest(http.MethodGet, "/proxy/app", "", nil))
	got = <-requests
	for _, name := range []string{"User-Agent", "Accept-Encoding"} {
		if values, ok := got.header[name]; ok {
			t.Errorf("%s: want none where the caller sends none, got %q", name, values)
		}
	}
}

func TestPathReachesStreamAsWritten(t *testing.T) {
	h, requests := recording(t, nil)
	for _, path := range []string{
		"users", "channels/messaging/general", "channels/messaging/a%20b", "users/%C3%A9", "users/%c3%a9", "a+b",
		"channels/messaging:general", "users/@alice", "channels/messaging/!members-abc", "a%2Bb", "a%3Fb", "a%23b", "a%25b",
		"a~b", "a%7Eb", "a,b;c=d", "a.b", "a..b", "...", ".a", "a$&'()*b", "%61%62", "%252e%252e", "a%3Ab",
	} {
		response := do(h, http.MethodGet, "/proxy/"+path, "")
		if response.StatusCode != http.StatusOK {
			t.Errorf("%s: want status 200, got %d", path, response.StatusCode)
			continue
		}
		if got := <-requests; got.uri != "/"+path+"?api_key=the+key" {
			t.Errorf("want /%s, got %s", path, got.uri)
		}
	}
}

func TestPathLiesBelowTheBaseURL(t *testing.T) {
	requests := make(chan string, 1)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { requests <- r.RequestURI }))
	defer backend.Close()
	h := newProxy(t, backend.URL+"/api%20v1", nil)
	do(h, http.MethodGet, "/proxy/users/%c3%a9", "")
	if got := <-requests; got != "/api%20v1/users/%c3%a9?api_key=the+key" {
		t.Errorf("want /api%%20v1/users/%%c3%%a9, got %s", got)
	}
}

func TestHostIsTheBaseURLs(t *testing.T) {
	h, requests := recording(t, nil)
	r := newRequest(http.MethodGet, "/proxy/app", "", nil)
	r.Host = "forged.example.com"
	serve(h, r)
	if got := <-requests; !strings.HasPrefix(got.host, "127.0.0.1:") {
		t.Errorf("want the backend's host, got %s", got.host)
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
		serve(h, r)
		if got, want := (<-requests).uri, "/users?"+want+"api_key=the+key"; got != want {
			t.Errorf("%s: want %s, got %s", query, want, got)
		}
	}
}

func FuzzOnlyOurKeyIsInTheQuery(f *testing.F) {
	for _, query := range []string{"api_key=x", "a=1;api_key=x", "api%5fkey=x&&", "%", "a=%26api_key=x", "api_key%00=1", ";", "api_key;"} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		got := withKey(query, key)
		values, _ := url.ParseQuery(got)
		if !slices.Equal(values["api_key"], []string{key}) {
			t.Errorf("want our key alone in %q, got %q", got, values["api_key"])
		}
		// For servers to which a semicolon separates, too.
		values, _ = url.ParseQuery(strings.ReplaceAll(got, ";", "&"))
		if !slices.Equal(values["api_key"], []string{key}) {
			t.Errorf("want our key alone in %q with semicolons, got %q", got, values["api_key"])
		}
	})
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
		message := awstest.WantError(t, serve(h, r), http.StatusBadRequest)
		if !strings.Contains(message, "/proxy/") {
			t.Errorf("%q: want a message that says what path is wanted, got %q", path, message)
		}
		select {
		case got := <-requests:
			t.Errorf("%q: want nothing at the backend, got %s", path, got.uri)
		default:
		}
	}
	awstest.WantError(t, do(h, http.MethodGet, "/proxy", ""), http.StatusBadRequest)
	// The event of an HTTP API has the path decoded: a backslash as it is.
	r := newRequest(http.MethodGet, "/", "", nil)
	r.URL = &url.URL{Path: `/proxy/users\..\app`}
	awstest.WantError(t, serve(h, r), http.StatusBadRequest)
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

func TestEveryMethodIsForwarded(t *testing.T) {
	h, requests := recording(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Method) })
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		for _, body := range []string{"", `{"a":1}`} {
			response := do(h, method, "/proxy/users", body)
			answer, _ := io.ReadAll(response.Body)
			got := <-requests
			if got.method != method || string(got.body) != body || string(answer) != method {
				t.Errorf("%s with body %q: want it at the backend, got %s %q and answer %q", method, body, got.method, got.body, answer)
			}
		}
	}
}

func TestOtherMethodsAreNotAllowed(t *testing.T) {
	h := newProxy(t, "http://127.0.0.1:1", nil)
	for _, method := range []string{"HEAD", "OPTIONS", "TRACE", "CONNECT", "get", "PURGE"} {
		r := newRequest(http.MethodGet, "/proxy/users", "", nil)
		r.Method = method
		response := serve(h, r)
		if got := response.Header.Get("Allow"); got != "GET, POST, PUT, PATCH, DELETE" {
			t.Errorf("%s: Allow: want GET, POST, PUT, PATCH, DELETE, got %q", method, got)
		}
		awstest.WantError(t, response, http.StatusMethodNotAllowed)
	}
}

func TestOtherPathsAreNotFound(t *testing.T) {
	h := newProxy(t, "http://127.0.0.1:1", nil)
	for _, path := range []string{"/", "/proxyusers", "/users"} {
		awstest.WantError(t, do(h, http.MethodGet, path, ""), http.StatusNotFound)
	}
}

// everyByte is no UTF-8.
func everyByte() []byte {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return all
}

func TestBinaryBodiesPassBothWays(t *testing.T) {
	h, requests := recording(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "image/png")
		_, _ = w.Write(everyByte())
	})
	response := do(h, http.MethodPost, "/proxy/channels/messaging/general/image", string(everyByte()))
	answer, _ := io.ReadAll(response.Body)
	if got := <-requests; !bytes.Equal(got.body, everyByte()) {
		t.Errorf("at the backend: want every byte, got %x", got.body)
	}
	if !bytes.Equal(answer, everyByte()) || response.Header.Get("Content-Type") != "image/png" {
		t.Errorf("want every byte as image/png, got %x as %s", answer, response.Header.Get("Content-Type"))
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
	for _, status := range []int{200, 201, 202, 400, 401, 403, 404, 409, 413, 429, 500, 502, 503} {
		h, _ := recording(t, func(w http.ResponseWriter, r *http.Request) {
			for name, values := range header {
				w.Header()[name] = values
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
		response := do(h, http.MethodPost, "/proxy/users", "{}")
		got, _ := io.ReadAll(response.Body)
		if response.StatusCode != status || string(got) != body {
			t.Errorf("want %d %s, got %d %s", status, body, response.StatusCode, got)
		}
		for name, values := range header {
			if !slices.Equal(response.Header[name], values) {
				t.Errorf("%d: %s: want %q, got %q", status, name, values, response.Header[name])
			}
		}
	}
}

func TestOtherFieldsOfTheAnswerStayHere(t *testing.T) {
	dropped := http.Header{
		"Set-Cookie":                       {"a=1; Path=/", "b=2"},
		"Set-Cookie2":                      {"a=1"},
		"Access-Control-Allow-Origin":      {"*"},
		"Access-Control-Allow-Credentials": {"true"},
		"Access-Control-Allow-Headers":     {"authorization"},
		"Access-Control-Allow-Methods":     {"DELETE"},
		"Access-Control-Expose-Headers":    {"*"},
		"Access-Control-Max-Age":           {"86400"},
		"Vary":                             {"Origin"},
		"Strict-Transport-Security":        {"max-age=1"},
		"Content-Security-Policy":          {"default-src 'none'"},
		"Alt-Svc":                          {`h3=":443"`},
		"Clear-Site-Data":                  {`"*"`},
		"Location":                         {"https://elsewhere.example/"},
		"Refresh":                          {"0; url=https://elsewhere.example/"},
		"Link":                             {"<https://elsewhere.example/>; rel=preload"},
		"Server":                           {"nginx"},
		"Via":                              {"1.1 varnish"},
		"X-Amzn-Requestid":                 {"1"},
		"X-Powered-By":                     {"1"},
	}
	h, _ := recording(t, func(w http.ResponseWriter, r *http.Request) {
		maps.Copy(w.Header(), dropped)
		_, _ = io.WriteString(w, "{}")
	})
	response := do(h, http.MethodGet, "/proxy/app", "")
	for name := range dropped {
		if got, ok := response.Header[name]; ok {
			t.Errorf("want no %s in the answer, got %q", name, got)
		}
	}
}

func TestEmptyAnswersComeBackEmpty(t *testing.T) {
	for _, status := range []int{200, 204, 304} {
		h, _ := recording(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(status) })
		response := do(h, http.MethodDelete, "/proxy/users/alice", "")
		if body, _ := io.ReadAll(response.Body); response.StatusCode != status || len(body) != 0 {
			t.Errorf("want %d and no body, got %d %s", status, response.StatusCode, body)
		}
	}
}

func TestCompressedAnswersStayCompressed(t *testing.T) {
	var compressed bytes.Buffer
	zip := gzip.NewWriter(&compressed)
	_, _ = zip.Write([]byte(`{"users":[]}`))
	_ = zip.Close()
	for _, accepted := range []http.Header{nil, {"Accept-Encoding": {"gzip"}}} {
		h, _ := recording(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(compressed.Bytes())
		})
		response := serve(h, newRequest(http.MethodGet, "/proxy/users", "", accepted))
		body, _ := io.ReadAll(response.Body)
		if !bytes.Equal(body, compressed.Bytes()) || response.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("want the gzip bytes with Content-Encoding gzip, got %x with %q", body, response.Header.Get("Content-Encoding"))
		}
	}
}

func TestHopByHopFieldsOfTheAnswerStayHere(t *testing.T) {
	h, _ := recording(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "X-Hop")
		w.Header().Set("X-Hop", "1")
		w.Header().Set("Keep-Alive", "timeout=5")
		w.Header().Set("Trailer", "X-Late")
		_, _ = io.WriteString(w, "{}")
		w.Header().Set("X-Late", "1")
	})
	response := do(h, http.MethodGet, "/proxy/app", "")
	_, _ = io.ReadAll(response.Body)
	for _, name := range []string{"Connection", "X-Hop", "Keep-Alive", "Trailer", "X-Late"} {
		if got, ok := response.Header[name]; ok {
			t.Errorf("want no %s in the answer, got %q", name, got)
		}
	}
	if len(response.Trailer) != 0 {
		t.Errorf("want no trailers, which API Gateway cannot send, got %v", response.Trailer)
	}
}

// refused is the address of a port where nobody listens.
func refused(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestUnreachableStreamIsABadGateway(t *testing.T) {
	strange := httptest.NewTLSServer(http.NotFoundHandler()) // whose certificate nobody has signed
	defer strange.Close()
	strange.Config.ErrorLog = log.New(io.Discard, "", 0)
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	for name, base := range map[string]string{
		"connection refused": "http://" + refused(t),
		"TLS refused":        "https://" + refused(t),
		"unknown signer":     strange.URL,
		"no TLS":             "https://" + strings.TrimPrefix(plain.URL, "http://"),
		"no such host":       "http://host.invalid",
	} {
		t.Run(name, func(t *testing.T) {
			message := awstest.WantError(t, do(newProxy(t, base, nil), http.MethodPost, "/proxy/users", "{}"), http.StatusBadGateway)
			if strings.Contains(message, "127.0.0.1") || strings.Contains(message, "certificate") {
				t.Errorf("want no cause in the answer, got %q", message)
			}
		})
	}
}

func TestSwitchingProtocolsIsABadGateway(t *testing.T) {
	h, _ := recording(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		w.WriteHeader(http.StatusSwitchingProtocols)
	})
	header := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}
	awstest.WantError(t, serve(h, newRequest(http.MethodGet, "/proxy/connect", "", header)), http.StatusBadGateway)
}

func TestCallerWhoGoesAwayEndsTheRequestToStream(t *testing.T) {
	began, ended := make(chan struct{}), make(chan struct{})
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(ended)
	}))
	defer backend.Close()
	r := newRequest(http.MethodGet, "/proxy/app", "", nil)
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		<-began
		leave()
	}()
	response := serve(newProxy(t, backend.URL, nil), r.WithContext(ctx))
	<-ended
	awstest.WantError(t, response, http.StatusBadGateway) // and not what comes after 25 s
}

// streamedFunction is the function's own process in front of base.
func streamedFunction(t *testing.T, base string) *awstest.Function {
	return awstest.StartFunction(t, awstest.NewParameterStore(t, awstest.App(key, secret)).Env(map[string]string{"STREAM_BASE_URL": base}))
}

func TestFirstBytesArriveBeforeTheAnswerEnds(t *testing.T) {
	more := make(chan struct{})
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "first")
		_ = http.NewResponseController(w).Flush()
		<-more
		_, _ = io.WriteString(w, " last")
	}))
	defer backend.Close()
	f := streamedFunction(t, backend.URL)
	response := f.Invoke(awstest.ServiceEvent(t, newRequest(http.MethodGet, "/proxy/app", "", nil), "/proxy/{path+}"))
	first := make([]byte, 5)
	if _, err := io.ReadFull(response.Body, first); err != nil || string(first) != "first" {
		t.Errorf("want the first bytes, got %q, %v", first, err)
	}
	close(more)
	if rest, err := io.ReadAll(response.Body); err != nil || string(rest) != " last" {
		t.Errorf("want the last bytes, got %q, %v", rest, err)
	}
}

func TestStatusArrivesBeforeTheFirstByteOfTheBody(t *testing.T) {
	more := make(chan struct{})
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Ratelimit-Limit", "60")
		w.WriteHeader(http.StatusCreated)
		_ = http.NewResponseController(w).Flush()
		<-more
	}))
	defer backend.Close()
	defer close(more)
	f := streamedFunction(t, backend.URL)
	response := f.Invoke(awstest.ServiceEvent(t, newRequest(http.MethodPost, "/proxy/users", "{}", nil), "/proxy/{path+}"))
	if response.StatusCode != http.StatusCreated || response.Header.Get("X-Ratelimit-Limit") != "60" {
		t.Errorf("want 201 with X-Ratelimit-Limit 60, got %d with %v", response.StatusCode, response.Header)
	}
}

func TestAnswerThatBreaksOffIsSeenAsBroken(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/length" {
			w.Header().Set("Content-Length", "1000")
		}
		_, _ = io.WriteString(w, `{"users":[`)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer backend.Close()
	f := streamedFunction(t, backend.URL)
	for _, path := range []string{"length", "chunked"} {
		response := f.Invoke(awstest.ServiceEvent(t, newRequest(http.MethodGet, "/proxy/"+path, "", nil), "/proxy/{path+}"))
		if body, err := io.ReadAll(response.Body); err == nil || string(body) != `{"users":[` {
			t.Errorf("%s: want the bytes that came and an error, got %s, %v", path, body, err)
		}
	}
}

func TestCallerOfTheRESTAPIGetsPathQueryAndBodyThrough(t *testing.T) {
	requests := make(chan seen, 1)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- seen{method: r.Method, uri: r.RequestURI, body: body}
		_, _ = w.Write(everyByte())
	}))
	defer backend.Close()
	f := streamedFunction(t, backend.URL)
	target := "/proxy/channels/messaging/a%20b%c3%a9?a=x+y&a=z&api_key=forged"
	r := newRequest(http.MethodPut, target, string(everyByte()), nil)
	response := f.Invoke(awstest.ServiceEvent(t, r, "/proxy/{path+}"))
	if body, err := io.ReadAll(response.Body); err != nil || !bytes.Equal(body, everyByte()) {
		t.Errorf("want every byte back, got %x, %v", body, err)
	}
	got := <-requests
	if got.method != http.MethodPut || got.uri != "/channels/messaging/a%20b%c3%a9?a=x+y&a=z&api_key=the+key" || !bytes.Equal(got.body, everyByte()) {
		t.Errorf("want the request as it was sent, got %s %s %x", got.method, got.uri, got.body)
	}
	for name, hidden := range map[string]string{"token": serverToken, "secret": secret, "query": "forged"} {
		if strings.Contains(f.Output(), hidden) {
			t.Errorf("want no %s in the log, got\n%s", name, f.Output())
		}
	}
}

// logLineOfTheDocs is the sample line in docs/operations.md.
func logLineOfTheDocs(t *testing.T) (line map[string]any) {
	t.Helper()
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?m)^\{"timestamp".*$`).Find(page)
	if err := json.Unmarshal(text, &line); err != nil {
		t.Fatalf("docs/operations.md: want a log line, got %s: %v", text, err)
	}
	return line
}

// The service's credentials are above all permissions at Stream: the log is the
// record of who did what with them.
func TestLogSaysWhoDidWhatAtStream(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusAccepted) }))
	defer backend.Close()
	for setting, path := range map[string]any{"": "/channels/messaging/a%20b/message", "true": "/channels/messaging/a%20b/message", "false": nil} {
		f := awstest.StartFunction(t, awstest.NewParameterStore(t, awstest.App(key, secret)).Env(map[string]string{
			"STREAM_BASE_URL": backend.URL, "LOG_STREAM_PATHS": setting,
		}))
		r := newRequest(http.MethodDelete, "/proxy/channels/messaging/a%20b/message?user_id=in-the-query", "", nil)
		event := awstest.ServiceEvent(t, r, "/proxy/{path+}")
		arn := event["requestContext"].(map[string]any)["identity"].(map[string]any)["userArn"].(string)
		_, _ = io.ReadAll(f.Invoke(event).Body)
		if err := f.Idle(t.Context()); err != nil { // it has logged by then
			t.Fatal(err)
		}
		f.Stop()
		var line map[string]any
		for text := range strings.Lines(f.Output()) {
			if strings.Contains(text, `"message":"request"`) {
				_ = json.Unmarshal([]byte(text), &line)
			}
		}
		if arn == "" || line["callerArn"] != arn || line["method"] != "DELETE" || line["status"] != 202.0 || line["path"] != path {
			t.Errorf("LOG_STREAM_PATHS %q: want %s, DELETE, %v and 202, got %v", setting, arn, path, line)
		}
		if setting == "" {
			sample := logLineOfTheDocs(t)
			if want, got := slices.Sorted(maps.Keys(line)), slices.Sorted(maps.Keys(sample)); !slices.Equal(got, want) {
				t.Errorf("docs/operations.md: want a line with %q, got %q", want, got)
			}
			// To the nanosecond, but for zeros at the end.
			if stamp, _ := sample["timestamp"].(string); !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$`).MatchString(stamp) {
				t.Errorf("docs/operations.md: want nanoseconds as in %v, got %s", line["timestamp"], stamp)
			}
		}
		if strings.Contains(f.Output(), "in-the-query") {
			t.Errorf("want no query in the log, got %s", f.Output())
		}
	}
}

func BenchmarkProxy(b *testing.B) {
	for _, size := range []int{1 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			answer := bytes.Repeat([]byte("x"), size)
			backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(answer) }))
			defer backend.Close()
			h := newProxy(b, backend.URL, nil)
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
