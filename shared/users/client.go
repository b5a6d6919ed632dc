package users

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"chat-service-backend/shared/keepalive"
	"chat-service-backend/shared/streamchat"
)

// maxAnswer is the largest response that is read, in bytes.
const maxAnswer = 1 << 20

// codeMissing is Stream's error code for what does not exist, including deleted users.
//
// https://getstream.io/chat/docs/api_errors_response
const codeMissing = 16

// A client calls Stream's REST API. After a failure it pauses calls for all users, so
// that they do not wait for a timeout one by one.
type client struct {
	base *url.URL
	http *http.Client

	mu     sync.Mutex
	paused map[bool]time.Time // end of the pause of reads (false) and writes (true)
}

var errPaused = errors.New("Stream failed a moment ago")

func newClient(base *url.URL) *client {
	return &client{base: base, paused: map[bool]time.Time{}, http: &http.Client{
		Transport: keepalive.Transport(),
		// A redirect is an error: the server token goes to Stream alone.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// A document is a user as stored at Stream.
type document map[string]any

// find returns a user, or nil if there is none.
func (c *client) find(ctx context.Context, credentials *streamchat.Credentials, id string) (document, error) {
	payload, err := json.Marshal(map[string]any{
		"filter_conditions":         map[string]any{"id": map[string]any{"$in": []string{id}}},
		"include_deactivated_users": true,
		"limit":                     1,
	})
	if err != nil {
		return nil, err
	}
	var answer struct{ Users []document }
	if err := c.call(ctx, credentials, http.MethodGet, url.Values{"payload": {string(payload)}}, nil, &answer); err != nil {
		return nil, err
	}
	for _, user := range answer.Users {
		if user["id"] == id {
			return user, nil
		}
	}
	return nil, nil
}

// create creates a user whom find has not found. Stream refuses the id of a deleted
// user.
func (c *client) create(ctx context.Context, credentials *streamchat.Credentials, id string, fields document) (document, error) {
	user := maps.Clone(fields)
	user["id"] = id
	return c.write(ctx, credentials, http.MethodPost, id, map[string]any{"users": map[string]any{id: user}})
}

// change sets fields of a user, and leaves the others as they are.
func (c *client) change(ctx context.Context, credentials *streamchat.Credentials, id string, fields document) (document, error) {
	return c.write(ctx, credentials, http.MethodPatch, id, map[string]any{"users": []any{map[string]any{"id": id, "set": fields}}})
}

func (c *client) write(ctx context.Context, credentials *streamchat.Credentials, method, id string, body any) (document, error) {
	var answer struct{ Users map[string]document }
	err := c.call(ctx, credentials, method, url.Values{}, body, &answer)
	if e, ok := err.(*streamError); ok && e.code == codeMissing {
		return nil, ErrDeleted
	}
	if err == nil && answer.Users[id] == nil {
		err = fmt.Errorf("%s users: want the user in Stream's response, got none", method)
	}
	return answer.Users[id], err
}

// A streamError is an error response from Stream.
type streamError struct {
	status, code int
	reset        time.Time // when a rate limit ends
}

// Error omits Stream's message, which names the user.
func (e *streamError) Error() string {
	return fmt.Sprintf("want success from Stream, got status %d with code %d", e.status, e.code)
}

// call is [client.send], or errPaused during a pause.
func (c *client) call(ctx context.Context, credentials *streamchat.Credentials, method string, query url.Values, body, answer any) error {
	writes := method != http.MethodGet
	c.mu.Lock()
	paused := c.paused[writes]
	c.mu.Unlock()
	if now().Before(paused) {
		return errPaused
	}
	err := c.send(ctx, credentials, method, query, body, answer)
	e, answered := err.(*streamError)
	if err == nil || answered && e.status < 500 && e.status != http.StatusTooManyRequests {
		return err // the failure concerns this user only
	}
	until := now().Add(pause)
	if answered && e.reset.After(until) {
		until = now().Add(min(e.reset.Sub(now()), keptFor))
	}
	c.mu.Lock()
	c.paused[writes] = until
	c.mu.Unlock()
	return err
}

// send sends a request for /users and decodes the response.
func (c *client) send(ctx context.Context, credentials *streamchat.Credentials, method string, query url.Values, body, answer any) error {
	query.Set("api_key", credentials.Key())
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(text)
	}
	u := c.base.JoinPath("users")
	u.RawQuery = query.Encode()
	r, err := http.NewRequestWithContext(ctx, method, u.String(), content)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", credentials.ServerToken())
	r.Header.Set("Stream-Auth-Type", "jwt")
	r.Header.Set("X-Stream-Client", "chat-service-backend")
	r.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(r)
	if err != nil {
		return fmt.Errorf("%s users: %w", method, errors.Unwrap(err)) // without the URL, which names the user
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s users: %w", method, err)
	}
	if response.StatusCode >= 300 {
		var e struct{ Code int }
		_ = json.Unmarshal(text, &e) // which a gateway's error may not be
		reset, _ := strconv.ParseInt(response.Header.Get("X-RateLimit-Reset"), 10, 64)
		return &streamError{response.StatusCode, e.Code, time.Unix(reset, 0)}
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("%s users: want JSON from Stream: %w", method, err)
	}
	return nil
}

// refusal returns why Stream would refuse the user, or nil. What cannot be read counts
// against the user.
func (d document) refusal() error {
	switch {
	case d.set("deleted_at"):
		return ErrDeleted
	case d.set("deactivated_at"):
		return ErrDeactivated
	case slices.Contains([]any{nil, false, 0.0, "", "false", "0"}, plain(d["banned"])):
		return nil
	}
	if until, ok := moment(d["ban_expires"]); ok && !until.IsZero() && !now().Before(until) {
		return nil
	}
	return ErrBanned
}

// set reports whether a time is there.
func (d document) set(name string) bool {
	at, ok := moment(d[name])
	return !ok || !at.IsZero()
}

// plain returns v if it can be compared.
func plain(v any) any {
	switch v.(type) {
	case map[string]any, []any:
		return true
	}
	return v
}

func (d document) user() User {
	name, _ := d["name"].(string)
	image, _ := d["image"].(string)
	since, ok := moment(d["revoke_tokens_issued_before"])
	if !ok {
		since = now()
	}
	return User{name, image, since}
}

// moment returns one of Stream's times: RFC 3339, or seconds, milliseconds, microseconds
// or nanoseconds since 1970, also as text. Nothing, null, "", 0 and the year 1 are no
// time. It returns false for what cannot be read.
func moment(v any) (time.Time, bool) {
	switch v := v.(type) {
	case nil:
		return time.Time{}, true
	case string:
		text := strings.TrimSpace(v)
		if text == "" {
			return time.Time{}, true
		}
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			return moment(n)
		}
		t, err := time.Parse(time.RFC3339, text)
		return t, err == nil
	case float64:
		if v == 0 {
			return time.Time{}, true
		}
		for _, unit := range []float64{1e9, 1e6, 1e3, 1} {
			// Before the year 5138, and after anything that could be a smaller unit.
			if ns := v * unit; ns < 1e20 && v < 1e11*1e9/unit {
				at := time.Unix(0, 0).Add(time.Duration(min(ns, math.MaxInt64-1024)))
				return at, at.Year() >= 1990
			}
		}
	}
	return time.Time{}, false
}
