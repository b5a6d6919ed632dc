// Package streamapi stands in for Stream's REST API: users, channels, messages
// and the app's configuration in memory, enough for a tour and for tests.
// https://getstream.io/chat/docs/rest/
package streamapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

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

	// Compress has webhooks compressed, as an app can have them.
	Compress bool
	// Hooked gets each webhook and hook that was answered; may be nil.
	Hooked func(payload map[string]any, status int, answer []byte)

	credentials Credentials
	mux         *http.ServeMux

	mu       sync.Mutex
	configs  []config // oldest first; the last is as written, the first as read
	tasks    map[string]document
	users    map[string]document
	deleted  map[string]document            // users, of whom the softly deleted can be restored
	devices  map[string][]document          // by user
	channels map[string]document            // by cid, "messaging:general"
	messages []document                     // oldest first
	read     map[string]map[string]document // by cid and user

	ids         map[string]bool        // of these messages, and of those that were deleted since
	connections map[string]*connection // by id
	calls       []func()               // of webhooks, to be made once mu is free
	ahead       time.Duration          // of Now
}

// document is any JSON object, such as a user, with fields of anyone's own. One
// that is stored never changes: an answer may still be written from it.
type document = map[string]any

const (
	maxBody     = 10 << 20 // bytes of a request
	maxMessages = 12_000   // the oldest thousand go when there are more
)

// An answer answers a request with its body, or its query's payload.
type answer = func(r *http.Request, body document) (document, error)

func reply(content document) answer {
	return func(*http.Request, document) (document, error) { return content, nil }
}

// New returns an app without users. It calls c for every request.
func New(c Credentials) *API {
	s := &API{Now: time.Now, credentials: c, mux: http.NewServeMux()}
	s.Reset()
	nothing := reply(document{"events": []any{}, "threads": []any{}, "drafts": []any{}, "channels": []any{}, "total_unread_count": 0})
	s.mux.HandleFunc("GET /connect", s.connect)
	s.handle(anybody, map[string]answer{
		"GET /app":      func(*http.Request, document) (document, error) { return document{"app": s.seen().app}, nil },
		"POST /users":   s.upsertUsers,
		"PATCH /users":  s.patchUsers,
		"GET /users":    s.queryUsers,
		"GET /devices":  s.listDevices,
		"POST /devices": s.addDevice, "DELETE /devices": s.removeDevice,

		"POST /channels":                           s.queryChannels,
		"POST /channels/{type}/query":              s.openChannel,
		"POST /channels/{type}/{id}/query":         s.openChannel,
		"POST /channels/{type}/{id}":               s.existing("UpdateChannel", s.updateChannel),
		"PATCH /channels/{type}/{id}":              s.existing("UpdateChannelPartial", s.updateChannel),
		"DELETE /channels/{type}/{id}":             s.existing("DeleteChannel", s.deleteChannel),
		"POST /channels/{type}/{id}/message":       s.existing("SendMessage", s.sendMessage),
		"GET /channels/{type}/{id}/messages":       s.existing("GetManyMessages", s.messagesByID),
		"POST /channels/{type}/{id}/event":         s.existing("SendEvent", s.sendEvent),
		"POST /channels/{type}/{id}/read":          s.existing("MarkRead", s.markRead),
		"POST /channels/{type}/{id}/stop-watching": s.stopWatching,
		"GET /members":                             s.queryMembers,

		"GET /messages/{id}":                    s.getMessage,
		"POST /messages/{id}":                   s.updateMessage,
		"PUT /messages/{id}":                    s.updateMessage,
		"DELETE /messages/{id}":                 s.deleteMessage,
		"GET /messages/{id}/replies":            s.replies,
		"GET /messages/{id}/reactions":          s.getMessage,
		"POST /messages/{id}/reaction":          s.react,
		"DELETE /messages/{id}/reaction/{type}": s.unreact,

		"GET /search": s.search, "POST /uploads/{kind}": s.upload, "POST /channels/{type}/{id}/file": s.upload, "POST /channels/{type}/{id}/image": s.upload,

		"GET /hi": nothing, "POST /channels/delivered": nothing, "POST /threads": nothing, "POST /sync": nothing,
		"POST /drafts/query": nothing, "GET /unread": nothing,

		// One of each other product: they have the chat's key, secret and tokens.
		"POST /video/call/{type}/{id}":              s.product("call", document{"members": []any{}, "own_capabilities": []any{}}),
		"POST /feeds/feed_groups/{type}/feeds/{id}": s.product("feed", document{"activities": []any{}}),
		"/": func(r *http.Request, _ document) (document, error) {
			return nil, notFound("the stand-in for Stream has no %s %s", r.Method, r.URL.Path)
		},
	})
	s.handle(servers, map[string]answer{
		"PATCH /app":       s.patchApp,
		"GET /hook/events": reply(document{"events": streamspec.Events}),
		"POST /check_sqs":  reply(document{"status": "ok"}),
		"POST /check_sns":  reply(document{"status": "ok"}),

		"POST /users/delete":               s.deleteUsers,
		"POST /users/restore":              s.restoreUsers,
		"POST /export/users":               s.exportUsers,
		"GET /tasks/{id}":                  s.getTask,
		"DELETE /users/{user_id}":          s.deleteUser,
		"POST /users/{user_id}/deactivate": s.deactivateUser,
		"POST /users/{user_id}/reactivate": s.reactivateUser,
		"GET /users/{user_id}/export":      s.exportUser,
		"POST /moderation/ban":             s.ban,
		"DELETE /moderation/ban":           s.unban,
	})
	for kind, key := range collectionKeys {
		c := collection{s, kind, key}
		item := "/" + kind + "/{" + key + "}"
		s.handle(servers, map[string]answer{"GET /" + kind: c.list, "POST /" + kind: c.create, "DELETE " + item: c.remove})
		if kind != "roles" {
			s.handle(servers, map[string]answer{"GET " + item: c.get, "PUT " + item: c.update})
		}
	}
	return s
}

// product answers with something of another product that is its caller's.
func (s *API) product(kind string, more document) answer {
	return func(r *http.Request, body document) (document, error) {
		author := cmp.Or(caller(r), text(body["user_id"]), text(object(body["data"])["created_by_id"]))
		if author == "" {
			return nil, badInput("user_id or data.created_by_id must be provided when using server side auth")
		}
		id := document{"cid": cid(r), "feed": cid(r), "group_id": r.PathValue("type"), "type": r.PathValue("type"), "id": r.PathValue("id")}
		return changed(more, document{kind: changed(id, document{"created_by": s.known(author), "created_at": s.now()}), "created": true}), nil
	}
}

// Reset makes the app a new one, and ends its sockets.
func (s *API) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.connections {
		c.slow()
	}
	s.configs = []config{{app: freshApp(), collections: freshCollections()}}
	s.tasks, s.users, s.deleted = map[string]document{}, map[string]document{}, map[string]document{}
	s.devices, s.channels, s.messages = map[string][]document{}, map[string]document{}, nil
	s.ids = map[string]bool{}
	s.read, s.connections, s.ahead = map[string]map[string]document{}, map[string]*connection{}, 0
}

// Configure sets the app's settings, as PATCH /app does.
func (s *API) Configure(settings map[string]any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.patchApp(nil, plain(settings))
	return err
}

// PutUser creates or replaces a user.
func (s *API) PutUser(user map[string]any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := text(user["id"])
	_, err := s.upsertUsers(nil, document{"users": document{id: plain(user)}})
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
		if rest := strings.TrimPrefix(r.URL.Path, prefix); rest != r.URL.Path && strings.HasPrefix(rest, "/") {
			short := *r.URL
			short.Path, short.RawPath = rest, strings.TrimPrefix(r.URL.RawPath, prefix)
			r = r.WithContext(context.WithValue(r.Context(), newest{}, true)) // a copy
			r.URL = &short
			break
		}
	}
	s.mux.ServeHTTP(w, r)
}

type callerKey struct{}

// caller returns the user whose token a request has, or "" for a server's.
func caller(r *http.Request) string {
	user, _ := r.Context().Value(callerKey{}).(string)
	return user
}

// Who may make a call.
const (
	anybody = false
	servers = true
)

// handle has the calls answered that match the patterns.
func (s *API) handle(serverOnly bool, calls map[string]answer) {
	for pattern, answer := range calls {
		s.mux.Handle(pattern, s.handler(pattern, serverOnly, answer))
	}
}

// handler calls answer after the check that a request is as Stream's description wants it.
func (s *API) handler(pattern string, serverOnly bool, answer answer) http.HandlerFunc {
	call, known := streamspec.Calls[pattern]
	return func(w http.ResponseWriter, r *http.Request) {
		began, call := time.Now(), call
		s.mu.Lock()
		user, err := s.identify(r.URL.Query().Get("api_key"), r.Header.Get("Stream-Auth-Type"), r.Header.Get("Authorization"))
		s.mu.Unlock()
		var content document
		switch {
		case err != nil:
		case user == "":
			if !known {
				call.Body = "any"
			}
			content, err = s.receive(r, call, !known)
		case serverOnly:
			err = &streamError{17, http.StatusForbidden, "user " + user + " is not allowed to do that: it needs a server's token"}
		default:
			// What an app sends is not held to the description, which is of servers' calls.
			r = r.WithContext(context.WithValue(r.Context(), callerKey{}, user))
			call.Body = "any"
			content, err = s.receive(r, call, true)
		}
		if err == nil {
			s.mu.Lock()
			content, err = answer(r, content)
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
		}
		status := call.Status
		if err != nil {
			content = errorDocument(err)
			status = content["StatusCode"].(int)
		}
		content = changed(content, document{"duration": fmt.Sprintf("%.2fms", float64(time.Since(began).Microseconds())/1000)})
		object := "any"
		if known && err == nil && user == "" {
			object = call.Answer
		}
		h := w.Header()
		h.Set("Content-Type", "application/json")
		// No limit is enforced.
		h.Set("X-Ratelimit-Limit", "10000")
		h.Set("X-Ratelimit-Remaining", "9999")
		h.Set("X-Ratelimit-Reset", strconv.FormatInt(began.Truncate(time.Minute).Add(time.Minute).Unix(), 10))
		w.WriteHeader(cmp.Or(status, http.StatusOK))
		buffer := buffers.Get().(*[]byte)
		*buffer = streamspec.Append((*buffer)[:0], object, content)
		if r.Context().Value(newest{}) != nil {
			*buffer = withNumbers(*buffer)
		}
		_, _ = w.Write(*buffer)
		buffers.Put(buffer)
	}
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

// Refuse returns a fault that answers every call with an error in Stream's shape. A 429
// asks for a second's patience.
func Refuse(status, code int) standin.Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		h := w.Header()
		h.Set("Content-Type", "application/json")
		if status == http.StatusTooManyRequests {
			h.Set("Retry-After", "1")
			h.Set("X-Ratelimit-Limit", "10000")
			h.Set("X-Ratelimit-Remaining", "0")
			h.Set("X-Ratelimit-Reset", strconv.FormatInt(time.Now().Unix()+1, 10))
		}
		w.WriteHeader(status)
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

// receive checks a request, unless lenient, and returns its body, or the payload of its query.
func (s *API) receive(r *http.Request, call streamspec.Call, lenient bool) (document, error) {
	what, object, text := "body", call.Body, []byte(nil)
	query := r.URL.Query()
	for name := range query {
		if _, ok := call.Query[name]; !ok && !lenient && name != "api_key" {
			return nil, badInput("%s is not a known parameter", name)
		}
	}
	for name, field := range call.Query {
		switch v := query.Get(name); {
		case v == "" && field.Required && !lenient:
			return nil, badInput("%s is a required field", name)
		case name == "payload":
			what, object, text = "payload", field.Type, []byte(v)
		case v != "" && field.Type == "integer":
			if problems := field.Problems(name, json.Number(v)); len(problems) > 0 {
				return nil, badInput("%s", problems[0])
			}
		}
	}
	if object == "" || lenient && strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
		return document{}, nil
	}
	if what == "body" {
		var body bytes.Buffer
		body.Grow(int(min(max(r.ContentLength, 0), maxBody)) + bytes.MinRead)
		if _, err := body.ReadFrom(io.LimitReader(r.Body, maxBody+1)); err != nil || body.Len() > maxBody {
			return nil, badInput("the body cannot be read")
		}
		text = body.Bytes()
	} else if len(text) == 0 {
		return document{}, nil
	}
	if len(text) == 0 || lenient && string(text) == "null" { // as getstream-go writes an empty request
		text = []byte("{}")
	}
	content, err := decode(what, text)
	if err != nil {
		return nil, err
	}
	if lenient {
		return content, nil
	}
	if err := streamspec.Check(object, content); err != nil {
		return nil, badInput("%s failed with error: %q", strings.TrimSuffix(object, "Request"), err)
	}
	return content, nil
}

// decode keeps numbers as they are written: a float64 would change those beyond
// 2^53.
func decode(what string, text []byte) (document, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var d document
	if err := decoder.Decode(&d); err != nil || d == nil || decoder.More() {
		return nil, badInput("the %s is not a JSON object", what)
	}
	return d, nil
}

// now is the time as Stream writes it.
func (s *API) now() string {
	return s.clock().UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano)
}

// The following return v, or something empty if it is of another type.

func text(v any) string     { s, _ := v.(string); return s }
func object(v any) document { d, _ := v.(document); return d }
func list(v any) []any      { l, _ := v.([]any); return l }

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

// pick returns the documents that match query's filter_conditions and are not hidden, in order of
// their ids, from offset on and at most limit.
func pick(all map[string]document, query document, limit int, hidden func(document) bool) ([]document, error) {
	filter := object(query["filter_conditions"])
	if filter == nil && query["filter_conditions"] != nil {
		return nil, badInput("filter_conditions must be an object")
	}
	if _, err := matches(nil, filter); err != nil {
		return nil, err // also when there is nothing to find
	}
	found, ids := []document{}, []string{}
	if in := list(object(filter["id"])["$in"]); in != nil { // at once, however many others there are
		for _, id := range in {
			if all[text(id)] != nil {
				ids = append(ids, text(id))
			}
		}
	} else {
		ids = slices.Collect(maps.Keys(all))
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		if yes, err := matches(all[id], filter); err != nil {
			return nil, err
		} else if yes && !(hidden != nil && hidden(all[id])) {
			found = append(found, all[id])
		}
	}
	found = found[min(number(query["offset"], 0), len(found)):]
	return found[:min(number(query["limit"], limit), len(found))], nil
}

// number returns v if it is a number above 0, and otherwise preset.
func number(v any, preset int) int {
	if n, err := strconv.Atoi(fmt.Sprint(v)); err == nil && n > 0 {
		return n
	}
	return preset
}

// matches knows Stream's operators, apart from $q and those for places.
func matches(doc, filter document) (bool, error) {
	all := true
	for field, want := range filter {
		if field == "$and" || field == "$or" || field == "$nor" {
			some, every := false, true
			for _, v := range list(want) {
				yes, err := matches(doc, object(v))
				if err != nil {
					return false, err
				}
				some, every = some || yes, every && yes
			}
			all = all && (field == "$and" && every || field == "$or" && some || field == "$nor" && !some)
			continue
		}
		conditions, ok := want.(document)
		if !ok {
			conditions = document{"$eq": want}
		}
		for operator, want := range conditions {
			match := operators[operator]
			if match == nil {
				return false, badInput("%s: the stand-in for Stream does not know %s", field, operator)
			}
			if _, ok := want.([]any); !ok && strings.HasSuffix(operator, "in") {
				return false, badInput("%s: %s wants a list", field, operator)
			}
			all = all && match(doc[field], want)
		}
	}
	return all, nil
}

var operators = map[string]func(got, want any) bool{
	"$eq":       equal,
	"$contains": equal,
	"$ne":       func(got, want any) bool { return !equal(got, want) },
	"$in":       isOneOf,
	"$nin":      func(got, want any) bool { return !isOneOf(got, want) },
	"$gt":       func(got, want any) bool { return compare(got, want) > 0 },
	"$gte":      func(got, want any) bool { return equal(got, want) || compare(got, want) > 0 },
	"$lt":       func(got, want any) bool { return compare(got, want) < 0 },
	"$lte":      func(got, want any) bool { return equal(got, want) || compare(got, want) < 0 },
	"$exists":   func(got, want any) bool { return (got != nil) == (want == true) },
	"$autocomplete": func(got, want any) bool {
		return slices.ContainsFunc(strings.Fields(strings.ToLower(text(got))), func(word string) bool {
			return strings.HasPrefix(word, strings.ToLower(text(want)))
		})
	},
}

func isOneOf(got, want any) bool {
	return slices.ContainsFunc(list(want), func(v any) bool { return equal(got, v) })
}

// compare returns 0 for values that have no order.
func compare(got, want any) int {
	a, errA := strconv.ParseFloat(textOf(got), 64)
	b, errB := strconv.ParseFloat(textOf(want), 64)
	switch {
	case errA == nil && errB == nil:
		return cmp.Compare(a, b)
	case text(got) != "" && text(want) != "":
		return strings.Compare(text(got), text(want)) // of times, too
	}
	return 0
}

// equal compares JSON values. A list, such as a channel's members, also equals
// each of its items.
func equal(got, want any) bool {
	return reflect.DeepEqual(got, want) || slices.ContainsFunc(list(got), func(v any) bool { return reflect.DeepEqual(v, want) })
}
