package awstest

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// What Env names.
const (
	Bus    = "chat-events"
	Bucket = "large-events"

	accessKey = "AKIDEXAMPLE"
	secretKey = "access-key-for-the-bus"
	region    = "eu-central-1"
)

// A Service is one of those that are played.
type Service int

const (
	EventBridge Service = iota
	SQS
	S3
)

// An Entry is an event that was published, or waits in the queue.
type Entry struct{ EventBusName, Source, DetailType, Detail string }

// An EventBus answers EventBridge's PutEvents, four calls of SQS, and S3's
// PutObject, as strict as AWS is about what they take. Its methods may be
// called by many goroutines at once.
//
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
type EventBus struct {
	URL string

	server   *httptest.Server
	mu       sync.Mutex
	instead  [3]func(http.ResponseWriter, *http.Request) bool
	asked    [3]int
	events   []Entry
	messages []*message
	sent     int
	objects  map[string][]byte
}

type message struct {
	MessageId, ReceiptHandle, Body, MD5OfBody string // as SQS spells it
	hidden                                    bool
}

// NewEventBus starts an EventBus that runs until t ends.
func NewEventBus(t testing.TB) *EventBus {
	b := &EventBus{objects: make(map[string][]byte)}
	b.server = httptest.NewServer(b)
	t.Cleanup(b.server.Close)
	b.URL = b.server.URL
	return b
}

// QueueURL is the URL of the fallback queue.
func (b *EventBus) QueueURL() string { return b.URL + "/123456789012/fallback" }

// Env is the environment of a function that publishes here, together with
// environment.
func (b *EventBus) Env(environment map[string]string) map[string]string {
	all := map[string]string{
		"EVENT_BUS_NAME":               Bus,
		"FALLBACK_QUEUE_URL":           b.QueueURL(),
		"LARGE_EVENTS_BUCKET":          Bucket,
		"AWS_REGION":                   region,
		"AWS_ACCESS_KEY_ID":            accessKey,
		"AWS_SECRET_ACCESS_KEY":        secretKey,
		"AWS_ENDPOINT_URL_EVENTBRIDGE": b.URL,
		"AWS_ENDPOINT_URL_SQS":         b.URL,
		"AWS_ENDPOINT_URL_S3":          b.URL,
	}
	maps.Copy(all, environment)
	return all
}

// Instead makes f answer the calls of a service from now on, those for which it
// returns true; nil lets the service answer again.
func (b *EventBus) Instead(s Service, f func(http.ResponseWriter, *http.Request) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.instead[s] = f
}

// Fail makes the calls of a service fail with a status and an error code.
func (b *EventBus) Fail(s Service, status int, code string) {
	b.Instead(s, func(w http.ResponseWriter, _ *http.Request) bool {
		Fail(w, status, code)
		return true
	})
}

// Reset makes the calls of a service end without an answer.
func (b *EventBus) Reset(s Service) {
	b.Instead(s, func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) })
}

// CloseConnections ends the connections that callers have kept.
func (b *EventBus) CloseConnections() { b.server.CloseClientConnections() }

// Asked counts the calls of a service.
func (b *EventBus) Asked(s Service) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked[s]
}

// Events returns what was published.
func (b *EventBus) Events() []Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.events)
}

// Messages returns the bodies of the messages that are in the queue, hidden or
// not.
func (b *EventBus) Messages() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	bodies := make([]string, 0, len(b.messages))
	for _, m := range b.messages {
		bodies = append(bodies, m.Body)
	}
	return bodies
}

// Reveal lets the next call receive again what earlier ones have.
func (b *EventBus) Reveal() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.messages {
		m.hidden = false
	}
}

// Queued returns the messages in the queue as the entries they are.
func (b *EventBus) Queued(t testing.TB) []Entry {
	t.Helper()
	var entries []Entry
	for _, body := range b.Messages() {
		var e Entry
		if err := json.Unmarshal([]byte(body), &e); err != nil {
			t.Fatalf("want an entry in the queue, got %.200q: %v", body, err)
		}
		entries = append(entries, e)
	}
	return entries
}

// Enqueue puts a message into the queue.
func (b *EventBus) Enqueue(body string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(body)
}

func (b *EventBus) add(body string) *message {
	b.sent++
	sum := md5.Sum([]byte(body))
	m := &message{MessageId: "message-" + strconv.Itoa(b.sent), Body: body, MD5OfBody: hex.EncodeToString(sum[:])}
	m.ReceiptHandle = "receipt-" + m.MessageId
	b.messages = append(b.messages, m)
	return m
}

// Object returns an object in the bucket.
func (b *EventBus) Object(key string) ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	content, ok := b.objects[key]
	return content, ok
}

func (b *EventBus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	target := r.Header.Get("X-Amz-Target")
	service := S3
	switch {
	case strings.HasPrefix(target, "AWSEvents."):
		service = EventBridge
	case strings.HasPrefix(target, "AmazonSQS."):
		service = SQS
	}
	b.mu.Lock()
	b.asked[service]++
	instead := b.instead[service]
	b.mu.Unlock()
	// Without the lock: it may wait.
	if instead != nil && instead(w, r) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case target == "AWSEvents.PutEvents":
		b.putEvents(w, body)
	case service == SQS:
		b.queue(w, strings.TrimPrefix(target, "AmazonSQS."), body)
	case r.Method == http.MethodPut:
		b.putObject(w, r, body)
	default:
		Fail(w, http.StatusBadRequest, "UnknownOperationException")
	}
}

// maxEntry and maxMessage are the limits of AWS, in bytes.
const (
	maxEntry   = 256 << 10
	maxMessage = 1 << 20
)

func (b *EventBus) putEvents(w http.ResponseWriter, body []byte) {
	var in struct{ Entries []Entry }
	if err := json.Unmarshal(body, &in); err != nil || len(in.Entries) != 1 {
		Fail(w, http.StatusBadRequest, "SerializationException")
		return
	}
	e := in.Entries[0]
	var detail map[string]json.RawMessage
	switch {
	case len(e.Source)+len(e.DetailType)+len(e.Detail) > maxEntry:
		Fail(w, http.StatusBadRequest, "ValidationException")
	case e.EventBusName != Bus:
		Fail(w, http.StatusBadRequest, "ResourceNotFoundException")
	case e.Source == "" || e.DetailType == "" || len(e.DetailType) > 128:
		EntryError(w, "InvalidArgument")
	case json.Unmarshal([]byte(e.Detail), &detail) != nil:
		EntryError(w, "MalformedDetail")
	default:
		b.events = append(b.events, e)
		write(w, map[string]any{"FailedEntryCount": 0, "Entries": []any{map[string]string{"EventId": strconv.Itoa(len(b.events))}}})
	}
}

func (b *EventBus) queue(w http.ResponseWriter, action string, body []byte) {
	var in struct {
		QueueUrl, MessageBody, ReceiptHandle string // as SQS spells it
		MaxNumberOfMessages                  int
		VisibilityTimeout                    *int
	}
	if err := json.Unmarshal(body, &in); err != nil || in.QueueUrl != b.QueueURL() {
		Fail(w, http.StatusBadRequest, "QueueDoesNotExist")
		return
	}
	i := slices.IndexFunc(b.messages, func(m *message) bool { return m.ReceiptHandle == in.ReceiptHandle })
	switch {
	case action == "SendMessage" && (len(in.MessageBody) > maxMessage || len(in.MessageBody) == 0):
		Fail(w, http.StatusBadRequest, "InvalidParameterValue")
	case action == "SendMessage" && strings.ContainsFunc(in.MessageBody, forbidden):
		Fail(w, http.StatusBadRequest, "InvalidMessageContents")
	case action == "SendMessage":
		m := b.add(in.MessageBody)
		write(w, map[string]string{"MessageId": m.MessageId, "MD5OfMessageBody": m.MD5OfBody})
	case action == "ReceiveMessage":
		received := []*message{}
		for _, m := range b.messages {
			if !m.hidden && len(received) < max(in.MaxNumberOfMessages, 1) {
				m.hidden = true
				received = append(received, m)
			}
		}
		write(w, map[string]any{"Messages": received})
	case i < 0:
		Fail(w, http.StatusBadRequest, "ReceiptHandleIsInvalid")
	case action == "DeleteMessage":
		b.messages = slices.Delete(b.messages, i, i+1)
		write(w, struct{}{})
	case action == "ChangeMessageVisibility" && in.VisibilityTimeout != nil && *in.VisibilityTimeout == 0:
		b.messages[i].hidden = false
		write(w, struct{}{})
	default:
		Fail(w, http.StatusBadRequest, "UnknownOperationException")
	}
}

// forbidden reports whether SQS refuses a character.
func forbidden(r rune) bool {
	return r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff
}

func (b *EventBus) putObject(w http.ResponseWriter, r *http.Request, body []byte) {
	key, ok := strings.CutPrefix(r.URL.EscapedPath(), "/"+Bucket+"/")
	sum := sha256.Sum256(body)
	switch {
	case !ok || key == "":
		w.WriteHeader(http.StatusNotFound)
	case r.Header.Get("X-Amz-Content-Sha256") != hex.EncodeToString(sum[:]), !signed(r):
		w.WriteHeader(http.StatusForbidden)
	default:
		b.objects[key] = body
	}
}

// Fail answers with an error of the JSON protocols.
func Fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	write(w, map[string]string{"__type": code, "message": "as the test wants it"})
}

// EntryError answers that EventBridge did not take an entry of a call.
func EntryError(w http.ResponseWriter, code string) {
	write(w, map[string]any{"FailedEntryCount": 1, "Entries": []any{map[string]string{"ErrorCode": code, "ErrorMessage": "as the test wants it"}}})
}

func write(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }
