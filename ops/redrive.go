package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	bustypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// source is what the webhook function writes as an event's source.
const source = "stream.chat"

func setUpRedrive(o *ops, _ *flag.FlagSet) func(context.Context) error {
	return func(ctx context.Context) error {
		cfg, s, err := o.stack(ctx)
		if err != nil {
			return err
		}
		queue, bus := s.outputs["FallbackQueueUrl"], s.outputs["EventBusName"]
		if queue == "" || bus == "" {
			return fmt.Errorf("the stack %s has no fallback queue: EventBus is %q", s.name, s.parameters["EventBus"])
		}
		d := &driver{sqs: sqs.NewFromConfig(cfg), bus: eventbridge.NewFromConfig(cfg), queue: queue, name: bus, say: o.progress}
		err = d.drain(ctx)
		left := len(d.failed)
		o.say("%d events published to %s, %d left in the queue", d.published, bus, left)
		if o.json {
			err = errors.Join(err, o.printJSON(map[string]int{"published": d.published, "left": left}))
		}
		if err == nil && left > 0 {
			err = errors.New("the events that are left are in the queue still: see above why")
		}
		return err
	}
}

// A driver moves events from a queue to a bus.
type driver struct {
	sqs         *sqs.Client
	bus         *eventbridge.Client
	queue, name string
	say         func(string, ...any)

	published int
	failed    map[string]*string // receipt handles by message id
}

// drain moves what is in the queue, until it is empty or holds only what could
// not be moved. A message is deleted after the bus has taken its event, so an
// event may come twice, and none is lost.
func (d *driver) drain(ctx context.Context) error {
	d.failed = map[string]*string{}
	defer func() { d.release(context.WithoutCancel(ctx)) }()
	for {
		batch, err := d.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl:            &d.queue,
			MaxNumberOfMessages: 10,
			// Not 0, so that all the queue's servers are asked.
			WaitTimeSeconds: 1,
		})
		if err != nil {
			return fmt.Errorf("receive from the queue: %w", reason(err))
		}
		progress := false
		for _, m := range batch.Messages {
			id := aws.ToString(m.MessageId)
			if _, known := d.failed[id]; !known {
				progress = true
				err := d.move(ctx, m)
				if err == nil {
					d.published++
					continue
				}
				d.say("message %s: %v", id, err)
			}
			d.failed[id] = m.ReceiptHandle
		}
		if !progress {
			return ctx.Err()
		}
		if d.published > 0 && d.published%100 == 0 {
			d.say("%d events published so far", d.published)
		}
	}
}

// release makes messages visible again, so that who calls next finds them. One
// that cannot be released comes back by itself.
func (d *driver) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, handle := range d.failed {
		_, _ = d.sqs.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{QueueUrl: &d.queue, ReceiptHandle: handle})
	}
}

// move puts a message's event on the bus and then deletes the message. A message
// that names another bus or source is not one that the webhook function wrote.
func (d *driver) move(ctx context.Context, m types.Message) error {
	var entry struct{ EventBusName, Source, DetailType, Detail string }
	if err := json.Unmarshal([]byte(aws.ToString(m.Body)), &entry); err != nil || entry.DetailType == "" || entry.Detail == "" {
		return errors.New("want an event that the webhook function has queued, got something else")
	}
	if entry.EventBusName != d.name || entry.Source != source {
		return fmt.Errorf("want an event of source %s for the bus %s, got %q for %q", source, d.name, entry.Source, entry.EventBusName)
	}
	result, err := d.bus.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []bustypes.PutEventsRequestEntry{{
		EventBusName: &d.name, Source: aws.String(source), DetailType: &entry.DetailType, Detail: &entry.Detail,
	}}})
	if err != nil {
		return fmt.Errorf("put the event on its bus: %w", reason(err))
	}
	if result.FailedEntryCount > 0 {
		code := "unknown"
		if len(result.Entries) > 0 {
			code = aws.ToString(result.Entries[0].ErrorCode)
		}
		return fmt.Errorf("put the event on its bus: %s", code)
	}
	if _, err := d.sqs.DeleteMessage(context.WithoutCancel(ctx), &sqs.DeleteMessageInput{QueueUrl: &d.queue, ReceiptHandle: m.ReceiptHandle}); err != nil {
		return fmt.Errorf("delete the message of an event that is published: %w", reason(err))
	}
	return nil
}
