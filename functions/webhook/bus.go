package main

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

// How long each step may take. Together they have receiveTimeout.
const (
	busTimeout    = 1500 * time.Millisecond
	queueTimeout  = 1500 * time.Millisecond
	objectTimeout = 1500 * time.Millisecond
)

// A bus keeps events safe: EventBridge, with a queue for what it does not take
// now and a bucket for what it never takes.
type bus struct {
	name     string
	queueURL string
	bucket   string

	events  *service
	queue   *service
	objects *service
}

// newBus returns the bus that the environment names in EVENT_BUS_NAME,
// FALLBACK_QUEUE_URL and LARGE_EVENTS_BUCKET, or nil where it names none: then
// webhooks are verified, and that is all.
func newBus(getenv func(string) string) (*bus, error) {
	name, queueURL, bucket := getenv("EVENT_BUS_NAME"), getenv("FALLBACK_QUEUE_URL"), getenv("LARGE_EVENTS_BUCKET")
	switch {
	case name == "" && queueURL == "" && bucket == "":
		return nil, nil
	case name == "":
		return nil, errors.New("EVENT_BUS_NAME: want the bus that FALLBACK_QUEUE_URL and LARGE_EVENTS_BUCKET belong to, got nothing")
	case queueURL == "":
		return nil, errors.New("FALLBACK_QUEUE_URL: want the queue for events that the bus does not take, got nothing")
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

// publish returns once the event is safe: on the bus, or in the queue from which
// it can be brought there. An error means that it is not, and has to be sent
// again.
func (b *bus) publish(ctx context.Context, e event) error {
	packed, err := b.pack(ctx, e, "")
	if err != nil {
		return err
	}
	err = b.send(ctx, packed)
	if refused, ok := errors.AsType[*refusedError](err); ok {
		if packed, err = b.pack(ctx, e, refused.code); err != nil {
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

// An entry is an event as PutEvents takes it. As JSON, in the queue, it has the
// names that the AWS command line takes, too.
type entry struct {
	EventBusName string
	Source       string
	DetailType   string
	Detail       string
}

// pack makes an event ready for the bus. If there is a reason why the bus cannot
// carry its body, given or found, the body goes to the bucket and the entry says
// where it is.
func (b *bus) pack(ctx context.Context, e event, reason string) (entry, error) {
	if reason == "" {
		detail, err := e.detail()
		if err != nil {
			return entry{}, err
		}
		if reason = e.misfit(detail); reason == "" {
			return entry{b.name, source, e.detailType, detail}, nil
		}
	}
	kept, err := b.keep(ctx, e, reason)
	if err != nil {
		return entry{}, err
	}
	e.metadata.Object = kept
	detail, err := e.detail()
	return entry{b.name, source, e.detailType, detail}, err
}

// A refusedError is an entry that the bus will never take.
type refusedError struct{ code string }

func (e *refusedError) Error() string { return "the event bus refuses the event: " + e.code }

// refusals are the error codes of entries that would be refused again.
var refusals = []string{"MalformedDetail", "InvalidArgument", "ValidationException", "ValidationError"}

// maxTraceHeader is the longest trace header that EventBridge takes, in bytes.
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
	if failed, ok := errors.AsType[*awsError](err); ok && slices.Contains(refusals, failed.code) {
		return &refusedError{failed.code}
	}
	if err != nil {
		return fmt.Errorf("put an event on bus %s: %w", e.EventBusName, err)
	}
	return nil
}

// enqueue keeps an entry until somebody brings it to the bus.
func (b *bus) enqueue(ctx context.Context, e entry) error {
	text, err := asciiJSON(e)
	if err != nil {
		return fmt.Errorf("write an event for the queue: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, queueTimeout)
	defer cancel()
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
	in := map[string]string{"QueueUrl": b.queueURL, "MessageBody": text}
	var out struct{ MessageId string }
	err = b.queue.call(ctx, "1.0", "AmazonSQS.SendMessage", in, &out)
	if err == nil && out.MessageId == "" {
		err = errUnexpected
	}
	if err != nil {
		return fmt.Errorf("put an event into the fallback queue: %w", err)
	}
	return nil
}

// keep puts the event's body into the bucket.
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

// asciiJSON returns v as JSON without any character outside ASCII: SQS refuses
// some that JSON may hold. It is at most three times as long as v's texts, so
// the largest entry stays below the 1 MiB of a message.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
func asciiJSON(v any) (string, error) {
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return "", err
	}
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
	return ascii.String(), nil
}
