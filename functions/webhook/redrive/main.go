// Command redrive brings the events that wait in the fallback queue to the bus.
// It runs where the AWS command line would, with the same credentials.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	bustypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "redrive:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("redrive", flag.ContinueOnError)
	queue := flags.String("queue-url", "", "URL of the fallback queue: the stack's output FallbackQueueUrl")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *queue == "" || flags.NArg() > 0 {
		return errors.New("want -queue-url URL and nothing else")
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("find AWS credentials: %w", err)
	}
	d := driver{sqs.NewFromConfig(cfg), eventbridge.NewFromConfig(cfg), *queue}
	published, left, err := d.drain(ctx, out)
	fmt.Fprintf(out, "%d events published, %d left in the queue\n", published, left)
	if err == nil && left > 0 {
		err = errors.New("the events that are left are in the queue still: see above why")
	}
	return err
}

// A driver moves events from a queue to the bus that each of them names.
type driver struct {
	sqs   *sqs.Client
	bus   *eventbridge.Client
	queue string
}

// drain moves what is in the queue, until it is empty or holds only what could
// not be moved. A message is deleted after the bus has taken its event, so an
// event may come twice, and none is lost.
func (d driver) drain(ctx context.Context, out io.Writer) (published, left int, err error) {
	failed := make(map[string]*string) // receipt handles by message id
	defer func() { d.release(context.WithoutCancel(ctx), failed) }()
	for {
		batch, err := d.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl:            &d.queue,
			MaxNumberOfMessages: 10,
			// Long enough that all the queue's servers are asked.
			WaitTimeSeconds: 2,
		})
		if err != nil {
			return published, len(failed), fmt.Errorf("receive from the queue: %w", err)
		}
		progress := false
		for _, m := range batch.Messages {
			id := aws.ToString(m.MessageId)
			if failed[id] != nil {
				failed[id] = m.ReceiptHandle
				continue
			}
			progress = true
			if err := d.move(ctx, m); err != nil {
				failed[id] = m.ReceiptHandle
				fmt.Fprintf(out, "message %s: %v\n", id, err)
				continue
			}
			published++
		}
		if !progress {
			return published, len(failed), nil
		}
	}
}

// release makes messages visible again, so that who calls next finds them. One
// that cannot be released comes back by itself.
func (d driver) release(ctx context.Context, receiptHandles map[string]*string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, handle := range receiptHandles {
		_, _ = d.sqs.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{QueueUrl: &d.queue, ReceiptHandle: handle})
	}
}

// move puts a message's event on its bus and then deletes the message.
func (d driver) move(ctx context.Context, m types.Message) error {
	var entry struct{ EventBusName, Source, DetailType, Detail *string }
	if err := json.Unmarshal([]byte(aws.ToString(m.Body)), &entry); err != nil ||
		entry.EventBusName == nil || entry.Source == nil || entry.DetailType == nil || entry.Detail == nil {
		return errors.New("want an event that the webhook function has queued, got something else")
	}
	result, err := d.bus.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []bustypes.PutEventsRequestEntry{{
		EventBusName: entry.EventBusName,
		Source:       entry.Source,
		DetailType:   entry.DetailType,
		Detail:       entry.Detail,
	}}})
	if err != nil {
		return fmt.Errorf("put the event on its bus: %w", err)
	}
	if result.FailedEntryCount > 0 {
		code := "unknown"
		if len(result.Entries) > 0 {
			code = aws.ToString(result.Entries[0].ErrorCode)
		}
		return fmt.Errorf("put the event on its bus: %s", code)
	}
	if _, err := d.sqs.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &d.queue, ReceiptHandle: m.ReceiptHandle}); err != nil {
		return fmt.Errorf("delete the message of an event that is published: %w", err)
	}
	return nil
}
