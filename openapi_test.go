package chatservice_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"chat-service-backend/docs"
)

func loadOpenAPI(t *testing.T) *docs.OpenAPI {
	t.Helper()
	api, err := docs.LoadOpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	return api
}

func TestOpenAPIDocumentIsValid(t *testing.T) {
	t.Parallel()
	doc := loadOpenAPI(t).Document
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !doc.IsOpenAPI31OrLater() {
		t.Errorf("want OpenAPI 3.1, got %s", doc.OpenAPI)
	}
}

// An operation's servers are what a client follows, its tags what a reader
// sees. Both must name the APIs that template.yaml routes to a function.
func TestOpenAPIRoutesAreTheTemplates(t *testing.T) {
	t.Parallel()
	want := apiRoutes(t)
	doc := loadOpenAPI(t).Document
	byTag := map[string]bool{}
	byServer := map[string]bool{}
	for path, item := range doc.Paths.Map() {
		servers := item.Servers
		if len(servers) == 0 {
			servers = doc.Servers
		}
		for method, operation := range item.Operations() {
			for _, tag := range operation.Tags {
				byTag[tag+" "+method+" "+path] = true
			}
			for _, server := range servers {
				byServer[server.Description+" "+method+" "+path] = true
			}
		}
	}
	for by, got := range map[string]map[string]bool{"tags": byTag, "servers": byServer} {
		if !maps.Equal(got, want) {
			t.Errorf("routes by %s: want as in template.yaml:\n%s\ngot:\n%s", by, lines(want), lines(got))
		}
	}
}

func lines(set map[string]bool) string { return strings.Join(sortedKeys(set), "\n") }

// apiRoutes are the routes of both APIs, as "API METHOD path". The path
// parameter {path+}, for which OpenAPI has no word, is {path}.
func apiRoutes(t *testing.T) map[string]bool {
	t.Helper()
	apis := map[string]string{"HttpApi": docs.ClientAPI, "Api": docs.ServiceAPI}
	routes := map[string]bool{}
	for id := range functions {
		for _, event := range dig(source(t), "Resources", id+"Function", "Properties", "Events").(object) {
			if api := apis[fmt.Sprint(dig(event, "Type"))]; api != "" {
				path := strings.ReplaceAll(fmt.Sprint(dig(event, "Properties", "Path")), "+}", "}")
				routes[fmt.Sprint(api, " ", dig(event, "Properties", "Method"), " ", path)] = true
			}
		}
	}
	return routes
}

// A call is a request to the development server and the status it must get.
type call struct {
	api, method, path string
	header            map[string]string
	body              []byte
	status            int
	// refused says that the document, too, forbids this request.
	refused bool
}

const secret = "secret"

// standInForStream answers in some of the ways that Stream does.
func standInForStream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-RateLimit-Remaining", "9999")
	switch r.URL.Path {
	case "/users":
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"code":4,"message":"users must have 1 to 100 items","StatusCode":400}`)
	case "/users/alice":
		_, _ = io.WriteString(w, `{"users":{"alice":{"id":"alice"}}}`)
	case "/channels/messaging/general/image":
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "thank you")
	case "/broken":
		panic(http.ErrAbortHandler)
	default:
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"code":16,"message":"there is no such path","StatusCode":404}`)
	}
}

// The calls have each status that docs/openapi.yaml gives an operation by
// number, so an answer that the code changes is one that the document must
// change, and the other way around.
func TestOpenAPIAgreesWithTheRunningService(t *testing.T) {
	t.Parallel()
	s := loadOpenAPI(t)
	seen := map[string]bool{}
	stream := httptest.NewServer(http.HandlerFunc(standInForStream))
	t.Cleanup(stream.Close)

	// First there are no credentials, then there are.
	values := map[string]string{
		"/chat-service/client-config/web":    `{"theme":"light"}`,
		"/chat-service/client-config/broken": `no JSON`,
	}
	file := filepath.Join(t.TempDir(), "parameters.json")
	writeParameters(t, file, values)
	server := startServer(t, "-parameters", file, "-stream-url", stream.URL)

	bearer := map[string]string{"Authorization": "Bearer " + server.bearer(t, "alice")}
	nonsense := map[string]string{"Authorization": "Bearer nonsense"}
	typed := map[string]string{"Content-Type": "application/json"}
	event := []byte(`{"type":"message.new","message":{"text":"hello"}}`)
	signed := map[string]string{"Content-Type": "application/json", "X-Signature": sign(event), "X-Api-Key": "key"}
	tooLarge := bytes.Repeat([]byte(" "), 6_300_000)
	methods := []string{"GET", "POST", "PUT", "PATCH", "DELETE"}

	for _, c := range []call{
		{api: docs.ClientAPI, method: "GET", path: "/token/alice", header: bearer, status: 503},
		{api: docs.ClientAPI, method: "GET", path: "/api-key", status: 503},
		{api: docs.ClientAPI, method: "GET", path: "/config?clientType=web", status: 200},
		{api: docs.ClientAPI, method: "GET", path: "/config?clientType=web", header: bearer, status: 503},
		{api: docs.ClientAPI, method: "GET", path: "/config?clientType=broken", status: 500},
		{api: docs.ClientAPI, method: "POST", path: "/webhook", header: signed, body: event, status: 503},
		{api: docs.ServiceAPI, method: "POST", path: "/webhook/verify", header: typed, body: verification(event, sign(event)), status: 500},
	} {
		replay(t, s, server, c, seen)
	}
	for _, method := range methods {
		replay(t, s, server, call{api: docs.ServiceAPI, method: method, path: "/proxy/users", status: 503}, seen)
	}

	values["/chat-service/stream/api-key"] = "key"
	values["/chat-service/stream/api-secret"] = secret
	writeParameters(t, file, values)
	for _, c := range []call{
		{api: docs.ClientAPI, method: "GET", path: "/token/alice", header: bearer, status: 201},
		{api: docs.ClientAPI, method: "GET", path: "/token/alice", status: 401, refused: true},
		{api: docs.ClientAPI, method: "GET", path: "/token/alice", header: nonsense, status: 401},
		{api: docs.ClientAPI, method: "GET", path: "/token/bob", header: bearer, status: 403},
		{api: docs.ServiceAPI, method: "GET", path: "/token/%40bob", status: 201},
		{api: docs.ServiceAPI, method: "GET", path: "/token/b%20o%20b", status: 400, refused: true},

		{api: docs.ClientAPI, method: "GET", path: "/api-key", status: 200},
		{api: docs.ServiceAPI, method: "GET", path: "/api-key", status: 200},

		{api: docs.ClientAPI, method: "GET", path: "/config?clientType=web", status: 200},
		{api: docs.ClientAPI, method: "GET", path: "/config?clientType=web", header: bearer, status: 200},
		{api: docs.ClientAPI, method: "GET", path: "/config?clientType=web", header: nonsense, status: 200},
		{api: docs.ClientAPI, method: "GET", path: "/config?clientType=television", status: 200},
		{api: docs.ServiceAPI, method: "GET", path: "/config?clientType=web", header: map[string]string{"userid": "alice"}, status: 200},
		{api: docs.ServiceAPI, method: "GET", path: "/config?clientType=web", status: 200},
		{api: docs.ClientAPI, method: "GET", path: "/config", status: 400, refused: true},
		{api: docs.ClientAPI, method: "GET", path: "/config?clientType=", status: 400, refused: true},

		{api: docs.ClientAPI, method: "POST", path: "/webhook", header: signed, body: event, status: 200},
		{api: docs.ClientAPI, method: "POST", path: "/webhook", header: with(signed, "Content-Encoding", "gzip"), body: zipped(event), status: 200},
		{api: docs.ClientAPI, method: "POST", path: "/webhook", header: with(signed, "Content-Encoding", "gzip"), body: zipped(event)[:12], status: 400, refused: true},
		{api: docs.ClientAPI, method: "POST", path: "/webhook", header: with(signed, "X-Signature", "00"), body: event, status: 401},
		{api: docs.ClientAPI, method: "POST", path: "/webhook", header: with(signed, "X-Api-Key", "another"), body: event, status: 401},
		{api: docs.ClientAPI, method: "POST", path: "/webhook", header: typed, body: event, status: 401, refused: true},
		{api: docs.ClientAPI, method: "POST", path: "/webhook", header: signed, body: tooLarge, status: 413, refused: true},

		{api: docs.ServiceAPI, method: "POST", path: "/webhook/verify", header: typed, body: verification(event, sign(event)), status: 200},
		{api: docs.ServiceAPI, method: "POST", path: "/webhook/verify", header: typed, body: verification(event, "00"), status: 200},
		{api: docs.ServiceAPI, method: "POST", path: "/webhook/verify", header: typed, body: []byte(`{"rawBody":"{}"}`), status: 400, refused: true},

		{api: docs.ServiceAPI, method: "POST", path: "/proxy/users", header: typed, body: []byte(`{"users":{}}`), status: 400},
		{api: docs.ServiceAPI, method: "POST", path: "/proxy/channels/messaging/general/image", header: map[string]string{"Content-Type": "image/png"}, body: []byte("\x89PNG"), status: 201},
		{api: docs.ServiceAPI, method: "PUT", path: "/proxy/nothing/here", status: 404},
		{api: docs.ServiceAPI, method: "POST", path: "/proxy/users", header: typed, body: tooLarge, status: 413, refused: true},
	} {
		replay(t, s, server, c, seen)
	}
	for _, method := range methods {
		replay(t, s, server, call{api: docs.ServiceAPI, method: method, path: "/proxy/users/alice", status: 200}, seen)
		replay(t, s, server, call{api: docs.ServiceAPI, method: method, path: "/proxy/users/../app", status: 400}, seen)
		replay(t, s, server, call{api: docs.ServiceAPI, method: method, path: "/proxy/broken", status: 502}, seen)
	}

	// A 504 of the proxy takes 25 s, and its 413 is the same for all methods.
	for path, item := range s.Document.Paths.Map() {
		for method, operation := range item.Operations() {
			for status := range operation.Responses.Map() {
				if _, err := strconv.Atoi(status); err != nil || status == "504" || status == "413" {
					continue
				}
				if key := method + " " + path + " " + status; !seen[key] {
					t.Errorf("no call gets %s", key)
				}
			}
		}
	}
}

// replay makes the call, checks it, and notes operation and status in seen.
func replay(t *testing.T, s *docs.OpenAPI, server *devServer, c call, seen map[string]bool) {
	t.Helper()
	e, err := server.do(t.Context(), c)
	if err != nil {
		t.Fatalf("%s %s: %v", c.method, c.path, err)
	}
	name := fmt.Sprintf("%s: %s %s", c.api, c.method, c.path)
	if e.Response.StatusCode != c.status {
		t.Errorf("%s: want status %d, got %d: %s", name, c.status, e.Response.StatusCode, e.Body)
		return
	}
	request, answer := s.Check(t.Context(), e)
	if (request != nil) != c.refused {
		t.Errorf("%s: want the document to refuse the request: %t, got %v", name, c.refused, request)
	}
	if answer != nil {
		t.Errorf("%s: the document has no such answer: %v", name, answer)
	}
	if route, _, err := s.Route(e); err == nil {
		seen[c.method+" "+route.Path+" "+strconv.Itoa(c.status)] = true
	}
}

// A document that agrees with everything would prove nothing.
func TestOpenAPIRefusesAnswersItDoesNotHave(t *testing.T) {
	t.Parallel()
	s := loadOpenAPI(t)
	for name, e := range map[string]struct {
		path, body string
		status     int
		header     http.Header
	}{
		"no token":            {"/token/alice", `{"userId":"alice"}`, 201, nil},
		"another field":       {"/api-key", `{"api_key":"k","secret":"s"}`, 200, nil},
		"another status":      {"/api-key", `{"api_key":"k"}`, 202, nil},
		"both keys":           {"/config?clientType=web", `{"errors":{},"authentication":{"apiKey":"k","userId":"u","userToken":"a.b.c"}}`, 200, nil},
		"an error's spelling": {"/api-key", `{"error":"x"}`, 503, nil},
		"a token to be kept":  {"/token/alice", `{"userId":"alice","token":"a.b.c"}`, 201, http.Header{"Cache-Control": {"max-age=60"}}},
	} {
		header := http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}}
		maps.Copy(header, e.header)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1"+e.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, answer := s.Check(t.Context(), docs.Exchange{
			API: docs.ClientAPI, Request: request, Path: request.URL.EscapedPath(),
			Response: &http.Response{StatusCode: e.status, Header: header}, Body: []byte(e.body),
		})
		if answer == nil {
			t.Errorf("%s: want the document to refuse %s, got no error", name, e.body)
		}
	}
}

// A devServer is the development server, running.
type devServer struct{ urls map[string]string }

// urlLine is a line of the greeting that says where an API is.
var urlLine = regexp.MustCompile(`^(Client API|Service API) +(http://\S+)$`)

// startServer runs the development server until the test ends.
func startServer(t *testing.T, args ...string) *devServer {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "local")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./local").CombinedOutput(); err != nil {
		t.Fatalf("go build ./local: %v\n%s", err, out)
	}
	// Not the test's context: it ends with a kill, and the functions would stay.
	cmd := exec.Command(binary, append([]string{"-client-addr", "127.0.0.1:0", "-service-addr", "127.0.0.1:0"}, args...)...)
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the development server: want a clean end, got %v", err)
		}
		if t.Failed() {
			t.Logf("the development server's log:\n%s", &log)
		}
	})
	s := &devServer{urls: map[string]string{}}
	greeting := bufio.NewScanner(out)
	for greeting.Scan() {
		if match := urlLine.FindStringSubmatch(greeting.Text()); match != nil {
			s.urls[match[1]] = match[2]
		}
		if greeting.Text() == "ready" {
			return s
		}
	}
	t.Fatal("the development server did not start")
	return nil
}

// bearer is a token of the development server's issuer.
func (s *devServer) bearer(t *testing.T, user string) string {
	t.Helper()
	e, err := s.do(t.Context(), call{api: docs.ClientAPI, method: "GET", path: "/.local/bearer?user=" + user})
	if err != nil || e.Response.StatusCode != http.StatusOK {
		t.Fatalf("a bearer token: %v", err)
	}
	return string(e.Body)
}

// do sends the call, its path as it is written.
func (s *devServer) do(ctx context.Context, c call) (docs.Exchange, error) {
	path, query, _ := strings.Cut(c.path, "?")
	r, err := http.NewRequestWithContext(ctx, c.method, s.urls[c.api], bytes.NewReader(c.body))
	if err != nil {
		return docs.Exchange{}, err
	}
	r.URL.Opaque = "//" + r.URL.Host + path
	r.URL.RawQuery = query
	for name, value := range c.header {
		r.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return docs.Exchange{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return docs.Exchange{API: c.api, Request: r, Path: path, RequestBody: c.body, Response: response, Body: body}, err
}

func sign(body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

func zipped(body []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(body)
	_ = w.Close()
	return b.Bytes()
}

func verification(body []byte, signature string) []byte {
	text, _ := json.Marshal(map[string]string{"rawBody": string(body), "signature": signature})
	return text
}

func with(header map[string]string, name, value string) map[string]string {
	header = maps.Clone(header)
	header[name] = value
	return header
}

func writeParameters(t *testing.T, file string, values map[string]string) {
	t.Helper()
	text, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
