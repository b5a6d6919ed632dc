package main

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
)

// bodies are events as Stream may send them, and their detail types.
var bodies = map[string]struct{ body, detailType string }{
	"message":                {message, "message.new"},
	"unknown type":           {`{"type":"brand.new","cid":"a:b"}`, "brand.new"},
	"numeric created_at":     {`{"type":"message.read","created_at":1795464480000000001}`, "message.read"},
	"numbers beyond 2^53":    {`{"type":"t","n":9007199254740993,"m":-12345678901234567890123.000000000000000001e+400}`, "t"},
	"non-ASCII":              {`{"type":"t","text":"Grüße 👋🏽 ` + "\u2028\u2029\ufffe\uffff\u007f" + ` \u00e9 \ud83d\ude00"}`, "t"},
	"non-ASCII type":         {`{"type":"größe 👋"}`, "größe 👋"},
	"escaped type":           {`{"type":"message\u002enew"}`, "message.new"},
	"characters of HTML":     {`{"type":"t","text":"<b>&amp;</b>"}`, "t"},
	"half a surrogate":       {`{"type":"t","text":"\ud800"}`, "t"},
	"escaped zero":           {`{"type":"t","text":"\u0000"}`, "t"},
	"duplicate keys":         {`{"type":"first","a":1,"a":2,"type":"last"}`, "last"},
	"white space":            {" \t\r\n{ \"type\" :\n\t\"t\" , \"a\" : [ 1 , 2 ] }\r\n ", "t"},
	"order of members":       {`{"z":1,"type":"t","a":2}`, "t"},
	"before a message":       {`{"message":{"id":"m-1","text":"hi","type":"regular"},"user":{"id":"alice"},"request_info":{"ip":"192.0.2.1"}}`, "untyped"},
	"custom command":         {`{"message":{"text":"/ticket","command":"ticket","args":""},"form_data":{"action":"submit"}}`, "untyped"},
	"type in another case":   {`{"Type":"message.new"}`, "untyped"},
	"type that is a number":  {`{"type":1}`, "untyped"},
	"type that is null":      {`{"type":null}`, "untyped"},
	"type that is empty":     {`{"type":""}`, "untyped"},
	"type of 128 bytes":      {`{"type":"` + strings.Repeat("x", 128) + `"}`, strings.Repeat("x", 128)},
	"type of 129 bytes":      {`{"type":"` + strings.Repeat("x", 129) + `"}`, "untyped"},
	"type of 65 characters":  {`{"type":"` + strings.Repeat("é", 65) + `"}`, "untyped"},
	"list":                   {`[1,2]`, "untyped"},
	"text":                   {`"text"`, "untyped"},
	"number":                 {`1`, "untyped"},
	"null":                   {`null`, "untyped"},
	"braces in a text":       {`{"type":"t","text":"}}{\"event\":"}`, "t"},
	"member called metadata": {`{"type":"t","metadata":{"webhookId":"forged"}}`, "t"},
}

// wantBody checks for an event that carries body, to the byte, and returns its
// metadata.
func wantBody(t testing.TB, e awstest.Entry, body string) map[string]any {
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

func TestEventIsStreamsOwnBytes(t *testing.T) {
	for name, c := range bodies {
		for compression, r := range map[string]*http.Request{"plain": webhook(c.body), "gzip": compressedWebhook(c.body)} {
			t.Run(name+", "+compression, func(t *testing.T) {
				withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
					wantAcknowledged(t, do(h, r))
					events := aws.Events()
					if len(events) != 1 {
						t.Fatalf("want one event, got %v", events)
					}
					if e := events[0]; e.Source != "stream.chat" || e.DetailType != c.detailType || e.EventBusName != awstest.Bus {
						t.Errorf("want stream.chat, %s on bus %s, got %s, %s, %s", c.detailType, awstest.Bus, e.Source, e.DetailType, e.EventBusName)
					}
					if metadata := wantBody(t, events[0], c.body); metadata["webhookId"] != "webhook-1" {
						t.Errorf("webhookId: want webhook-1, got %v", metadata["webhookId"])
					}
				})
			})
		}
	}
}

func TestMetadataSaysWhatIsKnown(t *testing.T) {
	aws := awstest.NewEventBus(t)
	b, err := newBus(func(name string) string { return aws.Env(nil)[name] })
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		header map[string]string
		want   string
	}{
		"all":               {map[string]string{"X-Webhook-Id": "id-1", "X-Webhook-Attempt": "3"}, `{"webhookId":"id-1","attempt":3,"via":"webhook","apiKey":"key","receivedAt":"2000-01-01T00:00:00.123Z"}`},
		"nothing":           {nil, `{"via":"webhook","apiKey":"key","receivedAt":"2000-01-01T00:00:00.123Z"}`},
		"attempt is no sum": {map[string]string{"X-Webhook-Attempt": "first"}, `{"via":"webhook","apiKey":"key","receivedAt":"2000-01-01T00:00:00.123Z"}`},
		"id is not JSON":    {map[string]string{"X-Webhook-Id": "\"}\\\x00\xff"}, `{"webhookId":"\"}\\\u0000` + `\ufffd","via":"webhook","apiKey":"key","receivedAt":"2000-01-01T00:00:00.123Z"}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(123456789 * time.Nanosecond)
				header := make(http.Header)
				for field, value := range c.header {
					header.Set(field, value)
				}
				packed, err := b.pack(t.Context(), newEvent(header, viaWebhook, key, []byte("1")), "")
				if want := `{"metadata":` + c.want + `,"event":1}`; err != nil || packed.Detail != want {
					t.Errorf("want %s, got %s, %v", want, packed.Detail, err)
				}
			})
		})
	}
}

func TestKeyIsTheSameForTheSameBody(t *testing.T) {
	first, second := newEvent(http.Header{}, viaWebhook, key, []byte(message)), newEvent(http.Header{}, viaWebhook, key, []byte(message+" "))
	first.metadata.ReceivedAt = time.Date(2026, 11, 22, 20, 8, 0, 0, time.UTC)
	second.metadata.ReceivedAt = first.metadata.ReceivedAt
	if !strings.HasPrefix(first.key(), "2026/11/22/") || len(first.key()) != len("2026/11/22/")+64 {
		t.Errorf("want a key of the day and a SHA-256, got %s", first.key())
	}
	again := first
	again.metadata.ReceivedAt = again.metadata.ReceivedAt.Add(time.Hour)
	if again.key() != first.key() || first.key() == second.key() {
		t.Errorf("want a key for each body, got %s, %s and %s", first.key(), again.key(), second.key())
	}
}

func FuzzDetailHoldsTheBodyToTheByte(f *testing.F) {
	for _, c := range bodies {
		f.Add([]byte(c.body), "webhook-1")
	}
	f.Add([]byte("{}"), "\"\\\x00\xff</script>")
	f.Add([]byte("\xff"), "")
	f.Fuzz(func(t *testing.T, body []byte, id string) {
		header := make(http.Header)
		header.Set("X-Webhook-Id", id)
		e := newEvent(header, viaWebhook, key, body)
		detail, err := e.detail()
		if err != nil {
			t.Fatal(err)
		}
		detailType := e.detailType
		if detailType == "" || len(detailType) > maxDetailType || !utf8.ValidString(detailType) {
			t.Errorf("want a detail type of 1 to %d bytes, got %q", maxDetailType, detailType)
		}
		if misfit := e.misfit(detail); (misfit == "NotJSON") == (json.Valid(body) && utf8.Valid(body)) {
			t.Fatalf("%q: want NotJSON for what is not JSON alone, got %q", body, misfit)
		} else if misfit != "" {
			return
		}
		var out struct {
			Metadata json.RawMessage `json:"metadata"`
			Event    json.RawMessage `json:"event"`
		}
		if err := json.Unmarshal([]byte(detail), &out); err != nil {
			t.Fatalf("want JSON, got %q: %v", detail, err)
		}
		// What the decoder returns is without the space around it.
		if !bytes.Equal(out.Event, bytes.Trim(body, " \t\r\n")) || !strings.HasSuffix(detail, fmt.Sprintf(`,"event":%s}`, body)) {
			t.Errorf("want %q, got %q in %q", body, out.Event, detail)
		}

		message, err := asciiJSON(entry{awstest.Bus, source, detailType, detail})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []byte(message) {
			if c < ' ' || c > '~'+1 {
				t.Fatalf("want ASCII, got %q", message)
			}
		}
		if most := 3*(len(detail)+len(detailType)) + 256; len(message) > most {
			t.Errorf("want at most %d bytes, got %d", most, len(message))
		}
		var back entry
		if err := json.Unmarshal([]byte(message), &back); err != nil || back != (entry{awstest.Bus, source, detailType, detail}) {
			t.Errorf("want the entry back, got %+v, %v", back, err)
		}
	})
}

// The largest message that can come to be: each byte of the body takes three.
func TestQueueTakesTheLargestEntry(t *testing.T) {
	for name, filling := range map[string]string{"two bytes": "é", "three bytes": "\u2028", "four bytes": "👋", "escapes": `\"`, "HTML": "<", "forbidden": "\uffff"} {
		t.Run(name, func(t *testing.T) {
			withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
				aws.Fail(awstest.EventBridge, http.StatusInternalServerError, "InternalFailure")
				room := maxEntry - 512
				body := `{"type":"t","text":"` + strings.Repeat(filling, room/len(filling)) + `"}`
				wantAcknowledged(t, do(h, webhook(body)))
				queued := aws.Queued(t)
				if len(queued) != 1 {
					t.Fatalf("want one message, got %d", len(queued))
				}
				wantBody(t, queued[0], body)
				if text := aws.Messages()[0]; len(text) > 1<<20 || strings.ContainsFunc(text, func(r rune) bool { return r > '~' }) {
					t.Errorf("want at most 1 MiB of ASCII, got %d bytes", len(text))
				}
			})
		})
	}
}
