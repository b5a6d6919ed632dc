package webhook

import (
	"bytes"
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
	"unicode/utf16"
	"unicode/utf8"

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

	events  *service
	queue   *service
	objects *service
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
		return nil, errors.New("EVENT_BUS_NAME: want the bus that FALLBACK_QUEUE_URL and LARGE_EVENTS_BUCKET belong to, got nothing")
	case queueURL == "":
		return nil, errors.New("FALLBACK_QUEUE_URL: want the queue for events that the bus does not accept, got nothing")
	case bucket == "":
		return nil, errors.New("LARGE_EVENTS_BUCKET: want the bucket for events that are too large for the bus, got nothing")
	}
	region := getenv("AWS_REGION")
	client := &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 10,
		IdleConnTimeout:     30 * time.Second,
	}}
	return &bus{
		name:     name,
		queueURL: queueURL,
		bucket:   bucket,
		events:   newService(getenv, "events", region, "EVENTBRIDGE", client),
		queue:    newService(getenv, "sqs", region, "SQS", client),
		objects:  newBucket(getenv, bucket, region, client),
	}, nil
}

// publish returns once the event is safe: on the bus, or in the queue, from where an
// operator can send it to the bus. After an error, Stream must send it again.
func (b *bus) publish(ctx context.Context, e event) error {
	packed, err := b.pack(ctx, e, "")
	if err != nil {
		return err
	}
	err = b.send(ctx, packed)
	if failed, ok := errors.AsType[*awsError](err); ok && slices.Contains(refusals, failed.code) {
		if packed, err = b.pack(ctx, e, failed.code); err != nil {
			return err
		}
		err = b.send(ctx, packed)
	}
	if err == nil {
		lambdahttp.Count(ctx, "EventsPublished")
		return nil
	}
	if queueErr := b.enqueue(ctx, packed); queueErr != nil {
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

// pack prepares an event for the bus. If there is a reason why the bus cannot carry
// its body, given or found here, the body goes to the bucket and the entry says
// where it is.
func (b *bus) pack(ctx context.Context, e event, reason string) (entry, error) {
	detail := e.detail()
	if reason == "" {
		reason = e.misfit(detail)
	}
	if reason != "" {
		kept, err := b.keep(ctx, e, reason)
		if err != nil {
			return entry{}, err
		}
		e.metadata.Object = kept
		detail = e.detail()
	}
	return entry{b.name, source, e.detailType, detail}, nil
}

// refusals are the error codes of entries that the bus never accepts.
var refusals = []string{"MalformedDetail", "InvalidArgument", "ValidationException", "ValidationError"}

// maxTraceHeader is the longest trace header that EventBridge accepts, in bytes.
//
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsRequestEntry.html
const maxTraceHeader = 500

// send puts one entry on the bus.
//
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
func (b *bus) send(ctx context.Context, e entry) error {
	ctx, cancel := context.WithTimeout(ctx, busTimeout)
	defer cancel()
	traced := struct {
		entry
		TraceHeader string `json:",omitempty"`
	}{entry: e}
	if trace := lambdahttp.TraceHeader(ctx); len(trace) <= maxTraceHeader {
		traced.TraceHeader = trace
	}
	var out struct {
		Entries []struct{ EventId, ErrorCode string } // one of the two
	}
	err := b.events.call(ctx, "1.1", "AWSEvents.PutEvents", map[string]any{"Entries": []any{traced}}, &out)
	switch {
	case err != nil:
	case len(out.Entries) != 1:
		err = errUnexpected
	case out.Entries[0].EventId == "":
		err = &awsError{http.StatusOK, cmp.Or(out.Entries[0].ErrorCode, "unknown")}
	}
	if err != nil {
		return fmt.Errorf("put an event on bus %s: %w", e.EventBusName, err)
	}
	return nil
}

// enqueue puts an entry into the queue, for an operator to send it to the bus.
func (b *bus) enqueue(ctx context.Context, e entry) error {
	ctx, cancel := context.WithTimeout(ctx, queueTimeout)
	defer cancel()
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
	in := map[string]string{"QueueUrl": b.queueURL, "MessageBody": asciiJSON(e)}
	var out struct{ MessageId string }
	err := b.queue.call(ctx, "1.0", "AmazonSQS.SendMessage", in, &out)
	if err == nil && out.MessageId == "" {
		err = errUnexpected
	}
	if err != nil {
		return fmt.Errorf("put an event into the fallback queue: %w", err)
	}
	return nil
}

// keep stores the event's body in the bucket.
func (b *bus) keep(ctx context.Context, e event, reason string) (*object, error) {
	ctx, cancel := context.WithTimeout(ctx, objectTimeout)
	defer cancel()
	key := e.key()
	if _, err := b.objects.do(ctx, http.MethodPut, "/"+key, http.Header{"Content-Type": {"application/json"}}, e.body); err != nil {
		return nil, fmt.Errorf("put an object into bucket %s: %w", b.bucket, err)
	}
	lambdahttp.Count(ctx, "EventsKept")
	return &object{b.bucket, key, len(e.body), reason}, nil
}

// asciiJSON returns e as JSON in ASCII, because SQS refuses some characters that
// JSON may contain. It is at most three times as long as e's strings, so the largest
// entry stays below the 1 MiB of a message.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
func asciiJSON(e entry) string {
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(e) // strings always encode
	var ascii strings.Builder
	for _, r := range strings.TrimSuffix(encoded.String(), "\n") {
		switch {
		case r < utf8.RuneSelf:
			ascii.WriteByte(byte(r))
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&ascii, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&ascii, `\u%04x`, r)
		}
	}
	return ascii.String()
}
