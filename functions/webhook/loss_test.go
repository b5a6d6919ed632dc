package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	"chat-service-backend/internal/awstest"
)

// hang never answers a call.
func hang(r *http.Request) {
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// TestNoAcknowledgedEventIsLost delivers a hundred events at once, some of them
// too large for the bus, while everything fails at random.
func TestNoAcknowledgedEventIsLost(t *testing.T) {
	withBus(t, noAcknowledgedEventIsLost)
}

func noAcknowledgedEventIsLost(t *testing.T, h http.Handler, aws *awstest.EventBus) {
	const deliveries = 100
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(5, 2026))
	chance := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(n)
	}
	aws.Instead(awstest.EventBridge, func(w http.ResponseWriter, r *http.Request) bool {
		switch chance(10) {
		case 0:
			awstest.Fail(w, http.StatusInternalServerError, "InternalFailure")
		case 1:
			awstest.Fail(w, http.StatusBadRequest, "ThrottlingException")
		case 2:
			awstest.EntryError(w, "ThrottlingException")
		case 3:
			awstest.EntryError(w, "MalformedDetail")
		case 4:
			awstest.Fail(w, http.StatusBadRequest, "ValidationException")
		case 5:
			panic(http.ErrAbortHandler)
		case 6:
			hang(r)
		default:
			return false
		}
		return true
	})
	sometimes := func(w http.ResponseWriter, r *http.Request) bool {
		switch chance(6) {
		case 0, 1:
			awstest.Fail(w, http.StatusInternalServerError, "InternalError")
			return true
		case 2:
			panic(http.ErrAbortHandler)
		case 3:
			hang(r)
		}
		return false
	}
	aws.Instead(awstest.SQS, sometimes)
	aws.Instead(awstest.S3, sometimes)

	statuses := make([]int, deliveries)
	var wg sync.WaitGroup
	for i := range deliveries {
		wg.Go(func() {
			filling := ""
			if i%5 == 0 {
				filling = strings.Repeat("x", 300<<10)
			}
			body := fmt.Sprintf(`{"type":"message.new","number":%d,"text":"%s"}`, i, filling)
			r := webhook(body)
			r.Header.Set("X-Webhook-Id", fmt.Sprint(i))
			statuses[i] = do(h, r).StatusCode
		})
	}
	wg.Wait()

	kept := make(map[string]bool) // by webhook id
	for _, e := range append(aws.Events(), aws.Queued(t)...) {
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
	// Or the chances above prove nothing.
	if acknowledged == 0 || acknowledged == deliveries || len(aws.Events()) == 0 || len(aws.Messages()) == 0 {
		t.Errorf("want some of everything, got %d acknowledged, %d published, %d queued", acknowledged, len(aws.Events()), len(aws.Messages()))
	}
}
