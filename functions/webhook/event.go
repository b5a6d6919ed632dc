package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

const (
	// source is the source of Stream's events on the bus, for rules to match.
	source = "stream.chat"

	// untyped is the detail type of a body without a type: Stream's
	// before-message-send hooks and custom commands.
	untyped = "untyped"

	// maxDetailType is the longest detail type that EventBridge accepts, in bytes.
	maxDetailType = 128

	// maxEntry is the size of the largest entry that EventBridge accepts, in bytes.
	//
	// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevent-size.html
	maxEntry = 256 << 10
)

// An event is a webhook or a queue message on its way to the bus.
type event struct {
	metadata   metadata
	body       []byte // as Stream wrote it
	detailType string // Stream's event type, such as message.new
	hook       string // the kind of hook, or "": see hookKind
}

// metadata is what we know about an event besides its body. On the bus, it
// precedes the body.
type metadata struct {
	// WebhookID is the same on every attempt to deliver an event. Consumers use
	// it to drop duplicates.
	WebhookID string `json:"webhookId,omitempty"`
	// Attempt counts deliveries from 1; 0 means unknown.
	Attempt int `json:"attempt,omitempty"`
	// Via is how the event arrived: viaWebhook or viaQueue.
	Via string `json:"via"`
	// APIKey is the app's, and set only where a signature proves that the event
	// belongs to the app.
	APIKey     string    `json:"apiKey,omitempty"`
	ReceivedAt time.Time `json:"receivedAt"`
	// Object is where the body is stored if the bus did not accept it.
	Object *object `json:"object,omitempty"`
}

const (
	viaWebhook = "webhook" // signed with the app's secret
	viaQueue   = "queue"   // sent by somebody whom the queue's policy lets in
)

// An object is an event's whole body in S3.
type object struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
	Size   int    `json:"size"` // bytes
	Reason string `json:"reason"`
}

// newEvent returns the event that has just arrived with this body.
func newEvent(m metadata, body []byte) event {
	m.ReceivedAt = time.Now().UTC().Truncate(time.Millisecond)
	// A map, because a struct's fields would match keys of any case. It stays
	// nil if the body is not a JSON object.
	var members map[string]json.RawMessage
	_ = json.Unmarshal(body, &members)
	return event{m, body, detailType(members), hookKind(members)}
}

func detailType(members map[string]json.RawMessage) string {
	var name string
	if json.Unmarshal(members["type"], &name) != nil || name == "" || len(name) > maxDetailType {
		return untyped
	}
	return name
}

// misfit returns the reason why EventBridge cannot carry the event with this
// detail, or "" if it can. The body must be JSON in valid UTF-8, because its
// bytes travel inside a JSON string, and the whole entry must not be too large.
func (e event) misfit(detail string) string {
	switch {
	case !json.Valid(e.body) || !utf8.Valid(e.body):
		return "NotJSON"
	case len(source)+len(e.detailType)+len(detail) > maxEntry:
		return "TooLarge"
	}
	return ""
}

// detail returns the event as the bus carries it, with the body byte for byte.
func (e event) detail() string {
	head, _ := json.Marshal(e.metadata) // strings, numbers and today's date always encode
	body := e.body
	if e.metadata.Object != nil {
		body = []byte("null")
	}
	return fmt.Sprintf(`{"metadata":%s,"event":%s}`, head, body)
}

// key returns the key of the body's object. It derives from the content, so a
// second delivery overwrites the same object.
func (e event) key() string {
	sum := sha256.Sum256(e.body)
	return e.metadata.ReceivedAt.Format("2006/01/02/") + hex.EncodeToString(sum[:])
}
