package users

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"chat-service-backend/shared/keepalive"
	"chat-service-backend/shared/streamchat"
	"chat-service-backend/shared/streamrest"
)

// codeMissing is Stream's error code for what does not exist, including deleted users.
//
// https://getstream.io/chat/docs/api_errors_response
const codeMissing = 16

// Stream's limits for most apps, and the pauses between calls that fit them: 0.6 of the
// reads, since a second may have only a thirtieth of a minute's calls, and 0.3 of the few
// writes.
const (
	readLimit, readEvery   = 1000, 100 * time.Millisecond
	writeLimit, writeEvery = 300, 600 * time.Millisecond
)

// A client calls Stream's REST API.
type client struct {
	base string
	http *http.Client

	reads           collector[struct{}]
	creates, writes collector[document]

	app                chan struct{} // full while somebody reads the app
	revoked            time.Time     // since when tokens of the whole app count
	due                time.Time     // when that is to be read again
	among, left, reset int64         // how many processes read it; how often it may be read, until when
}

func newClient(base *url.URL) *client {
	c := &client{base: base.String(), app: make(chan struct{}, 1), http: &http.Client{
		Transport: keepalive.New(),
		// A redirect is an error: the server token goes to Stream alone.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	c.reads.limit, c.reads.every, c.reads.call = readLimit, readEvery, c.findAll
	c.creates.limit, c.creates.every, c.creates.call = writeLimit, writeEvery, c.createAll
	c.writes.limit, c.writes.every, c.writes.call = writeLimit, writeEvery, c.changeAll
	return c
}

// A document is a user as stored at Stream.
type document map[string]any

// find returns a user, or nil if there is none.
func (c *client) find(ctx context.Context, credentials *streamchat.Credentials, id string) (document, error) {
	return c.reads.do(ctx, credentials, id, struct{}{})
}

// create creates a user whom find has not found. Stream refuses the id of a deleted
// user.
func (c *client) create(ctx context.Context, credentials *streamchat.Credentials, id string, fields document) (document, error) {
	return written(c.creates.do(ctx, credentials, id, fields))
}

// change sets fields of a user, and leaves the others as they are.
func (c *client) change(ctx context.Context, credentials *streamchat.Credentials, id string, fields document) (document, error) {
	return written(c.writes.do(ctx, credentials, id, fields))
}

func written(d document, err error) (document, error) {
	switch {
	case err != nil:
		return nil, err
	case d["id"] == nil:
		return nil, errors.New("the user is not in Stream's response")
	case d[deletedForGood] != nil:
		return nil, ErrDeleted
	}
	return d, nil
}

func (c *client) findAll(ctx context.Context, credentials *streamchat.Credentials, ids map[string]struct{}) (map[string]document, error) {
	payload, err := json.Marshal(map[string]any{
		"filter_conditions":         map[string]any{"id": map[string]any{"$in": slices.Sorted(maps.Keys(ids))}},
		"include_deactivated_users": true,
		"limit":                     len(ids),
	})
	if err != nil {
		return nil, err
	}
	var answer struct{ Users []document }
	if err := c.call(ctx, credentials, &c.reads.pace, http.MethodGet, "/users?payload="+url.QueryEscape(string(payload)), nil, &answer); err != nil {
		return nil, err
	}
	found := map[string]document{}
	for _, user := range answer.Users {
		if id, ok := user["id"].(string); ok {
			found[id] = user
		}
	}
	return found, nil
}

func (c *client) createAll(ctx context.Context, credentials *streamchat.Credentials, users map[string]document) (map[string]document, error) {
	return c.each(users, func(users map[string]document) (map[string]document, error) {
		all := map[string]document{}
		for id, fields := range users {
			all[id] = maps.Clone(fields)
			all[id]["id"] = id
		}
		return c.write(ctx, credentials, &c.creates.pace, http.MethodPost, map[string]any{"users": all})
	})
}

func (c *client) changeAll(ctx context.Context, credentials *streamchat.Credentials, users map[string]document) (map[string]document, error) {
	return c.each(users, func(users map[string]document) (map[string]document, error) {
		all := []any{}
		for _, id := range slices.Sorted(maps.Keys(users)) {
			all = append(all, map[string]any{"id": id, "set": users[id]})
		}
		return c.write(ctx, credentials, &c.writes.pace, http.MethodPatch, map[string]any{"users": all})
	})
}

// deletedForGood marks, in the answer of a write, a user whose id Stream never reuses.
const deletedForGood = "deleted for good"

// each writes users together or, if Stream refuses that because of one of them, in halves.
func (c *client) each(users map[string]document, write func(map[string]document) (map[string]document, error)) (map[string]document, error) {
	all, err := write(users)
	if err == nil || fails(err) {
		return all, err
	}
	ids := slices.Sorted(maps.Keys(users))
	if len(ids) == 1 {
		if e, _ := errors.AsType[*streamrest.Error](err); e.Code == codeMissing {
			return map[string]document{ids[0]: {"id": ids[0], deletedForGood: true}}, nil
		}
		return nil, err
	}
	all = map[string]document{}
	for half := range slices.Chunk(ids, (len(ids)+1)/2) {
		part := map[string]document{}
		for _, id := range half {
			part[id] = users[id]
		}
		some, err := c.each(part, write)
		maps.Copy(all, some)
		if fails(err) {
			break
		}
	}
	return all, nil
}

// fails reports whether an error of a call concerns all users: all but a refusal.
func fails(err error) bool {
	e, answered := errors.AsType[*streamrest.Error](err)
	return err != nil && (!answered || e.Status >= 500 || e.Status == http.StatusTooManyRequests)
}

func (c *client) write(ctx context.Context, credentials *streamchat.Credentials, p *pace, method string, body any) (map[string]document, error) {
	var answer struct{ Users map[string]document }
	err := c.call(ctx, credentials, p, method, "/users", body, &answer)
	return answer.Users, err
}

// call is [client.send] with a pace.
func (c *client) call(ctx context.Context, credentials *streamchat.Credentials, p *pace, method, path string, body, answer any) error {
	began := now()
	header, err := c.send(ctx, credentials, method, path, body, answer)
	p.heed(began, header)
	if fails(err) {
		var reset time.Time
		if e, answered := errors.AsType[*streamrest.Error](err); answered {
			l, _ := streamrest.Limit(e.Header)
			reset = l.ResetTime()
		}
		p.fail(reset)
	}
	return err
}

// send sends a request, decodes the response, and returns its header.
func (c *client) send(ctx context.Context, credentials *streamchat.Credentials, method, path string, body, answer any) (http.Header, error) {
	response, err := credentials.Client(c.base, c.http).Send(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	if err := response.Err(); err != nil {
		if e, ok := errors.AsType[*streamrest.Error](err); ok {
			e.Message = "" // which names the user
		}
		return response.Header, fmt.Errorf("Stream refuses %s %s: %w", method, strings.SplitN(path, "?", 2)[0], err)
	}
	if err := json.Unmarshal(response.Body, answer); err != nil {
		return response.Header, fmt.Errorf("%s %s: Stream's answer is not JSON: %w", method, path, err)
	}
	return response.Header, nil
}

// refused returns why we refuse the user, or nil. Stream itself refuses deactivated users;
// banned ones may connect, and soft-deleted ones can be restored. What cannot be read
// counts against the user.
func (d document) refused(kinds []string) error {
	refuses := func(kind string) bool { return slices.Contains(kinds, kind) }
	switch {
	case refuses("deleted") && d.set("deleted_at"):
		return ErrDeleted
	case refuses("deactivated") && d.set("deactivated_at"):
		return ErrDeactivated
	case !refuses("banned"):
		return nil
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
