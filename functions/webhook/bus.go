package webhook

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"chat-service-backend/shared/awsconfig"
	"chat-service-backend/shared/lambdahttp"
)

// The timeouts of the single steps, within receiveTimeout in all.
const (
	busTimeout    = 1500 * time.Millisecond
	queueTimeout  = 1500 * time.Millisecond
	objectTimeout = 1500 * time.Millisecond
)

// A bus keeps events safe: EventBridge, with a queue for the events that it does
// not accept right now and a bucket for those that it never accepts.
type bus struct {
	name     string
	queueURL string
	bucket   string

	events  *eventbridge.Client
	queue   *sqs.Client
	objects *s3.Client
}

// newBus returns the bus that EVENT_BUS_NAME, FALLBACK_QUEUE_URL and
// LARGE_EVENTS_BUCKET configure, or nil if all are empty: webhooks are then only
// verified.
func newBus(getenv func(string) string) (*bus, error) {
	name, queueURL, bucket := getenv("EVENT_BUS_NAME"), getenv("FALLBACK_QUEUE_URL"), getenv("LARGE_EVENTS_BUCKET")
	switch {
	case name == "" && queueURL == "" && bucket == "":
		return nil, nil
	case name == "":
		return nil, errors.New("EVENT_BUS_NAME: not set, though FALLBACK_QUEUE_URL or LARGE_EVENTS_BUCKET is; set it to the bus's name, or none of the three")
	case queueURL == "":
		return nil, errors.New("FALLBACK_QUEUE_URL: not set, though EVENT_BUS_NAME is; set it to the queue for events that the bus does not accept")
	case bucket == "":
		return nil, errors.New("LARGE_EVENTS_BUCKET: not set, though EVENT_BUS_NAME is; set it to the bucket for events that are too large for the bus")
	}
	return newBusOf(name, queueURL, bucket, awsconfig.New(getenv)), nil
}

func newBusOf(name, queueURL, bucket string, cfg aws.Config) *bus {
	return &bus{
		name:     name,
		queueURL: queueURL,
		bucket:   bucket,
		events:   eventbridge.NewFromConfig(cfg),
		queue:    sqs.NewFromConfig(cfg),
		objects: s3.NewFromConfig(cfg, func(o *s3.Options) {
			// A stand-in has no host name for each bucket.
			o.UsePathStyle = o.BaseEndpoint != nil
			o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		}),
	}
}

// publish returns once the event is safe: on the bus, or in the queue, from where an
// operator can send it to the bus. After an error, Stream must send it again.
func (b *bus) publish(ctx context.Context, e event) error {
	packed, err := b.pack(ctx, e, "")
	if err != nil {
		return err
	}
	err = b.send(ctx, packed)
	if reason := refused(err); reason != "" {
		if strings.HasPrefix(reason, "Validation") && len(packed.Detail) > usualEntry {
			reason = tooLarge
		}
		if packed, err = b.pack(ctx, e, reason); err != nil {
			return err
		}
		err = b.send(ctx, packed)
	}
	if err == nil {
		lambdahttp.Count(ctx, "EventsPublished")
		return nil
	}
	queueErr := b.enqueue(ctx, packed)
	if refused(queueErr) != "" {
		// The queue may take less than the bus, and its JSON is longer.
		if packed, queueErr = b.pack(ctx, e, tooLarge); queueErr == nil {
			queueErr = b.enqueue(ctx, packed)
		}
	}
	if queueErr != nil {
		return errors.Join(err, queueErr)
	}
	lambdahttp.Count(ctx, "EventsQueued")
	lambdahttp.Annotate(ctx, slog.String("queued", err.Error()))
	return nil
}

// An entry is an event as PutEvents accepts it. In the queue it is JSON, with the
// names that the AWS CLI accepts, too.
type entry struct {
	EventBusName string
	Source       string
	DetailType   string
	Detail       string
}

// neverAccepted are the codes of errors for what the bus or the queue never accepts.
var neverAccepted = []string{
	"MalformedDetail", "InvalidArgument", "ValidationException", "ValidationError", "RequestEntityTooLargeException",
	"InvalidParameterValue", "InvalidMessageContents",
}

// usualEntry is the size in bytes of the largest entry that a bus in any region accepts. A
// larger one that is refused as invalid is too large.
const usualEntry = 256 << 10

// refused returns the reason why the bus or the queue will never accept an event, or
// "". How large an event may be, only they know: AWS raises its limits region by region.
func refused(err error) string {
	if e, ok := errors.AsType[*awsconfig.Error](err); ok {
		switch {
		case slices.Contains(neverAccepted, e.Code):
			return e.Code
		case e.Status == http.StatusRequestEntityTooLarge:
			return tooLarge
		}
	}
	return ""
}

// maxTraceHeader is the longest trace header that EventBridge accepts, in bytes.
//
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsRequestEntry.html
const maxTraceHeader = 500

// send puts one entry on the bus.
func (b *bus) send(ctx context.Context, e entry) error {
	ctx, cancel := context.WithTimeout(ctx, busTimeout)
	defer cancel()
	in := types.PutEventsRequestEntry{EventBusName: &e.EventBusName, Source: &e.Source, DetailType: &e.DetailType, Detail: &e.Detail}
	if trace := lambdahttp.TraceHeader(ctx); trace != "" && len(trace) <= maxTraceHeader {
		in.TraceHeader = &trace
	}
	out, err := b.events.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{in}})
	switch {
	case err != nil:
		err = awsconfig.Brief(err)
	case len(out.Entries) != 1:
		err = errNotAWS
	case aws.ToString(out.Entries[0].EventId) == "":
		err = &awsconfig.Error{Code: cmp.Or(aws.ToString(out.Entries[0].ErrorCode), "unknown"), Status: http.StatusOK}
	}
	if err != nil {
		return fmt.Errorf("put an event on bus %s: %w", e.EventBusName, err)
	}
	return nil
}

// errNotAWS is for a response with status 200 that does not confirm the operation: AWS
// cannot have sent it.
var errNotAWS = errors.New("the response is not one of AWS's; something else answers at its address")

// enqueue puts an entry into the queue, for an operator to send it to the bus.
func (b *bus) enqueue(ctx context.Context, e entry) error {
	ctx, cancel := context.WithTimeout(ctx, queueTimeout)
	defer cancel()
	text := queueText(e)
	out, err := b.queue.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &b.queueURL, MessageBody: &text})
	switch {
	case err != nil:
		err = awsconfig.Brief(err)
	case aws.ToString(out.MessageId) == "":
		err = errNotAWS
	}
	if err != nil {
		return fmt.Errorf("put an event into the fallback queue: %w", err)
	}
	return nil
}

// forbidden escapes the characters that JSON may contain and SQS refuses. The encoder
// escapes the others.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
var forbidden = strings.NewReplacer("\ufffe", `\ufffe`, "\uffff", `\uffff`)

// queueText returns e as JSON that SQS accepts.
func queueText(e entry) string {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(e) // strings always encode
	return forbidden.Replace(strings.TrimSuffix(text.String(), "\n"))
}
