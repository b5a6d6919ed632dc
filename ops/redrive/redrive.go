// Package redrive moves events from the fallback queue to the bus.
package redrive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	bustypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/urfave/cli/v3"

	"chat-service-backend/ops/console"
	"chat-service-backend/ops/stack"
)

// Command is the command that moves the events.
func Command(c *console.Console, at *stack.Target) *cli.Command {
	return &cli.Command{
		Name:        "redrive",
		Usage:       "moves events from the fallback queue to the bus",
		Description: "ops redrive -env prod",
		Action:      func(ctx context.Context, _ *cli.Command) error { return redrive(ctx, c, at) },
	}
}

func redrive(ctx context.Context, c *console.Console, at *stack.Target) error {
	cfg, s, err := at.Stack(ctx)
	if err != nil {
		return err
	}
	d := &driver{
		Console: c, sqs: sqs.NewFromConfig(cfg), events: eventbridge.NewFromConfig(cfg),
		queue: s.Outputs["FallbackQueueUrl"], bus: s.Outputs["EventBusName"], failed: map[string]*string{},
	}
	if d.queue == "" || d.bus == "" {
		return fmt.Errorf("stack %s has no fallback queue: its parameter EventBus is %q", s.Name, s.Parameters["EventBus"])
	}
	err = d.drain(ctx)
	c.Say("%d events published to %s, %d left in the queue", d.published, d.bus, len(d.failed))
	if c.JSON {
		err = errors.Join(err, c.PrintJSON(map[string]int{"published": d.published, "left": len(d.failed)}))
	}
	if err == nil && len(d.failed) > 0 {
		err = errors.New("some events are still in the queue: the reasons are above")
	}
	return err
}

// A driver moves events from a queue to a bus.
type driver struct {
	*console.Console
	sqs        *sqs.Client
	events     *eventbridge.Client
	queue, bus string
	published  int
	failed     map[string]*string // receipt handles by message id
}

// drain moves events until the queue is empty or holds only events that could not
// be moved. It deletes a message after its event is published, so an event may be
// published twice but is never lost.
func (d *driver) drain(ctx context.Context) error {
	defer d.release(context.WithoutCancel(ctx))
	for {
		batch, err := d.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl:            &d.queue,
			MaxNumberOfMessages: 10,
			WaitTimeSeconds:     1, // with 0, SQS asks only some of its servers
		})
		if err != nil {
			return fmt.Errorf("receive from the queue: %w", stack.Reason(err))
		}
		progress := false
		for _, m := range batch.Messages {
			id := aws.ToString(m.MessageId)
			if _, known := d.failed[id]; !known {
				progress = true
				err := d.move(ctx, m)
				if err == nil {
					if d.published++; d.published%100 == 0 {
						d.Progress("%d events published so far", d.published)
					}
					continue
				}
				d.Progress("message %s: %v", id, err)
			}
			d.failed[id] = m.ReceiptHandle
		}
		if !progress {
			return nil
		}
	}
}

// release makes the failed messages visible at once. One that cannot be released
// becomes visible by itself.
func (d *driver) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, handle := range d.failed {
		_, _ = d.sqs.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{QueueUrl: &d.queue, ReceiptHandle: handle})
	}
}

// move publishes a message's event and then deletes the message. The webhook function
// has not written a message with another bus or source.
func (d *driver) move(ctx context.Context, m types.Message) error {
	var entry struct{ EventBusName, Source, DetailType, Detail string }
	if err := json.Unmarshal([]byte(aws.ToString(m.Body)), &entry); err != nil || entry.DetailType == "" || entry.Detail == "" {
		return errors.New("want an event that the webhook function has queued, got something else")
	}
	if entry.EventBusName != d.bus || entry.Source != stack.EventSource {
		return fmt.Errorf("want an event of source %s for the bus %s, got %q for %q", stack.EventSource, d.bus, entry.Source, entry.EventBusName)
	}
	result, err := d.events.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []bustypes.PutEventsRequestEntry{{
		EventBusName: &d.bus, Source: &entry.Source, DetailType: &entry.DetailType, Detail: &entry.Detail,
	}}})
	if err == nil && result.FailedEntryCount > 0 {
		err = errors.New("the bus refused it")
		if len(result.Entries) > 0 {
			err = fmt.Errorf("the bus refused it: %s", aws.ToString(result.Entries[0].ErrorCode))
		}
	}
	if err != nil {
		return fmt.Errorf("publish the event: %w", stack.Reason(err))
	}
	if _, err := d.sqs.DeleteMessage(context.WithoutCancel(ctx), &sqs.DeleteMessageInput{QueueUrl: &d.queue, ReceiptHandle: m.ReceiptHandle}); err != nil {
		return fmt.Errorf("the event is published, but its message cannot be deleted: %w", stack.Reason(err))
	}
	return nil
}
