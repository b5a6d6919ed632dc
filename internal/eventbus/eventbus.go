// Package eventbus stands in for EventBridge, and for the SQS queue and the S3
// bucket that keep the events it does not take. All three share one address, since
// their calls look different.
//
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
package eventbus

import (
	"crypto/md5"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"chat-service-backend/internal/standin"
)

// An API is one of the three.
type API int

const (
	EventBridge API = iota
	SQS
	S3
)

// An Entry is an event on the bus or in the queue.
type Entry struct {
	EventBusName, Source, DetailType, Detail string
	TraceHeader                              string    `json:",omitempty"`
	ID                                       string    `json:"-"` // on the bus
	At                                       time.Time `json:"-"` // when it was published
}

// A Bus answers PutEvents, SendMessage and PutObject, and refuses what AWS would.
// Its methods may be called by many goroutines at once.
type Bus struct {
	// What callers must name; anything if empty.
	Name, QueueURL, Bucket string
	Credentials            *standin.Credentials       // that calls must be signed with; nil: any
	Took                   func(e Entry, line string) // gets each event, message and object, and a line without its body; may be nil
	Fault                  [3]standin.Switch          // by service

	mu       sync.Mutex
	events   []Entry
	next     int           // number of the next event
	arrived  chan struct{} // closed when it arrives; may be nil
	messages []string
	objects  map[string][]byte
}

// AWS's limits in bytes, and how many events are kept here.
const (
	maxEntry   = 1 << 20
	maxMessage = 1 << 20
	maxEvents  = 2000
)

// Events returns the last events on the bus, up to 2,000.
func (b *Bus) Events() []Entry {
	events, _, _ := b.Since(0)
	return events
}

// Since returns those of the last events that have a number, counted from 0, or a greater
// one. It also returns the next event's number, and a channel that is closed when that one
// is there.
func (b *Bus) Since(first int) (events []Entry, next int, arrived <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.arrived == nil {
		b.arrived = make(chan struct{})
	}
	if first > b.next { // the number of an event of the bus before, which ended
		first = 0
	}
	gone := b.next - len(b.events)
	return slices.Clone(b.events[min(max(0, first-gone), len(b.events)):]), b.next, b.arrived
}

// Forget drops the events, messages and objects.
func (b *Bus) Forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events, b.messages, b.objects = nil, nil, nil
}

// Messages returns the bodies of the messages in the queue.
func (b *Bus) Messages() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.messages)
}

// Object returns an object in the bucket.
func (b *Bus) Object(key string) ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	content, ok := b.objects[key]
	return content, ok
}

// took reports what was accepted.
func (b *Bus) took(e Entry, format string, args ...any) {
	if b.Took != nil {
		b.Took(e, fmt.Sprintf(format, args...))
	}
}

func (b *Bus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	target := r.Header.Get("X-Amz-Target")
	service, scope := S3, "s3"
	switch {
	case strings.HasPrefix(target, "AWSEvents."):
		service, scope = EventBridge, "events"
	case strings.HasPrefix(target, "AmazonSQS."):
		service, scope = SQS, "sqs"
	}
	standin.Serve(w, r, &b.Fault[service], b.Credentials, scope, func(body []byte) (any, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch {
		case target == "AWSEvents.PutEvents":
			return b.putEvents(body)
		case target == "AmazonSQS.SendMessage":
			return b.sendMessage(body)
		case target == "" && r.Method == http.MethodPut:
			return nil, b.putObject(r, body)
		}
		return nil, standin.Refused("UnknownOperationException")
	})
}

func (b *Bus) putEvents(body []byte) (any, error) {
	var in struct{ Entries []Entry }
	err := json.Unmarshal(body, &in)
	size := 0
	for _, e := range in.Entries {
		size += len(e.Source) + len(e.DetailType) + len(e.Detail)
	}
	switch {
	case err != nil || len(in.Entries) < 1 || len(in.Entries) > 10 || size > maxEntry:
		return nil, standin.Refused("ValidationException")
	case b.Name != "" && slices.ContainsFunc(in.Entries, func(e Entry) bool { return e.EventBusName != b.Name }):
		return nil, standin.Refused("ResourceNotFoundException")
	}
	failed, results := 0, []map[string]string{}
	for _, e := range in.Entries {
		if code := b.put(e); code != "" {
			failed++
			results = append(results, map[string]string{"ErrorCode": code, "ErrorMessage": "EventBridge would refuse it"})
		} else {
			results = append(results, map[string]string{"EventId": b.events[len(b.events)-1].ID})
		}
	}
	return map[string]any{"FailedEntryCount": failed, "Entries": results}, nil
}

// put puts one event on the bus. It returns the code of an error, or "".
func (b *Bus) put(e Entry) string {
	var detail struct {
		Metadata struct {
			WebhookID string `json:"webhookId"`
			Attempt   int    `json:"attempt"`
		} `json:"metadata"`
	}
	switch {
	case e.Source == "" || e.DetailType == "" || len(e.DetailType) > 128:
		return "InvalidArgument"
	case json.Unmarshal([]byte(e.Detail), &detail) != nil:
		return "MalformedDetail"
	}
	if len(b.events) == maxEvents {
		b.events = slices.Delete(b.events, 0, maxEvents/4)
	}
	e.ID, e.At = standin.UUID(), time.Now().UTC().Truncate(time.Second)
	b.events = append(b.events, e)
	b.next++
	if b.arrived != nil {
		close(b.arrived)
		b.arrived = nil
	}
	webhook := ""
	if id := detail.Metadata.WebhookID; id != "" {
		webhook = fmt.Sprintf(", webhook %q, attempt %d", id, detail.Metadata.Attempt)
	}
	b.took(e, "event %q, %d bytes%s", e.DetailType, len(e.Detail), webhook)
	return ""
}

func (b *Bus) sendMessage(body []byte) (any, error) {
	var in struct{ QueueUrl, MessageBody string } // as SQS spells it
	err := json.Unmarshal(body, &in)
	text := in.MessageBody
	switch {
	case err != nil || b.QueueURL != "" && in.QueueUrl != b.QueueURL:
		return nil, standin.Refused("QueueDoesNotExist")
	case len(text) > maxMessage || len(text) == 0:
		return nil, standin.Refused("InvalidParameterValue")
	case strings.ContainsFunc(text, forbidden):
		return nil, standin.Refused("InvalidMessageContents")
	}
	b.messages = append(b.messages, text)
	b.took(Entry{DetailType: "in the fallback queue", Detail: text}, "events: one went into the fallback queue, %d bytes", len(text))
	return map[string]string{"MessageId": standin.UUID(), "MD5OfMessageBody": fmt.Sprintf("%x", md5.Sum([]byte(text)))}, nil
}

// forbidden reports whether SQS refuses a character.
func forbidden(r rune) bool {
	return r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff
}

func (b *Bus) putObject(r *http.Request, body []byte) error {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	if key == "" || b.Bucket != "" && bucket != b.Bucket {
		return &standin.Refusal{Status: http.StatusNotFound, Code: "NoSuchBucket"}
	}
	if b.objects == nil {
		b.objects = make(map[string][]byte)
	}
	b.objects[key] = body
	b.took(Entry{DetailType: "in the bucket", Detail: r.URL.Path}, "events: %d bytes kept in %s", len(body), r.URL.Path)
	return nil
}
