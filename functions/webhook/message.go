package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"chat-service-backend/shared/lambdahttp"
	"chat-service-backend/shared/streamchat"
)

// ServeMessage publishes an event that Stream has put into an SQS queue of this
// stack. Such an event bears no signature: who may write into the queue is what
// its policy says. An error leaves the message in the queue, to come again.
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
	credentials, err := h.app.Credentials(ctx)
	if err != nil {
		return err
	}
	lambdahttp.SetCaller(ctx, "stream")
	// SQS's own id is what stays the same when a message is delivered again.
	header := http.Header{}
	header.Set("X-Webhook-Id", m.ID)
	header.Set("X-Webhook-Attempt", strconv.Itoa(m.Attempt))
	return h.bus.publish(ctx, newEvent(header, credentials.Key(), body))
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
