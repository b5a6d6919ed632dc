package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/internal/eventbus"
	"chat-service-backend/internal/standin"
)

// bodies are events that Stream may send, with their detail types.
var bodies = map[string]struct{ body, detailType string }{
	"message":                {message, "message.new"},
	"unknown type":           {`{"type":"brand.new","cid":"a:b"}`, "brand.new"},
	"numbers beyond 2^53":    {`{"type":"t","n":9007199254740993,"m":-12345678901234567890123.000000000000000001e+400}`, "t"},
	"non-ASCII":              {`{"type":"t","text":"Grüße 👋🏽 ` + "\u2028\u2029\ufffe\uffff\u007f" + ` \u00e9 \ud83d\ude00"}`, "t"},
	"non-ASCII type":         {`{"type":"größe 👋"}`, "größe 👋"},
	"escaped type":           {`{"type":"message\u002enew"}`, "message.new"},
	"characters of HTML":     {`{"type":"t","text":"<b>&amp;</b>"}`, "t"},
	"half a surrogate":       {`{"type":"t","text":"\ud800"}`, "t"},
	"duplicate keys":         {`{"type":"first","a":1,"a":2,"type":"last"}`, "last"},
	"white space":            {" \t\r\n{ \"type\" :\n\t\"t\" , \"a\" : [ 1 , 2 ] }\r\n ", "t"},
	"before a message":       {`{"message":{"id":"m-1","text":"hi","type":"regular"},"user":{"id":"alice"},"request_info":{"ip":"192.0.2.1"}}`, "untyped"},
	"custom command":         {`{"message":{"text":"/ticket","command":"ticket","args":""},"form_data":{"action":"submit"}}`, "untyped"},
	"type in another case":   {`{"Type":"message.new"}`, "other"},
	"type that is null":      {`{"type":null}`, "other"},
	"a hook's detail type":   {`{"type":"untyped"}`, "other"},
	"a callback's":           {`{"type":"PassOnPendingMessage"}`, "other"},
	"type of 128 bytes":      {`{"type":"` + strings.Repeat("x", 128) + `"}`, strings.Repeat("x", 128)},
	"type of 129 bytes":      {`{"type":"` + strings.Repeat("x", 129) + `"}`, "other"},
	"type of 65 characters":  {`{"type":"` + strings.Repeat("é", 65) + `"}`, "other"},
	"list":                   {`[1,2]`, "other"},
	"string":                 {`"text"`, "other"},
	"braces in a string":     {`{"type":"t","text":"}}{\"event\":"}`, "t"},
	"member called metadata": {`{"type":"t","metadata":{"webhookId":"forged"}}`, "t"},
}

// wantBody checks that an entry carries body, byte for byte, and returns its
// metadata.
func wantBody(t testing.TB, e eventbus.Entry, body string) map[string]any {
	t.Helper()
	var detail map[string]json.RawMessage
	if err := json.Unmarshal([]byte(e.Detail), &detail); err != nil || len(detail) != 2 {
		t.Fatalf("want a detail with metadata and event, got %.300s", e.Detail)
	}
	if want := `,"event":` + body + `}`; !strings.HasSuffix(e.Detail, want) {
		t.Errorf("want the detail to end with\n%s\ngot\n%s", want, e.Detail)
	}
	var metadata map[string]any
	if err := json.Unmarshal(detail["metadata"], &metadata); err != nil {
		t.Fatal(err)
	}
	return metadata
}

func TestEventCarriesStreamsOwnBytes(t *testing.T) {
	withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
		for _, other := range []eventbus.API{eventbus.SQS, eventbus.S3} {
			instead(aws, other, func(_ http.ResponseWriter, r *http.Request) bool {
				t.Errorf("want only the bus called, got %s %s", r.Method, r.URL)
				return false
			})
		}
		published := 0
		for name, c := range bodies {
			for _, r := range []*http.Request{webhook(c.body), compressedWebhook(c.body)} {
				wantAcknowledged(t, awstest.Do(h, r))
				published++
				wantStored(t, aws, published, 0)
				e := last(t, aws.Events())
				if e.Source != "stream.chat" || e.DetailType != c.detailType || e.EventBusName != awstest.Bus {
					t.Errorf("%s: want stream.chat, %s on bus %s, got %s, %s, %s", name, c.detailType, awstest.Bus, e.Source, e.DetailType, e.EventBusName)
				}
				wantBody(t, e, c.body)
			}
		}
	})
}

func TestMetadataOfAWebhook(t *testing.T) {
	const rest = `"via":"webhook","apiKey":"key","receivedAt":"2000-01-01T00:00:00.123Z"`
	for name, c := range map[string]struct{ id, attempt, want string }{
		"complete":                   {"id-1", "3", `{"webhookId":"id-1","attempt":3,` + rest},
		"empty":                      {"", "", `{` + rest},
		"attempt that is no number":  {"", "first", `{` + rest},
		"attempt that is too large":  {"", "99999999999999999999", `{` + rest},
		"id that has to be escaped ": {"\"}\\\x00\xff", "", `{"webhookId":"\"}\\\u0000\ufffd",` + rest},
	} {
		t.Run(name, func(t *testing.T) {
			withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
				time.Sleep(123456789 * time.Nanosecond)
				awstest.Do(h, with(with(webhook("1"), "X-Webhook-Id", c.id), "X-Webhook-Attempt", c.attempt))
				if e := last(t, aws.Events()); e.Detail != `{"metadata":`+c.want+`},"event":1}` {
					t.Errorf("want %s, got %s", c.want, e.Detail)
				}
			})
		})
	}
}

func TestObjectKeyIsTheSameForTheSameBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, other := newEvent(metadata{}, []byte(message)).key(), newEvent(metadata{}, []byte(message+" ")).key()
		time.Sleep(time.Hour)
		if again := newEvent(metadata{}, []byte(message)).key(); !strings.HasPrefix(first, "2000/01/01/") || again != first || other == first {
			t.Errorf("want a key of the day and the body, got %s, %s and for another body %s", first, again, other)
		}
	})
}

func FuzzDetailHoldsTheBodyByteForByte(f *testing.F) {
	for _, c := range bodies {
		f.Add([]byte(c.body), "webhook-1")
	}
	f.Add([]byte("{}"), "\"\\\x00\xff</script>")
	f.Add([]byte("\xff"), "")
	f.Fuzz(func(t *testing.T, body []byte, id string) {
		e := newEvent(metadata{WebhookID: id, Via: viaWebhook, APIKey: key}, body)
		detail := e.detail()
		detailType := e.detailType
		if detailType == "" || len(detailType) > maxDetailType || !utf8.ValidString(detailType) {
			t.Errorf("want a detail type of 1 to %d bytes, got %q", maxDetailType, detailType)
		}
		if e.notJSON() {
			return
		}
		var out struct {
			Metadata json.RawMessage `json:"metadata"`
			Event    json.RawMessage `json:"event"`
		}
		if err := json.Unmarshal([]byte(detail), &out); err != nil {
			t.Fatalf("want JSON, got %q: %v", detail, err)
		}
		// The decoder drops the space around it.
		if !bytes.Equal(out.Event, bytes.Trim(body, " \t\r\n")) || !strings.HasSuffix(detail, fmt.Sprintf(`,"event":%s}`, body)) {
			t.Errorf("want %q, got %q in %q", body, out.Event, detail)
		}

		message := queueText(entry{awstest.Bus, e.source, detailType, detail})
		if !utf8.ValidString(message) || strings.ContainsFunc(message, func(r rune) bool { return r < ' ' || r == 0xfffe || r == 0xffff }) {
			t.Fatalf("want nothing that SQS refuses, got %q", message)
		}
		var back entry
		if err := json.Unmarshal([]byte(message), &back); err != nil || back != (entry{awstest.Bus, e.source, detailType, detail}) {
			t.Errorf("want the entry back, got %+v, %v", back, err)
		}
	})
}

// The queue may take less than the bus, and JSON in JSON is longer.
func TestEventThatTheQueueCannotTakeIsStoredAndAnnounced(t *testing.T) {
	withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
		aws.Fault[eventbus.EventBridge].Set(standin.Refuse(http.StatusInternalServerError, "InternalFailure"))
		for filling, stored := range map[string]bool{"é": false, "\uffff": true, `\"`: true} {
			body := `{"type":"t","text":"` + strings.Repeat(filling, 900<<10/len(filling)) + `"}`
			wantAcknowledged(t, awstest.Do(h, webhook(body)))
			if e := last(t, queued(t, aws)); stored {
				wantAnnounced(t, aws, e, body, "TooLarge")
			} else {
				wantBody(t, e, body)
			}
		}
	})
}

func TestEventsOfOtherProductsHaveTheirOwnSources(t *testing.T) {
	withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
		for name, source := range map[string]string{
			"message.new": "stream.chat", "call.session_started": "stream.video", "feeds.activity.added": "stream.feeds",
			"review_queue_item.new": "stream.moderation", "moderation.flagged": "stream.moderation", "calls.mine": "stream.chat", "callback": "stream.chat",
			"ingress.started": "stream.video", "appeal.created": "stream.moderation", "moderation_check.completed": "stream.moderation", "custom": "stream.chat",
		} {
			wantAcknowledged(t, awstest.Do(h, webhook(`{"type":"`+name+`"}`)))
			if e := last(t, aws.Events()); e.Source != source || e.DetailType != name {
				t.Errorf("%s: want source %s, got %s from %s", name, source, e.DetailType, e.Source)
			}
		}
		for _, body := range []string{`{"type":"custom","call_cid":"default:1"}`, `{"call_cid":"default:1","message":{}}`} {
			wantAcknowledged(t, awstest.Do(h, webhook(body)))
			if e := last(t, aws.Events()); e.Source != "stream.video" {
				t.Errorf("want %s from stream.video, got %s", body, e.Source)
			}
		}
	})
}

func TestCallbacksOfPendingMessagesArePublished(t *testing.T) {
	withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
		body := `{"message":{"id":"m-1","text":"hi"},"metadata":{"my":"key"},"request_info":{"type":"client"}}`
		for _, name := range []string{"PassOnPendingMessage", "DeletedPendingMessage"} {
			r := webhook(body)
			r.URL.Path += "/" + name
			wantAcknowledged(t, awstest.Do(h, r))
			e := last(t, aws.Events())
			if e.Source != "stream.chat" || e.DetailType != name {
				t.Errorf("want %s, got %s from %s", name, e.DetailType, e.Source)
			}
			wantBody(t, e, body)
			r = with(webhook(body), "X-Signature", sign("another", body))
			r.URL.Path += "/" + name
			awstest.WantError(t, awstest.Do(h, r), http.StatusUnauthorized)
		}
		// As with any event, an error makes Stream try again.
		aws.Fault[eventbus.EventBridge].Set(standin.Refuse(http.StatusInternalServerError, "InternalFailure"))
		aws.Fault[eventbus.SQS].Set(standin.Refuse(http.StatusInternalServerError, "InternalError"))
		r := webhook(body)
		r.URL.Path += "/PassOnPendingMessage"
		awstest.WantError(t, awstest.Do(h, r), http.StatusServiceUnavailable)
	})
}
