package awstest

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"

	"chat-service-backend/internal/eventbus"
	"chat-service-backend/internal/standin"
)

// The names in [EventBus.Env].
const (
	Bus    = "chat-events"
	Bucket = "large-events"
)

// The services of an EventBus.
const (
	EventBridge = eventbus.EventBridge
	SQS         = eventbus.SQS
	S3          = eventbus.S3
)

// An Entry is an event on the bus or in the queue.
type Entry = eventbus.Entry

var credentials = standin.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "access-key-for-tests", Region: "eu-central-1"}

// An EventBus is an [eventbus.Bus] with its own server.
type EventBus struct {
	*eventbus.Bus
	URL string

	server *httptest.Server
}

// NewEventBus starts an EventBus that runs until t ends.
func NewEventBus(t testing.TB) *EventBus {
	b := &EventBus{Bus: &eventbus.Bus{Name: Bus, Bucket: Bucket, Credentials: &credentials}}
	b.server = httptest.NewServer(b)
	t.Cleanup(b.server.Close)
	b.URL = b.server.URL
	b.QueueURL = b.URL + "/123456789012/fallback"
	return b
}

// Env returns environment and the variables of a function that publishes here.
func (b *EventBus) Env(environment map[string]string) map[string]string {
	all := awsEnv(map[string]string{
		"EVENT_BUS_NAME":               Bus,
		"FALLBACK_QUEUE_URL":           b.QueueURL,
		"LARGE_EVENTS_BUCKET":          Bucket,
		"AWS_ENDPOINT_URL_EVENTBRIDGE": b.URL,
		"AWS_ENDPOINT_URL_SQS":         b.URL,
		"AWS_ENDPOINT_URL_S3":          b.URL,
	})
	maps.Copy(all, environment)
	return all
}

// Instead makes f answer the calls of a service for which it returns true. With
// nil, the service answers them all again.
func (b *EventBus) Instead(s eventbus.Service, f func(http.ResponseWriter, *http.Request) bool) {
	if f == nil {
		b.Fault[s].Set(nil)
		return
	}
	b.Fault[s].Set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if !f(w, r) {
			next.ServeHTTP(w, r)
		}
	})
}

// Fail makes the calls of a service fail with a status and an error code.
func (b *EventBus) Fail(s eventbus.Service, status int, code string) {
	b.Fault[s].Set(standin.Refuse(status, code))
}

// CloseConnections closes the connections that callers keep open.
func (b *EventBus) CloseConnections() { b.server.CloseClientConnections() }

// Queued returns the entries in the queue.
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
