package lambdahttp

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"chat-service-backend/internal/awstest"
)

// functionVariable is the environment variable that makes the test binary one of
// functions.
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

// startFunction starts the test binary as a function until the test ends.
func startFunction(t *testing.T, function string) *awstest.Function {
	t.Helper()
	return awstest.StartFunction(t, map[string]string{functionVariable: function})
}

// A result is a function's response to an event.
type result struct {
	body    []byte
	trailer http.Header
}

func post(t *testing.T, f *awstest.Function, event string) result {
	t.Helper()
	answer, err := f.Post(json.RawMessage(event))
	if err != nil {
		t.Fatalf("want a response, got %v", err)
	}
	body, _ := io.ReadAll(answer.Body) // the trailers of one that breaks off say why
	return result{body, answer.Trailer}
}

func TestStreamThatBreaksOffHasErrorTrailersInTheRuntimeAPI(t *testing.T) {
	f := startFunction(t, "streamed")
	broken := post(t, f, changed(t, restEvent, map[string]any{"path": "/token/abort"}))
	if got := parseStream(t, broken.body, nil); got.status != 200 || got.body != "half" {
		t.Errorf("want a response with half a body, got %+v", got)
	}
	if broken.trailer.Get("Lambda-Runtime-Function-Error-Type") == "" {
		t.Errorf("want the error's type in a trailer, got %v", broken.trailer)
	}
	if text, err := base64.StdEncoding.DecodeString(broken.trailer.Get("Lambda-Runtime-Function-Error-Body")); err != nil || !strings.Contains(string(text), "broke off") {
		t.Errorf("want the error in a trailer, got %q, %v", text, err)
	}
	whole := post(t, f, restEvent)
	if got := parseStream(t, whole.body, nil); got.body != "whole" || whole.trailer.Get("Lambda-Runtime-Function-Error-Type") != "" {
		t.Errorf("want the next answer whole, got %+v, %v", got, whole.trailer)
	}
	failed := post(t, f, changed(t, restEvent, map[string]any{"path": "/token/panic"}))
	if got := parseStream(t, failed.body, nil); got.status != 500 || failed.trailer.Get("Lambda-Runtime-Function-Error-Type") != "" {
		t.Errorf("want a whole 500 after a panic, got %+v, %v", got, failed.trailer)
	}
	if err := f.Idle(t.Context()); err != nil { // by then it has logged
		t.Fatal(err)
	}
	f.Stop()
	if text := f.Output(); len(requestLines(t, text)) != 3 || strings.Contains(text, "hunter2") {
		t.Errorf("want three request lines without the panic's value, got %s", text)
	}
}

func TestMainAnswersBothShapesAndOutlivesFailures(t *testing.T) {
	f := startFunction(t, "buffered")
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
		if got := post(t, f, test.event); !strings.Contains(string(got.body), test.want) {
			t.Errorf("%.60s: want a response with %s, got %.200s", test.event, test.want, got.body)
		}
	}
	f.Stop()
	text := f.Output()
	got := requestLines(t, text) // which also checks that all output is JSON
	if len(got) != 8 || got[0]["requestId"] == "" || got[0]["traceId"] != "Root=1-2-3" {
		t.Errorf("want eight request lines with request and trace id, got %s", text)
	}
}

func TestBadSettingEndsTheStartWithOneLineAndStatus1(t *testing.T) {
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
