package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/aws/aws-lambda-go/events"
)

// A chatEvent is an event from Stream, with the fields that this example needs.
type chatEvent struct {
	WebhookID string `json:"-"`
	Type      string `json:"type"`
	CID       string `json:"cid"` // the channel
}

// A consumer handles events from a queue that a rule on the bus fills.
type consumer struct {
	memory  memory
	objects objects
	act     func(context.Context, chatEvent) error
}

// A memory knows which events have been handled.
type memory interface {
	// claim tries to claim an event. If it returns claimed, the caller must call
	// finish or release.
	claim(ctx context.Context, id string) (state, error)
	// finish marks the event as done.
	finish(ctx context.Context, id string) error
	// release gives up the claim, so that another consumer may try.
	release(ctx context.Context, id string) error
}

type state int

const (
	claimed state = iota
	done          // handled before
	busy          // claimed by another consumer
)

// objects are those in S3 with the events that are too large for the bus.
type objects interface {
	get(ctx context.Context, bucket, key string) ([]byte, error)
}

// handle handles a batch of messages and returns those to deliver again: the
// queue's event source mapping must have ReportBatchItemFailures.
func (c *consumer) handle(ctx context.Context, batch events.SQSEvent) (events.SQSEventResponse, error) {
	// Never nil, so that it is encoded as a list.
	response := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	for _, m := range batch.Records {
		if err := c.take(ctx, m.Body); err != nil {
			slog.ErrorContext(ctx, "message will be delivered again", "messageId", m.MessageId, "cause", err.Error())
			response.BatchItemFailures = append(response.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: m.MessageId})
		}
	}
	return response, nil
}

// A delivery is an event as EventBridge puts it into the queue.
type delivery struct {
	ID     string `json:"id"`
	Detail struct {
		Metadata struct {
			WebhookID string  `json:"webhookId"`
			Object    *object `json:"object"`
		} `json:"metadata"`
		Event json.RawMessage `json:"event"`
	} `json:"detail"`
}

// An object is the place in S3 of an event that is too large for the bus.
type object struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
}

// take handles one message, unless its event has been handled before.
func (c *consumer) take(ctx context.Context, body string) error {
	var d delivery
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		return fmt.Errorf("read a message: %w", err)
	}
	// Without a webhook id, fall back to EventBridge's id, which at least stays the
	// same each time the queue delivers the message.
	id := d.Detail.Metadata.WebhookID
	if id == "" {
		id = "eventbridge-" + d.ID
	}
	if id == "eventbridge-" {
		return errors.New("read a message: it is not an EventBridge event; look at who may write into the queue")
	}
	switch s, err := c.memory.claim(ctx, id); {
	case err != nil:
		return err
	case s == done:
		return nil
	case s == busy:
		return errors.New("another consumer has claimed this event and not finished")
	}
	if err := c.process(ctx, id, d); err != nil {
		return errors.Join(err, c.memory.release(ctx, id))
	}
	return c.memory.finish(ctx, id)
}

func (c *consumer) process(ctx context.Context, id string, d delivery) error {
	body := []byte(d.Detail.Event)
	if kept := d.Detail.Metadata.Object; kept != nil {
		var err error
		if body, err = c.objects.get(ctx, kept.Bucket, kept.Key); err != nil {
			return fmt.Errorf("get a large event: %w", err)
		}
	}
	e := chatEvent{WebhookID: id}
	if err := json.Unmarshal(body, &e); err != nil {
		return fmt.Errorf("read an event: %w", err)
	}
	return c.act(ctx, e)
}
