package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"chat-service-backend/internal/awstest"
)

// newAWS starts an AWS that the environment of this process names.
func newAWS(t *testing.T) *awstest.EventBus {
	t.Helper()
	aws := awstest.NewEventBus(t)
	for name, value := range aws.Env(map[string]string{"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull}) {
		t.Setenv(name, value)
	}
	return aws
}

func message(number int) string {
	text, _ := json.Marshal(awstest.Entry{
		EventBusName: awstest.Bus, Source: "stream.chat", DetailType: "message.new",
		Detail: fmt.Sprintf(`{"metadata":{},"event":{"number":%d,"n":9007199254740993,"text":"Grüße"}}`, number),
	})
	return string(text)
}

// redrive runs the command and returns what it says.
func redrive(t *testing.T, aws *awstest.EventBus) (string, error) {
	t.Helper()
	var out strings.Builder
	err := run(t.Context(), []string{"-queue-url", aws.QueueURL}, &out)
	return out.String(), err
}

func TestQueueIsDrainedToTheBus(t *testing.T) {
	aws := newAWS(t)
	const many = 25
	for i := range many {
		aws.Enqueue(message(i))
	}
	out, err := redrive(t, aws)
	if err != nil || out != "25 events published, 0 left in the queue\n" {
		t.Fatalf("want all published, got %v and %s", err, out)
	}
	if left := aws.Messages(); len(left) != 0 {
		t.Errorf("want an empty queue, got %v", left)
	}
	events := make(map[awstest.Entry]bool)
	for _, e := range aws.Events() {
		events[e] = true
	}
	for i := range many {
		var want awstest.Entry
		if err := json.Unmarshal([]byte(message(i)), &want); err != nil || !events[want] {
			t.Errorf("want %+v on the bus, to the byte", want)
		}
	}
}

func TestEmptyQueueIsNoError(t *testing.T) {
	if out, err := redrive(t, newAWS(t)); err != nil || out != "0 events published, 0 left in the queue\n" {
		t.Errorf("want nothing done, got %v and %s", err, out)
	}
}

func TestWhatIsNoEventStaysInTheQueue(t *testing.T) {
	aws := newAWS(t)
	for _, other := range []string{
		"no json", "null", "[]", "{}", `{"Detail":"{}"}`, `{"Detail":1}`,
		`{"EventBusName":"chat-events","Source":"stream.chat","DetailType":"message.new"}`,
		`{"Source":"stream.chat","DetailType":"message.new","Detail":"{}"}`,
	} {
		aws.Enqueue(other)
	}
	aws.Enqueue(message(1))
	out, err := redrive(t, aws)
	if err == nil || !strings.HasSuffix(out, "1 events published, 8 left in the queue\n") || strings.Count(out, "\n") != 9 {
		t.Errorf("want a line for each of 8 messages and an error, got %v and\n%s", err, out)
	}
	if asked := aws.Asked(awstest.EventBridge); asked != 1 {
		t.Errorf("want the bus asked for the event alone, got %d calls", asked)
	}
	if len(aws.Messages()) != 8 || len(aws.Events()) != 1 {
		t.Errorf("want 8 messages left and one event, got %v and %v", aws.Messages(), aws.Events())
	}
}

func TestEventThatTheBusDoesNotTakeStaysAndIsTakenLater(t *testing.T) {
	for name, fail := range map[string]func(http.ResponseWriter){
		"the call": func(w http.ResponseWriter) { awstest.Fail(w, http.StatusBadRequest, "AccessDeniedException") },
		"an entry": func(w http.ResponseWriter) { awstest.EntryError(w, "InternalFailure") },
		"a count":  func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"FailedEntryCount":1}`)) },
	} {
		t.Run(name, func(t *testing.T) {
			aws := newAWS(t)
			aws.Enqueue(message(1))
			aws.Enqueue(message(2))
			aws.Instead(awstest.EventBridge, func(w http.ResponseWriter, _ *http.Request) bool {
				fail(w)
				return true
			})
			out, err := redrive(t, aws)
			if err == nil || !strings.HasSuffix(out, "0 events published, 2 left in the queue\n") || len(aws.Messages()) != 2 {
				t.Fatalf("want both left, got %v and %s", err, out)
			}
			// At once, and not when their time is over.
			aws.Instead(awstest.EventBridge, nil)
			if out, err := redrive(t, aws); err != nil || out != "2 events published, 0 left in the queue\n" {
				t.Errorf("want both published, got %v and %s", err, out)
			}
		})
	}
}

func TestRedriveEndsThoughMessagesComeBackMeanwhile(t *testing.T) {
	aws := newAWS(t)
	for i := range 12 {
		aws.Enqueue(message(i))
	}
	aws.Fail(awstest.EventBridge, http.StatusBadRequest, "AccessDeniedException")
	aws.Instead(awstest.SQS, func(_ http.ResponseWriter, r *http.Request) bool {
		// The first ones' time is over when the last ones have been received.
		if r.Header.Get("X-Amz-Target") == "AmazonSQS.ReceiveMessage" && aws.Asked(awstest.SQS) > 2 {
			aws.Reveal()
		}
		return aws.Asked(awstest.SQS) > 100 // never, where the command ends
	})
	out, err := redrive(t, aws)
	if err == nil || !strings.HasSuffix(out, "0 events published, 12 left in the queue\n") {
		t.Errorf("want 12 left, got %v and %s", err, out)
	}
	if asked := aws.Asked(awstest.EventBridge); asked != 12 {
		t.Errorf("want each event tried once, got %d calls", asked)
	}
}

func TestMessageThatCannotBeDeletedIsReported(t *testing.T) {
	aws := newAWS(t)
	aws.Enqueue(message(1))
	aws.Instead(awstest.SQS, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("X-Amz-Target") == "AmazonSQS.DeleteMessage" {
			awstest.Fail(w, http.StatusBadRequest, "AccessDenied")
			return true
		}
		return false
	})
	out, err := redrive(t, aws)
	if err == nil || !strings.Contains(out, "delete the message") || len(aws.Messages()) != 1 {
		t.Errorf("want the message left, got %v and %s", err, out)
	}
}

func TestArgumentsAreChecked(t *testing.T) {
	for _, args := range [][]string{{}, {"-queue-url", ""}, {"-queue-url", "https://example.com", "more"}} {
		if err := run(t.Context(), args, new(strings.Builder)); err == nil || !strings.Contains(err.Error(), "-queue-url") {
			t.Errorf("%q: want an error that names -queue-url, got %v", args, err)
		}
	}
	if err := run(t.Context(), []string{"-h"}, new(strings.Builder)); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: want help, got %v", err)
	}
}
