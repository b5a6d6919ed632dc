package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"chat-service-backend/internal/awstest"
)

// A runtime is a process of the function and the Runtime API that it asks for
// events. Unlike a [awstest.Function], it shows answers as they are, so those
// to a queue too, and its process may end in the middle of an event.
type runtime struct {
	t       *testing.T
	process *os.Process
	ended   chan struct{}
	next    chan []byte
	answers chan []byte
}

// start starts the function with an environment, until t ends.
func start(t *testing.T, environment map[string]string) *runtime {
	t.Helper()
	r := &runtime{t: t, ended: make(chan struct{}), next: make(chan []byte), answers: make(chan []byte)}
	api := httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(api.Close)
	cmd := exec.Command(os.Args[0])
	// What makes the test binary run main: see awstest.Main.
	cmd.Env = []string{"AWSTEST_FUNCTION=1", "AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(api.URL, "http://")}
	for name, value := range environment {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.process = cmd.Process
	go func() {
		_ = cmd.Wait()
		close(r.ended)
	}()
	t.Cleanup(func() {
		_ = r.process.Kill()
		<-r.ended
	})
	return r
}

// serve is Lambda's side of the conversation.
//
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
func (r *runtime) serve(w http.ResponseWriter, request *http.Request) {
	if strings.HasSuffix(request.URL.Path, "/invocation/next") {
		select {
		case payload := <-r.next:
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
			w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(time.Minute).UnixMilli(), 10))
			_, _ = w.Write(payload)
		case <-request.Context().Done():
		}
		return
	}
	answer, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	w.WriteHeader(http.StatusAccepted)
	select {
	case r.answers <- answer:
	case <-r.t.Context().Done():
	}
}

// invoke sends an event and returns the answer, nil where the process ended
// without one.
func (r *runtime) invoke(event any) []byte {
	r.t.Helper()
	payload, err := json.Marshal(event)
	if err != nil {
		r.t.Fatal(err)
	}
	select {
	case r.next <- payload:
	case <-r.ended:
		r.t.Fatal("want a process that takes events, got one that has ended")
	}
	select {
	case answer := <-r.answers:
		return answer
	case <-r.ended:
		return nil
	}
}

func TestFunctionKilledBeforeItPublishedDoesNotAcknowledgeAndARetryDelivers(t *testing.T) {
	aws := awstest.NewEventBus(t)
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	publishing := make(chan struct{})
	aws.Instead(awstest.EventBridge, func(_ http.ResponseWriter, r *http.Request) bool {
		close(publishing)
		<-r.Context().Done() // the process and its connection end
		return true
	})
	killed := start(t, ssm.Env(aws.Env(nil)))
	go func() {
		<-publishing
		_ = killed.process.Kill()
	}()
	if answer := killed.invoke(awstest.ClientEvent(t, webhook(message), "/webhook")); answer != nil {
		t.Fatalf("want no answer, got %s", answer)
	}
	if len(aws.Events()) != 0 || len(aws.Messages()) != 0 {
		t.Fatalf("want the event nowhere yet, got %v and %v", aws.Events(), aws.Messages())
	}

	aws.Instead(awstest.EventBridge, nil)
	retry := webhook(message)
	retry.Header.Set("X-Webhook-Attempt", "2")
	var answer struct{ StatusCode int }
	if err := json.Unmarshal(start(t, ssm.Env(aws.Env(nil))).invoke(awstest.ClientEvent(t, retry, "/webhook")), &answer); err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("want status 200, got %+v, %v", answer, err)
	}
	if len(aws.Events()) != 1 {
		t.Fatalf("want one event on the bus, got %v", aws.Events())
	}
	if metadata := wantBody(t, aws.Events()[0], message); metadata["webhookId"] != "webhook-1" || metadata["attempt"] != 2.0 {
		t.Errorf("want the second attempt of webhook-1, got %v", metadata)
	}
}
