package main

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/aws/aws-lambda-go/events"
)

// notes is a memory in one process.
type notes map[string]state

func (n notes) claim(_ context.Context, id string) (state, error) {
	if s, known := n[id]; known {
		return s, nil
	}
	n[id] = busy
	return claimed, nil
}

func (n notes) finish(_ context.Context, id string) error {
	n[id] = done
	return nil
}

func (n notes) release(_ context.Context, id string) error {
	delete(n, id)
	return nil
}

// files are objects by "bucket/key".
type files map[string]string

func (b files) get(_ context.Context, name, key string) ([]byte, error) {
	content, ok := b[name+"/"+key]
	if !ok {
		return nil, errors.New("no such key")
	}
	return []byte(content), nil
}

// newConsumer returns a consumer that records in seen each event it acts on, and
// fails for those whose cid is in failing.
func newConsumer(seen *[]chatEvent, failing ...string) *consumer {
	return &consumer{memory: notes{}, objects: files{}, act: func(_ context.Context, e chatEvent) error {
		if slices.Contains(failing, e.CID) {
			return errors.New("the test's failure")
		}
		*seen = append(*seen, e)
		return nil
	}}
}

// delivered returns a message with an event as the backend publishes it and
// EventBridge delivers it.
func delivered(eventID, metadata, event string) string {
	return `{"version":"0","id":"` + eventID + `","detail-type":"message.new","source":"stream.chat","account":"123456789012",` +
		`"time":"2026-11-22T20:08:00Z","region":"eu-central-1","resources":[],"detail":{"metadata":` + metadata + `,"event":` + event + `}}`
}

// wantFailures gives c messages, whose ids are their indexes, and checks which of
// them it returns for another delivery.
func wantFailures(t *testing.T, c *consumer, messages []string, want string) {
	t.Helper()
	var batch events.SQSEvent
	for i, body := range messages {
		batch.Records = append(batch.Records, events.SQSMessage{MessageId: string(rune('0' + i)), Body: body})
	}
	response, err := c.handle(t.Context(), batch)
	got, _ := json.Marshal(response)
	if err != nil || string(got) != `{"batchItemFailures":[`+want+`]}` {
		t.Errorf("want failures [%s], got %s, %v", want, got, err)
	}
}

const event = `{"type":"message.new","cid":"messaging:general","n":9007199254740993}`

func TestEventDeliveredTwiceIsActedOnOnce(t *testing.T) {
	var seen []chatEvent
	c := newConsumer(&seen)
	// To EventBridge, Stream's second attempt is another event.
	first := delivered("e-1", `{"webhookId":"w-1","attempt":1}`, event)
	second := delivered("e-2", `{"webhookId":"w-1","attempt":2}`, event)
	wantFailures(t, c, []string{first, second}, "")
	wantFailures(t, c, []string{first}, "")
	if want := (chatEvent{"w-1", "message.new", "messaging:general"}); len(seen) != 1 || seen[0] != want {
		t.Errorf("want %+v once, got %+v", want, seen)
	}
	// Another event, and two without a webhook id, which EventBridge's id tells apart.
	wantFailures(t, c, []string{delivered("e-3", `{"webhookId":"w-2"}`, event)}, "")
	wantFailures(t, c, []string{delivered("e-4", `{}`, event), delivered("e-4", `{}`, event), delivered("e-5", `{}`, event)}, "")
	if len(seen) != 4 {
		t.Errorf("want three more events, got %+v", seen)
	}
}

func TestOnlyTheEventThatFailsIsDeliveredAgain(t *testing.T) {
	var seen []chatEvent
	c := newConsumer(&seen, "messaging:broken")
	broken := delivered("e-2", `{"webhookId":"w-2"}`, `{"type":"message.new","cid":"messaging:broken"}`)
	batch := []string{delivered("e-1", `{"webhookId":"w-1"}`, event), broken, "no json", "{}", delivered("e-3", `{"webhookId":"w-3"}`, event)}
	wantFailures(t, c, batch, `{"itemIdentifier":"1"},{"itemIdentifier":"2"},{"itemIdentifier":"3"}`)
	if len(seen) != 2 {
		t.Errorf("want the others handled, got %+v", seen)
	}
	// The claim was released, so the next delivery succeeds.
	c.act = newConsumer(&seen).act
	wantFailures(t, c, []string{broken}, "")
	if len(seen) != 3 || seen[2].WebhookID != "w-2" {
		t.Errorf("want w-2 handled, got %+v", seen)
	}
}

func TestEventThatSomebodyElseClaimedIsDeliveredAgain(t *testing.T) {
	var seen []chatEvent
	c := newConsumer(&seen)
	c.memory = notes{"w-1": busy}
	wantFailures(t, c, []string{delivered("e-1", `{"webhookId":"w-1"}`, event)}, `{"itemIdentifier":"0"}`)
	if len(seen) != 0 {
		t.Errorf("want no event handled, got %+v", seen)
	}
}

func TestLargeEventComesFromTheBucket(t *testing.T) {
	var seen []chatEvent
	c := newConsumer(&seen)
	c.objects = files{"large/2026/11/22/abc": event}
	announced := delivered("e-1", `{"webhookId":"w-1","object":{"bucket":"large","key":"2026/11/22/abc","size":69,"reason":"TooLarge"}}`, "null")
	missing := delivered("e-2", `{"webhookId":"w-2","object":{"bucket":"large","key":"2026/11/22/def","size":69,"reason":"TooLarge"}}`, "null")
	wantFailures(t, c, []string{announced, missing}, `{"itemIdentifier":"1"}`)
	if len(seen) != 1 || seen[0].Type != "message.new" {
		t.Errorf("want the event from the bucket, got %+v", seen)
	}
}
