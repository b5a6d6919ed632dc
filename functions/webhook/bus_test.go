package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/internal/eventbus"
	"chat-service-backend/internal/runtimeapi"
	"chat-service-backend/internal/standin"
)

// large is an event that the bus cannot carry whole.
var large = `{"type":"message.new","text":"` + strings.Repeat("é", 600<<10) + `"}`

// A failure answers a call instead of its service if it returns true.
type failure = func(http.ResponseWriter, *http.Request) bool

func instead(aws *awstest.EventBus, s eventbus.API, f failure) {
	aws.Fault[s].Set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if !f(w, r) {
			next.ServeHTTP(w, r)
		}
	})
}

// queued returns the entries in the queue.
func queued(t testing.TB, aws *awstest.EventBus) []eventbus.Entry {
	t.Helper()
	var entries []eventbus.Entry
	for _, body := range aws.Messages() {
		var e eventbus.Entry
		if err := json.Unmarshal([]byte(body), &e); err != nil {
			t.Fatalf("want an entry in the queue, got %.200q: %v", body, err)
		}
		entries = append(entries, e)
	}
	return entries
}

func failing(status int, code string) failure {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		standin.Error(w, status, code, "the test's failure")
		return true
	}
}

func failingEntry(code string) failure {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		standin.Answer(w, http.StatusOK, map[string]any{"FailedEntryCount": 1, "Entries": []any{map[string]string{"ErrorCode": code, "ErrorMessage": "the test's failure"}}})
		return true
	}
}

func reset(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }

// once fails once.
func once(f failure) failure {
	var failed atomic.Bool
	return func(w http.ResponseWriter, r *http.Request) bool {
		return !failed.Swap(true) && f(w, r)
	}
}

// wantStored checks what is on the bus and in the queue.
func wantStored(t testing.TB, aws *awstest.EventBus, published, queued int) {
	t.Helper()
	if len(aws.Events()) != published || len(aws.Messages()) != queued {
		t.Errorf("want %d events on the bus and %d in the queue, got %.300v and %.300v", published, queued, aws.Events(), aws.Messages())
	}
}

// last returns the last of entries.
func last(t testing.TB, entries []eventbus.Entry) eventbus.Entry {
	t.Helper()
	if len(entries) == 0 {
		t.Fatal("want an entry, got none")
	}
	return entries[len(entries)-1]
}

func TestEventThatTheBusDoesNotTakeNowIsQueued(t *testing.T) {
	for name, f := range map[string]failure{
		"error":                        failing(http.StatusInternalServerError, "InternalFailure"),
		"throttling":                   failing(http.StatusBadRequest, "ThrottlingException"),
		"no permission":                failing(http.StatusBadRequest, "AccessDeniedException"),
		"no such bus":                  failing(http.StatusBadRequest, "ResourceNotFoundException"),
		"FailedEntryCount":             failingEntry("InternalFailure"),
		"FailedEntryCount, throttling": failingEntry("ThrottlingException"),
		"connection reset":             reset,
		"not JSON": func(w http.ResponseWriter, _ *http.Request) bool {
			http.Error(w, "<html>", http.StatusServiceUnavailable)
			return true
		},
		"FailedEntryCount without entries": func(w http.ResponseWriter, _ *http.Request) bool {
			_, _ = io.WriteString(w, `{"FailedEntryCount":1,"Entries":[]}`)
			return true
		},
		"response cut off": func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"FailedEntryCount":0,`)
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
				instead(aws, eventbus.EventBridge, f)
				wantAcknowledged(t, awstest.Do(h, webhook(message)))
				wantStored(t, aws, 0, 1)
				e := last(t, queued(t, aws))
				if e.Source != "stream.chat" || e.DetailType != "message.new" || e.EventBusName != awstest.Bus {
					t.Errorf("want the entry as the bus would have got it, got %+v", e)
				}
				wantBody(t, e, message)

				aws.Fault[eventbus.SQS].Set(standin.Refuse(http.StatusInternalServerError, "InternalError"))
				awstest.WantError(t, awstest.Do(h, webhook(message)), http.StatusServiceUnavailable)
				// Stream's next attempt succeeds.
				aws.Fault[eventbus.EventBridge].Set(nil)
				wantAcknowledged(t, awstest.Do(h, webhook(message)))
				wantStored(t, aws, 1, 1)
			})
		})
	}
}

func TestOneFailureIsRetried(t *testing.T) {
	for name, c := range map[string]struct {
		service eventbus.API
		failure failure
	}{
		"bus, error":      {eventbus.EventBridge, failing(http.StatusInternalServerError, "InternalFailure")},
		"bus, throttling": {eventbus.EventBridge, failing(http.StatusBadRequest, "ThrottlingException")},
		"bus, reset":      {eventbus.EventBridge, reset},
		"bucket":          {eventbus.S3, failing(http.StatusServiceUnavailable, "SlowDown")},
	} {
		t.Run(name, func(t *testing.T) {
			withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
				instead(aws, c.service, once(c.failure))
				wantAcknowledged(t, awstest.Do(h, webhook(large)))
				wantStored(t, aws, 1, 0)
				wantAnnounced(t, aws, aws.Events()[0], large, "TooLarge")
			})
		})
	}
}

// A client that has retried too often stops retrying for a while. A failing bus
// must not use up the queue's retries.
func TestQueueIsRetriedHoweverOftenTheBusFailed(t *testing.T) {
	withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
		aws.Fault[eventbus.EventBridge].Set(standin.Refuse(http.StatusInternalServerError, "InternalFailure"))
		for range 60 {
			wantAcknowledged(t, awstest.Do(h, webhook(message)))
		}
		instead(aws, eventbus.SQS, once(failing(http.StatusInternalServerError, "InternalError")))
		wantAcknowledged(t, awstest.Do(h, webhook(message)))
	})
}

func TestBusIsRetriedAgainAfterAnOutage(t *testing.T) {
	withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
		aws.Fault[eventbus.EventBridge].Set(standin.Refuse(http.StatusInternalServerError, "InternalFailure"))
		for range 60 {
			awstest.Do(h, webhook(message))
		}
		aws.Fault[eventbus.EventBridge].Set(nil)
		for range 10 {
			awstest.Do(h, webhook(message))
		}
		instead(aws, eventbus.EventBridge, once(failing(http.StatusInternalServerError, "InternalFailure")))
		awstest.Do(h, webhook(message))
		wantStored(t, aws, 11, 60)
	})
}

// wantAnnounced checks that an entry announces body, which is in the bucket.
func wantAnnounced(t testing.TB, aws *awstest.EventBus, e eventbus.Entry, body, reason string) {
	t.Helper()
	metadata := wantBody(t, e, "null")
	kept, _ := metadata["object"].(map[string]any)
	if kept["bucket"] != awstest.Bucket || kept["reason"] != reason || kept["size"] != float64(len(body)) {
		t.Errorf("want %d bytes in bucket %s because of %s, got %v", len(body), awstest.Bucket, reason, kept)
	}
	key, _ := kept["key"].(string)
	if content, ok := aws.Object(key); !ok || string(content) != body {
		t.Errorf("object %q: want the body byte for byte, got %.200q", key, content)
	}
}

func TestEventOverTheBusLimitIsStoredAndAnnounced(t *testing.T) {
	withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
		wantAcknowledged(t, awstest.Do(h, webhook(message)))
		sent := aws.Events()[0]
		around := len(sent.Source) + len(sent.DetailType) + len(sent.Detail) - len(message)
		shell := len(`{"type":"message.new","text":""}`)
		for size, over := range map[int]bool{1<<20 - around: false, 1<<20 - around + 1: true} {
			body := `{"type":"message.new","text":"` + strings.Repeat("x", size-shell) + `"}`
			wantAcknowledged(t, awstest.Do(h, webhook(body)))
			e := last(t, aws.Events())
			switch {
			case over:
				wantAnnounced(t, aws, e, body, "TooLarge")
				if e.DetailType != sent.DetailType || e.Source != sent.Source {
					t.Errorf("want the announcement to match the event's rules, got %s from %s", e.DetailType, e.Source)
				}
			case !strings.HasSuffix(e.Detail, body+"}"):
				t.Errorf("%d bytes: want the whole event, got %.300s", size, e.Detail)
			}
		}
	})
}

func TestBodyThatIsNotJSONIsStoredAndAnnounced(t *testing.T) {
	withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
		for _, body := range []string{
			"", "text", `{"type":"a"}{"type":"b"}`, message[:20], "\ufeff" + message, "{\"text\":\"\xff\"}", "{\"text\":\"\xed\xa0\x80\"}",
			`1},"metadata":{"forged":true`,
		} {
			wantAcknowledged(t, awstest.Do(h, webhook(body)))
			wantAnnounced(t, aws, last(t, aws.Events()), body, "NotJSON")
		}
	})
}

func TestEventThatTheBusRefusesIsStoredAndAnnounced(t *testing.T) {
	withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
		for code, refusal := range map[string]failure{
			"MalformedDetail":     failingEntry("MalformedDetail"),
			"InvalidArgument":     failingEntry("InvalidArgument"),
			"ValidationException": failing(http.StatusBadRequest, "ValidationException"),
			"ValidationError":     failing(http.StatusBadRequest, "ValidationError"),
		} {
			instead(aws, eventbus.EventBridge, once(refusal))
			wantAcknowledged(t, awstest.Do(h, webhook(message)))
			wantAnnounced(t, aws, last(t, aws.Events()), message, code)
		}
		wantStored(t, aws, 4, 0)
	})
}

func TestAnnouncementThatTheBusDoesNotTakeIsQueued(t *testing.T) {
	withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
		aws.Fault[eventbus.EventBridge].Set(standin.Refuse(http.StatusBadRequest, "ValidationException"))
		wantAcknowledged(t, awstest.Do(h, webhook(message)))
		wantAnnounced(t, aws, last(t, queued(t, aws)), message, "ValidationException")
		aws.Fault[eventbus.EventBridge].Set(standin.Refuse(http.StatusInternalServerError, "InternalFailure"))
		wantAcknowledged(t, awstest.Do(h, webhook(large)))
		wantAnnounced(t, aws, last(t, queued(t, aws)), large, "TooLarge")
	})
}

func TestWebhookIsUnavailableWhenTheBucketFails(t *testing.T) {
	for name, f := range map[string]failure{"error": failing(http.StatusInternalServerError, "InternalError"), "reset": reset} {
		t.Run(name, func(t *testing.T) {
			withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
				instead(aws, eventbus.S3, f)
				awstest.WantError(t, awstest.Do(h, webhook(large)), http.StatusServiceUnavailable)
				aws.Fault[eventbus.EventBridge].Set(standin.Refuse(http.StatusBadRequest, "ValidationException"))
				awstest.WantError(t, awstest.Do(h, webhook(message)), http.StatusServiceUnavailable)
				wantStored(t, aws, 0, 0) // nothing announces what is not there
				aws.Fault[eventbus.EventBridge].Set(nil)
				wantAcknowledged(t, awstest.Do(h, webhook(message)))
			})
		})
	}
}

// Kept connections die while Lambda has the process frozen.
func TestKeptConnectionsMayHaveDied(t *testing.T) {
	h, aws := publisher(t)
	// In a bubble, so that no timeout passes while the network is at work.
	synctest.Test(t, func(t *testing.T) {
		for range 3 {
			wantAcknowledged(t, awstest.Do(h, webhook(message)))
			wantAcknowledged(t, awstest.Do(h, webhook(large)))
			aws.CloseClientConnections()
		}
		wantStored(t, aws, 6, 0)
		instead(aws, eventbus.EventBridge, failingEntry("InternalFailure"))
		for range 3 {
			wantAcknowledged(t, awstest.Do(h, webhook(message)))
			aws.CloseClientConnections()
		}
		wantStored(t, aws, 6, 3)
	})
}

// Stream waits 6 s for an answer, some of which passes on the way.
func TestAnswerArrivesBeforeStreamGivesUp(t *testing.T) {
	const never = -1
	for name, c := range map[string]struct {
		body                      string
		bus, queue, bucket        time.Duration
		refuses                   bool
		status, published, queued int
	}{
		"the bus hangs":                      {body: message, bus: never, status: 200, queued: 1},
		"the bus is slow":                    {body: message, bus: 1400 * time.Millisecond, status: 200, published: 1},
		"bus and queue are too slow":         {body: message, bus: 1600 * time.Millisecond, queue: 1600 * time.Millisecond, status: 503},
		"the bucket is too slow":             {body: large, bucket: 1600 * time.Millisecond, status: 503},
		"the bucket is slow, the bus hangs":  {body: large, bucket: 1400 * time.Millisecond, bus: never, status: 200, queued: 1},
		"everything hangs":                   {body: large, bucket: never, bus: never, queue: never, status: 503},
		"a slow refusal":                     {body: message, bus: 1400 * time.Millisecond, refuses: true, status: 200, queued: 1},
		"a slow refusal, the bucket hangs":   {body: message, bus: 1400 * time.Millisecond, refuses: true, bucket: never, status: 503},
		"slow all the way, the bus refusing": {body: message, bus: 1400 * time.Millisecond, refuses: true, bucket: 1400 * time.Millisecond, queue: 1400 * time.Millisecond, status: 503},
	} {
		t.Run(name, func(t *testing.T) {
			withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
				if c.refuses {
					aws.Fault[eventbus.EventBridge].Set(standin.Refuse(http.StatusBadRequest, "ValidationException"))
				}
				over(h.(*handler).bus, network{aws, c.bus}, network{aws, c.queue}, network{aws, c.bucket})
				start := time.Now()
				response := awstest.Do(h, webhook(c.body))
				if took := time.Since(start); took > 5600*time.Millisecond {
					t.Errorf("want an answer with time to spare, got one after %v", took)
				}
				if response.StatusCode != c.status {
					t.Errorf("want status %d, got %d", c.status, response.StatusCode)
				}
				wantStored(t, aws, c.published, c.queued)
			})
		})
	}
}

func TestFunctionKilledBeforeItPublishedDoesNotAcknowledge(t *testing.T) {
	f, aws := process(t, nil)
	instead(aws, eventbus.EventBridge, func(_ http.ResponseWriter, r *http.Request) bool {
		_ = f.OS.Kill()
		<-r.Context().Done() // the process and its connection end
		return true
	})
	if answer, err := f.Post(awstest.ClientEvent(t, webhook(message), "/webhook")); !errors.Is(err, runtimeapi.ErrEnded) {
		t.Fatalf("want no answer, got %v, %v", answer, err)
	}
	wantStored(t, aws, 0, 0)
}

func TestNoBodyOrSignatureIsLogged(t *testing.T) {
	f, aws := process(t, nil)
	body := `{"type":"message.new","text":"the-text-of-the-message"}`
	large := `{"type":"message.new","text":"` + strings.Repeat("the-text-of-the-message", 12_000) + `"}`
	signature := sign(secret, body)
	invoke := func(event any) { _, _ = io.Copy(io.Discard, f.Invoke(event).Body) }
	everyWay := func() {
		for _, r := range []*http.Request{
			webhook(body), compressedWebhook(body), webhook(large), webhook("\x1f\x8bthe-text-of-the-message"), with(webhook(body+" "), "X-Signature", signature),
		} {
			invoke(awstest.ClientEvent(t, r, "/webhook"))
		}
		invoke(awstest.ServiceEvent(t, verification(map[string]string{"rawBody": body, "signature": signature}), "/webhook/verify"))
		invoke(awstest.ServiceEvent(t, verification(`{"rawBody":"the-text-of-the-message","signature":["`+signature+`"]}`), "/webhook/verify"))
	}
	everyWay()
	// A service may quote the whole call that it refuses.
	for service, code := range []string{eventbus.EventBridge: "ValidationException", eventbus.SQS: "InvalidMessageContents", eventbus.S3: "InvalidArgument"} {
		instead(aws, eventbus.API(service), func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": "Value 'the-text-of-the-message' failed to satisfy a constraint"})
			return true
		})
		everyWay()
	}
	if requests, _ := lines(t, f); len(requests) != 28 {
		t.Errorf("want 28 requests in the log, got %d", len(requests))
	}
	for name, hidden := range map[string]string{
		"body": "the-text-of-the-message", "signature": signature, "secret": secret, "access key": aws.Env(nil)["AWS_SECRET_ACCESS_KEY"],
	} {
		if strings.Contains(f.Output(), hidden) {
			t.Errorf("want no %s in the log, got\n%s", name, f.Output())
		}
	}
}

// EventBridge refuses an event with a longer trace header.
func TestTraceHeaderIsPassedOnUpToItsLimit(t *testing.T) {
	h, aws := publisher(t)
	for _, length := range []int{maxTraceHeader, maxTraceHeader + 1} {
		r := webhook(message)
		trace := "Root=" + strings.Repeat("1", length-len("Root="))
		//lint:ignore SA1029 aws-lambda-go keeps the trace id under this key
		awstest.Do(h, r.WithContext(context.WithValue(r.Context(), "x-amzn-trace-id", trace)))
	}
	if events := aws.Events(); len(events) != 2 || len(events[0].TraceHeader) != maxTraceHeader || events[1].TraceHeader != "" {
		t.Errorf("want a trace header of %d bytes and then none, got %+v", maxTraceHeader, events)
	}
}

func TestFateOfAnEventIsCountedAndLogged(t *testing.T) {
	f, aws := process(t, nil)
	deliver := func(body string) {
		_, _ = io.Copy(io.Discard, f.Invoke(awstest.ClientEvent(t, webhook(body), "/webhook")).Body)
	}
	deliver(message)
	deliver(large)
	aws.Fault[eventbus.EventBridge].Set(standin.Refuse(http.StatusBadRequest, "AccessDeniedException"))
	deliver(message)
	aws.Fault[eventbus.SQS].Set(standin.Refuse(http.StatusBadRequest, "AccessDenied"))
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
	// Whoever answers the alarm reads why.
	if queued, _ := requests[2]["queued"].(string); !strings.Contains(queued, "AccessDeniedException") {
		t.Errorf("want the reason for queueing, got %v", requests[2])
	}
	if cause, _ := requests[3]["cause"].(string); !strings.Contains(cause, "AccessDeniedException") || !strings.Contains(cause, "fallback queue") {
		t.Errorf("want both causes, got %v", requests[3])
	}
}
