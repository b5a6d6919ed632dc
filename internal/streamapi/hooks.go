package streamapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// askHook returns what the app's before-message-send hook makes of a message, or nil. As
// at Stream, a hook that fails or takes too long lets the message pass.
func (s *API) askHook(payload func() document) document {
	url := text(s.app()["before_message_send_hook_url"])
	if url == "" {
		return nil
	}
	asked := payload()
	limit := time.Duration(number(s.app()["before_message_send_hook_attempt_timeout_ms"], 1500)) * time.Millisecond
	s.mu.Unlock()
	defer s.mu.Lock()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	status, body, err := s.callHook(ctx, url, rand.Text(), 1, asked)
	var answer document
	if err != nil || status != http.StatusOK || json.Unmarshal(body, &answer) != nil {
		return nil
	}
	return object(answer["message"])
}

// atOnce holds one element for each webhook on its way. Callers whose events find it full
// wait with their answer: what waits here would take memory, and be late.
var atOnce = make(chan struct{}, 32)

var hooks = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: cap(atOnce)}}

// zipper is one for all, because it has a megabyte. zipping guards it.
var (
	zipper, _ = gzip.NewWriterLevel(nil, gzip.BestSpeed)
	zipping   sync.Mutex
)

// Sign returns Stream's signature of a webhook.
func Sign(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// Webhook returns a request as Stream sends it, which is signed before it is compressed.
func Webhook(ctx context.Context, url, key, secret, id string, attempt int, body []byte, compress bool) (*http.Request, error) {
	header := http.Header{
		"Content-Type": {"application/json"}, "X-Signature": {Sign(secret, body)},
		"X-Api-Key": {key}, "X-Webhook-Id": {id}, "X-Webhook-Attempt": {strconv.Itoa(attempt)},
	}
	if compress {
		var zipped bytes.Buffer
		zipping.Lock()
		zipper.Reset(&zipped)
		_, _ = zipper.Write(body)
		_ = zipper.Close()
		zipping.Unlock()
		body = zipped.Bytes()
		header.Set("Content-Encoding", "gzip")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err == nil {
		r.Header = header
	}
	return r, err
}

// callHook sends a webhook, or asks a hook.
func (s *API) callHook(ctx context.Context, url, id string, attempt int, payload document) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, 6*time.Second)
	defer cancel()
	key, secrets, err := s.credentials()
	if err != nil {
		return 0, nil, err
	}
	body := fmtJSON(payload)
	r, err := Webhook(ctx, url, key, secrets[0], id, attempt, body, len(body) >= 256) // Stream leaves short ones plain
	if err != nil {
		return 0, nil, err
	}
	response, err := hooks.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(response.Body, maxBody))
	if s.Hooked != nil {
		s.Hooked(payload, response.StatusCode, answer)
	}
	return response.StatusCode, answer, err
}

// notify sends an event to the webhooks that want its type: up to three times, as Stream does.
func (s *API) notify(event document) {
	for _, v := range list(s.app()["event_hooks"]) {
		hook := object(v)
		types := list(hook["event_types"])
		if hook["hook_type"] != "webhook" || hook["enabled"] != true || len(types) > 0 && !slices.Contains(types, event["type"]) {
			continue
		}
		s.calls = append(s.calls, func() {
			ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
			defer cancel()
			id := rand.Text()
			for attempt := range 3 {
				status, _, err := s.callHook(ctx, text(hook["webhook_url"]), id, attempt+1, event)
				if err == nil && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests && status < 500 {
					return
				}
			}
		})
	}
}
