// Package streamapi stands in for Stream's REST API: users, channels, messages
// and the app's configuration in memory, enough for a tour and for tests.
// https://getstream.io/chat/docs/rest/
package streamapi

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v4"
)

// Credentials returns the app's key and the secrets that sign its server
// tokens, none of them empty.
type Credentials func() (key string, secrets []string, err error)

// API is one app at Stream.
type API struct {
	credentials Credentials

	mu          sync.Mutex
	app         document
	collections collections
	users       map[string]document
	channels    map[string]document // by cid, "messaging:general"
	messages    map[string]document
	perCID      map[string][]string // ids of a channel's messages, oldest first
	deleted     map[string]bool     // ids of users
	devices     map[string][]document
	budget      int // calls left in the minute that ends at reset
	reset       time.Time
}

// document is a user, a channel or a message: JSON with fields of anyone's own.
type document = map[string]any

// maxBody is the longest request body, in bytes.
const maxBody = 10 << 20

// rateLimit is in calls a minute. It is counted down and never enforced.
const rateLimit = 10000

// New returns an app without users that takes these credentials. They are asked
// for on every call.
func New(c Credentials) *API {
	return &API{
		credentials: c,
		app:         freshApp(),
		collections: freshCollections(),
		users:       map[string]document{},
		channels:    map[string]document{},
		messages:    map[string]document{},
		perCID:      map[string][]string{},
		deleted:     map[string]bool{},
		devices:     map[string][]document{},
	}
}

// streamError is an error in Stream's shape.
type streamError struct {
	Code       int    `json:"code"`
	Message    string `json:"message"`
	StatusCode int    `json:"StatusCode"`
	Duration   string `json:"duration"`
	MoreInfo   string `json:"more_info"`
	Details    []int  `json:"details"`
}

func (e *streamError) Error() string { return e.Message }

func badInput(format string, args ...any) error {
	return &streamError{Code: 4, StatusCode: http.StatusBadRequest, Message: fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) error {
	return &streamError{Code: 16, StatusCode: http.StatusNotFound, Message: fmt.Sprintf(format, args...)}
}

func (s *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	s.mu.Lock()
	if began.After(s.reset) {
		s.budget, s.reset = rateLimit, began.Truncate(time.Minute).Add(time.Minute)
	}
	s.budget = max(0, s.budget-1)
	h := w.Header()
	h.Set("X-Ratelimit-Limit", strconv.Itoa(rateLimit))
	h.Set("X-Ratelimit-Remaining", strconv.Itoa(s.budget))
	h.Set("X-Ratelimit-Reset", strconv.FormatInt(s.reset.Unix(), 10))
	s.mu.Unlock()

	status, body, err := s.answer(r)
	took := float64(time.Since(began).Microseconds()) / 1000
	duration := strconv.FormatFloat(took, 'f', 2, 64) + "ms"
	h.Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	if err != nil {
		e, ok := err.(*streamError)
		if !ok {
			e = &streamError{Code: -1, StatusCode: http.StatusInternalServerError, Message: "internal error"}
		}
		e.Duration = duration
		e.Details = []int{}
		e.MoreInfo = "https://getstream.io/chat/docs/api_errors_response"
		w.WriteHeader(e.StatusCode)
		encoder.Encode(e)
		return
	}
	body["duration"] = duration
	w.WriteHeader(status)
	encoder.Encode(body)
}

// authenticate checks the API key and the server token.
func (s *API) authenticate(r *http.Request) error {
	key, secrets, err := s.credentials()
	if err != nil {
		return err
	}
	if got := r.URL.Query().Get("api_key"); got != key {
		return &streamError{Code: 2, StatusCode: http.StatusUnauthorized, Message: "api_key not valid"}
	}
	if r.Header.Get("Stream-Auth-Type") != "jwt" {
		return &streamError{Code: 5, StatusCode: http.StatusUnauthorized, Message: "Stream-Auth-Type must be jwt"}
	}
	token := r.Header.Get("Authorization")
	if token == "" {
		return &streamError{Code: 5, StatusCode: http.StatusUnauthorized, Message: "Authorization is missing"}
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}))
	for _, secret := range secrets {
		claims := jwt.MapClaims{}
		_, err := parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return []byte(secret), nil })
		if err != nil {
			continue
		}
		if claims["server"] != true {
			return &streamError{Code: 5, StatusCode: http.StatusUnauthorized, Message: "want a server token"}
		}
		return nil
	}
	return &streamError{Code: 43, StatusCode: http.StatusUnauthorized, Message: "JWTAuth error: signature is not valid"}
}

func (s *API) answer(r *http.Request) (int, document, error) {
	if err := s.authenticate(r); err != nil {
		return 0, nil, err
	}
	var parts []string
	for part := range strings.SplitSeq(strings.Trim(r.URL.EscapedPath(), "/"), "/") {
		plain, err := url.PathUnescape(part)
		if err != nil {
			return 0, nil, badInput("the path is not percent-encoded")
		}
		parts = append(parts, plain)
	}
	body := document{}
	if r.Method != http.MethodGet && r.Method != http.MethodDelete {
		text, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
		if err != nil || len(text) > maxBody {
			return 0, nil, badInput("the body cannot be read")
		}
		if len(text) > 0 {
			if body, err = decodeDocument(text); err != nil {
				return 0, nil, badInput("the body is not a JSON object")
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(parts)
	switch {
	case n == 1 && parts[0] == "app" && r.Method == http.MethodGet:
		return http.StatusOK, document{"app": s.app}, nil
	case n == 1 && parts[0] == "app" && r.Method == http.MethodPatch:
		return s.patchApp(body)
	case n <= 2 && s.collections[parts[0]] != nil:
		return s.configure(r.Method, parts[0], strings.Join(parts[1:], ""), body)
	case n == 1 && parts[0] == "users":
		switch r.Method {
		case http.MethodPost:
			return s.upsertUsers(body)
		case http.MethodPatch:
			return s.patchUsers(body)
		case http.MethodGet:
			return s.queryUsers(r.URL.Query().Get("payload"))
		}
	case n == 1 && parts[0] == "channels" && r.Method == http.MethodPost:
		return s.queryChannels(body)
	case n == 3 && parts[0] == "channels" && r.Method == http.MethodDelete:
		return s.deleteChannel(parts[1] + ":" + parts[2])
	case n == 4 && parts[0] == "channels" && parts[3] == "query" && r.Method == http.MethodPost:
		return s.channel(parts[1], parts[2], body)
	case n == 4 && parts[0] == "channels" && parts[3] == "message" && r.Method == http.MethodPost:
		return s.sendMessage(parts[1]+":"+parts[2], body)
	case n == 2 && parts[0] == "messages" && r.Method == http.MethodGet:
		m, ok := s.messages[parts[1]]
		if !ok {
			return 0, nil, notFound("Can't find message with id %s", parts[1])
		}
		return http.StatusOK, document{"message": s.message(m)}, nil
	}
	return s.lives(r.Method, parts, r.URL.Query(), body)
}

// decodeDocument keeps numbers as they are written: a float64 would change
// those beyond 2^53.
func decodeDocument(text []byte) (document, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var d document
	if err := decoder.Decode(&d); err != nil {
		return nil, err
	}
	if d == nil || decoder.More() {
		return nil, errors.New("want one JSON object")
	}
	return d, nil
}

// userID is Stream's rule for user ids.
var userID = regexp.MustCompile(`^[@\w-]{1,255}$`)

func now() string { return time.Now().UTC().Format("2006-01-02T15:04:05.000000Z") }

func (s *API) upsertUsers(body document) (int, document, error) {
	users, _ := body["users"].(document)
	if len(users) == 0 || len(users) > 100 {
		return 0, nil, badInput(`UpdateUsers failed with error: "users" must have 1 to 100 items`)
	}
	changed := document{}
	for id, v := range users {
		user, ok := v.(document)
		if !ok || user["id"] != id {
			return 0, nil, badInput(`UpdateUsers failed with error: the key and the id of "users.%s" must be equal`, id)
		}
		if !userID.MatchString(id) {
			return 0, nil, badInput("UpdateUsers failed with error: id %q has characters other than a-z, 0-9, @, _ and -", id)
		}
		if s.deleted[id] {
			return 0, nil, notFound("UpdateUsers failed with error: user %q was deleted", id)
		}
	}
	for id, v := range users {
		changed[id] = s.putUser(id, v.(document))
	}
	return http.StatusCreated, document{"users": changed, "membership_deletion_task_id": ""}, nil
}

// putUser replaces what a caller may set of a user.
func (s *API) putUser(id string, fields document) document {
	user := maps.Clone(fields)
	user["id"] = id
	if user["role"] == nil {
		user["role"] = "user"
	}
	user["created_at"], user["banned"], user["online"] = now(), false, false
	for _, own := range []string{"created_at", "banned", "deactivated_at", "revoke_tokens_issued_before"} {
		if before, ok := s.users[id][own]; ok {
			user[own] = before
		}
	}
	user["updated_at"] = now()
	s.users[id] = user
	return user
}

func (s *API) patchUsers(body document) (int, document, error) {
	updates, _ := body["users"].([]any)
	if len(updates) == 0 {
		return 0, nil, badInput(`UpdateUsersPartial failed with error: "users" is a required field`)
	}
	changed := document{}
	for _, v := range updates {
		update, _ := v.(document)
		id, _ := update["id"].(string)
		user, ok := s.users[id]
		if !ok {
			return 0, nil, notFound("UpdateUsersPartial failed with error: user %q does not exist", id)
		}
		user = maps.Clone(user)
		set, _ := update["set"].(document)
		for field, v := range set {
			assign(user, field, v)
		}
		unset, _ := update["unset"].([]any)
		for _, field := range unset {
			if name, ok := field.(string); ok {
				remove(user, name)
			}
		}
		user["id"], user["updated_at"] = id, now()
		s.users[id] = user
		changed[id] = user
	}
	return http.StatusOK, document{"users": changed}, nil
}

// assign sets a field, a dotted name being one of an object's. Objects on the
// way are copied: answers may still be written from the old ones.
func assign(doc document, name string, v any) {
	field, rest, dotted := strings.Cut(name, ".")
	if !dotted {
		doc[field] = v
		return
	}
	inner, _ := doc[field].(document)
	inner = maps.Clone(inner)
	if inner == nil {
		inner = document{}
	}
	doc[field] = inner
	assign(inner, rest, v)
}

func remove(doc document, name string) {
	field, rest, dotted := strings.Cut(name, ".")
	if !dotted {
		delete(doc, field)
		return
	}
	if inner, ok := doc[field].(document); ok {
		inner = maps.Clone(inner)
		doc[field] = inner
		remove(inner, rest)
	}
}

func (s *API) queryUsers(payload string) (int, document, error) {
	query := document{}
	if payload != "" {
		var err error
		if query, err = decodeDocument([]byte(payload)); err != nil {
			return 0, nil, badInput("QueryUsers failed with error: payload is not a JSON object")
		}
	}
	users := maps.Clone(s.users)
	if query["include_deactivated_users"] != true {
		maps.DeleteFunc(users, func(_ string, user document) bool { return user["deactivated_at"] != nil })
	}
	found, err := pick(users, query, 30)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, document{"users": found}, nil
}

// pick returns the documents that match query's filter_conditions, in order of
// their ids, from offset on and at most limit.
func pick(all map[string]document, query document, limit int) ([]document, error) {
	filter, ok := query["filter_conditions"].(document)
	if !ok && query["filter_conditions"] != nil {
		return nil, badInput("filter_conditions must be an object")
	}
	if _, err := matches(document{}, filter); err != nil {
		return nil, err // even where there is nothing to find
	}
	if n, err := whole(query["limit"]); err == nil && n > 0 && n <= 100 {
		limit = n
	}
	offset := 0
	if n, err := whole(query["offset"]); err == nil && n > 0 && n <= 1000 {
		offset = n
	}
	found := []document{}
	for _, id := range slices.Sorted(maps.Keys(all)) {
		yes, err := matches(all[id], filter)
		if err != nil {
			return nil, err
		}
		if yes && offset > 0 {
			offset--
		} else if yes && len(found) < limit {
			found = append(found, all[id])
		}
	}
	return found, nil
}

func whole(v any) (int, error) { return strconv.Atoi(fmt.Sprint(v)) }

// matches knows equality, $eq and $in.
func matches(doc, filter document) (bool, error) {
	all := true
	for field, want := range filter {
		got := doc[field]
		conditions, ok := want.(document)
		if !ok {
			conditions = document{"$eq": want}
		}
		for operator, want := range conditions {
			switch operator {
			case "$eq":
				all = all && equal(got, want)
			case "$in":
				list, ok := want.([]any)
				if !ok {
					return false, badInput("%s: $in wants a list", field)
				}
				all = all && slices.ContainsFunc(list, func(v any) bool { return equal(got, v) })
			default:
				return false, badInput("%s: the stand-in for Stream knows $eq and $in, not %s", field, operator)
			}
		}
	}
	return all, nil
}

// equal compares JSON values; a list, as of members, equals each of its items.
func equal(got, want any) bool {
	if list, ok := got.([]any); ok {
		if slices.ContainsFunc(list, func(v any) bool { return reflect.DeepEqual(v, want) }) {
			return true
		}
	}
	return reflect.DeepEqual(got, want)
}

// channel creates a channel or returns the one there is.
func (s *API) channel(kind, id string, body document) (int, document, error) {
	if kind == "" || id == "" {
		return 0, nil, badInput("GetOrCreateChannel failed with error: type and id are required")
	}
	cid := kind + ":" + id
	status := http.StatusOK
	if _, ok := s.channels[cid]; !ok {
		data, _ := body["data"].(document)
		channel := maps.Clone(data)
		if channel == nil {
			channel = document{}
		}
		by, _ := channel["created_by"].(document)
		author, _ := channel["created_by_id"].(string)
		if author == "" {
			author, _ = by["id"].(string)
		}
		if author == "" {
			return 0, nil, badInput("GetOrCreateChannel failed with error: either data.created_by or data.created_by_id must be provided when using server side auth")
		}
		delete(channel, "created_by_id")
		channel["created_by"] = s.known(author)
		channel["cid"], channel["type"], channel["id"] = cid, kind, id
		channel["created_at"], channel["updated_at"] = now(), now()
		channel["frozen"], channel["disabled"] = false, false
		members, _ := channel["members"].([]any)
		channel["member_count"] = len(members)
		s.channels[cid] = channel
		status = http.StatusCreated
	}
	state := s.state(cid)
	return status, state, nil
}

// known returns a user, and creates one if there is none, as Stream does.
func (s *API) known(id string) document {
	if user, ok := s.users[id]; ok {
		return user
	}
	return s.putUser(id, document{})
}

// state returns a channel with its messages and members.
func (s *API) state(cid string) document {
	channel := maps.Clone(s.channels[cid])
	members := []document{}
	ids, _ := channel["members"].([]any)
	for _, v := range ids {
		if id, ok := v.(string); ok {
			members = append(members, document{"user_id": id, "user": s.known(id), "channel_role": "channel_member"})
		}
	}
	delete(channel, "members")
	messages := []document{}
	for _, id := range s.perCID[cid] {
		messages = append(messages, s.message(s.messages[id]))
	}
	return document{"channel": channel, "members": members, "messages": messages}
}

func (s *API) deleteChannel(cid string) (int, document, error) {
	channel, ok := s.channels[cid]
	if !ok {
		return 0, nil, notFound("DeleteChannel failed with error: channel %s does not exist", cid)
	}
	for _, id := range s.perCID[cid] {
		delete(s.messages, id)
	}
	delete(s.perCID, cid)
	delete(s.channels, cid)
	return http.StatusOK, document{"channel": channel}, nil
}

func (s *API) queryChannels(body document) (int, document, error) {
	found, err := pick(s.channels, body, 10)
	if err != nil {
		return 0, nil, err
	}
	states := []document{}
	for _, channel := range found {
		states = append(states, s.state(channel["cid"].(string)))
	}
	return http.StatusOK, document{"channels": states}, nil
}

func (s *API) sendMessage(cid string, body document) (int, document, error) {
	if _, ok := s.channels[cid]; !ok {
		return 0, nil, notFound("SendMessage failed with error: channel %s does not exist", cid)
	}
	sent, ok := body["message"].(document)
	if !ok {
		return 0, nil, badInput(`SendMessage failed with error: "message" is a required field`)
	}
	message := maps.Clone(sent)
	author, _ := message["user_id"].(string)
	if by, ok := message["user"].(document); ok && author == "" {
		author, _ = by["id"].(string)
	}
	if author == "" {
		return 0, nil, badInput("SendMessage failed with error: either message.user or message.user_id must be provided when using server side auth")
	}
	id, _ := message["id"].(string)
	if id == "" {
		id = rand.Text()
	}
	if _, ok := s.messages[id]; ok {
		return 0, nil, badInput("SendMessage failed with error: a message with id %s exists", id)
	}
	s.known(author)
	delete(message, "user")
	message["id"], message["cid"], message["user_id"], message["type"] = id, cid, author, "regular"
	message["created_at"], message["updated_at"] = now(), now()
	s.messages[id] = message
	s.perCID[cid] = append(s.perCID[cid], id)
	kind, channelID, _ := strings.Cut(cid, ":")
	s.notify(document{
		"type": "message.new", "cid": cid, "channel_type": kind, "channel_id": channelID,
		"message": s.message(message), "user": s.known(author), "created_at": now(),
	})
	return http.StatusCreated, document{"message": s.message(message)}, nil
}

// message returns a message with its author as stored now.
func (s *API) message(m document) document {
	m = maps.Clone(m)
	author, _ := m["user_id"].(string)
	delete(m, "user_id")
	m["user"] = s.known(author)
	return m
}
