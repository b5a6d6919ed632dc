package proxy

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"testing"

	"chat-service-backend/internal/awstest"
)

func TestBodyThatWasDamagedOnTheWayNeverReachesStream(t *testing.T) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write([]byte(`{"users":{"plum":{"id":"plum"}}}`))
	_ = w.Close()
	whole := packed.String()
	asText := strings.ToValidUTF8(whole, "\ufffd") // as API Gateway passes on what it takes for text
	for _, c := range []struct {
		name, contentType, coding, body string
		refused                         bool
	}{
		{"gzip JSON", "application/json", "gzip", asText, true},
		{"gzip JSON, unsaid", "application/json", "", asText, true},
		{"gzip JSON, whole", "application/json", "gzip", whole, false},
		{"gzip file, whole", "application/gzip", "", whole, false},
		{"brotli", "application/json", "br", "\x0b\x02\ufffdhi\x03", true},
		{"a picture of a type that is unknown", "model/gltf-binary", "", "glTF\ufffd", true},
		{"a picture, whole", "image/png", "", "\x89PNG", false},
		{"text with U+FFFD", "application/json; charset=utf-8", "", `{"text":"\ufffd"}`, false},
		{"no coding", "application/json", "identity", `{}`, false},
		{"no type", "", "", `{"text":"\ufffd"}`, false},
		{"nothing", "application/json", "gzip", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, requests := recording(t, nil)
			response := awstest.Do(h, newRequest(http.MethodPost, "/proxy/users", c.body, http.Header{"Content-Type": {c.contentType}, "Content-Encoding": {c.coding}}))
			if c.refused {
				awstest.WantError(t, response, http.StatusUnsupportedMediaType)
				if len(requests) != 0 {
					t.Error("want nothing at Stream, got a request")
				}
			} else if got := <-requests; got.body != c.body {
				t.Errorf("want %q at Stream, got %q", c.body, got.body)
			}
		})
	}
}

func TestEachProductHasItsHost(t *testing.T) {
	for base, wants := range map[string]map[string]string{
		"https://chat.stream-io-api.com": {
			"users": "chat.stream-io-api.com", "api/v2/chat/channels": "chat.stream-io-api.com", "videos": "chat.stream-io-api.com",
			"video/call/default/1": "video.stream-io-api.com", "api/v2/video/call/default/1": "video.stream-io-api.com",
			"feeds": "feeds.stream-io-api.com", "api/v2/feeds/activities": "feeds.stream-io-api.com",
		},
		"https://chat-us-east-1.stream-io-api.com": {
			"users": "chat-us-east-1.stream-io-api.com", "video/call/default/1": "video.stream-io-api.com", "api/v2/feeds/activities": "feeds.stream-io-api.com",
		},
		"https://chat-proxy-dublin.stream-io-api.com:443": {"video/call/default/1": "video.stream-io-api.com"},
		"https://chat.example.com":                        {"video/call": "chat.example.com"},
		"http://127.0.0.1:8080/stream":                    {"video/call": "127.0.0.1:8080"},
	} {
		for path, want := range wants {
			h := newProxy(t, base, roundTripperFunc(func(r *http.Request) (*http.Response, error) {
				if r.URL.Host != want || !strings.HasSuffix(r.URL.Path, "/"+path) || r.Header.Get("Authorization") != serverToken {
					t.Errorf("%s: want it at %s, signed by us, got %s", path, want, r.URL)
				}
				return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
			}))
			do(h, http.MethodGet, "/proxy/"+path, "")
		}
	}
}
