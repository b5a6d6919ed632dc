package webhook

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/internal/eventbus"
)

// hang never answers.
func hang(_ http.ResponseWriter, r *http.Request) bool {
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// sometimes fails one call in n for each of failures.
func sometimes(n int, failures ...failure) failure {
	return func(w http.ResponseWriter, r *http.Request) bool {
		i := rand.IntN(n)
		return i < len(failures) && failures[i](w, r)
	}
}

// Delivers a hundred events at once, some of them too large for the bus, while
// everything fails at random.
func TestNoAcknowledgedEventIsLost(t *testing.T) { withBus(t, noAcknowledgedEventIsLost) }

func noAcknowledgedEventIsLost(t *testing.T, h http.Handler, aws *awstest.EventBus) {
	instead(aws, eventbus.EventBridge, sometimes(10,
		failing(http.StatusInternalServerError, "InternalFailure"), failing(http.StatusBadRequest, "ThrottlingException"), failingEntry("ThrottlingException"),
		failingEntry("MalformedDetail"), failing(http.StatusBadRequest, "ValidationException"), reset, hang))
	internal := failing(http.StatusInternalServerError, "InternalError")
	instead(aws, eventbus.SQS, sometimes(6, internal, internal, reset, hang))
	instead(aws, eventbus.S3, sometimes(6, internal, internal, reset, hang))

	statuses := make([]int, 100)
	var wg sync.WaitGroup
	for i := range statuses {
		wg.Go(func() {
			filling := ""
			if i%5 == 0 {
				filling = strings.Repeat("x", 300<<10)
			}
			body := fmt.Sprintf(`{"type":"message.new","number":%d,"text":"%s"}`, i, filling)
			statuses[i] = awstest.Do(h, with(webhook(body), "X-Webhook-Id", fmt.Sprint(i))).StatusCode
		})
	}
	wg.Wait()

	kept := make(map[string]bool) // by webhook id
	for _, e := range append(aws.Events(), queued(t, aws)...) {
		var detail struct {
			Metadata struct {
				WebhookID string
				Object    *struct{ Key string }
			}
			Event json.RawMessage
		}
		if err := json.Unmarshal([]byte(e.Detail), &detail); err != nil {
			t.Fatal(err)
		}
		event := detail.Event
		if detail.Metadata.Object != nil {
			event, _ = aws.Object(detail.Metadata.Object.Key)
		}
		var body struct{ Number int }
		if err := json.Unmarshal(event, &body); err != nil || fmt.Sprint(body.Number) != detail.Metadata.WebhookID {
			t.Errorf("webhook %s: want its own body, got %.100s", detail.Metadata.WebhookID, event)
			continue
		}
		kept[detail.Metadata.WebhookID] = true
	}
	acknowledged := 0
	for i, status := range statuses {
		switch {
		case status == http.StatusOK && !kept[fmt.Sprint(i)]:
			t.Errorf("event %d: acknowledged and lost", i)
		case status == http.StatusOK:
			acknowledged++
		case status != http.StatusServiceUnavailable:
			t.Errorf("event %d: want status 200 or 503, got %d", i, status)
		}
	}
	// Otherwise the failures above prove nothing.
	if acknowledged == 0 || acknowledged == len(statuses) || len(aws.Events()) == 0 || len(aws.Messages()) == 0 {
		t.Errorf("want some of everything, got %d acknowledged, %d published, %d queued", acknowledged, len(aws.Events()), len(aws.Messages()))
	}
}
