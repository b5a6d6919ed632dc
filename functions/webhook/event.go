package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// The sources of Stream's events on the bus, for rules to match. One app serves all of
// Stream's products, and all send their webhooks to the same address.
const (
	sourceChat       = "stream.chat"
	sourceVideo      = "stream.video"
	sourceFeeds      = "stream.feeds"
	sourceModeration = "stream.moderation"
)

// The detail types that are not types of Stream's.
const (
	untyped = "untyped" // hooks, which have no type
	other   = "other"   // events whose type cannot be a detail type
)

// maxDetailType is the longest detail type that EventBridge accepts, in bytes.
const maxDetailType = 128

// An event is a webhook or a queue message on its way to the bus.
type event struct {
	metadata   metadata
	body       []byte // as Stream wrote it
	source     string
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
	hook := hookKind(members)
	if hook != "" {
		return event{m, body, sourceChat, untyped, hook}
	}
	name := detailType(members)
	return event{m, body, source(name, members), name, ""}
}

// newPendingEvent is [newEvent] for a callback about a pending message, whose body has
// no type. Its detail type is the path that Stream calls, below the webhook's.
func newPendingEvent(m metadata, body []byte, callback string) event {
	e := newEvent(m, body)
	e.source, e.detailType, e.hook = sourceChat, callback, ""
	return e
}

func detailType(members map[string]json.RawMessage) string {
	var name string
	if json.Unmarshal(members["type"], &name) != nil || name == "" || len(name) > maxDetailType || name == untyped || slices.Contains(callbacks, name) {
		return other // a custom event must not pass for a hook
	}
	return name
}

// source returns the product that an event is from: its type tells, but for Video's
// custom events and those without a type, which name their call.
func source(name string, members map[string]json.RawMessage) string {
	product, _, _ := strings.Cut(name, ".")
	if (name == "custom" || name == other) && !empty(members["call_cid"]) {
		product = "call"
	}
	switch product {
	case "call", "ingress":
		return sourceVideo
	case "feeds":
		return sourceFeeds
	case "appeal", "moderation", "moderation_check", "moderation_rule", "review_queue_item":
		return sourceModeration
	}
	return sourceChat
}

// notJSON reports whether the body cannot travel inside the event's JSON.
func (e event) notJSON() bool { return !json.Valid(e.body) || !utf8.Valid(e.body) }

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
