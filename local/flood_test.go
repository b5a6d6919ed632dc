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

// A second has a thousand requests for each route that anybody can know, and 50 of
// Stream's events. Only Stream knows its address.
func TestAFloodOnEveryKnownRouteLosesNoneOfStreamsEvents(t *testing.T) {
	t.Parallel()
	c, err := startConversation(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := c.server
	t.Cleanup(s.close)
	now := time.Now()
	s.limits.Now = func() time.Time { return now }

	send := func(g *gateway, method, target, body string) int {
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		if strings.HasPrefix(target, "/webhook/") || target == "/webhook" {
			mac := hmac.New(sha256.New, []byte(developmentSecret))
			mac.Write([]byte(body))
			r.Header.Set("X-Signature", hex.EncodeToString(mac.Sum(nil)))
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		return w.Code
	}
	var address string
	var known []struct {
		*gateway
		method, target string
	}
	for _, g := range []*gateway{s.clientAPI, s.serviceAPI} {
		for _, rt := range g.routes {
			if rt.API == "WebhookApi" {
				if strings.Contains(rt.Path, "{") {
					continue // of pending messages
				}
				address = rt.Path
				continue
			}
			target := strings.NewReplacer("{userId}", "me", "{path+}", "users").Replace(rt.Path)
			known = append(known, struct {
				*gateway
				method, target string
			}{g, rt.Method, target})
		}
	}
	if len(known) != 13 || address == "" {
		t.Fatalf("want thirteen known routes and Stream's, got %d and %q", len(known), address)
	}
	refused, lost, plain := 0, 0, 0
	const seconds = 2
	for tick := range seconds * 1000 {
		for _, k := range known {
			if send(k.gateway, k.method, k.target, "{}") == http.StatusTooManyRequests {
				refused++
			}
		}
		if tick%20 == 0 {
			event := func(kind string) string {
				return fmt.Sprintf(`{"type":"message.new","cid":"messaging:%s-%d"}`, kind, tick)
			}
			if send(s.clientAPI, http.MethodPost, address, event("x")) != http.StatusOK {
				lost++
			}
			if send(s.clientAPI, http.MethodPost, "/webhook", event("y")) != http.StatusOK {
				plain++
			}
		}
		now = now.Add(time.Millisecond)
	}
	if lost > 0 {
		t.Errorf("want none of Stream's %d events lost, got %d", seconds*50, lost)
	}
	if refused < len(known)*1000 || plain == 0 {
		t.Errorf("want a flood that the limits refuse, and events lost at the address that everybody knows, got %d refused and %d lost", refused, plain)
	}
	t.Logf("%d junk requests, %d refused; %d of %d events lost at the secret address, %d at /webhook", seconds*1000*len(known), refused, lost, seconds*50, plain)
}
