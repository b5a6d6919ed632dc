package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"chat-service-backend/shared/lambdahttp"
	"chat-service-backend/shared/streamchat"
)

// ServeMessage publishes an event that Stream has put into an SQS queue of this
// stack. Such an event bears no signature: who may write into the queue is what
// its policy says. An error leaves the message in the queue, to come again and
// then to lie in the dead-letter queue.
//
// https://getstream.io/chat/docs/node/sqs/
func (h *handler) ServeMessage(ctx context.Context, m lambdahttp.Message) error {
	if h.bus == nil {
		return errors.New("publish a message: want EVENT_BUS_NAME, got nothing")
	}
	body, err := messageBody(m.Body)
	if err != nil {
		return err
	}
	named, err := namedApps(body)
	if err != nil {
		return err
	}
	if len(named) > 0 {
		credentials, err := h.app.Credentials(ctx)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(named, func(key string) bool { return key != credentials.Key() }) {
			return errors.New("read a message: want an event of this app, got one with another's api_key")
		}
	}
	lambdahttp.SetCaller(ctx, "stream")
	// SQS's own id is what stays the same when a message is delivered again.
	header := http.Header{}
	header.Set("X-Webhook-Id", m.ID)
	header.Set("X-Webhook-Attempt", strconv.Itoa(m.Attempt))
	return h.bus.publish(ctx, newEvent(header, viaQueue, "", body))
}

// namedApps returns the API keys that an event says are its app's: none, one, or
// several, since JSON may repeat a name and its readers differ in which they
// take, and in whether they mind its case. A body that is no JSON object is an
// error.
func namedApps(body []byte) (keys []string, err error) {
	if !json.Valid(body) || !utf8.Valid(body) || !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) {
		return nil, errors.New("read a message: want a JSON object, got something else")
	}
	members := json.NewDecoder(bytes.NewReader(body))
	_, _ = members.Token() // the brace; json.Valid has seen that nothing here can fail
	for members.More() {
		name, _ := members.Token()
		var value json.RawMessage
		_ = members.Decode(&value)
		if name, _ := name.(string); !strings.EqualFold(name, "api_key") || string(value) == "null" {
			continue
		}
		var key string // stays empty, as no app's is, for what is no text
		_ = json.Unmarshal(value, &key)
		keys = append(keys, key)
	}
	return keys, nil
}

// messageBody returns the event in a message: JSON as it is, or base64 of it or
// of a gzip of it, which is how Stream compresses for a queue.
func messageBody(text string) ([]byte, error) {
	body := []byte(text)
	// An event is an object, which as JSON begins with what base64 never has.
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
