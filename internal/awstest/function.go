package awstest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// marker is in the environment of a process that is a function.
const marker = "AWSTEST_FUNCTION"

// Main is the body of a TestMain. In a process that [StartFunction] has started it runs
// the function's main, otherwise the tests.
func Main(m *testing.M, main func()) {
	if os.Getenv(marker) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// A Function is a process of the function under test. It answers one event at
// a time.
type Function struct {
	t       testing.TB
	process *os.Process
	output  *output
	ended   chan struct{}
	next    chan []byte
	answers chan *http.Response
	errors  chan string
}

// StartFunction starts the function with an environment, until t ends. The test binary's
// TestMain must be [Main].
func StartFunction(t testing.TB, environment map[string]string) *Function {
	f := &Function{
		t:       t,
		output:  new(output),
		ended:   make(chan struct{}),
		next:    make(chan []byte),
		answers: make(chan *http.Response),
		errors:  make(chan string),
	}
	api := httptest.NewServer(http.HandlerFunc(f.runtimeAPI))
	t.Cleanup(api.Close)
	cmd := exec.Command(os.Args[0])
	cmd.Stdout, cmd.Stderr = f.output, f.output
	cmd.Env = []string{
		marker + "=1",
		"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(api.URL, "http://"),
		"AWS_LAMBDA_FUNCTION_NAME=function",
	}
	for name, value := range environment {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f.process = cmd.Process
	go func() {
		_ = cmd.Wait()
		close(f.ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-f.ended
	})
	return f
}

// Process is the function's process.
func (f *Function) Process() *os.Process { return f.process }

// Output is what the function has written so far: its log and metrics.
func (f *Function) Output() string { return f.output.String() }

// Ended is closed when the process has ended.
func (f *Function) Ended() <-chan struct{} { return f.ended }

// Invoke sends event, as JSON, and returns the answer, of either payload format.
// Its body must be read to the end, or closed, before the next event.
// The body of a streamed answer comes as the function writes it; it ends with an
// error where the function says so in the trailers.
func (f *Function) Invoke(event any) *http.Response {
	f.t.Helper()
	payload, err := json.Marshal(event)
	if err != nil {
		f.t.Fatal(err)
	}
	select {
	case f.next <- payload:
	case <-f.ended:
		f.t.Fatalf("the function has ended:\n%s", f.Output())
	}
	select {
	case answer := <-f.answers:
		return answer
	case message := <-f.errors:
		f.t.Fatalf("the invocation failed: %s\n%s", message, f.Output())
	case <-f.ended:
		f.t.Fatalf("the function has ended:\n%s", f.Output())
	}
	return nil
}

// runtimeAPI is Lambda's side of the conversation.
//
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
func (f *Function) runtimeAPI(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasSuffix(r.URL.Path, "/invocation/next"):
		select {
		case payload := <-f.next:
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
			w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(time.Minute).UnixMilli(), 10))
			w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-central-1:123456789012:function:function")
			_, _ = w.Write(payload)
		case <-f.t.Context().Done():
		case <-r.Context().Done():
		}
	case strings.HasSuffix(r.URL.Path, "/response"):
		f.response(w, r)
	default:
		message, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		f.failed(string(message))
	}
}

func (f *Function) failed(message string) {
	select {
	case f.errors <- message:
	case <-f.t.Context().Done():
	}
}

func (f *Function) response(w http.ResponseWriter, r *http.Request) {
	var answer *http.Response
	var err error
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/vnd.awslambda.http-integration-response") {
		answer, err = streamed(bufio.NewReader(r.Body))
	} else {
		answer, err = buffered(r.Body)
	}
	if err != nil {
		f.failed(err.Error())
		return
	}
	rest := answer.Body
	body, feed := io.Pipe()
	// Nobody has to read an answer to its end.
	defer context.AfterFunc(f.t.Context(), func() { _ = body.Close() })()
	answer.Body = body
	select {
	case f.answers <- answer:
	case <-f.t.Context().Done():
	}
	_, err = io.Copy(feed, rest)
	if broken := r.Trailer.Get("Lambda-Runtime-Function-Error-Type"); err == nil && broken != "" {
		err = fmt.Errorf("the stream's trailers say %s", broken)
	}
	_ = feed.CloseWithError(err)
	w.WriteHeader(http.StatusAccepted)
}

// A payload is an answer of either format, or the prelude of a streamed one.
type payload struct {
	StatusCode        int                 `json:"statusCode"`
	Headers           map[string]string   `json:"headers"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders"`
	Body              string              `json:"body"`
	IsBase64Encoded   bool                `json:"isBase64Encoded"`
}

func (p *payload) response(body io.Reader) (*http.Response, error) {
	if p.StatusCode < 200 {
		return nil, fmt.Errorf("want an answer with a status, got %d", p.StatusCode)
	}
	header := make(http.Header)
	for name, value := range p.Headers {
		header.Set(name, value)
	}
	for name, values := range p.MultiValueHeaders {
		header[http.CanonicalHeaderKey(name)] = values
	}
	return &http.Response{StatusCode: p.StatusCode, Header: header, Body: io.NopCloser(body)}, nil
}

func buffered(body io.Reader) (*http.Response, error) {
	var p payload
	if err := json.NewDecoder(body).Decode(&p); err != nil {
		return nil, fmt.Errorf("want an answer in JSON: %w", err)
	}
	text := []byte(p.Body)
	if p.IsBase64Encoded {
		var err error
		if text, err = base64.StdEncoding.DecodeString(p.Body); err != nil {
			return nil, err
		}
	}
	return p.response(bytes.NewReader(text))
}

// preludeEnd separates the prelude of a streamed answer from its body.
var preludeEnd = make([]byte, 8)

func streamed(body *bufio.Reader) (*http.Response, error) {
	var prelude []byte
	for !bytes.HasSuffix(prelude, preludeEnd) {
		b, err := body.ReadByte()
		if err != nil {
			return nil, errors.New("want a prelude that ends with 8 zero bytes")
		}
		prelude = append(prelude, b)
	}
	var p payload
	if err := json.Unmarshal(bytes.TrimSuffix(prelude, preludeEnd), &p); err != nil {
		return nil, fmt.Errorf("want a prelude in JSON: %w", err)
	}
	return p.response(body)
}

// output collects what a process writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
