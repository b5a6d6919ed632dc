package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func callBus(t *testing.T, method, path, target, body string) (status int, answer, log string) {
	t.Helper()
	var out bytes.Buffer
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if target != "" {
		r.Header.Set("X-Amz-Target", target)
	}
	w := httptest.NewRecorder()
	(&bus{&lineLog{w: &out}}).ServeHTTP(w, r)
	return w.Code, w.Body.String(), out.String()
}

func TestBusShowsEventsAsTheyPassAndNoBody(t *testing.T) {
	status, answer, log := callBus(t, http.MethodPost, "/", "AWSEvents.PutEvents",
		`{"Entries":[{"DetailType":"message.new","Detail":"{\"metadata\":{\"webhookId\":\"w1\",\"attempt\":2},\"event\":{\"text\":\"private\"}}"}]}`)
	if status != http.StatusOK || !strings.Contains(answer, `"FailedEntryCount":0`) || !strings.Contains(answer, `"EventId"`) {
		t.Errorf("want the event taken, got %d %s", status, answer)
	}
	if !strings.Contains(log, `"message.new"`) || !strings.Contains(log, `"w1", attempt 2`) || strings.Contains(log, "private") {
		t.Errorf("want a line with type, id and attempt and without the body, got %s", log)
	}
}

func TestBusRefusesWhatEventBridgeRefuses(t *testing.T) {
	if status, answer, _ := callBus(t, http.MethodPost, "/", "AWSEvents.PutEvents", `{"Entries":[{"DetailType":"t","Detail":"{"}]}`); status != http.StatusOK ||
		!strings.Contains(answer, `"FailedEntryCount":1`) || !strings.Contains(answer, "MalformedDetail") {
		t.Errorf("want a detail that is no JSON refused, got %d %s", status, answer)
	}
	if status, answer, _ := callBus(t, http.MethodPost, "/", "AWSEvents.PutEvents", `{"Entries":[]}`); status != http.StatusBadRequest {
		t.Errorf("want no entries refused, got %d %s", status, answer)
	}
	if status, answer, _ := callBus(t, http.MethodPost, "/", "AWSEvents.DeleteRule", `{}`); status != http.StatusBadRequest {
		t.Errorf("want other operations refused, got %d %s", status, answer)
	}
}

func TestBusTakesQueueMessagesAndObjects(t *testing.T) {
	if status, answer, _ := callBus(t, http.MethodPost, "/", "AmazonSQS.SendMessage", `{"MessageBody":"x"}`); status != http.StatusOK || !strings.Contains(answer, "MessageId") {
		t.Errorf("want the message taken, got %d %s", status, answer)
	}
	if status, _, log := callBus(t, http.MethodPut, "/bucket/key", "", "body"); status != http.StatusOK || !strings.Contains(log, "4 bytes kept in /bucket/key") {
		t.Errorf("want the object taken, got %d, log %s", status, log)
	}
}

func TestNoEventGoesToAWSBecauseAnEndpointWasForgotten(t *testing.T) {
	get := func(env map[string]string) string {
		return strings.Join(missingBusEndpoints(func(name string) string { return env[name] }), " ")
	}
	if got := get(map[string]string{"AWS_ENDPOINT_URL_EVENTBRIDGE": "http://127.0.0.1:1"}); got != "AWS_ENDPOINT_URL_SQS AWS_ENDPOINT_URL_S3" {
		t.Errorf("want the stand-in for what is not named, got %q", got)
	}
	if got := get(map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}); got != "" {
		t.Errorf("want no stand-in beside an endpoint for all, got %q", got)
	}
}
