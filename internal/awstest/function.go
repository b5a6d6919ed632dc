// Package awstest starts the functions, and stand-ins for AWS and an identity provider, for
// the length of a test.
package awstest

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"chat-service-backend/internal/apigateway"
	"chat-service-backend/internal/runtimeapi"
)

// marker is set in the environment of a process that is a function.
const marker = "AWSTEST_FUNCTION"

// Main is the body of a TestMain. It runs the tests, or in a process that
// [StartFunction] started, the function's main.
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
	output Output
}

// StartFunction starts the function with an environment, until t ends. The test
// binary's TestMain must call [Main].
func StartFunction(t testing.TB, environment map[string]string) *Function {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{marker: "1"}
	maps.Copy(all, environment)
	f := &Function{t: t}
	f.Process, err = runtimeapi.Start(self, all, &f.output)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Stop)
	return f
}

// Output returns what the function has written so far: its log and metrics.
func (f *Function) Output() string { return f.output.String() }

// Post sends an event, as JSON, and returns what the function posts, as it is.
func (f *Function) Post(event any) (*http.Response, error) {
	payload, err := json.Marshal(event)
	if err != nil {
		f.t.Fatal(err)
	}
	return f.Process.Invoke(f.t.Context(), payload)
}

// Invoke sends an event, as JSON, and returns the answer, of either payload
// format. The caller must read its body to the end, or close it, before the next
// event. A streamed body arrives as the function writes it, and ends with an
// error if the trailers report one.
func (f *Function) Invoke(event any) *http.Response {
	f.t.Helper()
	posted, err := f.Post(event)
	if err != nil {
		f.t.Fatalf("%v\n%s", err, f.Output())
	}
	response, err := apigateway.ReadAnswer(posted.Body, posted.Header.Get("Content-Type") == runtimeapi.StreamingContentType)
	if err != nil {
		f.t.Fatal(err)
	}
	return response
}

// Output collects what many goroutines write to it.
type Output struct {
	mu   sync.Mutex
	text strings.Builder
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
