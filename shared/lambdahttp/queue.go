package lambdahttp

import (
	"context"
	"net/http"
	"strconv"

	"github.com/aws/aws-lambda-go/events"

	"chat-service-backend/shared/httpjson"
)

// A Message is one that a queue brought.
type Message struct {
	ID      string // the same each time the message is delivered
	Body    string
	Attempt int // counts deliveries from 1
}

// A MessageHandler is an [http.Handler] that takes messages from an SQS queue,
// too. An error leaves the message in the queue.
type MessageHandler interface {
	http.Handler
	ServeMessage(context.Context, Message) error
}

// serveMessages hands h a batch of messages, and reports those that failed: the
// queue's event source mapping must have ReportBatchItemFailures, or one failure
// brings the whole batch again.
//
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
func serveMessages(ctx context.Context, h MessageHandler, records []events.SQSMessage) events.SQSEventResponse {
	// A list, empty where nothing failed: null would be another answer.
	response := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	for _, record := range records {
		if !serveMessage(ctx, h, record) {
			response.BatchItemFailures = append(response.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: record.MessageId})
		}
	}
	return response
}

// serveMessage hands h one message, and logs it as a request is logged.
func serveMessage(ctx context.Context, h MessageHandler, record events.SQSMessage) bool {
	ctx, log := newRequestLog(ctx, &event{HTTPMethod: "MESSAGE", Resource: record.EventSource})
	// SQS counts deliveries; without that, a message is as good as new.
	attempt, _ := strconv.Atoi(record.Attributes["ApproximateReceiveCount"])
	a := serve(httpjson.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		return h.ServeMessage(r.Context(), Message{record.MessageId, record.Body, attempt})
	}), blankRequest(ctx))
	log.end(a.status, a.cause)
	return a.status == http.StatusOK
}
