package main

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"chat-service-backend/internal/eventbus"
	"chat-service-backend/internal/standin"
)

func callBus(b *eventbus.Bus, method, path, target, body string) string {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if target != "" {
		r.Header.Set("X-Amz-Target", target)
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return fmt.Sprint(w.Code, " ", w.Body)
}

func entries(detail string) string {
	return fmt.Sprintf(`{"Entries":[{"Source":"s","DetailType":"message.new","Detail":%q}]}`, detail)
}

func TestEventsAreLoggedWithoutTheirBody(t *testing.T) {
	var log strings.Builder
	b := &eventbus.Bus{Took: func(_ eventbus.Entry, line string) { log.WriteString(line + "\n") }}
	got := callBus(b, "POST", "/", "AWSEvents.PutEvents", entries(`{"metadata":{"webhookId":"w1","attempt":2},"event":{"text":"private"}}`))
	if !strings.HasPrefix(got, `200 `) || !strings.Contains(got, `"FailedEntryCount":0`) || len(b.Events()) != 1 {
		t.Errorf("want the event taken, got %s", got)
	}
	if again, _, _ := b.Since(1000); len(again) != 1 { // who listened before a restart
		t.Errorf("want all events for a number that this bus has not given yet, got %v", again)
	}
	callBus(b, "POST", "/", "AmazonSQS.SendMessage", `{"MessageBody":"private"}`)
	callBus(b, "PUT", "/bucket/key", "", "private")
	if text := log.String(); !strings.Contains(text, `event "message.new", 70 bytes, webhook "w1", attempt 2`) || strings.Count(text, "\n") != 3 || strings.Contains(text, "private") {
		t.Errorf("want three lines without a body, got %s", text)
	}
}

func TestCallsThatAWSRefusesAreRefused(t *testing.T) {
	b := &eventbus.Bus{Name: "bus", QueueURL: "http://queue", Bucket: "bucket"}
	named := strings.Replace(entries("{"), `"Source"`, `"EventBusName":"bus","Source"`, 1)
	for _, c := range []struct{ method, path, target, body, want string }{
		{"POST", "/", "AWSEvents.PutEvents", named, "MalformedDetail"},
		{"POST", "/", "AWSEvents.PutEvents", entries("{}"), "ResourceNotFoundException"},
		{"POST", "/", "AWSEvents.PutEvents", `{"Entries":[]}`, "ValidationException"},
		{"POST", "/", "AWSEvents.PutEvents", entries(strings.Repeat("x", 1<<20)), "ValidationException"},
		{"POST", "/", "AWSEvents.DeleteRule", `{}`, "UnknownOperationException"},
		{"POST", "/", "AmazonSQS.SendMessage", `{"QueueUrl":"http://other","MessageBody":"x"}`, "QueueDoesNotExist"},
		{"POST", "/", "AmazonSQS.SendMessage", `{"QueueUrl":"http://queue","MessageBody":"\u0001"}`, "InvalidMessageContents"},
		{"PUT", "/other/key", "", "x", "404 "},
	} {
		if got := callBus(b, c.method, c.path, c.target, c.body); !strings.Contains(got, c.want) {
			t.Errorf("%s %.60s: want %s, got %s", c.target, c.body, c.want, got)
		}
	}
	b.Credentials = &standin.Credentials{}
	for target, path := range map[string]string{"": "/bucket/key", "AWSEvents.PutEvents": "/", "AmazonSQS.SendMessage": "/"} {
		if got := callBus(b, "PUT", path, target, "unsigned"); !strings.Contains(got, "InvalidSignatureException") {
			t.Errorf("%s: want an error for a call without a signature, got %s", target, got)
		}
	}
	if len(b.Events())+len(b.Messages()) > 0 {
		t.Error("want nothing kept")
	}
}
