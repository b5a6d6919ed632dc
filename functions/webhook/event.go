package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"
)

const (
	// source is what EventBridge rules match on to get Stream's events.
	source = "stream.chat"

	// untyped is the detail type of a hook whose body has no type: those before
	// a message is sent, and custom commands.
	untyped = "untyped"

	// maxDetailType is the longest detail type that EventBridge takes, in bytes.
	maxDetailType = 128

	// maxEntry is the size of the largest entry that EventBridge takes.
	//
	// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevent-size.html
	maxEntry = 256 << 10
)

// An event is one that Stream sent, on its way to the bus.
type event struct {
	metadata   metadata
	body       []byte // as Stream wrote it
	detailType string // Stream's type of the event, such as message.new
	hook       string // the kind of hook, or "": see hookKind
}

// metadata is what we know of an event besides its body. It goes to the bus
// in front of it.
type metadata struct {
	// WebhookID is the same on every attempt to deliver one event: what a
	// consumer drops duplicates by.
	WebhookID string `json:"webhookId,omitempty"`
	// Attempt counts deliveries from 1; 0 if Stream did not send it.
	Attempt int `json:"attempt,omitempty"`
	// Via is how the event came.
	Via via `json:"via"`
	// APIKey is the app's, where a signature has proved that the event is.
	APIKey     string    `json:"apiKey,omitempty"`
	ReceivedAt time.Time `json:"receivedAt"`
	// Object is where the body is kept if the bus did not take it.
	Object *object `json:"object,omitempty"`
}

// A via is a way by which events come.
type via string

const (
	viaWebhook via = "webhook" // signed with the app's secret
	viaQueue   via = "queue"   // written by whom the queue's policy lets in
)

// An object is the whole body of an event, kept in S3.
type object struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
	Size   int    `json:"size"` // bytes
	Reason string `json:"reason"`
}

// newEvent returns an event with what its header fields tell. apiKey is the
// app's, or empty if no signature proves that the event is.
func newEvent(header http.Header, via via, apiKey string, body []byte) event {
	// A field that is no number says nothing.
	attempt, _ := strconv.Atoi(header.Get("X-Webhook-Attempt"))
	// A map, because a struct's field would match keys of any case. For a body that
	// is no JSON object it stays empty.
	var members map[string]json.RawMessage
	_ = json.Unmarshal(body, &members)
	return event{
		body:       body,
		detailType: detailType(members),
		hook:       hookKind(members),
		metadata: metadata{
			WebhookID:  header.Get("X-Webhook-Id"),
			Attempt:    attempt,
			Via:        via,
			APIKey:     apiKey,
			ReceivedAt: time.Now().UTC().Truncate(time.Millisecond),
		},
	}
}

func detailType(members map[string]json.RawMessage) string {
	var name string
	if json.Unmarshal(members["type"], &name) != nil || name == "" || len(name) > maxDetailType {
		return untyped
	}
	return name
}

// misfit returns why EventBridge cannot carry the event, or "" if it can. The body
// must be JSON, valid UTF-8 (its bytes travel inside a JSON text), and not too
// large with what goes around it.
func (e event) misfit(detail string) string {
	switch {
	case !json.Valid(e.body) || !utf8.Valid(e.body):
		return "NotJSON"
	case len(source)+len(e.detailType)+len(detail) > maxEntry:
		return "TooLarge"
	}
	return ""
}

// detail returns the event as the bus carries it, its body to the byte.
func (e event) detail() (string, error) {
	head, err := json.Marshal(e.metadata)
	if err != nil {
		return "", fmt.Errorf("write an event's metadata: %w", err)
	}
	body := e.body
	if e.metadata.Object != nil {
		body = []byte("null")
	}
	detail := make([]byte, 0, len(head)+len(body)+24)
	detail = append(detail, `{"metadata":`...)
	detail = append(detail, head...)
	detail = append(detail, `,"event":`...)
	detail = append(detail, body...)
	return string(append(detail, '}')), nil
}

// key names the body's object after its content: delivered again, it is the
// same object.
func (e event) key() string {
	sum := sha256.Sum256(e.body)
	return e.metadata.ReceivedAt.Format("2006/01/02/") + hex.EncodeToString(sum[:])
}
