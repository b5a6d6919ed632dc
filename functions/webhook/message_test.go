package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/shared/lambdahttp"
)

// record is a message as Lambda gets it from SQS.
//
// https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
func record(id, body, receiveCount string) map[string]any {
	return map[string]any{
		"messageId":         id,
		"receiptHandle":     "receipt-" + id,
		"body":              body,
		"attributes":        map[string]string{"ApproximateReceiveCount": receiveCount, "SentTimestamp": "1795464480000"},
		"messageAttributes": map[string]any{},
		"eventSource":       "aws:sqs",
		"eventSourceARN":    "arn:aws:sqs:eu-central-1:123456789012:stream",
		"awsRegion":         "eu-central-1",
	}
}

func batch(records ...map[string]any) map[string]any { return map[string]any{"Records": records} }

// wantFailures invokes f with a batch and checks which messages are to come
// again.
func wantFailures(t *testing.T, f *awstest.Function, event any, failed ...string) {
	t.Helper()
	want := `{"batchItemFailures":[`
	for i, id := range failed {
		if i > 0 {
			want += ","
		}
		want += `{"itemIdentifier":"` + id + `"}`
	}
	want += "]}"
	if got, _, err := f.Post(event); err != nil || strings.TrimSpace(string(got)) != want {
		t.Errorf("want %s, got %s, %v", want, got, err)
	}
}

func TestMessagesOfAQueueArePublished(t *testing.T) {
	aws := awstest.NewEventBus(t)
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	f := awstest.StartFunction(t, ssm.Env(aws.Env(nil)))
	wantFailures(t, f, batch(
		record("m-1", message, "1"),
		record("m-2", base64.StdEncoding.EncodeToString(compress(message)), "3"),
		record("m-3", base64.StdEncoding.EncodeToString([]byte(message)), ""),
	))
	events := aws.Events()
	if len(events) != 3 {
		t.Fatalf("want 3 events, got %v", events)
	}
	for i, want := range []map[string]any{
		{"webhookId": "m-1", "attempt": 1.0, "apiKey": key},
		{"webhookId": "m-2", "attempt": 3.0, "apiKey": key},
		{"webhookId": "m-3", "apiKey": key},
	} {
		if e := events[i]; e.Source != "stream.chat" || e.DetailType != "message.new" {
			t.Errorf("want stream.chat and message.new, got %s and %s", e.Source, e.DetailType)
		}
		got := wantBody(t, events[i], message)
		delete(got, "receivedAt")
		if len(got) != len(want) || got["webhookId"] != want["webhookId"] || got["attempt"] != want["attempt"] || got["apiKey"] != key {
			t.Errorf("want metadata %v, got %v", want, got)
		}
	}
}

func TestMessageOfAQueueThatCannotBeTakenComesAgain(t *testing.T) {
	aws := awstest.NewEventBus(t)
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	f := awstest.StartFunction(t, ssm.Env(aws.Env(nil)))
	broken := base64.StdEncoding.EncodeToString(compress(message)[:40])
	wantFailures(t, f, batch(record("good-1", message, "1"), record("broken", broken, "1"), record("good-2", message, "1")), "broken")
	if events := aws.Events(); len(events) != 2 {
		t.Errorf("want the others on the bus, got %v", events)
	}
	aws.Fail(awstest.EventBridge, http.StatusBadRequest, "AccessDeniedException")
	wantFailures(t, f, batch(record("m-1", message, "1")))
	aws.Fail(awstest.SQS, http.StatusBadRequest, "AccessDenied")
	wantFailures(t, f, batch(record("m-1", message, "1"), record("m-2", message, "1")), "m-1", "m-2")
}

func TestMessagesOfAQueueComeAgainWhereThereIsNoBusOrNoKey(t *testing.T) {
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	wantFailures(t, awstest.StartFunction(t, ssm.Env(nil)), batch(record("m-1", message, "1")), "m-1")
	h := awstest.Handler(t, build, ssm.Getenv(nil)).(lambdahttp.MessageHandler)
	if err := h.ServeMessage(t.Context(), lambdahttp.Message{ID: "m-1", Body: message}); err == nil || !strings.Contains(err.Error(), "EVENT_BUS_NAME") {
		t.Errorf("want an error that names EVENT_BUS_NAME, got %v", err)
	}
	ssm.Down(true)
	wantFailures(t, awstest.StartFunction(t, ssm.Env(awstest.NewEventBus(t).Env(nil))), batch(record("m-1", message, "1")), "m-1")
}

func TestMessageThatIsNotJSONIsKept(t *testing.T) {
	aws := awstest.NewEventBus(t)
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	wantFailures(t, awstest.StartFunction(t, ssm.Env(aws.Env(nil))), batch(record("m-1", "no json", "1")))
	if len(aws.Events()) != 1 {
		t.Fatalf("want an announcement, got %v", aws.Events())
	}
	wantAnnounced(t, aws, aws.Events()[0], "no json", "NotJSON")
}

func FuzzMessageBody(f *testing.F) {
	for _, c := range bodies {
		f.Add(c.body)
		f.Add(base64.StdEncoding.EncodeToString(compress(c.body)))
	}
	f.Add("H4sI")
	f.Add(base64.StdEncoding.EncodeToString(compress(message))[:40])
	f.Fuzz(func(t *testing.T, text string) {
		body, err := messageBody(text)
		if strings.HasPrefix(text, "{") && (err != nil || string(body) != text) {
			t.Errorf("want %q as it is, got %q, %v", text, body, err)
		}
		if _, err := base64.StdEncoding.DecodeString(text); err != nil && !strings.HasPrefix(text, "\x1f\x8b") && string(body) != text {
			t.Errorf("want what is not base64 as it is, got %q for %q", body, text)
		}
		for _, wrapped := range []string{"{" + text, message} {
			got, err := messageBody(base64.StdEncoding.EncodeToString(compress(wrapped)))
			if err != nil || !bytes.Equal(got, []byte(wrapped)) {
				t.Errorf("want %q, got %q, %v", wrapped, got, err)
			}
		}
		_ = json.Valid(body)
	})
}
