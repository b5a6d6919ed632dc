package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
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
		{"webhookId": "m-1", "attempt": 1.0, "via": "queue"},
		{"webhookId": "m-2", "attempt": 3.0, "via": "queue"},
		{"webhookId": "m-3", "via": "queue"},
	} {
		if e := events[i]; e.Source != "stream.chat" || e.DetailType != "message.new" {
			t.Errorf("want stream.chat and message.new, got %s and %s", e.Source, e.DetailType)
		}
		got := wantBody(t, events[i], message)
		delete(got, "receivedAt")
		if !maps.Equal(got, want) {
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
	f := awstest.StartFunction(t, ssm.Env(awstest.NewEventBus(t).Env(nil)))
	wantFailures(t, f, batch(record("names an app", ours, "1"), record("names none", message, "1")), "names an app")
}

// ours is an event that names the app.
const ours = `{"type":"message.new","api_key":"` + key + `"}`

// Whoever can write into the queue could otherwise have anything published as if
// it were an event of this app.
func TestMessageThatCannotBeThisAppsGoesToTheDeadLetterQueue(t *testing.T) {
	gzip := func(body string) string { return base64.StdEncoding.EncodeToString(compress(body)) }
	messages := map[string]string{
		"another app":             `{"type":"user.banned","app_pk":666,"api_key":"attackers-app"}`,
		"another app, compressed": gzip(`{"type":"user.banned","api_key":"attackers-app"}`),
		"another app as well":     `{"api_key":"` + key + `","type":"user.banned","api_key":"attackers-app"}`,
		"ours behind another":     `{"api_key":"attackers-app","type":"user.banned","api_key":"` + key + `"}`,
		"in another case":         `{"API_Key":"attackers-app"}`,
		"escaped":                 `{"api\u005fkey":"attackers-app"}`,
		"no app":                  `{"api_key":""}`,
		"a number":                `{"api_key":1}`,
		"a list":                  `{"api_key":["` + key + `"]}`,
		"no JSON":                 "no json",
		"white space":             " ",
		"nothing, compressed":     gzip(""),
		"null":                    "null",
		"a JSON text":             `"{}"`,
		"a JSON list":             `[{"type":"message.new"}]`,
		"two objects":             `{}{}`,
		"no UTF-8":                gzip("{\"type\":\"\xff\"}"),
	}
	aws := awstest.NewEventBus(t)
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	f := awstest.StartFunction(t, ssm.Env(aws.Env(nil)))
	for name, body := range messages {
		t.Run(name, func(t *testing.T) { wantFailures(t, f, batch(record("m-1", body, "1")), "m-1") })
	}
	if events := aws.Events(); len(events) != 0 {
		t.Errorf("want nothing published, got %v", events)
	}
	for _, body := range []string{ours, "\n " + message, "{}", `{"api_key":null}`, `{"message":{"api_key":"a user's own field"}}`} {
		wantFailures(t, f, batch(record("m-1", body, "1")))
	}
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
