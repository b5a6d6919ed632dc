package awstest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"sync"
	"testing"

	"chat-service-backend/internal/apigateway"
	"chat-service-backend/internal/runtimeapi"
)

// marker is in the environment of a process that is a function.
const marker = "AWSTEST_FUNCTION"

// Main is the body of a TestMain. In a process that [StartFunction] has started
// it runs the function's main, otherwise the tests.
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
	*runtimeapi.Process

	t      testing.TB
	output *Output
}

// StartFunction starts the function with an environment, until t ends. The test
// binary's TestMain must be [Main].
func StartFunction(t testing.TB, environment map[string]string) *Function {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{marker: "1"}
	for name, value := range environment {
		all[name] = value
	}
	f := &Function{t: t, output: new(Output)}
	f.Process, err = runtimeapi.Start(runtimeapi.Config{Binary: self, Env: all, Output: f.output})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Stop)
	return f
}

// Stop ends the process and returns when it is gone.
func (f *Function) Stop() {
	f.Kill()
	<-f.Ended()
}

// Output is what the function has written so far: its log and metrics.
func (f *Function) Output() string { return f.output.String() }

// Post sends an event, as JSON, and returns what the function posts, as it is.
func (f *Function) Post(event any) (body []byte, trailer http.Header, err error) {
	f.t.Helper()
	answer, err := f.post(event)
	if err != nil {
		return nil, nil, err
	}
	// A stream that breaks off says why in its trailers.
	body, _ = io.ReadAll(answer.Body)
	return body, answer.Trailer(), nil
}

func (f *Function) post(event any) (*runtimeapi.Answer, error) {
	payload, err := json.Marshal(event)
	if err != nil {
		f.t.Fatal(err)
	}
	return f.Process.Invoke(f.t.Context(), runtimeapi.Event{Payload: payload, Trace: "Root=1-2-3", Stream: true})
}

// Invoke sends an event, as JSON, and returns the answer, of either payload
// format. Its body must be read to the end, or closed, before the next event.
// The body of a streamed answer comes as the function writes it; it ends with an
// error where the function says so in the trailers.
func (f *Function) Invoke(event any) *http.Response {
	f.t.Helper()
	posted, err := f.post(event)
	if err != nil {
		f.t.Fatalf("%v\n%s", err, f.Output())
	}
	answer, body, err := read(posted)
	if err != nil {
		f.t.Fatal(err)
	}
	response := &http.Response{StatusCode: answer.StatusCode, Header: make(http.Header), Body: body}
	answer.SetHeaders(response.Header)
	return response
}

func read(posted *runtimeapi.Answer) (*apigateway.Answer, io.ReadCloser, error) {
	if posted.ContentType == runtimeapi.StreamingContentType {
		answer, body, err := apigateway.ReadPrelude(posted.Body)
		return answer, struct {
			io.Reader
			io.Closer
		}{body, posted.Body}, err
	}
	text, err := io.ReadAll(posted.Body)
	if err != nil {
		return nil, nil, err
	}
	answer, err := apigateway.ParseAnswer(text)
	if err != nil {
		return nil, nil, err
	}
	return answer, io.NopCloser(bytes.NewReader(answer.Content)), nil
}

// Output collects what is written to it, by many goroutines at once.
type Output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
