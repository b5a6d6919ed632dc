package streamapi

import (
	"context"
	"crypto/rand"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"chat-service-backend/internal/streamspec"
)

// What Stream's newest SDKs for servers call besides: search, messages by their ids, partial
// updates of a channel, uploads. Their answers, below /api/v2, have times as numbers.

// sdkCalls adds those calls, in both spellings.
func (s *API) sdkCalls() {
	s.handle("GET /search", s.search)
	s.handle("PATCH /channels/{type}/{id}", s.patchChannel)
	s.handle("GET /channels/{type}/{id}/messages", s.messagesByID)
	for _, kind := range []string{"file", "image"} {
		for _, path := range []string{"/uploads/" + kind, "/channels/{type}/{id}/" + kind} {
			s.handle("POST "+path, s.upload)
			s.handle("DELETE "+path, func(r *http.Request, _ document) (document, error) {
				if r.URL.Query().Get("url") == "" {
					return nil, badInput("DeleteFile failed with error: url is a required field")
				}
				return document{}, nil
			})
		}
	}
}

// search finds the messages of the channels that match which have each word of the query.
func (s *API) search(r *http.Request, _ document) (document, error) {
	query, err := decode("payload", []byte(r.URL.Query().Get("payload")))
	if err != nil {
		return nil, err
	}
	if object(query["filter_conditions"]) == nil {
		return nil, badInput("Search failed with error: filter_conditions is a required field")
	}
	var failed error
	results := []document{}
	for _, message := range s.find(func(message document) bool {
		in, err := matches(s.channels[text(message["cid"])], object(query["filter_conditions"]))
		if err == nil && in {
			in, err = matches(message, object(query["message_filter_conditions"]))
		}
		if err != nil {
			failed = err
		}
		for word := range strings.FieldsSeq(strings.ToLower(text(query["query"]))) {
			in = in && strings.Contains(strings.ToLower(text(message["text"])), word)
		}
		return in
	}) {
		results = append(results, document{"message": message})
	}
	results = results[min(number(query["offset"], 0), len(results)):]
	return document{"results": results[:min(number(query["limit"], 10), len(results))]}, failed
}

func (s *API) patchChannel(r *http.Request, body document) (document, error) {
	id := cid(r)
	if s.channels[id] == nil {
		return nil, notFound("UpdateChannelPartial failed with error: channel %s does not exist", id)
	}
	set, unset := inCustom(r, "ChannelResponse", s.channels[id], object(body["set"]), list(body["unset"]))
	channel := changed(s.channels[id], set)
	for _, name := range unset {
		delete(channel, text(name))
	}
	for _, fixed := range []string{"cid", "type", "id", "created_by", "created_at", "members", "member_count"} {
		channel[fixed] = s.channels[id][fixed]
	}
	channel["updated_at"] = s.now()
	s.channels[id] = channel
	s.emit(document{"type": "channel.updated", "channel": s.channel(id)}, id)
	state := s.state(id)
	return document{"channel": state["channel"], "members": state["members"]}, nil
}

func (s *API) messagesByID(r *http.Request, _ document) (document, error) {
	ids := strings.Split(r.URL.Query().Get("ids"), ",")
	return document{"messages": s.find(func(message document) bool {
		return message["cid"] == cid(r) && slices.Contains(ids, text(message["id"]))
	})}, nil
}

// upload answers with the address of a file, which the stand-in does not keep.
func (s *API) upload(r *http.Request, _ document) (document, error) {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "multipart/form-data" {
		return nil, badInput("UploadFile failed with error: the body is %s and not multipart/form-data", kind)
	}
	r.Body = http.MaxBytesReader(nil, r.Body, maxBody)
	file, header, err := r.FormFile("file")
	if err != nil {
		return nil, badInput("UploadFile failed with error: the form has no file: %v", err)
	}
	_ = file.Close()
	return document{"file": "https://uploads.invalid/" + strings.ToLower(rand.Text()) + "/" + url.PathEscape(header.Filename)}, nil
}

// newest marks a request below /api/v2.
type newest struct{}

func withNewest(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), newest{}, true))
}

// inCustom returns what a partial update sets and removes. Below /api/v2 a field that
// Stream's object does not have is one of custom.
func inCustom(r *http.Request, object string, doc, set document, unset []any) (document, []any) {
	if r.Context().Value(newest{}) == nil {
		return set, unset
	}
	before, whole := set["custom"].(document)
	if !whole {
		before, _ = doc["custom"].(document)
	}
	top, custom := document{}, changed(before, nil)
	for _, name := range unset {
		delete(custom, text(name))
	}
	for name, value := range set {
		if _, known := streamspec.Objects[object][name]; known {
			top[name] = value
		} else {
			custom[name] = value
			unset = append(unset, name) // from where the older API has it
		}
	}
	top["custom"] = custom
	return top, unset
}

var timeFields = regexp.MustCompile(`(_at|_active|_before|_until|_expires|^expires)$`)

// withNumbers writes the times in an answer as nanoseconds since 1970, as Stream does below
// /api/v2. What is custom stays.
func withNumbers(text []byte) []byte {
	answer, err := decode("answer", text)
	if err != nil {
		return text
	}
	return fmtJSON(numbers(answer))
}

func numbers(v any) any {
	switch v := v.(type) {
	case document:
		for name, value := range v {
			if at, err := time.Parse(time.RFC3339Nano, text(value)); err == nil && timeFields.MatchString(name) {
				v[name] = max(at.UnixNano(), 0) // Go's zero time is before
			} else if name != "custom" {
				v[name] = numbers(value)
			}
		}
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	}
	return v
}
