package lambdahttp

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// functionVariable names, in the environment of the test binary, the function
// that it is to be.
const functionVariable = "LAMBDAHTTP_TEST_FUNCTION"

var functions = map[string]func(){
	"buffered": func() { Main(buildTestFunction) },
	"streamed": func() { MainStreamed(buildTestFunction) },
	"broken": func() {
		Main(func(context.Context, func(string) string) (http.Handler, error) {
			return nil, errors.New("SOME_SWITCH: want a number, got \"x\"")
		})
	},
}

func buildTestFunction(context.Context, func(string) string) (http.Handler, error) {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/token/abort":
			_, _ = io.WriteString(w, "half")
			panic(http.ErrAbortHandler)
		case "/token/panic":
			panic("hunter2")
		case "/token/large":
			_, _ = w.Write(make([]byte, maxResponse+1))
		default:
			_, _ = io.WriteString(w, "whole")
		}
	}), nil
}

// A result is what a function posts after an invocation.
type result struct {
	kind    string // the last part of the path: response or error
	body    []byte
	trailer http.Header
}

// A runtimeAPI plays the Lambda Runtime API to one function process.
//
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
type runtimeAPI struct {
	events  chan string
	results chan result
	stop    func() string // ends the process and returns what it has written
}

// startFunction starts the test binary as a function until the test ends.
func startFunction(t *testing.T, function string) *runtimeAPI {
	t.Helper()
	api := &runtimeAPI{events: make(chan string), results: make(chan result)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			select {
			case event := <-api.events:
				if event == "" {
					<-r.Context().Done()
					return
				}
				w.Header().Set("Lambda-Runtime-Aws-Request-Id", "request-1")
				w.Header().Set("Lambda-Runtime-Deadline-Ms", "4102444800000") // in 2100
				w.Header().Set("Lambda-Runtime-Trace-Id", "Root=1-2-3")
				_, _ = io.WriteString(w, event)
			case <-r.Context().Done():
			}
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read a result: %v", err)
		}
		w.WriteHeader(http.StatusAccepted)
		kind := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		select {
		case api.results <- result{kind, body, r.Trailer}:
		case <-t.Context().Done():
		}
	}))
	t.Cleanup(server.Close)

	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), functionVariable+"="+function, "AWS_LAMBDA_RUNTIME_API="+strings.TrimPrefix(server.URL, "http://"), "AWS_LAMBDA_FUNCTION_NAME=test")
	output := &lines{}
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	api.stop = sync.OnceValue(func() string {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return output.take()
	})
	t.Cleanup(func() { api.stop() })
	return api
}

func (api *runtimeAPI) invoke(t *testing.T, event string) result {
	t.Helper()
	api.events <- event
	return <-api.results
}

// idle returns when the process asks for an event: it has done what it had to
// do about the one before, a log line included.
func (api *runtimeAPI) idle() { api.events <- "" }

func TestStreamThatBreaksOffHasErrorTrailersInTheRuntimeAPI(t *testing.T) {
	api := startFunction(t, "streamed")
	broken := api.invoke(t, changed(t, restEvent, map[string]any{"path": "/token/abort"}))
	if got := parseStream(t, broken.body, nil); broken.kind != "response" || got.status != 200 || got.body != "half" {
		t.Errorf("want a response with half a body, got %s %+v", broken.kind, got)
	}
	if broken.trailer.Get("Lambda-Runtime-Function-Error-Type") == "" {
		t.Errorf("want the error's type in a trailer, got %v", broken.trailer)
	}
	if text, err := base64.StdEncoding.DecodeString(broken.trailer.Get("Lambda-Runtime-Function-Error-Body")); err != nil || !strings.Contains(string(text), "broke off") {
		t.Errorf("want the error in a trailer, got %q, %v", text, err)
	}
	whole := api.invoke(t, restEvent)
	if got := parseStream(t, whole.body, nil); got.body != "whole" || whole.trailer.Get("Lambda-Runtime-Function-Error-Type") != "" {
		t.Errorf("want the next answer whole, got %+v, %v", got, whole.trailer)
	}
	failed := api.invoke(t, changed(t, restEvent, map[string]any{"path": "/token/panic"}))
	if got := parseStream(t, failed.body, nil); got.status != 500 || failed.trailer.Get("Lambda-Runtime-Function-Error-Type") != "" {
		t.Errorf("want a whole 500 after a panic, got %+v, %v", got, failed.trailer)
	}
	api.idle()
	if text := api.stop(); len(requestLines(t, text)) != 3 || strings.Contains(text, "hunter2") {
		t.Errorf("want three request lines without the panic's value, got %s", text)
	}
}

func TestMainAnswersBothShapesAndOutlivesFailures(t *testing.T) {
	api := startFunction(t, "buffered")
	for _, test := range []struct{ event, want string }{
		{restEvent, `"statusCode":200`},
		{httpEvent, `"statusCode":200`},
		{changed(t, restEvent, map[string]any{"path": "/token/panic"}), `"statusCode":500`},
		{changed(t, httpEvent, map[string]any{"rawPath": "/token/large"}), `"statusCode":502`},
		{changed(t, httpEvent, map[string]any{"rawPath": "/token/abort"}), `"statusCode":502`},
		{changed(t, httpEvent, map[string]any{"body": "%", "isBase64Encoded": true}), `"statusCode":400`},
		{"null", `"statusCode":400`},
		{restEvent, `"body":"whole"`},
	} {
		if got := api.invoke(t, test.event); got.kind != "response" || !strings.Contains(string(got.body), test.want) {
			t.Errorf("%.60s: want a response with %s, got %s %.200s", test.event, test.want, got.kind, got.body)
		}
	}
	text := api.stop()
	got := requestLines(t, text) // all of stdout and stderr is JSON, too
	if len(got) != 8 || got[0]["requestId"] != "request-1" || got[0]["traceId"] != "Root=1-2-3" {
		t.Errorf("want eight request lines with request and trace id, got %s", text)
	}
}

func TestStartThatCannotBeRightIsOneLineAndStatus1(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), functionVariable+"=broken", "AWS_LAMBDA_RUNTIME_API=127.0.0.1:1")
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("want exit status 1, got %v", err)
	}
	if got := records(t, string(out)); len(got) != 1 || got[0]["level"] != "ERROR" || !strings.Contains(got[0]["message"].(string), "SOME_SWITCH: want a number") {
		t.Errorf("want one line at ERROR that names the switch, got %s", out)
	}
}
