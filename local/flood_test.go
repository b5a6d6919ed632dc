package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// The second has a thousand requests for each route that anybody can know, and at the
// address that only Stream knows 50 events, 50 hooks for which it holds messages back
// and 50 callbacks. A hook is lost, too, if the team's function has not decided.
func TestAFloodOnEveryKnownRouteLosesNoneOfStreamsEventsAndHooks(t *testing.T) {
	t.Parallel()
	c, err := startConversation(t, []string{"-moderation", "-parameter-overrides", "HookTimeoutMs=5000 Size=small"})
	if err != nil {
		t.Fatal(err)
	}
	s := c.server
	t.Cleanup(s.close)
	now := time.Now()
	s.clock = func() time.Time { return now }

	send := func(g *gateway, method, target, body string) (int, string) {
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		if strings.HasPrefix(target, "/webhook/") || target == "/webhook" {
			mac := hmac.New(sha256.New, []byte(developmentSecret))
			mac.Write([]byte(body))
			r.Header.Set("X-Signature", hex.EncodeToString(mac.Sum(nil)))
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	var address string
	var known []struct {
		*gateway
		method, target string
	}
	for _, g := range []*gateway{s.clientAPI, s.serviceAPI} {
		for _, rt := range g.routes {
			if rt.API == "WebhookApi" {
				if !strings.Contains(rt.Path, "{") { // as that of pending messages has
					address = rt.Path
				}
				continue
			}
			target := strings.NewReplacer("{userId}", "me", "{path+}", "users").Replace(rt.Path)
			known = append(known, struct {
				*gateway
				method, target string
			}{g, rt.Method, target})
		}
	}
	if len(known) != 15 || address == "" {
		t.Fatalf("want fifteen known routes and Stream's, got %d and %q", len(known), address)
	}
	calls := []struct{ what, path, body, want string }{
		{"event", "", `{"type":"message.new","cid":"messaging:x-%d"}`, "{}"},
		{"message", "", `{"message":{"id":"%d","text":"darn it"},"channel":{"cid":"messaging:x"}}`, `"**** it"`},
		{"command", "", `{"message":{"id":"%d","text":"/sell a scam","command":"sell","args":"a scam"},"form_data":{"action":"send"}}`, `"error"`},
		{"callback", "/PassOnPendingMessage", `{"message":{"id":"%d"},"type":"PassOnPendingMessage"}`, "{}"},
	}
	refused, lost, lostAtKnown := 0, map[string]int{}, map[string]int{}
	const ticks = 1000 // of a millisecond
	for tick := range ticks {
		for _, k := range known {
			if status, _ := send(k.gateway, k.method, k.target, "{}"); status == http.StatusTooManyRequests {
				refused++
			}
		}
		if tick%20 == 0 {
			for _, call := range calls {
				body := fmt.Sprintf(call.body, tick)
				if status, answer := send(s.clientAPI, http.MethodPost, address+call.path, body); status != http.StatusOK || !strings.Contains(answer, call.want) {
					lost[call.what]++
				}
				if call.path != "" {
					continue
				}
				if status, answer := send(s.clientAPI, http.MethodPost, "/webhook", body); status != http.StatusOK || !strings.Contains(answer, call.want) {
					lostAtKnown[call.what]++
				}
			}
		}
		now = now.Add(time.Millisecond)
	}
	if len(lost) > 0 {
		t.Errorf("want none of Stream's calls lost, %d of each kind, got %v", ticks/20, lost)
	}
	if refused < len(known)*ticks/3 || len(lostAtKnown) != 3 {
		t.Errorf("want a flood that the limits refuse, and calls lost at the address that everybody knows, got %d refused and %v lost", refused, lostAtKnown)
	}
	t.Logf("%d junk requests, %d refused; of %d calls of each kind %v lost at the secret address, %v at /webhook", ticks*len(known), refused, ticks/20, lost, lostAtKnown)
}
