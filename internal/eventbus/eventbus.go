// Package eventbus stands in for EventBridge, and for the SQS queue and the S3
// bucket that keep the events it does not take. All three share one address: their
// calls look different.
//
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
package eventbus

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"chat-service-backend/internal/standin"
)

// A Service is one of those that are played.
type Service int

const (
	EventBridge Service = iota
	SQS
	S3
)

// An Entry is an event that was published, or waits in the queue.
type Entry struct {
	EventBusName, Source, DetailType, Detail string
	TraceHeader                              string `json:",omitempty"`
}

// A Bus answers PutEvents, SendMessage and PutObject, as strict as AWS is about
// what they take. Its methods may be called by many goroutines at once.
type Bus struct {
	// What callers must name; where one is empty, anything will do.
	Name, QueueURL, Bucket string
	Credentials            *standin.Credentials             // with which calls must be signed; nil: any
	Log                    func(format string, args ...any) // gets a line for each event, without its body; may be nil
	Took                   func(Entry)                      // gets each event that was published, and each message sent; may be nil
	Fault                  [3]standin.Switch                // one for each service

	mu       sync.Mutex
	asked    [3]int
	events   []Entry
	messages []string
	objects  map[string][]byte
}

// The limits of AWS, in bytes, and of events that are kept here.
const (
	maxEntry   = 256 << 10
	maxMessage = 1 << 20
	maxObject  = 10 << 20
	maxEvents  = 1000
)

// Asked counts the calls of a service.
func (b *Bus) Asked(s Service) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked[s]
}

// Events returns what was published: of very many, the last.
func (b *Bus) Events() []Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.events)
}

// Messages returns the bodies of the messages that are in the queue.
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

func (b *Bus) log(format string, args ...any) {
	if b.Log != nil {
		b.Log(format, args...)
	}
}

func (b *Bus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxObject))
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	target := r.Header.Get("X-Amz-Target")
	service, scope := S3, "s3"
	switch {
	case strings.HasPrefix(target, "AWSEvents."):
		service, scope = EventBridge, "events"
	case strings.HasPrefix(target, "AmazonSQS."):
		service, scope = SQS, "sqs"
	}
	b.mu.Lock()
	b.asked[service]++
	b.mu.Unlock()
	// Without the lock: a fault may wait.
	b.Fault[service].Serve(w, r, func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch {
		case b.Credentials != nil && !b.Credentials.Signed(r, body, scope):
			standin.Error(w, http.StatusForbidden, "InvalidSignatureException", "want the call signed with the credentials of this run")
		case target == "AWSEvents.PutEvents":
			b.putEvents(w, body)
		case service == SQS:
			b.queue(w, strings.TrimPrefix(target, "AmazonSQS."), body)
		case service == S3 && target == "" && r.Method == http.MethodPut:
			b.putObject(w, r, body)
		default:
			refuse(w, "UnknownOperationException")
		}
	})
}

func (b *Bus) putEvents(w http.ResponseWriter, body []byte) {
	var in struct{ Entries []Entry }
	if err := json.Unmarshal(body, &in); err != nil || len(in.Entries) < 1 || len(in.Entries) > 10 {
		refuse(w, "ValidationException")
		return
	}
	size := 0
	for _, e := range in.Entries {
		if size += len(e.Source) + len(e.DetailType) + len(e.Detail); size > maxEntry {
			refuse(w, "ValidationException")
			return
		}
		if b.Name != "" && e.EventBusName != b.Name {
			refuse(w, "ResourceNotFoundException")
			return
		}
	}
	failed, results := 0, []map[string]string{}
	for _, e := range in.Entries {
		var detail struct {
			Metadata struct {
				WebhookID string `json:"webhookId"`
				Attempt   int    `json:"attempt"`
			} `json:"metadata"`
		}
		code := ""
		if e.Source == "" || e.DetailType == "" || len(e.DetailType) > 128 {
			code = "InvalidArgument"
		} else if json.Unmarshal([]byte(e.Detail), &detail) != nil {
			code = "MalformedDetail"
		}
		if code != "" {
			failed++
			results = append(results, map[string]string{"ErrorCode": code, "ErrorMessage": "EventBridge would refuse it, too"})
			continue
		}
		if len(b.events) == maxEvents {
			b.events = b.events[1:]
		}
		b.events = append(b.events, e)
		if b.Took != nil {
			b.Took(e)
		}
		results = append(results, map[string]string{"EventId": standin.UUID()})
		webhook := ""
		if id := detail.Metadata.WebhookID; id != "" {
			webhook = fmt.Sprintf(", webhook %q, attempt %d", id, detail.Metadata.Attempt)
		}
		b.log("event %q, %d bytes%s", e.DetailType, len(e.Detail), webhook)
	}
	standin.Answer(w, map[string]any{"FailedEntryCount": failed, "Entries": results})
}

func (b *Bus) queue(w http.ResponseWriter, action string, body []byte) {
	var in struct{ QueueUrl, MessageBody string } // as SQS spells it
	if err := json.Unmarshal(body, &in); err != nil || b.QueueURL != "" && in.QueueUrl != b.QueueURL {
		refuse(w, "QueueDoesNotExist")
		return
	}
	switch {
	case action != "SendMessage":
		refuse(w, "UnknownOperationException")
	case len(in.MessageBody) > maxMessage || len(in.MessageBody) == 0:
		refuse(w, "InvalidParameterValue")
	case strings.ContainsFunc(in.MessageBody, forbidden):
		refuse(w, "InvalidMessageContents")
	default:
		b.messages = append(b.messages, in.MessageBody)
		if b.Took != nil {
			b.Took(Entry{DetailType: "in the fallback queue", Detail: in.MessageBody})
		}
		b.log("events: one went into the fallback queue, %d bytes", len(in.MessageBody))
		sum := md5.Sum([]byte(in.MessageBody))
		standin.Answer(w, map[string]string{"MessageId": standin.UUID(), "MD5OfMessageBody": hex.EncodeToString(sum[:])})
	}
}

// forbidden reports whether SQS refuses a character.
func forbidden(r rune) bool {
	return r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff
}

func (b *Bus) putObject(w http.ResponseWriter, r *http.Request, body []byte) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	switch {
	case key == "" || b.Bucket != "" && bucket != b.Bucket:
		w.WriteHeader(http.StatusNotFound)
	default:
		if b.objects == nil {
			b.objects = make(map[string][]byte)
		}
		b.objects[key] = body
		b.log("events: %d bytes kept in %s", len(body), r.URL.Path)
	}
}

func refuse(w http.ResponseWriter, code string) {
	standin.Error(w, http.StatusBadRequest, code, "the stand-in refuses it, as AWS would")
}
