package lambdahttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
)

// A taker takes messages, and fails those whose body says so.
type taker struct {
	http.Handler
	taken []Message
}

func (h *taker) ServeMessage(_ context.Context, m Message) error {
	h.taken = append(h.taken, m)
	switch m.Body {
	case "error":
		return errors.New("no room")
	case "panic":
		panic("hunter2")
	}
	return nil
}

const queueEvent = `{"Records": [
	{"messageId": "m1", "body": "good", "eventSource": "aws:sqs", "attributes": {"ApproximateReceiveCount": "1"}},
	{"messageId": "m2", "body": "error", "eventSource": "aws:sqs", "attributes": {"ApproximateReceiveCount": "3"}},
	{"messageId": "m3", "body": "panic", "eventSource": "aws:sqs", "attributes": {"ApproximateReceiveCount": "1"}},
	{"messageId": "m4", "body": "good", "eventSource": "aws:sqs", "attributes": {"ApproximateReceiveCount": "2"}}
]}`

func TestFailedMessagesAndNoOthersAreReported(t *testing.T) {
	h := &taker{Handler: http.NotFoundHandler()}
	response, err := invoke(t, wrap(h), queueEvent)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(response)
	if want := `{"batchItemFailures":[{"itemIdentifier":"m2"},{"itemIdentifier":"m3"}]}`; err != nil || string(encoded) != want {
		t.Errorf("want %s, got %s, %v", want, encoded, err)
	}
	if want := []Message{{"m1", "good", 1}, {"m2", "error", 3}, {"m3", "panic", 1}, {"m4", "good", 2}}; !slices.Equal(h.taken, want) {
		t.Errorf("want %v, got %v", want, h.taken)
	}
	var got []string
	for _, line := range records(t, logs.take()) {
		got = append(got, fmt.Sprintln(line["message"], line["level"], line["source"], line["attempt"], line["method"]))
	}
	if want := []string{"message INFO aws:sqs 1 <nil>\n", "message ERROR aws:sqs 3 <nil>\n", "message ERROR aws:sqs 1 <nil>\n", "message INFO aws:sqs 2 <nil>\n"}; !slices.Equal(got, want) {
		t.Errorf("want a line for each message, at ERROR for those that failed, got %q", got)
	}
}

func TestWithoutFailuresTheListIsEmpty(t *testing.T) {
	h := &taker{Handler: http.NotFoundHandler()}
	response, err := invoke(t, wrap(h), `{"Records":[{"messageId":"m1","body":"good"}]}`)
	if encoded, _ := json.Marshal(response); err != nil || string(encoded) != `{"batchItemFailures":[]}` {
		t.Errorf("want an empty list, got %s, %v", encoded, err)
	}
}

func TestBatchToAFunctionThatTakesNoMessagesFailsTheInvocation(t *testing.T) {
	for name, wrap := range map[string]func(http.Handler) handler{"buffered": wrap, "streamed": wrapStreamed} {
		response, err := invoke(t, wrap(http.NotFoundHandler()), queueEvent)
		if response != nil || !errors.Is(err, errNoMessages) {
			t.Errorf("%s: want an error, so that the messages stay in the queue, got %v, %v", name, response, err)
		}
		if lines := records(t, logs.take()); len(lines) != 1 || lines[0]["level"] != "ERROR" {
			t.Errorf("%s: want one line at ERROR, got %v", name, lines)
		}
	}
}
