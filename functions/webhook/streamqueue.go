package webhook

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"chat-service-backend/shared/lambdahttp"
	"chat-service-backend/shared/streamchat"
)

// ServeMessage publishes an event that Stream sent to this stack's SQS queue.
// Queue messages are not signed: the queue's policy decides who may send them. An
// error leaves the message in the queue, to be delivered again and finally moved
// to the dead-letter queue.
//
// https://getstream.io/chat/docs/node/sqs/
func (h *handler) ServeMessage(ctx context.Context, m lambdahttp.Message) error {
	if h.bus == nil {
		return errors.New("publish a message: EVENT_BUS_NAME is not set; set it to the name of the bus")
	}
	body, err := messageBody(m.Body)
	if err != nil {
		return err
	}
	named, err := namedApps(body)
	if err != nil {
		return err
	}
	e := newEvent(metadata{WebhookID: m.ID, Attempt: m.Attempt, Via: viaQueue}, body)
	product, _, _ := strings.Cut(e.detailType, ".")
	if len(named) > 0 && (e.detailType == other || slices.Contains(streamTypes, product)) {
		ours, err := h.app.Verify(ctx, func(c *streamchat.Credentials) bool {
			return !slices.ContainsFunc(named, func(key string) bool { return !c.Knows(key) })
		})
		if err != nil {
			return err
		}
		if ours == nil {
			return errors.New("read a message: it is another app's event, as its api_key says; look at who may write into the queue")
		}
	}
	lambdahttp.SetCaller(ctx, "stream")
	return h.bus.publish(ctx, e)
}

// streamTypes are the first parts of the types of Stream's own events. Any other type is an
// app's: what a custom event calls api_key is its own business.
var streamTypes = []string{
	"ai_indicator", "appeal", "call", "campaign", "channel", "channel_batch_update", "draft", "export", "feeds", "flag", "health", "ingress",
	"member", "message", "moderation", "moderation_check", "moderation_rule", "notification", "poll", "reaction", "reminder",
	"review_queue_item", "thread", "typing", "unread", "user", "user_group",
}

// namedApps returns the API keys that an event names as its app's. There may be
// several: JSON may repeat a key, and parsers differ in which one they use and in
// whether they match its case. A body that is not a JSON object is an error.
func namedApps(body []byte) (keys []string, err error) {
	if !json.Valid(body) || !utf8.Valid(body) || !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) {
		return nil, errors.New("read a message: it is not a JSON object; look at who may write into the queue")
	}
	members := json.NewDecoder(bytes.NewReader(body))
	_, _ = members.Token() // the brace; after json.Valid, nothing here can fail
	for members.More() {
		name, _ := members.Token()
		var value json.RawMessage
		_ = members.Decode(&value)
		if name, _ := name.(string); !strings.EqualFold(name, "api_key") || string(value) == "null" {
			continue
		}
		var key string // stays empty, which matches no app, if value is not a string
		_ = json.Unmarshal(value, &key)
		keys = append(keys, key)
	}
	return keys, nil
}

// messageBody returns the event in a message, which is plain JSON, or base64 of
// JSON, or base64 of gzip, as Stream compresses for a queue.
func messageBody(text string) ([]byte, error) {
	body := []byte(text)
	// The { of a plain event does not occur in base64.
	decoded, err := base64.StdEncoding.DecodeString(text)
	if err == nil && (bytes.HasPrefix(decoded, []byte{0x1f, 0x8b}) || bytes.HasPrefix(decoded, []byte("{"))) {
		body = decoded
	}
	plain, err := streamchat.PlainBody(body)
	if err != nil {
		return nil, fmt.Errorf("read a message: %w", err)
	}
	return plain, nil
}
