// Package streamapi stands in for Stream's REST API: users, channels, messages
// and the app's configuration in memory, enough for a tour and for tests.
// https://getstream.io/chat/docs/rest/
package streamapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
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
	mux         *http.ServeMux

	mu          sync.Mutex
	app         document
	collections map[string]map[string]document // by kind and name, "roles" and "admin"
	users       map[string]document
	deleted     map[string]document   // users
	devices     map[string][]document // by user
	channels    map[string]document   // by cid, "messaging:general"
	messages    []document            // oldest first
}

// document is any JSON object, such as a user, with fields of anyone's own. One
// that is stored never changes: an answer may still be written from it.
type document = map[string]any

// maxBody is the longest request body, in bytes.
const maxBody = 10 << 20

// New returns an app without users. It calls c for every request.
func New(c Credentials) *API {
	s := &API{
		credentials: c,
		mux:         http.NewServeMux(),
		app:         freshApp(),
		collections: freshCollections(),
		users:       map[string]document{},
		deleted:     map[string]document{},
		devices:     map[string][]document{},
		channels:    map[string]document{},
	}
	s.handle("GET /app", func(*http.Request, document) (document, error) { return document{"app": s.app}, nil })
	s.handle("PATCH /app", s.patchApp)
	for kind := range s.collections {
		s.handle("GET /"+kind, func(*http.Request, document) (document, error) { return s.list(kind), nil })
		s.handle("POST /"+kind, func(_ *http.Request, item document) (document, error) { return s.create(kind, item) })
		s.handle("GET /"+kind+"/{name}", func(r *http.Request, _ document) (document, error) { return s.get(kind, r.PathValue("name")) })
		s.handle("PUT /"+kind+"/{name}", func(r *http.Request, set document) (document, error) { return s.update(kind, r.PathValue("name"), set) })
		s.handle("DELETE /"+kind+"/{name}", func(r *http.Request, _ document) (document, error) { return s.remove(kind, r.PathValue("name")) })
	}
	s.handle("POST /users", s.upsertUsers)
	s.handle("PATCH /users", s.patchUsers)
	s.handle("GET /users", s.queryUsers)
	s.handle("DELETE /users/{id}", s.deleteUser)
	s.handle("POST /users/{id}/deactivate", s.deactivateUser)
	s.handle("POST /users/{id}/reactivate", s.reactivateUser)
	s.handle("GET /users/{id}/export", s.exportUser)
	s.handle("POST /moderation/ban", s.ban)
	s.handle("DELETE /moderation/ban", s.unban)
	s.handle("GET /devices", s.listDevices)
	s.handle("POST /devices", s.addDevice)
	s.handle("DELETE /devices", s.removeDevice)
	s.handle("POST /channels", s.queryChannels)
	s.handle("POST /channels/{type}/{id}/query", s.getOrCreateChannel)
	s.handle("DELETE /channels/{type}/{id}", s.deleteChannel)
	s.handle("GET /members", s.queryMembers)
	s.handle("POST /channels/{type}/{id}/message", s.sendMessage)
	s.handle("GET /messages/{id}", s.getMessage)
	s.handle("/", func(r *http.Request, _ document) (document, error) {
		return nil, notFound("the stand-in for Stream has no %s %s", r.Method, r.URL.Path)
	})
	return s
}

func (s *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// handle has answer answer the requests that match pattern. It gets the body of a
// request that has one.
func (s *API) handle(pattern string, answer func(r *http.Request, body document) (document, error)) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		content, err := s.receive(r)
		if err == nil {
			s.mu.Lock()
			content, err = answer(r, content)
			s.mu.Unlock()
		}
		status := http.StatusOK
		if r.Method == http.MethodPost {
			status = http.StatusCreated
		}
		if err != nil {
			e := &streamError{-1, http.StatusInternalServerError, "internal error"}
			errors.As(err, &e)
			status = e.status
			content = document{
				"code": e.code, "message": e.message, "StatusCode": e.status,
				"more_info": "https://getstream.io/chat/docs/api_errors_response", "details": []int{},
			}
		}
		content["duration"] = fmt.Sprintf("%.2fms", float64(time.Since(began).Microseconds())/1000)
		h := w.Header()
		h.Set("Content-Type", "application/json")
		// No limit is enforced.
		h.Set("X-Ratelimit-Limit", "10000")
		h.Set("X-Ratelimit-Remaining", "9999")
		h.Set("X-Ratelimit-Reset", strconv.FormatInt(began.Truncate(time.Minute).Add(time.Minute).Unix(), 10))
		w.WriteHeader(status)
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		_ = encoder.Encode(content)
	})
}

// streamError is an error in Stream's shape.
type streamError struct {
	code, status int
	message      string
}

func (e *streamError) Error() string { return e.message }

func badInput(format string, args ...any) error {
	return &streamError{4, http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) error {
	return &streamError{16, http.StatusNotFound, fmt.Sprintf(format, args...)}
}

func unauthorized(code int, message string) error {
	return &streamError{code, http.StatusUnauthorized, message}
}

// receive checks a request's credentials and reads its body.
func (s *API) receive(r *http.Request) (document, error) {
	if err := s.authenticate(r); err != nil {
		return nil, err
	}
	if r.Method == http.MethodGet || r.Method == http.MethodDelete {
		return nil, nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil || len(body) > maxBody {
		return nil, badInput("the body cannot be read")
	}
	if len(body) == 0 {
		return document{}, nil
	}
	return decode("body", body)
}

// authenticate checks the API key and the server token.
func (s *API) authenticate(r *http.Request) error {
	key, secrets, err := s.credentials()
	token := r.Header.Get("Authorization")
	switch {
	case err != nil:
		return err
	case r.URL.Query().Get("api_key") != key:
		return unauthorized(2, "api_key not valid")
	case r.Header.Get("Stream-Auth-Type") != "jwt":
		return unauthorized(5, "Stream-Auth-Type must be jwt")
	case token == "":
		return unauthorized(5, "Authorization is missing")
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}))
	for _, secret := range secrets {
		claims := jwt.MapClaims{}
		if _, err := parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return []byte(secret), nil }); err != nil {
			continue
		}
		if claims["server"] != true {
			return unauthorized(5, "want a server token")
		}
		return nil
	}
	return unauthorized(43, "JWTAuth error: signature is not valid")
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

func now() string { return time.Now().UTC().Format("2006-01-02T15:04:05.000000Z") }

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

// payload returns the query that a GET carries as a JSON object.
func payload(r *http.Request) (document, error) {
	if query := r.URL.Query().Get("payload"); query != "" {
		return decode("payload", []byte(query))
	}
	return document{}, nil
}

// pick returns the documents that match query's filter_conditions in order of
// their ids, from offset on and at most limit.
func pick(all map[string]document, query document, limit int) ([]document, error) {
	filter := object(query["filter_conditions"])
	if filter == nil && query["filter_conditions"] != nil {
		return nil, badInput("filter_conditions must be an object")
	}
	if _, err := matches(nil, filter); err != nil {
		return nil, err // also when there is nothing to find
	}
	found := []document{}
	for _, id := range slices.Sorted(maps.Keys(all)) {
		if yes, err := matches(all[id], filter); err != nil {
			return nil, err
		} else if yes {
			found = append(found, all[id])
		}
	}
	found = found[min(number(query["offset"], 0, 1000), len(found)):]
	return found[:min(number(query["limit"], limit, 100), len(found))], nil
}

// number returns v if it is a number from 1 to limit, and otherwise preset.
func number(v any, preset, limit int) int {
	if n, err := strconv.Atoi(fmt.Sprint(v)); err == nil && n > 0 && n <= limit {
		return n
	}
	return preset
}

// matches knows equality, $eq and $in.
func matches(doc, filter document) (bool, error) {
	all := true
	for field, want := range filter {
		conditions, ok := want.(document)
		if !ok {
			conditions = document{"$eq": want}
		}
		for operator, want := range conditions {
			wanted := []any{want}
			if operator == "$in" {
				if wanted, ok = want.([]any); !ok {
					return false, badInput("%s: $in wants a list", field)
				}
			} else if operator != "$eq" {
				return false, badInput("%s: the stand-in for Stream knows $eq and $in, not %s", field, operator)
			}
			all = all && slices.ContainsFunc(wanted, func(v any) bool { return equal(doc[field], v) })
		}
	}
	return all, nil
}

// equal compares JSON values. A list, such as a channel's members, also equals
// each of its items.
func equal(got, want any) bool {
	return reflect.DeepEqual(got, want) || slices.ContainsFunc(list(got), func(v any) bool { return reflect.DeepEqual(v, want) })
}
