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

// A Message is one that a queue delivered.
type Message struct {
	ID      string // the same each time the message is delivered
	Body    string
	Attempt int // counts deliveries from 1; 0 if SQS did not say
}

// A MessageHandler is an [http.Handler] that also takes messages from an SQS
// queue. An error leaves the message in the queue.
type MessageHandler interface {
	http.Handler
	ServeMessage(context.Context, Message) error
}

// errNoMessages fails the invocation, and so leaves the batch in its queue. Any
// answer that succeeds would make Lambda delete the messages.
var errNoMessages = errors.New("this function takes no messages from a queue")

// serveMessages hands h a batch of messages and reports those that failed. The
// queue's event source mapping must have ReportBatchItemFailures, or one failure
// brings the whole batch again.
//
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
func serveMessages(ctx context.Context, h http.Handler, records []sqsRecord) (any, error) {
	m, ok := h.(MessageHandler)
	if !ok {
		slog.ErrorContext(ctx, errNoMessages.Error())
		return nil, errNoMessages
	}
	// A list, empty if nothing failed: null would be another answer.
	response := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	for _, record := range records {
		if err := serveMessage(ctx, m, record); err != nil {
			response.BatchItemFailures = append(response.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: record.MessageId})
		}
	}
	return response, nil
}

// serveMessage hands h one message and writes its log line.
func serveMessage(ctx context.Context, h MessageHandler, record sqsRecord) error {
	// Without its count of deliveries a message is as good as new.
	attempt, _ := strconv.Atoi(record.Attributes["ApproximateReceiveCount"])
	ctx, line := newLogLine(ctx, "")
	err := withoutPanic(func() error {
		return h.ServeMessage(ctx, Message{record.MessageId, record.Body, attempt})
	})
	line.end("message", err != nil, err, slog.String("source", record.EventSource), slog.Int("attempt", attempt))
	return err
}
