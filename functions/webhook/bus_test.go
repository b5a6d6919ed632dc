package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"chat-service-backend/internal/awstest"
)

func TestEventIsOnTheBusBeforeStreamIsAnswered(t *testing.T) {
	withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
		response := do(h, webhook(message))
		if len(aws.Events()) != 1 {
			t.Fatal("want the event on the bus by the time of the answer")
		}
		wantAcknowledged(t, response)
		if aws.Asked(awstest.SQS) != 0 || aws.Asked(awstest.S3) != 0 {
			t.Error("want the bus alone to be asked")
		}
	})
}

func TestWithoutABusWebhooksAreVerifiedAndAcknowledged(t *testing.T) {
	aws := awstest.NewEventBus(t)
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	h := awstest.Handler(t, build, ssm.Getenv(aws.Env(map[string]string{"EVENT_BUS_NAME": "", "FALLBACK_QUEUE_URL": "", "LARGE_EVENTS_BUCKET": ""})))
	wantAcknowledged(t, do(h, webhook(message)))
	forged := webhook(message)
	forged.Header.Set("X-Signature", sign("another", message))
	awstest.WantError(t, do(h, forged), http.StatusUnauthorized)
	if asked := aws.Asked(awstest.EventBridge) + aws.Asked(awstest.SQS) + aws.Asked(awstest.S3); asked != 0 {
		t.Errorf("want nobody asked, got %d calls", asked)
	}
}

// busFailures are ways in which the bus does not take an event now.
var busFailures = map[string]func(http.ResponseWriter, *http.Request) bool{
	"error": func(w http.ResponseWriter, _ *http.Request) bool {
		awstest.Fail(w, http.StatusInternalServerError, "InternalFailure")
		return true
	},
	"no JSON": func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "<html>", http.StatusServiceUnavailable)
		return true
	},
	"throttling": func(w http.ResponseWriter, _ *http.Request) bool {
		awstest.Fail(w, http.StatusBadRequest, "ThrottlingException")
		return true
	},
	"no permission": func(w http.ResponseWriter, _ *http.Request) bool {
		awstest.Fail(w, http.StatusBadRequest, "AccessDeniedException")
		return true
	},
	"no such bus": func(w http.ResponseWriter, _ *http.Request) bool {
		awstest.Fail(w, http.StatusBadRequest, "ResourceNotFoundException")
		return true
	},
	"FailedEntryCount": func(w http.ResponseWriter, _ *http.Request) bool {
		awstest.EntryError(w, "InternalFailure")
		return true
	},
	"FailedEntryCount, throttling": func(w http.ResponseWriter, _ *http.Request) bool {
		awstest.EntryError(w, "ThrottlingException")
		return true
	},
	"FailedEntryCount without entries": func(w http.ResponseWriter, _ *http.Request) bool {
		_, _ = io.WriteString(w, `{"FailedEntryCount":1,"Entries":[]}`)
		return true
	},
	"answer cut off": func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"FailedEntryCount":0,`)
		return true
	},
	"connection reset": func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) },
}

func TestEventThatTheBusDoesNotTakeNowIsQueued(t *testing.T) {
	for name, failure := range busFailures {
		t.Run(name, func(t *testing.T) {
			withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
				aws.Instead(awstest.EventBridge, failure)
				wantAcknowledged(t, do(h, webhook(message)))
				queued := aws.Queued(t)
				if len(queued) != 1 || len(aws.Events()) != 0 {
					t.Fatalf("want the event in the queue alone, got %v and %v", queued, aws.Events())
				}
				if e := queued[0]; e.Source != "stream.chat" || e.DetailType != "message.new" || e.EventBusName != awstest.Bus {
					t.Errorf("want the entry as the bus would have got it, got %+v", e)
				}
				wantBody(t, queued[0], message)
			})
		})
	}
}

func TestOneFailureOfTheBusIsTriedAgain(t *testing.T) {
	for _, name := range []string{"error", "throttling", "connection reset"} {
		t.Run(name, func(t *testing.T) {
			withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
				aws.Instead(awstest.EventBridge, first(busFailures[name]))
				wantAcknowledged(t, do(h, webhook(message)))
				if len(aws.Events()) != 1 || len(aws.Messages()) != 0 {
					t.Errorf("want the event on the bus, got %v and in the queue %v", aws.Events(), aws.Messages())
				}
			})
		})
	}
}

// first fails once.
func first(failure func(http.ResponseWriter, *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
	var failed atomic.Bool
	return func(w http.ResponseWriter, r *http.Request) bool {
		return !failed.Swap(true) && failure(w, r)
	}
}

// A client that has tried again too often tries no more for a while. The bus's
// bad day must not use up what the queue may need.
func TestQueueIsTriedAgainHoweverOftenTheBusFailed(t *testing.T) {
	h, aws := publisher(t)
	aws.Fail(awstest.EventBridge, http.StatusInternalServerError, "InternalFailure")
	synctest.Test(t, func(t *testing.T) {
		over(h.(*handler).bus, network{answers: aws}, network{answers: aws}, network{answers: aws})
		for range 60 {
			wantAcknowledged(t, do(h, webhook(message)))
		}
		aws.Instead(awstest.SQS, first(func(w http.ResponseWriter, _ *http.Request) bool {
			awstest.Fail(w, http.StatusInternalServerError, "InternalError")
			return true
		}))
		wantAcknowledged(t, do(h, webhook(message)))
	})
}

func TestWebhookIsUnavailableWhenNeitherBusNorQueueTakesIt(t *testing.T) {
	for name, failure := range busFailures {
		t.Run(name, func(t *testing.T) {
			withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
				aws.Instead(awstest.EventBridge, failure)
				aws.Fail(awstest.SQS, http.StatusInternalServerError, "InternalError")
				awstest.WantError(t, do(h, webhook(message)), http.StatusServiceUnavailable)
				// And Stream's next attempt finds all well.
				aws.Instead(awstest.EventBridge, nil)
				wantAcknowledged(t, do(h, webhook(message)))
				if len(aws.Events()) != 1 {
					t.Errorf("want the event on the bus, got %v", aws.Events())
				}
			})
		})
	}
}

// wantAnnounced checks for an announcement of body, which lies in the bucket.
func wantAnnounced(t testing.TB, aws *awstest.EventBus, e awstest.Entry, body, reason string) {
	t.Helper()
	metadata := wantBody(t, e, "null")
	kept, _ := metadata["object"].(map[string]any)
	if kept["bucket"] != awstest.Bucket || kept["reason"] != reason || kept["size"] != float64(len(body)) {
		t.Errorf("want %d bytes in bucket %s because of %s, got %v", len(body), awstest.Bucket, reason, kept)
	}
	key, _ := kept["key"].(string)
	if content, ok := aws.Object(key); !ok || string(content) != body {
		t.Errorf("object %q: want the body to the byte, got %.200q", key, content)
	}
}

func TestLargeEventIsKeptAndAnnounced(t *testing.T) {
	withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
		body := `{"type":"message.new","text":"` + strings.Repeat("é", 1<<20) + `"}`
		for _, r := range []*http.Request{webhook(body), compressedWebhook(body)} {
			wantAcknowledged(t, do(h, r))
			events := aws.Events()
			last := events[len(events)-1]
			wantAnnounced(t, aws, last, body, "TooLarge")
			if last.DetailType != "message.new" || last.Source != "stream.chat" {
				t.Errorf("want the announcement to look like the event, got %s from %s", last.DetailType, last.Source)
			}
		}
	})
}

func TestLimitOfTheBusIsMetToTheByte(t *testing.T) {
	withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
		wantAcknowledged(t, do(h, webhook(message)))
		sent := aws.Events()[0]
		around := len(sent.Source) + len(sent.DetailType) + len(sent.Detail) - len(message)
		shell := len(`{"type":"message.new","text":""}`)
		for size, kept := range map[int]bool{256<<10 - around - 1: false, 256<<10 - around: false, 256<<10 - around + 1: true} {
			body := `{"type":"message.new","text":"` + strings.Repeat("x", size-shell) + `"}`
			wantAcknowledged(t, do(h, webhook(body)))
			events := aws.Events()
			last := events[len(events)-1]
			if kept {
				wantAnnounced(t, aws, last, body, "TooLarge")
			} else if !strings.HasSuffix(last.Detail, body+"}") {
				t.Errorf("%d bytes: want the event whole, got %.300s", size, last.Detail)
			}
		}
	})
}

func TestBodyThatIsNotJSONIsKeptAndAnnounced(t *testing.T) {
	for name, body := range map[string]string{
		"empty":          "",
		"text":           "no json",
		"two values":     `{"type":"a"}{"type":"b"}`,
		"cut off":        `{"type":"message.new"`,
		"byte order":     "\ufeff" + message,
		"invalid UTF-8":  "{\"type\":\"message.new\",\"text\":\"\xff\"}",
		"a surrogate":    "{\"type\":\"message.new\",\"text\":\"\xed\xa0\x80\"}",
		"zero bytes":     "\x00\x00",
		"a breaking out": `1},"metadata":{"forged":true`,
	} {
		t.Run(name, func(t *testing.T) {
			withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
				wantAcknowledged(t, do(h, webhook(body)))
				if events := aws.Events(); len(events) != 1 {
					t.Fatalf("want one announcement, got %v", events)
				}
				wantAnnounced(t, aws, aws.Events()[0], body, "NotJSON")
			})
		})
	}
}

func TestEventThatTheBusRefusesIsKeptAndAnnounced(t *testing.T) {
	for name, c := range map[string]struct {
		refuse func(http.ResponseWriter)
		code   string
	}{
		"the entry":   {func(w http.ResponseWriter) { awstest.EntryError(w, "MalformedDetail") }, "MalformedDetail"},
		"an argument": {func(w http.ResponseWriter) { awstest.EntryError(w, "InvalidArgument") }, "InvalidArgument"},
		"the call":    {func(w http.ResponseWriter) { awstest.Fail(w, http.StatusBadRequest, "ValidationException") }, "ValidationException"},
		"by SDK name": {func(w http.ResponseWriter) { awstest.Fail(w, http.StatusBadRequest, "ValidationError") }, "ValidationError"},
	} {
		t.Run(name, func(t *testing.T) {
			withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
				aws.Instead(awstest.EventBridge, first(func(w http.ResponseWriter, _ *http.Request) bool {
					c.refuse(w)
					return true
				}))
				wantAcknowledged(t, do(h, webhook(message)))
				if len(aws.Events()) != 1 || len(aws.Messages()) != 0 {
					t.Fatalf("want one announcement on the bus, got %v and in the queue %v", aws.Events(), aws.Messages())
				}
				wantAnnounced(t, aws, aws.Events()[0], message, c.code)
			})
		})
	}
}

func TestAnnouncementThatTheBusRefusesIsQueued(t *testing.T) {
	withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
		aws.Fail(awstest.EventBridge, http.StatusBadRequest, "ValidationException")
		wantAcknowledged(t, do(h, webhook(message)))
		queued := aws.Queued(t)
		if len(queued) != 1 {
			t.Fatalf("want one message, got %v", queued)
		}
		wantAnnounced(t, aws, queued[0], message, "ValidationException")
	})
}

func TestAnnouncementThatTheBusDoesNotTakeNowIsQueued(t *testing.T) {
	withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
		aws.Fail(awstest.EventBridge, http.StatusInternalServerError, "InternalFailure")
		body := `{"type":"message.new","text":"` + strings.Repeat("x", 300<<10) + `"}`
		wantAcknowledged(t, do(h, webhook(body)))
		queued := aws.Queued(t)
		if len(queued) != 1 {
			t.Fatalf("want one message, got %v", queued)
		}
		wantAnnounced(t, aws, queued[0], body, "TooLarge")
	})
}

func TestWebhookIsUnavailableWhenTheBucketFails(t *testing.T) {
	large := `{"type":"message.new","text":"` + strings.Repeat("x", 300<<10) + `"}`
	for name, fail := range map[string]func(*awstest.EventBus){
		"error": func(aws *awstest.EventBus) { aws.Fail(awstest.S3, http.StatusInternalServerError, "InternalError") },
		"reset": func(aws *awstest.EventBus) { aws.Reset(awstest.S3) },
		"no permission": func(aws *awstest.EventBus) {
			aws.Fail(awstest.S3, http.StatusForbidden, "AccessDenied")
		},
	} {
		t.Run(name, func(t *testing.T) {
			withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
				fail(aws)
				awstest.WantError(t, do(h, webhook(large)), http.StatusServiceUnavailable)
				if len(aws.Events()) != 0 || len(aws.Messages()) != 0 {
					t.Errorf("want nothing announced that is not there, got %v and %v", aws.Events(), aws.Messages())
				}
				// Nor what the bus refuses.
				aws.Fail(awstest.EventBridge, http.StatusBadRequest, "ValidationException")
				awstest.WantError(t, do(h, webhook(message)), http.StatusServiceUnavailable)
				aws.Instead(awstest.EventBridge, nil)
				wantAcknowledged(t, do(h, webhook(message)))
			})
		})
	}
}

func TestOneFailureOfTheBucketIsTriedAgain(t *testing.T) {
	withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
		body := `{"type":"message.new","text":"` + strings.Repeat("x", 300<<10) + `"}`
		aws.Instead(awstest.S3, first(func(w http.ResponseWriter, _ *http.Request) bool {
			awstest.Fail(w, http.StatusServiceUnavailable, "SlowDown")
			return true
		}))
		wantAcknowledged(t, do(h, webhook(body)))
		wantAnnounced(t, aws, aws.Events()[0], body, "TooLarge")
	})
}

// While Lambda has the process stopped, the connections that it has kept end.
func TestKeptConnectionsMayHaveDied(t *testing.T) {
	h, aws := publisher(t)
	large := `{"type":"message.new","text":"` + strings.Repeat("x", 300<<10) + `"}`
	// In a bubble, so that no timeout passes while the network is at work.
	synctest.Test(t, func(t *testing.T) {
		for range 3 {
			wantAcknowledged(t, do(h, webhook(message)))
			wantAcknowledged(t, do(h, webhook(large)))
			aws.CloseConnections()
		}
		if events := aws.Events(); len(events) != 6 {
			t.Errorf("want 6 events on the bus, got %d", len(events))
		}
		aws.Instead(awstest.EventBridge, busFailures["FailedEntryCount"])
		for range 3 {
			wantAcknowledged(t, do(h, webhook(message)))
			aws.CloseConnections()
		}
		if messages := aws.Messages(); len(messages) != 3 {
			t.Errorf("want 3 messages in the queue, got %d", len(messages))
		}
	})
}

// Stream waits 6 s for an answer, and some of that passes on the way.
func TestAnswerComesWithinStreamsPatience(t *testing.T) {
	const never = -1
	large := `{"type":"message.new","text":"` + strings.Repeat("x", 300<<10) + `"}`
	refuse := func(w http.ResponseWriter, _ *http.Request) bool {
		awstest.Fail(w, http.StatusBadRequest, "ValidationException")
		return true
	}
	for name, c := range map[string]struct {
		body                   string
		bus, queue, bucket     time.Duration
		refuses                bool
		status                 int
		published, queued, all int
	}{
		"the bus hangs":                      {body: message, bus: never, status: 200, queued: 1},
		"the bus is slow":                    {body: message, bus: 1400 * time.Millisecond, status: 200, published: 1},
		"bus and queue hang":                 {body: message, bus: never, queue: never, status: 503},
		"bus and queue are slow":             {body: message, bus: 1600 * time.Millisecond, queue: 1600 * time.Millisecond, status: 503},
		"the bucket is slow":                 {body: large, bucket: 1600 * time.Millisecond, status: 503},
		"the bucket hangs":                   {body: large, bucket: never, status: 503},
		"the bucket is slow, the bus hangs":  {body: large, bucket: 1400 * time.Millisecond, bus: never, status: 200, queued: 1},
		"all hang":                           {body: large, bucket: never, bus: never, queue: never, status: 503},
		"a slow refusal":                     {body: message, bus: 1400 * time.Millisecond, refuses: true, status: 200, queued: 1},
		"a slow refusal, the bucket hangs":   {body: message, bus: 1400 * time.Millisecond, refuses: true, bucket: never, status: 503},
		"a slow refusal, the queue hangs":    {body: message, bus: 1400 * time.Millisecond, refuses: true, bucket: 1400 * time.Millisecond, queue: never, status: 503},
		"slow all the way, the bus refusing": {body: message, bus: 1400 * time.Millisecond, refuses: true, bucket: 1400 * time.Millisecond, queue: 1400 * time.Millisecond, status: 503},
	} {
		t.Run(name, func(t *testing.T) {
			h, aws := publisher(t)
			if c.refuses {
				aws.Instead(awstest.EventBridge, refuse)
			}
			synctest.Test(t, func(t *testing.T) {
				over(h.(*handler).bus, network{aws, c.bus}, network{aws, c.queue}, network{aws, c.bucket})
				start := time.Now()
				response := do(h, webhook(c.body))
				if took := time.Since(start); took > 5600*time.Millisecond {
					t.Errorf("want an answer with time to spare, got one after %v", took)
				}
				if response.StatusCode != c.status {
					t.Errorf("want status %d, got %d", c.status, response.StatusCode)
				}
				if len(aws.Events()) != c.published || len(aws.Messages()) != c.queued {
					t.Errorf("want %d on the bus and %d in the queue, got %v and %v", c.published, c.queued, aws.Events(), aws.Messages())
				}
			})
		})
	}
}

func TestNoBodyOrSignatureInTheLog(t *testing.T) {
	aws := awstest.NewEventBus(t)
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	f := awstest.StartFunction(t, ssm.Env(aws.Env(nil)))
	body := `{"type":"message.new","text":"the-text-of-the-message"}`
	large := `{"type":"message.new","text":"` + strings.Repeat("the-text-of-the-message", 20_000) + `"}`
	invoke := func(event any) { _, _ = io.ReadAll(f.Invoke(event).Body) }
	send := func(r *http.Request) { invoke(awstest.ClientEvent(t, r, "/webhook")) }
	everyWay := func() {
		send(webhook(body))
		send(compressedWebhook(body))
		send(webhook(large))
		send(webhook("\x1f\x8bthe-text-of-the-message"))
		forged := webhook(body + " ")
		forged.Header.Set("X-Signature", sign(secret, body))
		send(forged)
		invoke(awstest.ServiceEvent(t, verification(map[string]any{"rawBody": body, "signature": sign(secret, body)}), "/webhook/verify"))
		invoke(awstest.ServiceEvent(t, verification(`{"rawBody":"the-text-of-the-message","signature":["`+sign(secret, body)+`"]}`), "/webhook/verify"))
	}
	// What a service may say about a call that it refuses: all of it.
	echo := func(w http.ResponseWriter, code string) {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": "Value 'the-text-of-the-message' failed to satisfy a constraint"})
	}
	everyWay()
	aws.Instead(awstest.EventBridge, func(w http.ResponseWriter, _ *http.Request) bool {
		echo(w, "ValidationException")
		return true
	})
	everyWay()
	aws.Instead(awstest.SQS, func(w http.ResponseWriter, _ *http.Request) bool {
		echo(w, "InvalidMessageContents")
		return true
	})
	everyWay()
	aws.Instead(awstest.S3, func(w http.ResponseWriter, _ *http.Request) bool {
		echo(w, "InvalidArgument")
		return true
	})
	everyWay()
	requests, _ := lines(t, f)
	if len(requests) != 28 {
		t.Errorf("want 28 requests in the log, got %d", len(requests))
	}
	for name, hidden := range map[string]string{
		"body": "the-text-of-the-message", "signature": sign(secret, body), "secret": secret, "access key": aws.Env(nil)["AWS_SECRET_ACCESS_KEY"],
	} {
		if strings.Contains(f.Output(), hidden) {
			t.Errorf("want no %s in the log, got\n%s", name, f.Output())
		}
	}
}

func TestTraceGoesToTheBusAndWithTheVersionIntoEveryLogLine(t *testing.T) {
	aws := awstest.NewEventBus(t)
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	f := awstest.StartFunction(t, ssm.Env(aws.Env(nil)))
	_, _ = io.ReadAll(f.Invoke(awstest.ClientEvent(t, webhook(message), "/webhook")).Body)
	const trace = "Root=1-2-3" // as awstest sends it
	if events := aws.Events(); len(events) != 1 || events[0].TraceHeader != trace {
		t.Errorf("want one event with %s, got %+v", trace, events)
	}
	for line := range strings.Lines(f.Output()) {
		if !strings.Contains(line, `"traceId":"`+trace+`"`) || !strings.Contains(line, `"version":"dev"`) {
			t.Errorf("want trace and version in every line, got %s", line)
		}
	}
}

// EventBridge refuses a longer one, and the event with it.
func TestLongTraceStaysHere(t *testing.T) {
	h, aws := publisher(t)
	for _, length := range []int{maxTraceHeader, maxTraceHeader + 1} {
		r := webhook(message)
		trace := "Root=" + strings.Repeat("1", length-len("Root="))
		//lint:ignore SA1029 aws-lambda-go keeps the trace id under this key
		awstest.Do(h, r.WithContext(context.WithValue(r.Context(), "x-amzn-trace-id", trace)))
	}
	if events := aws.Events(); len(events) != 2 || len(events[0].TraceHeader) != maxTraceHeader || events[1].TraceHeader != "" {
		t.Errorf("want a trace of %d bytes and none, got %+v", maxTraceHeader, events)
	}
}

func TestWhatBecameOfAnEventIsCountedAndLogged(t *testing.T) {
	aws := awstest.NewEventBus(t)
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	f := awstest.StartFunction(t, ssm.Env(aws.Env(nil)))
	large := `{"type":"message.new","text":"` + strings.Repeat("x", 300<<10) + `"}`
	deliver := func(body string) {
		_, _ = io.ReadAll(f.Invoke(awstest.ClientEvent(t, webhook(body), "/webhook")).Body)
	}
	deliver(message)
	deliver(large)
	aws.Fail(awstest.EventBridge, http.StatusBadRequest, "AccessDeniedException")
	deliver(message)
	aws.Fail(awstest.SQS, http.StatusBadRequest, "AccessDenied")
	deliver(message)

	requests, metrics := lines(t, f)
	if len(requests) != 4 || len(metrics) != 4 {
		t.Fatalf("want a line and metrics for each of 4 requests, got %v and %v", requests, metrics)
	}
	for i, want := range []struct {
		level                   string
		published, kept, queued any
	}{
		{"INFO", 1.0, nil, nil},
		{"INFO", 1.0, 1.0, nil},
		{"INFO", nil, nil, 1.0},
		{"ERROR", nil, nil, nil},
	} {
		if m := metrics[i]; m["EventsPublished"] != want.published || m["EventsKept"] != want.kept || m["EventsQueued"] != want.queued {
			t.Errorf("request %d: want %+v, got %v", i, want, m)
		}
		if requests[i]["level"] != want.level || requests[i]["caller"] != "stream" {
			t.Errorf("request %d: want a line of stream's at %s, got %v", i, want.level, requests[i])
		}
	}
	// Whoever is called by the alarm reads why.
	if queued, _ := requests[2]["queued"].(string); !strings.Contains(queued, "AccessDeniedException") {
		t.Errorf("want the cause for queueing, got %v", requests[2])
	}
	if cause, _ := requests[3]["cause"].(string); !strings.Contains(cause, "AccessDeniedException") || !strings.Contains(cause, "fallback queue") {
		t.Errorf("want both causes, got %v", requests[3])
	}
}
