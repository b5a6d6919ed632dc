package lambdahttp

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"chat-service-backend/shared/httpjson"
)

// stream1 returns the streamed response of h to an event of a REST API.
func stream1(t *testing.T, h http.Handler, text string) *events.APIGatewayProxyStreamingResponse {
	t.Helper()
	response, err := invoke(t, wrapStreamed(h), text)
	if err != nil {
		t.Fatalf("invoke: %v", err)
	}
	s, ok := response.(*events.APIGatewayProxyStreamingResponse)
	if !ok {
		t.Fatalf("want a streamed answer, got %T", response)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// received is a response as the Runtime API gets it.
type received struct {
	status int
	header http.Header
	body   string
	err    error // at the end of the body
}

// readStream reads a response to its end and closes it, as aws-lambda-go does.
func readStream(t testing.TB, r io.ReadCloser) received {
	t.Helper()
	all, err := io.ReadAll(r)
	if err := r.Close(); err != nil {
		t.Errorf("want no error from Close, got %v", err)
	}
	return parseStream(t, all, err)
}

func parseStream(t testing.TB, all []byte, end error) received {
	t.Helper()
	prelude, body, ok := bytes.Cut(all, make([]byte, 8))
	var head struct {
		StatusCode        int         `json:"statusCode"`
		MultiValueHeaders http.Header `json:"multiValueHeaders"`
	}
	if err := json.Unmarshal(prelude, &head); err != nil || !ok {
		t.Fatalf("want a head, eight zeros and a body, got %q, %v", all, err)
	}
	return received{head.StatusCode, head.MultiValueHeaders, string(body), end}
}

func TestStreamedResponseHasStatusHeaderAndBody(t *testing.T) {
	s := stream1(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("X-Tag", "b")
		w.Header().Add("X-Tag", "a")
		w.WriteHeader(http.StatusAccepted)
		w.Header().Set("X-Late", "1")
		_, _ = io.WriteString(w, "\xff\x00a")
		_, _ = w.Write(nil)
		_, _ = io.WriteString(w, "b")
	}), restEvent)
	got := readStream(t, s)
	if got.status != 202 || got.body != "\xff\x00ab" || got.err != nil {
		t.Errorf("want 202 and four bytes, got %+v", got)
	}
	if !slices.Equal(got.header["X-Tag"], []string{"b", "a"}) || got.header["X-Late"] != nil {
		t.Errorf("want X-Tag b, a and no field set after the status, got %v", got.header)
	}
	if lines := requestLines(t, logs.take()); len(lines) != 1 || lines[0]["status"] != 202.0 || lines[0]["level"] != "INFO" {
		t.Errorf("want one line at INFO with status 202, got %v", lines)
	}
}

func TestStreamedChunkArrivesBeforeTheHandlerEnds(t *testing.T) {
	received, ended := make(chan struct{}), make(chan struct{})
	s := stream1(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, "first")
		<-received
		_, _ = io.WriteString(w, "second")
	}), restEvent)
	prelude := make([]byte, 4096)
	if _, err := s.Read(prelude); err != nil {
		t.Fatalf("read the head: %v", err)
	}
	first := make([]byte, len("first"))
	if _, err := io.ReadFull(s, first); err != nil || string(first) != "first" {
		t.Fatalf("want the first chunk, got %q, %v", first, err)
	}
	select {
	case <-ended:
		t.Error("want the handler still running, got its end")
	default:
	}
	close(received)
	if rest, err := io.ReadAll(s); err != nil || string(rest) != "second" {
		t.Errorf("want the second chunk, got %q, %v", rest, err)
	}
}

func TestStreamedHeadArrivesOnFlush(t *testing.T) {
	seen := make(chan struct{})
	s := stream1(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Tag", "a")
		w.(http.Flusher).Flush()
		<-seen // without the Flush, the test would hang here
	}), restEvent)
	if s.StatusCode != 200 || s.MultiValueHeaders["X-Tag"][0] != "a" {
		t.Errorf("want 200 and X-Tag, got %d, %v", s.StatusCode, s.MultiValueHeaders)
	}
	close(seen)
	readStream(t, s)
}

func TestClosingTheStreamEndsTheHandlersContext(t *testing.T) {
	ended := make(chan error, 1)
	s := stream1(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		<-r.Context().Done()
		_, err := io.WriteString(w, "nobody takes this")
		ended <- err
	}), restEvent)
	if err := s.Close(); err != nil {
		t.Errorf("want no error from Close, got %v", err)
	}
	if err := <-ended; !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("want writes to fail after Close, got %v", err)
	}
}

func TestResponseToHTTPAPIIsNotStreamed(t *testing.T) {
	h := wrapStreamed(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) }))
	response, err := invoke(t, h, httpEvent)
	if got, ok := response.(events.APIGatewayV2HTTPResponse); err != nil || !ok || got.StatusCode != 200 || got.Body != "/token/u1" {
		t.Errorf("want 200 and the path, buffered, got %T %+v, %v", response, response, err)
	}
}

func TestStreamedPanicBeforeTheStatusIsAnError(t *testing.T) {
	for value, status := range map[any]int{"hunter2": 500, http.ErrAbortHandler: 502} {
		got := readStream(t, stream1(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(value) }), restEvent))
		log := logs.take()
		if got.status != status || got.err != nil || !strings.HasPrefix(got.body, `{"errorMsg":"`) {
			t.Errorf("%v: want a whole %d, got %+v", value, status, got)
		}
		if lines := requestLines(t, log); len(lines) != 1 || lines[0]["level"] != "ERROR" || strings.Contains(log, "hunter2") {
			t.Errorf("%v: want one line at ERROR without the value, got %s", value, log)
		}
	}
}

func TestStreamedResponseThatBreaksOffEndsInAnError(t *testing.T) {
	for _, status := range []int{200, 404, 503} {
		for name, value := range map[string]any{"abort": http.ErrAbortHandler, "panic": "hunter2"} {
			got := readStream(t, stream1(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(status)
				_, _ = io.WriteString(w, "half")
				panic(value)
			}), restEvent))
			if got.status != status || got.body != "half" || got.err == nil {
				t.Errorf("%s: want %d, half a body and an error, got %+v", name, status, got)
			}
			log := logs.take()
			if lines := requestLines(t, log); len(lines) != 1 || lines[0]["level"] != "ERROR" || lines[0]["cause"] == nil || strings.Contains(log, "hunter2") {
				t.Errorf("%s of a %d: want one line at ERROR with a cause, without the value, got %s", name, status, log)
			}
		}
	}
}

func TestStreamedErrorIsWrittenAsJSON(t *testing.T) {
	got := readStream(t, stream1(t, returning(func(http.ResponseWriter, *http.Request) error {
		return &httpjson.Error{Status: 503, Message: "Later.", Cause: errors.New("the cause")}
	}), restEvent))
	if got.status != 503 || got.body != `{"errorMsg":"Later."}` {
		t.Errorf("want 503 and the message, got %+v", got)
	}
	if lines := requestLines(t, logs.take()); len(lines) != 1 || lines[0]["cause"] != "the cause" {
		t.Errorf("want one line with the cause, got %v", lines)
	}
}
