package awstest

import (
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

var credentials = standin.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "access-key-for-tests", Region: "eu-central-1"}

// An EventBus is an [eventbus.Bus] with its own server.
type EventBus struct {
	*eventbus.Bus
	*httptest.Server
}

// NewEventBus starts an EventBus that runs until t ends.
func NewEventBus(t testing.TB) *EventBus {
	b := &EventBus{Bus: &eventbus.Bus{Name: Bus, Bucket: Bucket, Credentials: &credentials}}
	b.Server = httptest.NewServer(b)
	t.Cleanup(b.Close)
	b.QueueURL = b.URL + "/123456789012/fallback"
	return b
}

// Env returns environment and the variables of a function that publishes here.
func (b *EventBus) Env(environment map[string]string) map[string]string {
	return awsEnv(map[string]string{
		"EVENT_BUS_NAME":               Bus,
		"FALLBACK_QUEUE_URL":           b.QueueURL,
		"LARGE_EVENTS_BUCKET":          Bucket,
		"AWS_ENDPOINT_URL_EVENTBRIDGE": b.URL,
		"AWS_ENDPOINT_URL_SQS":         b.URL,
		"AWS_ENDPOINT_URL_S3":          b.URL,
	}, environment)
}
