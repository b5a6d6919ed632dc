package lambdahttp

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/aws/aws-lambda-go/events"
)

// sqsRecord is a message as Lambda's event source mapping delivers it.
type sqsRecord = events.SQSMessage

// A Message is a message from an SQS queue.
type Message struct {
	ID      string // the same for every delivery
	Body    string
	Attempt int // number of the delivery, from 1; 0 if unknown
}

// A MessageHandler is an [http.Handler] that also handles messages from an SQS queue.
// An error leaves the message in the queue.
type MessageHandler interface {
	http.Handler
	ServeMessage(context.Context, Message) error
}

// errNoMessages fails the invocation, so that the messages stay in their queue: Lambda
// deletes them after any successful response.
var errNoMessages = errors.New("this function takes no messages from a queue")

// serveMessages passes h a batch of messages and reports those that failed. The event
// source mapping must have ReportBatchItemFailures, or one failure repeats the whole
// batch.
//
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
func serveMessages(ctx context.Context, h http.Handler, records []sqsRecord) (any, error) {
	m, ok := h.(MessageHandler)
	if !ok {
		slog.ErrorContext(ctx, errNoMessages.Error())
		return nil, errNoMessages
	}
	// An empty list must not be encoded as null.
	response := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	for _, record := range records {
		if err := serveMessage(ctx, m, record); err != nil {
			response.BatchItemFailures = append(response.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: record.MessageId})
		}
	}
	return response, nil
}

// serveMessage passes h one message and writes its log line.
func serveMessage(ctx context.Context, h MessageHandler, record sqsRecord) error {
	// A message whose deliveries are not counted is as good as new.
	attempt, _ := strconv.Atoi(record.Attributes["ApproximateReceiveCount"])
	ctx, line := newLogLine(ctx, "")
	err := withoutPanic(func() error {
		return h.ServeMessage(ctx, Message{record.MessageId, record.Body, attempt})
	})
	line.end("message", err != nil, err, slog.String("source", record.EventSource), slog.Int("attempt", attempt))
	return err
}
