package main

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

// sign is the X-Signature that Stream would send.
func sign(secret, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

// webhook is the request in which Stream sends body.
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

func do(h http.Handler, r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// verify asks h for the verification of body, a text as it is and all else as
// JSON.
func verify(h http.Handler, body any) *http.Response {
	return do(h, verification(body))
}

func verification(body any) *http.Request {
	text, ok := body.(string)
	if !ok {
		encoded, _ := json.Marshal(body)
		text = string(encoded)
	}
	return httptest.NewRequest(http.MethodPost, "/webhook/verify", strings.NewReader(text))
}

func wantAcknowledged(t testing.TB, response *http.Response) {
	t.Helper()
	// Some hooks read the answer: not a byte more than an empty object.
	body, _ := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK || string(body) != "{}" {
		t.Fatalf("want status 200 and {}, got %d and %s", response.StatusCode, body)
	}
	if got := response.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type: want application/json, got %q", got)
	}
}

func wantValid(t testing.TB, response *http.Response, valid bool) {
	t.Helper()
	want := `{"isValid":false}`
	if valid {
		want = `{"isValid":true}`
	}
	body, _ := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK || string(body) != want {
		t.Errorf("want status 200 and %s, got %d and %s", want, response.StatusCode, body)
	}
}

func TestSignedWebhookIsAcknowledged(t *testing.T) {
	h, _ := verifier(t)
	for name, r := range map[string]*http.Request{
		"plain":      webhook(message),
		"gzip":       compressedWebhook(message),
		"empty body": webhook(""),
		"large":      webhook(`{"type":"message.new","text":"` + strings.Repeat("x", 3<<20) + `"}`),
	} {
		t.Run(name, func(t *testing.T) { wantAcknowledged(t, do(h, r)) })
	}
}

// Stream says with a header field that it has compressed, and what is between
// it and us may have undone both or neither.
func TestGzipIsToldByItsFirstBytesAlone(t *testing.T) {
	h, _ := verifier(t)
	unsaid := compressedWebhook(message)
	unsaid.Header.Del("Content-Encoding")
	wantAcknowledged(t, do(h, unsaid))
	undone := webhook(message)
	undone.Header.Set("Content-Encoding", "gzip")
	wantAcknowledged(t, do(h, undone))
}

func TestSignatureMayBeUpperCaseHex(t *testing.T) {
	h, _ := verifier(t)
	r := webhook(message)
	r.Header.Set("X-Signature", strings.ToUpper(sign(secret, message)))
	wantAcknowledged(t, do(h, r))
	wantValid(t, verify(h, map[string]any{"rawBody": message, "signature": strings.ToUpper(sign(secret, message))}), true)
}

func TestWebhookWithoutAGoodSignatureIsUnauthorized(t *testing.T) {
	h, aws := publisher(t)
	good := sign(secret, message)
	for name, signature := range map[string]string{
		"missing":          "",
		"another secret's": sign("another secret", message),
		"another body's":   sign(secret, message+" "),
		"empty secret's":   sign("", message),
		"the compressed":   sign(secret, string(compress(message))),
		"truncated":        good[:32],
		"one digit short":  good[:63],
		"too long":         good + "00",
		"one digit wrong":  strings.Map(func(r rune) rune { return map[bool]rune{true: '0', false: r}[r == 'a'] }, good[:8]) + "f" + good[9:],
		"not hex":          strings.Repeat("z", 64),
		"with a prefix":    "sha256=" + good,
		"with spaces":      " " + good,
		"twice":            good + "," + good,
	} {
		for _, r := range []*http.Request{webhook(message), compressedWebhook(message)} {
			r.Header.Set("X-Signature", signature)
			if signature == good {
				t.Fatalf("%s: the signature is the good one", name)
			}
			t.Run(name, func(t *testing.T) { awstest.WantError(t, do(h, r), http.StatusUnauthorized) })
		}
	}
	if asked := aws.Events(); len(asked) != 0 {
		t.Errorf("want nothing published, got %v", asked)
	}
}

// What is not even shaped like a signature costs nothing: neither a look at the
// credentials nor the work of inflating.
func TestMalformedSignatureIsRefusedFirst(t *testing.T) {
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	h := awstest.Handler(t, build, ssm.Getenv(nil))
	good := sign(secret, message)
	bomb := base64.StdEncoding.EncodeToString(compress(strings.Repeat(" ", 8<<20)))
	wantValid(t, verify(h, map[string]any{"rawBody": message, "signature": good}), true)
	for _, signature := range []string{"", "0", "zz", good[:62], good + "00", strings.Repeat("z", 64), "sha256=" + good} {
		r := webhook("\x1f\x8b is no gzip")
		r.Header.Set("X-Signature", signature)
		awstest.WantError(t, do(h, r), http.StatusUnauthorized)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		wantValid(t, verify(h, map[string]any{"rawBody": bomb, "signature": signature}), false)
		if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > 4<<20 {
			t.Errorf("%q: want nothing inflated, got %d bytes allocated", signature, after.TotalAlloc-before.TotalAlloc)
		}
	}
	ssm.Down(true)
	r := webhook(message)
	r.Header.Set("X-Signature", "0")
	awstest.WantError(t, do(awstest.Handler(t, build, ssm.Getenv(nil)), r), http.StatusUnauthorized)
}

func TestWebhookOfAnotherAppIsUnauthorized(t *testing.T) {
	h, _ := verifier(t)
	for _, other := range []string{"another", "KEY", "key,key", " "} {
		r := webhook(message)
		r.Header.Set("X-Api-Key", other)
		awstest.WantError(t, do(h, r), http.StatusUnauthorized)
	}
}

func TestWebhookNeedNotNameTheAPIKey(t *testing.T) {
	h, _ := verifier(t)
	r := webhook(message)
	r.Header.Del("X-Api-Key")
	wantAcknowledged(t, do(h, r))
}

func TestBrokenGzipIsABadRequest(t *testing.T) {
	h, _ := verifier(t)
	whole := string(compress(message))
	for name, body := range map[string]string{
		"no header":    "\x1f\x8b",
		"cut off":      whole[:len(whole)-9],
		"bad checksum": whole[:len(whole)-8] + "\x00\x00\x00\x00" + whole[len(whole)-4:],
		"junk":         "\x1f\x8b\x08\x00junkjunkjunk",
	} {
		t.Run(name, func(t *testing.T) { awstest.WantError(t, do(h, webhook(body)), http.StatusBadRequest) })
	}
}

func TestGzipBombIsABadRequest(t *testing.T) {
	h, _ := verifier(t)
	r := webhook(string(compress(strings.Repeat("\x00", 9<<20))))
	awstest.WantError(t, do(h, r), http.StatusBadRequest)
}

func TestWebhookWithoutCredentialsIsUnavailable(t *testing.T) {
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	ssm.Down(true)
	h := awstest.Handler(t, build, ssm.Getenv(nil))
	// Whatever is sent: Stream must try again, so nothing is refused unread.
	another := webhook(message)
	another.Header.Set("X-Api-Key", "another")
	broken := webhook("\x1f\x8b")
	for _, r := range []*http.Request{webhook(message), another, broken} {
		awstest.WantError(t, do(h, r), http.StatusServiceUnavailable)
	}
}

func TestPreviousSecretCountsUntilTheNextRotation(t *testing.T) {
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	signedWith := func(s string) *http.Request {
		r := webhook(message)
		r.Header.Set("X-Signature", sign(s, message))
		return r
	}
	synctest.Test(t, func(t *testing.T) {
		h := awstest.Handler(t, build, ssm.Getenv(nil))
		wantAcknowledged(t, do(h, signedWith(secret)))
		awstest.WantError(t, do(h, signedWith("second")), http.StatusUnauthorized)

		ssm.Set("/chat-service/stream/api-secret", "second")
		ssm.Set("/chat-service/stream/api-secret-previous", secret)
		time.Sleep(301 * time.Second)
		wantAcknowledged(t, do(h, signedWith(secret)))
		wantAcknowledged(t, do(h, signedWith("second")))

		ssm.Set("/chat-service/stream/api-secret", "third")
		ssm.Set("/chat-service/stream/api-secret-previous", "second")
		time.Sleep(301 * time.Second)
		awstest.WantError(t, do(h, signedWith(secret)), http.StatusUnauthorized)
		wantAcknowledged(t, do(h, signedWith("second")))
		wantAcknowledged(t, do(h, signedWith("third")))
	})
}

func TestOnlyPostIsAllowed(t *testing.T) {
	h, _ := verifier(t)
	for _, path := range []string{"/webhook", "/webhook/verify"} {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead, http.MethodOptions} {
			response := do(h, httptest.NewRequest(method, path, nil))
			if got := response.Header.Get("Allow"); got != http.MethodPost {
				t.Errorf("%s %s: Allow: want POST, got %q", method, path, got)
			}
			awstest.WantError(t, response, http.StatusMethodNotAllowed)
		}
	}
}

func TestOtherPathsAreNotFound(t *testing.T) {
	h, _ := verifier(t)
	for _, path := range []string{"/", "/webhook/", "/webhook/verify/", "/webhooks", "/x/webhook"} {
		r := webhook(message)
		r.URL.Path = path
		awstest.WantError(t, do(h, r), http.StatusNotFound)
	}
}

func TestVerifySaysWhetherTheSignatureFits(t *testing.T) {
	h, _ := verifier(t)
	good := sign(secret, message)
	for name, c := range map[string]struct {
		body, signature string
		valid           bool
	}{
		"good":                   {message, good, true},
		"not JSON":               {"no json", sign(secret, "no json"), true},
		"empty body":             {"", sign(secret, ""), true},
		"another body":           {message + " ", good, false},
		"another secret":         {message, sign("another", message), false},
		"empty signature":        {message, "", false},
		"truncated signature":    {message, good[:62], false},
		"base64 of gzip":         {base64.StdEncoding.EncodeToString(compress(message)), good, true},
		"forged base64 of gzip":  {base64.StdEncoding.EncodeToString(compress(message + " ")), good, false},
		"broken base64 of gzip":  {base64.StdEncoding.EncodeToString(compress(message))[:40], good, false},
		"base64 of no gzip":      {base64.StdEncoding.EncodeToString([]byte(message)), good, false},
		"signed base64 of gzip":  {base64.StdEncoding.EncodeToString(compress(message)), sign(secret, base64.StdEncoding.EncodeToString(compress(message))), true},
		"gzip bomb":              {base64.StdEncoding.EncodeToString(compress(strings.Repeat("\x00", 9<<20))), good, false},
		"text that begins alike": {"H4sI", sign(secret, "H4sI"), true},
	} {
		t.Run(name, func(t *testing.T) {
			wantValid(t, verify(h, map[string]any{"rawBody": c.body, "signature": c.signature}), c.valid)
		})
	}
}

func TestVerifyTakesNoOtherBody(t *testing.T) {
	h, _ := verifier(t)
	for name, body := range map[string]string{
		"empty":                "",
		"no JSON":              "rawBody",
		"null":                 "null",
		"list":                 "[]",
		"text":                 `"rawBody"`,
		"empty object":         "{}",
		"no signature":         `{"rawBody":""}`,
		"no rawBody":           `{"signature":""}`,
		"null signature":       `{"rawBody":"","signature":null}`,
		"null rawBody":         `{"rawBody":null,"signature":""}`,
		"rawBody is an object": `{"rawBody":{},"signature":""}`,
		"rawBody is a number":  `{"rawBody":1,"signature":""}`,
		"signature is a list":  `{"rawBody":"","signature":[""]}`,
		"trailing data":        `{"rawBody":"","signature":""}{}`,
		"trailing text":        `{"rawBody":"","signature":""} x`,
		"cut off":              `{"rawBody":"","signature":"`,
	} {
		t.Run(name, func(t *testing.T) { awstest.WantError(t, verify(h, body), http.StatusBadRequest) })
	}
}

func TestVerifyWithoutCredentialsIsAnInternalError(t *testing.T) {
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	ssm.Down(true)
	h := awstest.Handler(t, build, ssm.Getenv(nil))
	awstest.WantError(t, verify(h, map[string]any{"rawBody": message, "signature": sign(secret, message)}), http.StatusInternalServerError)
	awstest.WantError(t, verify(h, "{}"), http.StatusBadRequest)
}

func TestVerifyPublishesNothing(t *testing.T) {
	withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
		wantValid(t, verify(h, map[string]any{"rawBody": message, "signature": sign(secret, message)}), true)
		if events := aws.Events(); len(events) != 0 {
			t.Errorf("want nothing published, got %v", events)
		}
	})
}

func TestBothEventShapesAreAnswered(t *testing.T) {
	f := awstest.StartFunction(t, awstest.NewParameterStore(t, awstest.App(key, secret)).Env(nil))
	for name, event := range map[string]any{
		"plain, REST API": awstest.AnonymousServiceEvent(t, webhook(message), "/webhook"),
		"plain, HTTP API": awstest.ClientEvent(t, webhook(message), "/webhook"),
		"gzip, REST API":  awstest.AnonymousServiceEvent(t, compressedWebhook(message), "/webhook"),
		"gzip, HTTP API":  awstest.ClientEvent(t, compressedWebhook(message), "/webhook"),
	} {
		t.Run(name, func(t *testing.T) { wantAcknowledged(t, f.Invoke(event)) })
	}
	body := map[string]any{"rawBody": message, "signature": sign(secret, message)}
	for name, event := range map[string]any{
		"verify, REST API": awstest.ServiceEvent(t, verification(body), "/webhook/verify"),
		"verify, HTTP API": awstest.ClientEvent(t, verification(body), "/webhook/verify"),
	} {
		t.Run(name, func(t *testing.T) { wantValid(t, f.Invoke(event), true) })
	}
}

// A body as text, which is how API Gateway passes on what is UTF-8.
func TestBodyMayComeAsText(t *testing.T) {
	f := awstest.StartFunction(t, awstest.NewParameterStore(t, awstest.App(key, secret)).Env(nil))
	for _, event := range []map[string]any{
		awstest.AnonymousServiceEvent(t, webhook(message), "/webhook"),
		awstest.ClientEvent(t, webhook(message), "/webhook"),
	} {
		event["body"], event["isBase64Encoded"] = message, false
		wantAcknowledged(t, f.Invoke(event))
	}
}

// lines ends a function and returns its requests' log lines and its metrics.
func lines(t testing.TB, f *awstest.Function) (requests, metrics []map[string]any) {
	t.Helper()
	_ = f.OS.Kill()
	<-f.Ended()
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

func TestVerificationIsLoggedWithItsResult(t *testing.T) {
	f := awstest.StartFunction(t, awstest.NewParameterStore(t, awstest.App(key, secret)).Env(nil))
	for _, signer := range []string{secret, "another"} {
		body := map[string]any{"rawBody": message, "signature": sign(signer, message)}
		wantValid(t, f.Invoke(awstest.ServiceEvent(t, verification(body), "/webhook/verify")), signer == secret)
	}
	requests, _ := lines(t, f)
	if len(requests) != 2 {
		t.Fatalf("want 2 lines, got %v", requests)
	}
	for i, valid := range []bool{true, false} {
		if line := requests[i]; line["isValid"] != valid || line["level"] != "INFO" || line["route"] != "/webhook/verify" {
			t.Errorf("want a line at INFO with isValid %t, got %v", valid, line)
		}
	}
}

func TestWebhooksAreCounted(t *testing.T) {
	f := awstest.StartFunction(t, awstest.NewParameterStore(t, awstest.App(key, secret)).Env(nil))
	forged := webhook(message)
	forged.Header.Set("X-Signature", sign("another", message))
	wantAcknowledged(t, f.Invoke(awstest.ClientEvent(t, webhook(message), "/webhook")))
	awstest.WantError(t, f.Invoke(awstest.ClientEvent(t, forged, "/webhook")), http.StatusUnauthorized)
	_, metrics := lines(t, f)
	if len(metrics) != 2 || metrics[0]["WebhooksAccepted"] != 1.0 || metrics[1]["WebhooksRejected"] != 1.0 {
		t.Errorf("want one webhook accepted and then one rejected, got %v", metrics)
	}
}
