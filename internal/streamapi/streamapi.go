// Package streamapi stands in for Stream's REST API: users, channels, messages
// and the app's configuration in memory, enough for a tour and for tests.
// The files chat_*.go play the chat of an app, as far as its screens need it; the others
// are for servers and operators, whose calls are held to Stream's description.
// https://getstream.io/chat/docs/rest/
package streamapi

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/encoding/json"

	"chat-service-backend/internal/standin"
	"chat-service-backend/ops/streamspec"
)

// Credentials returns the app's key and the secrets that sign its server
// tokens, none of them empty.
type Credentials func() (key string, secrets []string, err error)

// API is one app at Stream.
type API struct {
	// Lag is how long a change of the app's configuration takes to be read back, at
	// Stream up to 5 s. Set it before the first request.
	Lag time.Duration
	// Now is the clock.
	Now func() time.Time
	// Hooked gets each webhook and hook that was answered; may be nil.
	Hooked func(payload map[string]any, status int, answer []byte)

	credentials Credentials
	mux         *http.ServeMux

	mu      sync.Mutex
	configs []config // oldest first; the last is as written, the first as read

	users    objects
	deleted  objects // users, of whom the softly deleted can be restored
	channels objects // by cid, "messaging:general"
	messages objects
	tasks    objects
	sent     []string              // ids of messages, oldest first
	devices  map[string][]document // by user
	read     map[string]objects    // by cid and user

	connections map[string]*connection // by id
	calls       []func()               // of webhooks, to be made once mu is free
	ahead       time.Duration          // of Now
}

// document is any JSON object, such as a user, with fields of anyone's own. One
// that is stored never changes: an answer may still be written from it.
type document = map[string]any

// objects are the app's of one kind, by id.
type objects = map[string]document

const (
	maxBody     = 10 << 20 // bytes of a request
	maxMessages = 8_000    // the oldest thousand go when there are more
)

// A call is a request and what is known of it.
type call struct {
	*http.Request
	query  url.Values
	id     string   // of the object that the path names
	user   string   // whose token it has; "" for a server
	body   document // or its query's payload
	newest bool     // of an SDK that writes /api/v2
}

// author returns the user who makes a call, or the first that a server names.
func (c *call) author(named ...any) string {
	for _, v := range append([]any{c.user}, named...) {
		if id := text(v); id != "" {
			return id
		}
	}
	return ""
}

// An answer answers a call.
type answer = func(*call) (document, error)

func reply(content document) answer { return func(*call) (document, error) { return content, nil } }

// New returns an app without users. It calls c for every request.
func New(c Credentials) *API {
	s := &API{
		Now: time.Now, credentials: c, mux: http.NewServeMux(), devices: map[string][]document{}, read: map[string]objects{}, connections: map[string]*connection{},
		users: objects{}, deleted: objects{}, channels: objects{}, messages: objects{}, tasks: objects{},
	}
	s.Reset()
	s.mux.HandleFunc("GET /connect", s.connect)
	s.handle(anybody, nil, map[string]answer{
		"GET /app":     func(*call) (document, error) { return document{"app": s.app()}, nil },
		"POST /users":  s.upsertUsers,
		"PATCH /users": s.patchUsers,
		"GET /users":   s.queryUsers,
		"GET /devices": s.ownDevices, "POST /devices": s.ownDevices, "DELETE /devices": s.ownDevices,
		"POST /channels":                   s.queryChannels,
		"GET /channels":                    s.queryChannels, // Flutter
		"POST /channels/{type}/query":      s.openChannel,
		"POST /channels/{type}/{id}/query": s.openChannel,
		"GET /members":                     s.queryMembers,
		"GET /search":                      s.search, "POST /uploads/{kind}": s.upload,
		"POST /video/call/{type}/{id}":              s.product("call"),
		"POST /feeds/feed_groups/{type}/feeds/{id}": s.product("feed"),
		// What SDKs ask for by themselves, and get nothing.
		"GET /hi": reply(nil), "POST /channels/delivered": reply(nil), "POST /sync": reply(document{"events": []any{}}),
		"POST /threads": reply(document{"threads": []any{}}), "POST /drafts/query": reply(document{"drafts": []any{}}),
		others: func(c *call) (document, error) {
			return nil, notFound("the stand-in for Stream does not play %s %s", c.Method, c.URL.Path)
		},
	})
	s.handle(anybody, s.channels, map[string]answer{
		"POST /channels/{type}/{id}":               s.updateChannel,
		"PATCH /channels/{type}/{id}":              s.updateChannel,
		"DELETE /channels/{type}/{id}":             s.deleteChannel,
		"POST /channels/{type}/{id}/message":       s.sendMessage,
		"POST /channels/{type}/{id}/event":         s.sendEvent,
		"POST /channels/{type}/{id}/read":          s.markRead,
		"POST /channels/{type}/{id}/stop-watching": s.stopWatching,
		"GET /channels/{type}/{id}/messages":       s.messagesByID,
		"POST /channels/{type}/{id}/file":          s.upload, "POST /channels/{type}/{id}/image": s.upload,
	})
	s.handle(anybody, s.messages, map[string]answer{
		"GET /messages/{id}":                        s.getMessage,
		"POST /messages/{id}":                       s.updateMessage,
		"PUT /messages/{id}":                        s.updateMessage,
		"DELETE /messages/{id}":                     s.deleteMessage,
		"GET /messages/{id}/replies":                s.replies,
		"POST /messages/{id}/reaction":              s.react,
		"DELETE /messages/{id}/reaction/{reaction}": s.unreact,
	})
	s.handle(servers, nil, map[string]answer{
		"PATCH /app":             s.patchApp,
		"GET /hook/events":       reply(document{"events": streamspec.Events}),
		"POST /check_sqs":        reply(document{"status": "ok"}),
		"POST /check_sns":        reply(document{"status": "ok"}),
		"POST /users/delete":     s.batch(func(c *call, id string) { s.removeUser(id, c.body["user"] == "hard", c.body["messages"] != nil) }),
		"POST /users/deactivate": s.batch(s.deactivate),
		"POST /users/reactivate": s.batch(s.reactivate),
		"POST /users/restore":    s.restoreUsers,
		"POST /export/users":     s.exportUsers,
		"POST /moderation/ban":   s.ban,
		"DELETE /moderation/ban": s.ban,
	})
	s.handle(servers, s.tasks, map[string]answer{"GET /tasks/{id}": func(c *call) (document, error) { return s.tasks[c.id], nil }})
	s.handle(servers, s.users, map[string]answer{
		"DELETE /users/{user_id}":          s.deleteUser,
		"GET /users/{user_id}/export":      s.exportUser,
		"POST /users/{user_id}/deactivate": s.one(s.deactivate),
		"POST /users/{user_id}/reactivate": s.one(s.reactivate),
	})
	for kind, key := range collectionKeys {
		c := collection{s, kind, key}
		item := "/" + kind + "/{" + key + "}"
		s.handle(servers, nil, map[string]answer{"GET /" + kind: c.list, "POST /" + kind: c.store, "DELETE " + item: c.remove})
		if kind != "roles" {
			s.handle(servers, nil, map[string]answer{"GET " + item: c.get, "PUT " + item: c.store})
		}
	}
	return s
}

// product answers as Stream's other products do, which take the chat's key, secret and tokens,
// and keeps nothing.
func (s *API) product(kind string) answer {
	return func(c *call) (document, error) {
		author := c.author(c.body["user_id"], object(c.body["data"])["created_by_id"])
		if author == "" {
			return nil, badInput("user_id or data.created_by_id must be provided when using server side auth")
		}
		return document{
			kind:      document{"cid": c.id, "feed": c.id, "id": c.PathValue("id"), "created_by": s.known(author), "created_at": s.now()},
			"created": true, "members": []any{}, "own_capabilities": []any{}, "activities": []any{},
		}, nil
	}
}

// Reset makes the app a new one, and ends its sockets.
func (s *API) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.connections {
		c.end()
	}
	s.configs = []config{freshConfig()}
	for _, all := range []objects{s.users, s.deleted, s.channels, s.messages, s.tasks} {
		clear(all)
	}
	clear(s.devices)
	clear(s.read)
	clear(s.connections)
	s.sent, s.ahead = nil, 0
}

// Configure sets the app's settings, as PATCH /app does.
func (s *API) Configure(settings map[string]any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.patchApp(&call{body: plain(settings)})
	return err
}

// PutUser creates or replaces a user.
func (s *API) PutUser(user map[string]any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.upsertUsers(&call{body: document{"users": document{text(user["id"]): plain(user)}}})
	return err
}

// SetTime sets the app's clock, which goes on from there.
func (s *API) SetTime(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead = t.Sub(s.Now())
}

func (s *API) clock() time.Time { return s.Now().Add(s.ahead) }

// ServeHTTP answers the calls of all of Stream's SDKs: the newest write the paths with
// /api/v2 in front, or with /api/v2/chat.
func (s *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, prefix := range []string{"/api/v2/chat", "/api/v2"} {
		if strings.HasPrefix(r.URL.Path, prefix+"/") {
			http.StripPrefix(prefix, s.mux).ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), newest{}, true)))
			return
		}
	}
	s.mux.ServeHTTP(w, r)
}

// Who may make a call.
const (
	anybody = false
	servers = true
)

// others is the pattern of all calls that no other matches.
const others = "/"

// handle has the calls answered that match the patterns. The objects that their paths name
// must be among those given, if any are.
func (s *API) handle(serverOnly bool, among objects, calls map[string]answer) {
	for pattern, answer := range calls {
		spec, described := streamspec.Calls()[pattern]
		s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			began := time.Now()
			c := &call{Request: r, query: r.URL.Query(), id: cmp.Or(r.PathValue("id"), r.PathValue("user_id")), newest: r.Context().Value(newest{}) != nil}
			if kind := r.PathValue("type"); kind != "" {
				c.id = kind + ":" + c.id
			}
			strict, err := s.identify(c, serverOnly)
			if err == nil && pattern != others {
				c.body, err = c.receive(spec, strict && described)
			}
			var content document
			if err == nil {
				content, err = s.answer(c, among, answer)
			}
			status, object := cmp.Or(spec.Status, http.StatusOK), "any"
			if err != nil {
				content = errorDocument(err)
				status = content["StatusCode"].(int)
			} else if strict && described {
				object = spec.Answer
			}
			content = changed(content, document{"duration": fmt.Sprintf("%.2fms", float64(time.Since(began).Microseconds())/1000)})
			buffer := buffers.Get().(*[]byte)
			*buffer = streamspec.Append((*buffer)[:0], object, content)
			if c.newest {
				*buffer = withNumbers(*buffer)
			}
			w.Header().Set("Content-Length", strconv.Itoa(len(*buffer)))
			writeHeader(w, status, "9999", began.Truncate(time.Minute).Add(time.Minute)) // no limit is enforced
			_, _ = w.Write(*buffer)
			buffers.Put(buffer)
		})
	}
}

// identify finds out who makes a call. It reports whether it is a server: what an app sends
// is not held to Stream's description, which is of servers' calls.
func (s *API) identify(c *call, serverOnly bool) (server bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.user, err = s.userOf(c.query.Get("api_key"), c.Header.Get("Stream-Auth-Type"), c.Header.Get("Authorization"))
	if err == nil && serverOnly && c.user != "" {
		err = &streamError{17, http.StatusForbidden, "user " + c.user + " is not allowed to do that: it needs a server's token"}
	}
	return c.user == "", err
}

// answer answers a call, and then has its webhooks called.
func (s *API) answer(c *call, among objects, answer answer) (document, error) {
	s.mu.Lock()
	if among != nil && among[c.id] == nil {
		answer = func(*call) (document, error) {
			return nil, notFound("%s %s: %q does not exist", c.Method, c.URL.Path, c.id)
		}
	}
	content, err := answer(c)
	calls := s.calls
	s.calls = nil
	s.mu.Unlock()
	for _, call := range calls {
		atOnce <- struct{}{}
		go func() {
			defer func() { <-atOnce }()
			call()
		}()
	}
	return content, err
}

// buffers are for answers: one with many users is long.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// streamError is an error in Stream's shape.
type streamError struct {
	code, status int
	message      string
}

func (e *streamError) Error() string { return e.message }

func errorDocument(err error) document {
	e := &streamError{-1, http.StatusInternalServerError, "internal error"}
	errors.As(err, &e)
	return document{
		"code": e.code, "message": e.message, "StatusCode": e.status,
		"more_info": "https://getstream.io/chat/docs/api_errors_response", "details": []int{},
	}
}

func writeHeader(w http.ResponseWriter, status int, remaining string, reset time.Time) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Ratelimit-Limit", "10000")
	h.Set("X-Ratelimit-Remaining", remaining)
	h.Set("X-Ratelimit-Reset", strconv.FormatInt(reset.Unix(), 10))
	w.WriteHeader(status)
}

// Refuse returns a fault that answers every call with an error in Stream's shape. A 429
// asks for a second's patience.
func Refuse(status, code int) standin.Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		if status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "1")
		}
		writeHeader(w, status, "0", time.Now().Add(time.Second))
		_ = json.NewEncoder(w).Encode(errorDocument(&streamError{code, status, "a fault is switched on"}))
	}
}

func badInput(format string, args ...any) error {
	return &streamError{4, http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) error {
	return &streamError{16, http.StatusNotFound, fmt.Sprintf(format, args...)}
}

func unauthorized(code int, message string) error {
	return &streamError{code, http.StatusUnauthorized, message}
}

// receive returns the body of a request, or the payload of its query. Of a server's, all
// must be as Stream's description has it.
func (c *call) receive(spec streamspec.Call, strict bool) (document, error) {
	query, what, object := c.query, "body", spec.Body
	if query.Has("payload") {
		what = "payload"
	}
	for name := range query {
		if _, known := spec.Query[name]; strict && !known && name != "api_key" {
			return nil, badInput("%s is not a known parameter", name)
		}
	}
	for name, field := range spec.Query {
		switch v := query.Get(name); {
		case v == "" && field.Required && strict:
			return nil, badInput("%s is a required field", name)
		case name == "payload":
			what, object = name, field.Type
		case v != "" && field.Type == "integer", strict && v != "" && field.Type == "boolean" && v != "true" && v != "false":
			if problems := field.Problems(name, json.Number(v)); len(problems) > 0 {
				return nil, badInput("%s", problems[0])
			}
		}
	}
	text := []byte(query.Get("payload"))
	if what == "payload" && len(text) == 0 || strings.HasPrefix(c.Header.Get("Content-Type"), "multipart/") && object == "" {
		return document{}, nil
	}
	if what == "body" && (object != "" || !strict) {
		var body bytes.Buffer
		body.Grow(int(min(max(c.ContentLength, 0), maxBody)) + bytes.MinRead)
		if _, err := body.ReadFrom(io.LimitReader(c.Body, maxBody+1)); err != nil || body.Len() > maxBody {
			return nil, badInput("the body cannot be read")
		}
		text = body.Bytes()
	}
	if len(text) == 0 || string(text) == "null" { // as getstream-go writes an empty request
		text = []byte("{}")
	}
	content, err := decode(what, text)
	if err == nil && strict && object != "" {
		if problem := streamspec.Check(object, content); problem != nil {
			err = badInput("%s failed with error: %q", strings.TrimSuffix(object, "Request"), problem)
		}
		rows := streamspec.Objects()[object]
		maps.DeleteFunc(content, func(name string, v any) bool { return v == nil && !rows[name].Nullable }) // is as none
	}
	return content, err
}

// decode keeps numbers as they are written: a float64 would change those beyond 2^53. What it
// returns shares the memory of text. It takes 0.4 of the time of encoding/json, which an import of
// users waits for.
func decode(what string, text []byte) (content document, err error) {
	rest, err := json.Parse(text, &content, json.UseNumber|json.DontCopyString|json.DontCopyNumber)
	if err != nil || content == nil || len(rest) > 0 {
		return nil, badInput("the %s is not a JSON object", what)
	}
	return content, nil
}

// now is the time as Stream writes it.
func (s *API) now() string {
	return s.clock().UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano)
}

// The following return v, or something empty if it is of another type.

func text(v any) string     { s, _ := v.(string); return s }
func object(v any) document { d, _ := v.(document); return d }
func list(v any) []any      { l, _ := v.([]any); return l }

// textOf returns a number as it was written; "" for everything else.
func textOf(v any) string { n, _ := v.(json.Number); return n.String() }

// changed returns a copy of a document with other values for some fields.
func changed(d, set document) document {
	d = maps.Clone(d)
	if d == nil {
		d = document{}
	}
	maps.Copy(d, set)
	return d
}

// plain returns v as JSON has it: documents, lists, texts and numbers only.
func plain(v document) (d document) {
	text, _ := json.Marshal(v)
	d, _ = decode("answer", text)
	return d
}

// number returns v if it is a number above 0, and otherwise preset.
func number(v any, preset int) int {
	if n, err := strconv.Atoi(fmt.Sprint(v)); err == nil && n > 0 {
		return n
	}
	return preset
}
