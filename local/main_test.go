package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/shared/lambdahttp"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(lambdahttp.LogHandler(slog.DiscardHandler)))
	status := m.Run()
	fakeServer.close()
	realServer.close()
	os.Exit(status)
}

// fakes are the functions of testdata/stack.
var fakes = map[string]starter{"echo": fake(echoFunction), "proxy": fake(streamFunction)}

func fake(function func(context.Context, json.RawMessage) (any, error)) starter {
	return func(ctx context.Context, host *lambdahttp.Host, getenv func(string) string) (invoker, error) {
		if getenv("MODE") == "broken" {
			return nil, errors.New("MODE: a switch cannot be right")
		}
		slog.InfoContext(host.Context(ctx, "", ""), "started")
		return func(ctx context.Context, payload []byte) (io.ReadCloser, error) {
			answer, err := function(context.WithValue(ctx, getenvKey{}, getenv), payload)
			if err != nil {
				return nil, err
			}
			if stream, ok := answer.(io.ReadCloser); ok {
				return stream, nil
			}
			text, err := json.Marshal(answer)
			return io.NopCloser(bytes.NewReader(text)), err
		}, nil
	}
}

type getenvKey struct{}

// testEvent is what the fake functions read of an event of either format.
type testEvent struct {
	RawPath        string            `json:"rawPath"`
	Path           string            `json:"path"`
	PathParameters map[string]string `json:"pathParameters"`
	Query          map[string]string `json:"queryStringParameters"`
	Headers        map[string]string `json:"headers"`
}

// do returns what a caller wants a fake function to do: /echo/<what>, or the header
// Do or do.
func (e testEvent) do() string {
	if name := e.PathParameters["name"]; name != "" {
		return name
	}
	if v := e.Headers["do"]; v != "" {
		return v
	}
	return e.Headers["Do"]
}

// echoFunction answers with the event, unless the caller wants something else.
func echoFunction(ctx context.Context, raw json.RawMessage) (any, error) {
	var e testEvent
	if err := json.Unmarshal(raw, &e); err != nil {
		return nil, err
	}
	answer := events.APIGatewayProxyResponse{StatusCode: 200, Headers: map[string]string{"Content-Type": "application/json"}}
	switch e.do() {
	case "small":
		answer.Body = "small"
	case "env":
		for _, name := range []string{"OIDC_ISSUER", "OIDC_AUDIENCE", "STREAM_BASE_URL", "AWS_REGION", "AWS_ENDPOINT_URL_SSM", "AWS_ENDPOINT_URL_SQS", "HOME"} {
			answer.Body += name + "=" + ctx.Value(getenvKey{}).(func(string) string)(name) + "\n"
		}
	case "context":
		lc, _ := lambdacontext.FromContext(ctx)
		deadline, _ := ctx.Deadline()
		b, _ := json.Marshal(map[string]any{
			"id": lc.AwsRequestID, "trace": ctx.Value("x-amzn-trace-id"), "left": time.Until(deadline).Seconds(),
		})
		answer.Body = string(b)
	case "error":
		return nil, errors.New("the function's own secret cause")
	case "wait":
		waitFor(ctx, e.Query["gate"])
	case "plain":
		return map[string]string{"hello": "world"}, nil
	case "text":
		return "just text", nil
	case "bad-status":
		answer.StatusCode = 42
	case "cookies":
		return events.APIGatewayV2HTTPResponse{
			StatusCode: 201,
			Headers:    map[string]string{"X-One": "1", "Access-Control-Allow-Origin": "https://evil.example.com"},
			Cookies:    []string{"a=1", "b=2; Path=/"},
		}, nil
	case "multi":
		answer.Headers["X-Multi"] = "lost"
		answer.MultiValueHeaders = map[string][]string{"X-Multi": {"one", "two"}}
	case "binary":
		answer.Body, answer.IsBase64Encoded = "AP8=", true
	default:
		answer.Body = string(raw)
	}
	return answer, nil
}

// streamFunction streams the event, or what the caller wants.
func streamFunction(ctx context.Context, raw json.RawMessage) (any, error) {
	var e testEvent
	if err := json.Unmarshal(raw, &e); err != nil {
		return nil, err
	}
	answer := &events.APIGatewayProxyStreamingResponse{
		StatusCode: 200,
		Headers:    map[string]string{"Content-Type": "application/json"},
		Body:       bytes.NewReader(raw),
	}
	switch e.do() {
	case "buffered":
		return events.APIGatewayProxyResponse{StatusCode: 200, Body: "whole"}, nil
	case "created":
		answer.StatusCode = 201
		answer.MultiValueHeaders = map[string][]string{"X-Multi": {"one", "two"}}
	case "no-content":
		answer.StatusCode, answer.Body = 204, nil
	case "fail-midway":
		answer.Body = io.MultiReader(strings.NewReader("half"), waiting(ctx, e.Query["gate"]), failing)
	case "wait":
		waitFor(ctx, e.Query["gate"])
	case "slowly":
		answer.Body = io.MultiReader(strings.NewReader("first"), waiting(ctx, e.Query["gate"]), strings.NewReader("second"))
	case "known-length":
		// The answer is complete, but the function goes on for a while.
		answer.Headers["Content-Length"] = "5"
		answer.Body = io.MultiReader(strings.NewReader("whole"), waiting(ctx, e.Query["gate"]))
	case "endless":
		answer.Body = endless
	case "bad-prelude":
		answer.StatusCode = 0
	}
	return answer, nil
}

// A reader is a part of a body that a function makes.
type reader func([]byte) (int, error)

func (r reader) Read(b []byte) (int, error) { return r(b) }

var (
	failing = reader(func([]byte) (int, error) { return 0, errors.New("the source broke") })
	endless = reader(func(b []byte) (int, error) { return copy(b, strings.Repeat("x", len(b))), nil })
)

// waiting is empty, once the test opens the gate.
func waiting(ctx context.Context, gate string) reader {
	return func([]byte) (int, error) { waitFor(ctx, gate); return 0, io.EOF }
}

// waitFor holds a fake function until the test opens the gate.
func waitFor(ctx context.Context, gate string) {
	request, _ := http.NewRequestWithContext(ctx, http.MethodGet, gate, nil)
	if resp, err := http.DefaultClient.Do(request); err == nil {
		resp.Body.Close()
	}
}

// gate is where fake functions wait for the test.
type gate struct {
	url     string
	arrived chan struct{} // one for each function that waits
	left    chan struct{} // one for each that ended instead
	open    chan struct{} // closed to let all go on
}

func newGate(t *testing.T) *gate {
	g := &gate{arrived: make(chan struct{}, 1000), left: make(chan struct{}, 1000), open: make(chan struct{})}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.arrived <- struct{}{}
		select {
		case <-g.open:
		case <-r.Context().Done():
			g.left <- struct{}{}
		}
	}))
	t.Cleanup(srv.Close)
	g.url = srv.URL
	return g
}

func wait(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(30 * time.Second):
		t.Fatalf("want %s within 30 s", what)
	}
}

// testOptions returns the options of a server with fake functions on free ports.
func testOptions(t *testing.T, lines io.Writer) options {
	t.Helper()
	opts, err := parseFlags([]string{"-addr", ":0"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if opts.templateText, err = os.ReadFile("testdata/stack/template.yaml"); err != nil {
		t.Fatal(err)
	}
	opts.starters = fakes
	opts.getenv = func(string) string { return "" }
	opts.log = log.New(lines, "", 0)
	return opts
}

// startTest starts a server with fake functions, which ends with the test.
func startTest(t *testing.T, change ...func(*options)) (*server, *awstest.Output) {
	t.Helper()
	s, log := launch(t, change...)
	t.Cleanup(s.close)
	return s, log
}

func launch(t *testing.T, change ...func(*options)) (*server, *awstest.Output) {
	t.Helper()
	log := &awstest.Output{}
	opts := testOptions(t, log)
	for _, f := range change {
		f(&opts)
	}
	s, err := start(t.Context(), opts)
	if err != nil {
		t.Fatalf("start: %v\n%s", err, log)
	}
	return s, log
}

// A shared server is for tests that leave it as it is. It ends with the last test.
type shared struct {
	start func(*testing.T) (*server, *awstest.Output)
	once  sync.Once
	*server
	log *awstest.Output
}

var (
	fakeServer = shared{start: func(t *testing.T) (*server, *awstest.Output) { return launch(t) }}
	realServer = shared{start: func(t *testing.T) (*server, *awstest.Output) {
		c, err := startConversation(t, nil)
		if err != nil {
			t.Fatal(err)
		}
		return c.server, c.log
	}}
)

// sharedTest is startTest for tests that leave the server as it is.
func sharedTest(t *testing.T) (*server, *awstest.Output) { return fakeServer.get(t) }

// sharedReal returns a server with the real functions.
func sharedReal(t *testing.T) *server { s, _ := realServer.get(t); return s }

func (s *shared) get(t *testing.T) (*server, *awstest.Output) {
	t.Helper()
	s.once.Do(func() { s.server, s.log = s.start(t) })
	if s.server == nil {
		t.Fatal("want the shared server, it did not start")
	}
	return s.server, s.log
}

func (s *shared) close() {
	if s.server != nil {
		s.server.close()
	}
}

// got is an answer, read whole.
type got struct {
	status int
	header http.Header
	body   string
}

// call sends a request and reads the answer. Headers come as name, value.
func call(t *testing.T, method, url, body string, headers ...string) got {
	t.Helper()
	g, err := tryCall(t.Context(), method, url, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func tryCall(ctx context.Context, method, url, body string, headers ...string) (got, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return got{}, err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	req.Host = req.Header.Get("Host") // the URL's, if it is ""
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return got{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return got{resp.StatusCode, resp.Header, string(b)}, err
}

// event decodes an answer, which is mostly the event as the function saw it.
func event[T any](t *testing.T, g got) T {
	t.Helper()
	var e T
	if err := json.Unmarshal([]byte(g.body), &e); err != nil || g.status != 200 {
		t.Fatalf("want the event, got %d %q: %v", g.status, g.body, err)
	}
	return e
}
