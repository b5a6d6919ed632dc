// Package redrive moves events from the fallback queue to the bus.
package redrive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
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

const (
	workers = 8
	batch   = 10 // messages or events in a call, as many as SQS and EventBridge take

	// maxBytes of events are published in one call, unless one event alone has more.
	maxBytes = 256 << 10

	// maxFailed bounds what is remembered of events that stay in the queue.
	maxFailed = 10_000

	// An event is tried so often while the bus is busy, with a doubling pause.
	attempts   = 4
	firstPause = 100 * time.Millisecond
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
		return fmt.Errorf("stack %s has no fallback queue: deploy it again (%s)", s.Name, at.CommandLine("deploy"))
	}
	total, err := d.count(ctx)
	if err != nil {
		c.Progress("How many events are waiting is unknown: %v", err)
	} else {
		c.Progress("%d events are waiting", total)
	}
	err = d.drain(ctx, total)
	left := len(d.failed)
	if err != nil { // the queue was not emptied
		if n, failed := d.count(context.WithoutCancel(ctx)); failed == nil {
			left = max(n, left)
		} else {
			left = max(total-d.published, left)
		}
	}
	if err == nil {
		if n, failed := d.count(ctx); failed == nil && n > left {
			c.Progress("%d more are in the hands of another redrive, or of one that was killed: run redrive again in two minutes", n-left)
		}
	}
	if ctx.Err() != nil {
		err = errors.New("interrupted: run redrive again to go on")
	}
	c.Say("%d events published to %s, %d left in the queue", d.published, d.bus, left)
	if c.JSON {
		err = errors.Join(err, c.PrintJSON(map[string]int{"published": d.published, "left": left}))
	}
	if err == nil && left > 0 {
		err = errors.New("some events are still in the queue: the reasons are above")
	}
	return err
}

// A driver moves events from a queue to a bus. It deletes a message after its event is
// published, so an event may be published twice but is never lost.
type driver struct {
	*console.Console
	sqs        *sqs.Client
	events     *eventbridge.Client
	queue, bus string

	mu        sync.Mutex
	published int
	failed    map[string]*string // receipt handles by message id, of messages that stay
}

// count returns how many messages are in the queue, those in flight included.
func (d *driver) count(ctx context.Context) (n int, err error) {
	names := []types.QueueAttributeName{types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible}
	out, err := d.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &d.queue, AttributeNames: names})
	if err != nil {
		return 0, stack.Reason(err)
	}
	for _, name := range names {
		some, _ := strconv.Atoi(out.Attributes[string(name)])
		n += some
	}
	return n, nil
}

// drain moves events until the queue is empty or holds only events that cannot be moved.
func (d *driver) drain(ctx context.Context, total int) error {
	defer d.release(context.WithoutCancel(ctx))
	working, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	reported := make(chan struct{})
	go func() {
		defer close(reported)
		d.report(working, total)
	}()
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for working.Err() == nil {
				more, err := d.step(working)
				if err != nil {
					stop(err)
				}
				if !more {
					return
				}
			}
		})
	}
	wg.Wait()
	err := context.Cause(working)
	stop(nil)
	<-reported
	return err
}

// report prints every few seconds how far the work is.
func (d *driver) report(ctx context.Context, total int) {
	const every = 2 * time.Second
	before := 0
	for stack.Wait(ctx, every) == nil {
		d.mu.Lock()
		n := d.published
		d.mu.Unlock()
		d.Progress("%d of %d events published, %d a second", n, max(total, n), (n-before)/int(every/time.Second))
		before = n
	}
}

// step moves up to ten events, and reports whether there may be more.
func (d *driver) step(ctx context.Context) (more bool, err error) {
	ctx = context.WithoutCancel(ctx) // what the queue has handed out is moved to its end
	out, err := d.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:            &d.queue,
		MaxNumberOfMessages: batch,
		WaitTimeSeconds:     1, // with 0, SQS asks only some of its servers
	})
	if err != nil {
		return false, fmt.Errorf("cannot receive from the queue: %w", stack.Reason(err))
	}
	var valid []types.Message
	var entries []bustypes.PutEventsRequestEntry
	for _, m := range out.Messages {
		d.mu.Lock()
		_, known := d.failed[aws.ToString(m.MessageId)]
		if known {
			d.failed[aws.ToString(m.MessageId)] = m.ReceiptHandle
		}
		d.mu.Unlock()
		if known {
			continue
		}
		more = true
		if entry, err := d.entry(m); err != nil {
			d.fail(m, err)
		} else {
			valid, entries = append(valid, m), append(entries, *entry)
		}
	}
	for len(valid) > 0 {
		n, size := 1, len(*entries[0].Detail)
		for n < len(entries) && size+len(*entries[n].Detail) <= maxBytes {
			size += len(*entries[n].Detail)
			n++
		}
		err = errors.Join(err, d.move(ctx, valid[:n], entries[:n]))
		valid, entries = valid[n:], entries[n:]
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil && len(d.failed) >= maxFailed {
		return false, fmt.Errorf("%d events cannot be moved: find out why first", len(d.failed))
	}
	return more, err
}

// entry returns a message's event. The webhook function has not written a message with
// another bus or source.
func (d *driver) entry(m types.Message) (*bustypes.PutEventsRequestEntry, error) {
	var e struct{ EventBusName, Source, DetailType, Detail string }
	if err := json.Unmarshal([]byte(aws.ToString(m.Body)), &e); err != nil || e.DetailType == "" || e.Detail == "" {
		return nil, errors.New("it is not an event that the webhook function has queued: look at it in the SQS console")
	}
	if e.EventBusName != d.bus || !strings.HasPrefix(e.Source, stack.EventSource) {
		return nil, fmt.Errorf("it is of source %q for the bus %q, not of Stream for %s: look at it in the SQS console", e.Source, e.EventBusName, d.bus)
	}
	return &bustypes.PutEventsRequestEntry{EventBusName: &d.bus, Source: &e.Source, DetailType: &e.DetailType, Detail: &e.Detail}, nil
}

// move publishes events and deletes the messages of those that the bus has taken. It
// returns an error if no event can be published.
func (d *driver) move(ctx context.Context, messages []types.Message, entries []bustypes.PutEventsRequestEntry) (failed error) {
	var done []types.Message
	for attempt, pause := 1, firstPause; len(entries) > 0; attempt, pause = attempt+1, 2*pause {
		out, err := d.events.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: entries})
		if err != nil {
			reason := stack.Reason(err)
			invalid := strings.Contains(reason.Error(), "Validation") || strings.Contains(reason.Error(), "TooLarge")
			if half := len(entries) / 2; invalid && half > 0 { // by one of them
				failed = errors.Join(d.move(ctx, messages[:half], entries[:half]), d.move(ctx, messages[half:], entries[half:]))
				break
			}
			d.fail(messages[0], fmt.Errorf("the bus does not take it: %w", reason), messages[1:]...)
			if !invalid {
				failed = fmt.Errorf("the bus cannot be called: %w", reason)
			}
			break
		}
		var busy []int
		for i, m := range messages {
			var code string
			if i < len(out.Entries) {
				code = aws.ToString(out.Entries[i].ErrorCode)
			} else if out.FailedEntryCount > 0 {
				code = "unknown"
			}
			switch {
			case code == "":
				done = append(done, m)
			case attempt < attempts && (strings.HasPrefix(code, "Throttling") || strings.HasPrefix(code, "Internal")):
				busy = append(busy, i)
			default:
				d.fail(m, fmt.Errorf("the bus refused it: %s", code))
			}
		}
		var again []types.Message
		var rest []bustypes.PutEventsRequestEntry
		for _, i := range busy {
			again, rest = append(again, messages[i]), append(rest, entries[i])
		}
		if messages, entries = again, rest; len(entries) > 0 {
			_ = stack.Wait(ctx, pause)
		}
	}
	d.remove(ctx, done)
	return failed
}

// remove deletes the messages of published events.
func (d *driver) remove(ctx context.Context, done []types.Message) {
	if len(done) == 0 {
		return
	}
	in := &sqs.DeleteMessageBatchInput{QueueUrl: &d.queue}
	for i, m := range done {
		in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle})
	}
	out, err := d.sqs.DeleteMessageBatch(ctx, in)
	const format = "the event is published, but its message cannot be deleted, so that it may arrive again: %w"
	if err != nil {
		d.fail(done[0], fmt.Errorf(format, stack.Reason(err)), done[1:]...)
		return
	}
	d.mu.Lock()
	d.published += len(done) - len(out.Failed)
	d.mu.Unlock()
	for _, f := range out.Failed {
		if i, err := strconv.Atoi(aws.ToString(f.Id)); err == nil && i < len(done) {
			d.fail(done[i], fmt.Errorf(format, fmt.Errorf("%s: %s", aws.ToString(f.Code), console.Safe(aws.ToString(f.Message)))))
		}
	}
}

// fail notes that messages stay in the queue.
func (d *driver) fail(m types.Message, err error, more ...types.Message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range append(slices.Clone(more), m) {
		d.failed[aws.ToString(m.MessageId)] = m.ReceiptHandle
	}
	also := ""
	if len(more) > 0 {
		also = fmt.Sprintf(" and %d more", len(more))
	}
	d.Progress("message %s%s: %v", aws.ToString(m.MessageId), also, err)
}

// release makes the failed messages visible at once. One that cannot be released
// becomes visible by itself.
func (d *driver) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var all []types.ChangeMessageVisibilityBatchRequestEntry
	for _, handle := range d.failed {
		all = append(all, types.ChangeMessageVisibilityBatchRequestEntry{Id: aws.String(strconv.Itoa(len(all))), ReceiptHandle: handle})
	}
	for some := range slices.Chunk(all, batch) {
		_, _ = d.sqs.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &d.queue, Entries: some})
	}
}
