package webhook

import (
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"chat-service-backend/internal/awstest"
)

// message is an event as Stream sends it.
const message = `{"type":"message.new","cid":"messaging:general","message":{"id":"m-1","text":"Grüße"},"created_at":"2026-11-22T20:08:00.000000001Z"}`

// sign returns the X-Signature that Stream would send.
func sign(secret, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

// webhook returns the request in which Stream sends body.
func webhook(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/webhook", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Signature", sign(secret, body))
	r.Header.Set("X-Api-Key", key)
	r.Header.Set("X-Webhook-Id", "webhook-1")
	r.Header.Set("X-Webhook-Attempt", "1")
	return r
}

// compressedWebhook is [webhook] as Stream sends it with compression on.
func compressedWebhook(body string) *http.Request {
	r := webhook(string(compress(body)))
	r.Header.Set("X-Signature", sign(secret, body))
	r.Header.Set("Content-Encoding", "gzip")
	return r
}

func compress(text string) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return out.Bytes()
}

// with returns r with a header field set or, if value is empty, deleted.
func with(r *http.Request, name, value string) *http.Request {
	r.Header.Set(name, value)
	if value == "" {
		r.Header.Del(name)
	}
	return r
}

// verify asks h to verify body: a string as it is, anything else as JSON.
func verify(h http.Handler, body any) *http.Response {
	return awstest.Do(h, verification(body))
}

func verification(body any) *http.Request {
	text, ok := body.(string)
	if !ok {
		encoded, _ := json.Marshal(body)
		text = string(encoded)
	}
	return httptest.NewRequest(http.MethodPost, "/webhook/verify", strings.NewReader(text))
}

// wantAcknowledged checks for an empty object and not a byte more: Stream reads
// the response to a hook.
func wantAcknowledged(t testing.TB, response *http.Response) {
	t.Helper()
	wantAnswer(t, response, "{}")
	if got := response.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type: want application/json, got %q", got)
	}
}

func wantAnswer(t testing.TB, response *http.Response, want string) {
	t.Helper()
	body, _ := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK || string(body) != want {
		t.Errorf("want status 200 and %s, got %d and %.300s", want, response.StatusCode, body)
	}
}

func wantValid(t testing.TB, response *http.Response, valid bool) {
	t.Helper()
	wantAnswer(t, response, map[bool]string{false: `{"isValid":false}`, true: `{"isValid":true}`}[valid])
}

func TestSignedWebhookIsAcknowledged(t *testing.T) {
	h, _ := verifier(t)
	for name, r := range map[string]*http.Request{
		"plain":          webhook(message),
		"gzip":           compressedWebhook(message),
		"empty":          webhook(""),
		"without a key":  with(webhook(message), "X-Api-Key", ""),
		"gzip, unsaid":   with(compressedWebhook(message), "Content-Encoding", ""),
		"gzip, inflated": with(webhook(message), "Content-Encoding", "gzip"),
	} {
		t.Run(name, func(t *testing.T) { wantAcknowledged(t, awstest.Do(h, r)) })
	}
}

func TestWebhookThatStreamHasNotSignedForUsIsUnauthorized(t *testing.T) {
	h, aws := publisher(t)
	for name, change := range map[string]struct{ field, value string }{
		"no signature":                     {"X-Signature", ""},
		"malformed signature":              {"X-Signature", "sha256=" + sign(secret, message)},
		"signed with another secret":       {"X-Signature", sign("another secret", message)},
		"signature of another body":        {"X-Signature", sign(secret, message+" ")},
		"signature of the compressed body": {"X-Signature", sign(secret, string(compress(message)))},
		"another app":                      {"X-Api-Key", "another"},
		"another case":                     {"X-Api-Key", "KEY"},
		"our app and another":              {"X-Api-Key", "key,another"},
	} {
		for _, r := range []*http.Request{webhook(message), compressedWebhook(message)} {
			t.Run(name, func(t *testing.T) {
				awstest.WantError(t, awstest.Do(h, with(r, change.field, change.value)), http.StatusUnauthorized)
			})
		}
	}
	if events := aws.Events(); len(events) != 0 {
		t.Errorf("want nothing published, got %v", events)
	}
}

// A malformed signature costs nothing: it is rejected before the credentials are
// fetched and before the body is inflated.
func TestMalformedSignatureIsRejectedFirst(t *testing.T) {
	h, ssm := verifier(t)
	ssm.Down(true)
	cold := awstest.Handler(t, Build, ssm.Getenv(nil))
	good := sign(secret, message)
	for _, signature := range []string{"", "0", good[:62], good + "00", strings.Repeat("z", 64)} {
		for _, body := range []string{message, "\x1f\x8b is not gzip"} {
			r := with(webhook(body), "X-Signature", signature)
			awstest.WantError(t, awstest.Do(cold, r), http.StatusUnauthorized)
		}
	}
	bomb := base64.StdEncoding.EncodeToString(compress(strings.Repeat(" ", 4<<20)))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	wantValid(t, verify(h, map[string]string{"rawBody": bomb, "signature": good + "00"}), false)
	if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > 2<<20 {
		t.Errorf("want nothing inflated, got %d bytes allocated", after.TotalAlloc-before.TotalAlloc)
	}
}

func TestBrokenGzipIsABadRequest(t *testing.T) {
	h, _ := verifier(t)
	whole := string(compress(message))
	awstest.WantError(t, awstest.Do(h, webhook(whole[:len(whole)-9])), http.StatusBadRequest)
	// Nothing is inflated for a key that is not ours.
	awstest.WantError(t, awstest.Do(h, with(webhook(whole[:len(whole)-9]), "X-Api-Key", "another")), http.StatusUnauthorized)
}

func TestGzipThatInflatesToTooMuchSaysSo(t *testing.T) {
	h, _ := verifier(t)
	got := awstest.WantError(t, awstest.Do(h, compressedWebhook(strings.Repeat(" ", 512<<10+1))), http.StatusRequestEntityTooLarge)
	if !strings.Contains(got, "without gzip") {
		t.Errorf("want it to say what to do, got %q", got)
	}
	wantAcknowledged(t, awstest.Do(h, compressedWebhook(strings.Repeat(" ", 512<<10))))
	wantAcknowledged(t, awstest.Do(h, webhook(strings.Repeat(" ", 1<<20))))
}

// As an HTTP API hands on gzip that says it is JSON and not that it is gzip.
func TestDamagedGzipSaysWhatItIs(t *testing.T) {
	h, _ := verifier(t)
	damaged := strings.ToValidUTF8(string(compress(message)), "\ufffd")
	got := awstest.WantError(t, awstest.Do(h, with(webhook(damaged), "X-Signature", sign(secret, message))), http.StatusBadRequest)
	if !strings.Contains(got, "Content-Encoding: gzip") {
		t.Errorf("want a message that says what to send, got %q", got)
	}
}

func TestKeyAndSecretOfAWebhookBelongTogether(t *testing.T) {
	h, ssm := verifier(t)
	synctest.Test(t, func(t *testing.T) {
		h = awstest.Handler(t, Build, ssm.Getenv(nil))
		signedBy := func(key, secret string) *http.Response {
			return awstest.Do(h, with(with(webhook(message), "X-Signature", sign(secret, message)), "X-Api-Key", key))
		}
		wantAcknowledged(t, signedBy(key, secret))
		for name, value := range map[string]string{"api-key": "key-2", "api-secret": "secret-2", "api-key-previous": key, "api-secret-previous": secret} {
			ssm.Set("/chat-service/stream/"+name, value)
		}
		time.Sleep(30 * time.Second) // far less than PARAMETER_TTL
		wantAcknowledged(t, signedBy(key, secret))
		wantAcknowledged(t, signedBy("key-2", "secret-2")) // which makes us read the values again
		wantAcknowledged(t, signedBy(key, secret))
		wantAcknowledged(t, signedBy("", secret))
		before := len(ssm.Asked())
		awstest.WantError(t, signedBy("key-2", secret), http.StatusUnauthorized)
		awstest.WantError(t, signedBy(key, "secret-2"), http.StatusUnauthorized)
		awstest.WantError(t, signedBy("key-3", "secret-2"), http.StatusUnauthorized)
		if len(ssm.Asked()) != before {
			t.Error("want no second call to Parameter Store within 10 s, got one")
		}
		// A 401 would lose a webhook that a later attempt can prove to be ours.
		ssm.Set("/chat-service/stream/api-key", "key-3")
		ssm.Down(true)
		time.Sleep(10 * time.Second)
		awstest.WantError(t, signedBy("key-3", "secret-2"), http.StatusServiceUnavailable)
		awstest.WantError(t, signedBy("key-2", "forged"), http.StatusServiceUnavailable)
		wantAcknowledged(t, signedBy("key-2", "secret-2"))
		ssm.Down(false)
		time.Sleep(10 * time.Second)
		wantAcknowledged(t, signedBy("key-3", "secret-2"))
	})
}

func TestBothSecretsCountAfterARotation(t *testing.T) {
	h, ssm := verifier(t)
	synctest.Test(t, func(t *testing.T) {
		h = awstest.Handler(t, Build, ssm.Getenv(nil))
		signedWith := func(secret string) *http.Response {
			return awstest.Do(h, with(webhook(message), "X-Signature", sign(secret, message)))
		}
		wantAcknowledged(t, signedWith(secret))
		ssm.Set("/chat-service/stream/api-secret", "second")
		ssm.Set("/chat-service/stream/api-secret-previous", secret)
		time.Sleep(30 * time.Second) // far less than PARAMETER_TTL
		wantAcknowledged(t, signedWith("second"))
		wantAcknowledged(t, signedWith(secret))
		awstest.WantError(t, signedWith("third"), http.StatusUnauthorized)
	})
}

func TestOnlyPostIsAllowed(t *testing.T) {
	h, _ := verifier(t)
	for _, path := range []string{"/webhook", "/webhook/verify"} {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodHead} {
			response := awstest.Do(h, httptest.NewRequest(method, path, nil))
			if got := response.Header.Get("Allow"); got != http.MethodPost {
				t.Errorf("%s %s: Allow: want POST, got %q", method, path, got)
			}
			awstest.WantError(t, response, http.StatusMethodNotAllowed)
		}
	}
}

func TestOtherPathsAreNotFound(t *testing.T) {
	h, _ := verifier(t)
	for _, path := range []string{"/", "/webhook/", "/webhook/verify/", "/webhook/" + strings.Repeat("x", 36) + "/verify", "/webhooks", "/x/webhook", "", "x"} {
		r := webhook(message)
		r.URL.Path = path
		awstest.WantError(t, awstest.Do(h, r), http.StatusNotFound)
	}
}

func TestVerifyReportsWhetherTheSignatureFits(t *testing.T) {
	h, aws := publisher(t)
	good := sign(secret, message)
	packed := base64.StdEncoding.EncodeToString(compress(message))
	for name, c := range map[string]struct {
		body, signature string
		valid           bool
	}{
		"good":                  {message, good, true},
		"not JSON":              {"not JSON", sign(secret, "not JSON"), true},
		"another body":          {message + " ", good, false},
		"another secret":        {message, sign("another", message), false},
		"malformed signature":   {message, good[:62], false},
		"base64 of gzip":        {packed, good, true},
		"forged base64 of gzip": {base64.StdEncoding.EncodeToString(compress(message + " ")), good, false},
		"broken base64 of gzip": {packed[:40], good, false},
		"base64 without gzip":   {base64.StdEncoding.EncodeToString([]byte(message)), good, false},
		"signed as base64":      {packed, sign(secret, packed), true},
	} {
		t.Run(name, func(t *testing.T) {
			wantValid(t, verify(h, map[string]string{"rawBody": c.body, "signature": c.signature}), c.valid)
		})
	}
	if events := aws.Events(); len(events) != 0 {
		t.Errorf("want nothing published, got %v", events)
	}
}

func TestVerifyRejectsOtherBodies(t *testing.T) {
	h, _ := verifier(t)
	for _, body := range []string{
		"", "rawBody", "null", "[]", `{"rawBody":""}`, `{"signature":""}`, `{"rawBody":null,"signature":""}`,
		`{"rawBody":{},"signature":""}`, `{"rawBody":"","signature":[""]}`, `{"rawBody":"","signature":""}{}`,
	} {
		t.Run(body, func(t *testing.T) { awstest.WantError(t, verify(h, body), http.StatusBadRequest) })
	}
}

// lines ends a function and returns its requests' log lines and its metrics.
func lines(t testing.TB, f *awstest.Function) (requests, metrics []map[string]any) {
	t.Helper()
	f.Stop()
	for line := range strings.Lines(f.Output()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Errorf("want lines of JSON, got %s", line)
		}
		if fields["_aws"] != nil {
			metrics = append(metrics, fields)
		} else if fields["message"] == "request" {
			requests = append(requests, fields)
		}
	}
	return requests, metrics
}

func TestEventsOfBothAPIsAreAnsweredLoggedAndCounted(t *testing.T) {
	f := awstest.StartFunction(t, awstest.NewParameterStore(t, awstest.App(key, secret)).Env(nil))
	asText := func(event map[string]any) map[string]any { // which is how API Gateway passes UTF-8 on
		event["body"], event["isBase64Encoded"] = message, false
		return event
	}
	for _, event := range []map[string]any{
		awstest.AnonymousServiceEvent(t, compressedWebhook(message), "/webhook"),
		awstest.ClientEvent(t, compressedWebhook(message), "/webhook"),
		asText(awstest.AnonymousServiceEvent(t, webhook(message), "/webhook")),
		asText(awstest.ClientEvent(t, webhook(message), "/webhook")),
	} {
		wantAcknowledged(t, f.Invoke(event))
	}
	forged := with(webhook(message), "X-Signature", sign("another", message))
	awstest.WantError(t, f.Invoke(awstest.ClientEvent(t, forged, "/webhook")), http.StatusUnauthorized)
	good := verification(map[string]string{"rawBody": message, "signature": sign(secret, message)})
	wantValid(t, f.Invoke(awstest.ServiceEvent(t, good, "/webhook/verify")), true)
	bad := verification(map[string]string{"rawBody": message, "signature": sign("another", message)})
	wantValid(t, f.Invoke(awstest.ClientEvent(t, bad, "/webhook/verify")), false)

	requests, metrics := lines(t, f)
	if len(requests) != 7 || len(metrics) != 5 {
		t.Fatalf("want 7 requests and the metrics of 5, got %v and %v", requests, metrics)
	}
	for i, line := range requests {
		if want := []any{nil, nil, nil, nil, nil, true, false}[i]; line["isValid"] != want || line["level"] != "INFO" {
			t.Errorf("request %d: want a line at INFO with isValid %v, got %v", i, want, line)
		}
	}
	for i, m := range metrics {
		if want := []string{"WebhooksAccepted", "WebhooksRejected"}[i/4]; m[want] != 1.0 {
			t.Errorf("webhook %d: want %s counted, got %v", i, want, m)
		}
	}
}
