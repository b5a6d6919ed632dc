package webhook

import (
	"bytes"
	"encoding/base64"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/internal/eventbus"
	"chat-service-backend/internal/standin"
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

func packed(body string) string { return base64.StdEncoding.EncodeToString(compress(body)) }

func TestQueueMessagesArePublished(t *testing.T) {
	f, aws := process(t, nil)
	posted, err := f.Post(map[string]any{"Records": []any{
		record("m-1", message, "1"),
		record("m-2", packed(message), "3"),
		record("broken", packed(message)[:40], "1"),
		record("m-3", base64.StdEncoding.EncodeToString([]byte(message)), ""),
	}})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(posted.Body)
	if want := `{"batchItemFailures":[{"itemIdentifier":"broken"}]}`; err != nil || strings.TrimSpace(string(answer)) != want {
		t.Errorf("want %s, got %s, %v", want, answer, err)
	}
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

// serve hands h a message. An error leaves the message in the queue.
func serve(t *testing.T, h http.Handler, body string) error {
	return h.(lambdahttp.MessageHandler).ServeMessage(t.Context(), lambdahttp.Message{ID: "m-1", Body: body, Attempt: 1})
}

func TestQueueMessageThatNothingTakesStaysInTheQueue(t *testing.T) {
	withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
		aws.Fault[eventbus.EventBridge].Set(standin.Refuse(http.StatusBadRequest, "AccessDeniedException"))
		if err := serve(t, h, message); err != nil {
			t.Errorf("want the message in the fallback queue, got %v", err)
		}
		wantStored(t, aws, 0, 1)
		aws.Fault[eventbus.SQS].Set(standin.Refuse(http.StatusBadRequest, "AccessDenied"))
		if err := serve(t, h, message); err == nil {
			t.Error("want an error, got none")
		}
	})
}

// ours is an event that names our app.
const ours = `{"type":"message.new","api_key":"` + key + `"}`

func TestQueueMessageStaysInTheQueueWithoutABusOrAKey(t *testing.T) {
	h, _ := verifier(t)
	if err := serve(t, h, message); err == nil || !strings.Contains(err.Error(), "EVENT_BUS_NAME") {
		t.Errorf("want an error that names EVENT_BUS_NAME, got %v", err)
	}
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	ssm.Down(true)
	h = awstest.Handler(t, Build, ssm.Getenv(awstest.NewEventBus(t).Env(nil)))
	if err := serve(t, h, ours); err == nil {
		t.Error("an event that names its app: want an error, got none")
	}
	if err := serve(t, h, message); err != nil {
		t.Errorf("an event that names no app: want it published, got %v", err)
	}
}

// Otherwise, anybody who can write to the queue could publish events as if they
// were this app's.
func TestQueueMessageOfAnotherAppIsRefused(t *testing.T) {
	h, aws := publisher(t)
	for name, body := range map[string]string{
		"another app":             `{"type":"user.banned","app_pk":666,"api_key":"attackers-app"}`,
		"another app, compressed": packed(`{"type":"user.banned","api_key":"attackers-app"}`),
		"another app after ours":  `{"api_key":"` + key + `","type":"user.banned","api_key":"attackers-app"}`,
		"another app before ours": `{"api_key":"attackers-app","type":"user.banned","api_key":"` + key + `"}`,
		"another case":            `{"API_Key":"attackers-app"}`,
		"escaped":                 `{"api\u005fkey":"attackers-app"}`,
		"empty":                   `{"api_key":""}`,
		"not a string":            `{"api_key":["` + key + `"]}`,
		"not JSON":                "not JSON",
		"nothing, compressed":     packed(""),
		"null":                    "null",
		"a JSON list":             `[{"type":"message.new"}]`,
		"two objects":             `{}{}`,
		"invalid UTF-8":           packed("{\"type\":\"\xff\"}"),
	} {
		if err := serve(t, h, body); err == nil {
			t.Errorf("%s: want an error, got none", name)
		}
	}
	wantStored(t, aws, 0, 0)
	for _, body := range []string{ours, "\n " + message, "{}", `{"api_key":null}`, `{"message":{"api_key":"a user's own field"}}`, `{"type":"payment.done","api_key":"the shop's"}`} {
		if err := serve(t, h, body); err != nil {
			t.Errorf("%s: want it published, got %v", body, err)
		}
	}
}

// As with webhooks: after a switch of the app, its events need not wait for PARAMETER_TTL.
func TestQueueMessageOfANewKeyHasTheValuesReadAgain(t *testing.T) {
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	withBus(t, func(t *testing.T, other http.Handler, aws *awstest.EventBus) {
		h := awstest.Handler(t, Build, ssm.Getenv(aws.Env(nil)))
		h.(*handler).bus = other.(*handler).bus
		for name, value := range map[string]string{"api-key": "key-2", "api-secret": "secret-2", "api-key-previous": key, "api-secret-previous": secret} {
			ssm.Set("/chat-service/stream/"+name, value)
		}
		time.Sleep(10 * time.Second)
		for _, body := range []string{`{"type":"message.new","api_key":"key-2"}`, ours} {
			if err := serve(t, h, body); err != nil {
				t.Errorf("%s: want it published, got %v", body, err)
			}
		}
		if err := serve(t, h, `{"type":"message.new","api_key":"key-3"}`); err == nil {
			t.Error("want another app's refused")
		}
		wantStored(t, aws, 2, 0)
	})
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
			t.Errorf("want %q unchanged, got %q, %v", text, body, err)
		}
		if _, err := base64.StdEncoding.DecodeString(text); err != nil && !strings.HasPrefix(text, "\x1f\x8b") && string(body) != text {
			t.Errorf("want anything but base64 unchanged, got %q for %q", body, text)
		}
		for _, wrapped := range []string{"{" + text, message} {
			got, err := messageBody(base64.StdEncoding.EncodeToString(compress(wrapped)))
			if err != nil || !bytes.Equal(got, []byte(wrapped)) {
				t.Errorf("want %q, got %q, %v", wrapped, got, err)
			}
		}
	})
}
