package lambdahttp

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"chat-service-backend/shared/httpjson"
)

// TestMain makes the test binary a Lambda function if the environment names one, so
// that no test has to compile one.
func TestMain(m *testing.M) {
	if start, ok := functions[os.Getenv(functionVariable)]; ok {
		start()
		return
	}
	slog.SetDefault(slog.New(newLogHandler(logs, "")))
	metricsOut = metricLines
	os.Exit(m.Run())
}

// lines collects what is written to it.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

var logs, metricLines = &lines{}, &lines{}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// take returns what has been written since the last call.
func (l *lines) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.buf.String()
	l.buf.Reset()
	return text
}

// records returns the JSON lines in text.
func records(t *testing.T, text string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for decoder := json.NewDecoder(bytes.NewBufferString(text)); ; {
		var record map[string]any
		switch err := decoder.Decode(&record); err {
		case nil:
			all = append(all, record)
		case io.EOF:
			return all
		default:
			t.Fatalf("want lines of JSON, got %v in\n%s", err, text)
		}
	}
}

// requestLines returns the log lines of requests in text.
func requestLines(t *testing.T, text string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for _, record := range records(t, text) {
		if record["message"] == "request" {
			all = append(all, record)
		}
	}
	return all
}

func decode(t testing.TB, text string) *event {
	t.Helper()
	var e event
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		t.Fatalf("decode the event: %v", err)
	}
	return &e
}

// invocation returns the context of an invocation, as aws-lambda-go makes it.
func invocation(t testing.TB) context.Context {
	logs.take()
	metricLines.take()
	return lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "request-1"})
}

// requestFor returns the request that a handler gets for an event.
func requestFor(t testing.TB, text string) *http.Request {
	t.Helper()
	var seen *http.Request
	_, err := invoke(t, wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { seen = r })), text)
	if err != nil {
		t.Fatalf("invoke: %v", err)
	}
	if seen == nil {
		t.Fatalf("want the handler to see a request, got none; log:\n%s", logs.take())
	}
	return seen
}

// returning returns a handler that answers with the error that f returns.
func returning(f func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := f(w, r); err != nil {
			httpjson.WriteError(w, r, err)
		}
	})
}

// newRequest returns the request of an event.
func newRequest(ctx context.Context, e *event) (*http.Request, error) {
	q, err := e.request()
	if err != nil {
		return nil, err
	}
	return e.toHTTP(ctx, q)
}

func invoke(t testing.TB, h handler, text string) (any, error) {
	t.Helper()
	return h(invocation(t), *decode(t, text))
}

// Two plain events: an anonymous GET /token/u1.
const (
	restEvent = `{
		"resource": "/token/{userId}", "path": "/token/u1", "httpMethod": "GET",
		"headers": {"Host": "api.example.com"},
		"multiValueHeaders": {"Host": ["api.example.com"]},
		"queryStringParameters": null, "multiValueQueryStringParameters": null,
		"requestContext": {"identity": {"sourceIp": "192.0.2.7", "userArn": null}, "authorizer": null},
		"body": null, "isBase64Encoded": false
	}`
	httpEvent = `{
		"version": "2.0", "routeKey": "GET /token/{userId}", "rawPath": "/token/u1", "rawQueryString": "",
		"headers": {"host": "api.example.com"},
		"requestContext": {"http": {"method": "GET", "path": "/token/u1", "sourceIp": "192.0.2.7"}},
		"isBase64Encoded": false
	}`
)

// changed returns an event with some fields replaced.
func changed(t testing.TB, text string, fields map[string]any) string {
	t.Helper()
	var e map[string]any
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		t.Fatal(err)
	}
	for name, value := range fields {
		e[name] = value
	}
	changed, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return string(changed)
}

// shapes are the events of both APIs.
var shapes = map[string]string{"REST API": restEvent, "HTTP API": httpEvent}

// answered holds the fields of both kinds of responses.
type answered struct {
	StatusCode        int                 `json:"statusCode"`
	Headers           map[string]string   `json:"headers"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders"`
	Body              string              `json:"body"`
	IsBase64Encoded   bool                `json:"isBase64Encoded"`
	Cookies           []string            `json:"cookies"`
}

// serveEvent returns the response to an event of either kind, streamed or not.
func serveEvent(t testing.TB, h handler, text string) answered {
	t.Helper()
	response, err := invoke(t, h, text)
	if err != nil {
		t.Fatalf("want an answer, got error %v", err)
	}
	if s, ok := response.(*events.APIGatewayProxyStreamingResponse); ok {
		got := readStream(t, s)
		return answered{StatusCode: got.status, MultiValueHeaders: got.header, Body: got.body}
	}
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false) // as aws-lambda-go does
	if err := encoder.Encode(response); err != nil {
		t.Fatal(err)
	}
	if size := encoded.Len() - len("\n"); size > maxResponse {
		t.Errorf("want a response of at most %d bytes, got %d", maxResponse, size)
	}
	var a answered
	if err := json.Unmarshal(encoded.Bytes(), &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// wantErrorMsg checks for the response {"errorMsg": …} and nothing else.
func (a answered) wantErrorMsg(t testing.TB, status int) {
	t.Helper()
	var body map[string]string
	if err := json.Unmarshal([]byte(a.Body), &body); err != nil || len(body) != 1 || body["errorMsg"] == "" {
		t.Errorf(`body: want {"errorMsg": "…"}, got %.200q`, a.Body)
	}
	if a.StatusCode != status {
		t.Errorf("status: want %d, got %d", status, a.StatusCode)
	}
	contentType := a.Headers["Content-Type"]
	if values := a.MultiValueHeaders["Content-Type"]; len(values) == 1 {
		contentType = values[0]
	}
	if contentType != "application/json" {
		t.Errorf("Content-Type: want application/json, got %q", contentType)
	}
}
