package streamapi

import (
	"cmp"
	"crypto/rand"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// find returns the messages that match, as stored.
func (s *API) find(match func(document) bool) (found []document) {
	for _, message := range s.messages {
		if match(message) {
			found = append(found, message)
		}
	}
	return found
}

// show returns messages as a user sees them, with their authors as stored now.
func (s *API) show(user string, messages ...document) []document {
	shown := make([]document, len(messages))
	for i, message := range messages {
		own := []any{}
		for _, v := range list(message["latest_reactions"]) {
			if user != "" && object(v)["user_id"] == any(user) {
				own = append(own, v)
			}
		}
		shown[i] = document{
			"html": "", "attachments": []any{}, "latest_reactions": []any{}, "reaction_counts": document{}, "reaction_scores": document{}, "reaction_groups": document{},
			"reply_count": 0, "mentioned_users": []any{}, "silent": false, "pinned": false, "shadowed": false,
		}
		maps.Copy(shown[i], message)
		shown[i]["user"], shown[i]["own_reactions"] = s.known(text(message["user_id"])), own
		delete(shown[i], "user_id")
	}
	return shown
}

func (s *API) sendMessage(r *http.Request, channel string, body document) (document, error) {
	sent, ok := body["message"].(document)
	author := cmp.Or(caller(r), text(sent["user_id"]), text(object(sent["user"])["id"]))
	id := cmp.Or(text(sent["id"]), rand.Text())
	switch {
	case !ok:
		return nil, badInput(`SendMessage failed with error: "message" is a required field`)
	case author == "":
		return nil, badInput("SendMessage failed with error: either message.user or message.user_id must be provided when using server side auth")
	case s.known(author)["banned"] == true:
		return nil, &streamError{17, http.StatusForbidden, "SendMessage failed with error: user " + author + " is banned"}
	case s.ids[id]:
		return nil, badInput("SendMessage failed with error: a message with id %s exists", id)
	}
	message := changed(sent, document{"id": id, "cid": channel, "user_id": author, "type": "regular", "created_at": s.now(), "updated_at": s.now()})
	if text(message["parent_id"]) != "" {
		message["type"] = "reply"
	}
	// The hook is asked first. Other calls go on in the meantime.
	answer := s.askHook(func() document {
		return document{"message": s.show("", message)[0], "user": s.known(author), "channel": s.channel(channel)}
	})
	if answer["type"] == "error" {
		return document{"message": s.show(author, changed(message, document{"type": "error", "text": answer["text"]}))[0]}, nil
	}
	s.store(changed(message, answer))
	return s.tellMessage("message.new", r, id, document{"watcher_count": s.watchers(channel)})
}

// store puts a message into its channel, which others have not read then.
func (s *API) store(message document) {
	channel, author, now := text(message["cid"]), text(message["user_id"]), text(message["created_at"])
	if len(s.messages) == maxMessages {
		for _, old := range s.messages[:1000] {
			delete(s.ids, text(old["id"]))
		}
		s.messages = slices.Delete(s.messages, 0, 1000)
	}
	s.messages, s.ids[text(message["id"])] = append(s.messages, message), true
	for _, v := range list(s.channels[channel]["members"]) {
		before := s.read[channel][text(v)]
		switch {
		case v == any(author):
			s.setRead(channel, author, document{"last_read": now, "last_read_message_id": message["id"], "unread_messages": 0})
		case text(message["parent_id"]) == "":
			s.setRead(channel, text(v), document{"unread_messages": number(before["unread_messages"], 0) + 1, "last_read": cmp.Or(before["last_read"], any(now))})
		}
	}
	s.channels[channel] = changed(s.channels[channel], document{"last_message_at": now})
	parent := s.changeMessage(text(message["parent_id"]), func(m document) document {
		return document{"reply_count": number(m["reply_count"], 0) + 1, "thread_participants": append(slices.Clone(list(m["thread_participants"])), s.known(author))}
	})
	if parent != nil {
		s.tell(document{"type": "message.updated", "message": s.show("", parent)[0], "user": s.known(author)}, channel)
	}
}

// changeMessage sets fields of a message, if set is not nil, and returns it or nil.
func (s *API) changeMessage(id string, set func(document) document) document {
	for i, m := range slices.Backward(s.messages) {
		if m["id"] == id && set == nil {
			return m
		} else if m["id"] == id {
			s.messages[i] = changed(changed(m, set(m)), document{"updated_at": s.now()})
			return s.messages[i]
		}
	}
	return nil
}

func (s *API) getMessage(r *http.Request, _ document) (document, error) {
	message := s.changeMessage(r.PathValue("id"), nil)
	if message == nil {
		return nil, notFound("there is no message with id %s", r.PathValue("id"))
	}
	return document{"message": s.show(caller(r), message)[0], "reactions": list(message["latest_reactions"])}, nil
}

func (s *API) messagesByID(r *http.Request, channel string, _ document) (document, error) {
	ids := strings.Split(r.URL.Query().Get("ids"), ",")
	found := s.find(func(message document) bool {
		return message["cid"] == channel && slices.Contains(ids, text(message["id"]))
	})
	return document{"messages": s.show("", found...)}, nil
}

// search finds the messages of the channels that match which have each word of the query.
func (s *API) search(r *http.Request, query document) (document, error) {
	filter := object(query["filter_conditions"])
	if filter == nil {
		return nil, badInput("Search failed with error: filter_conditions is a required field")
	}
	var failed error
	found := s.find(func(message document) bool {
		in, err := matches(s.channels[text(message["cid"])], filter)
		if err == nil && in {
			in, err = matches(message, object(query["message_filter_conditions"]))
		}
		failed = cmp.Or(failed, err)
		for word := range strings.FieldsSeq(strings.ToLower(text(query["query"]))) {
			in = in && strings.Contains(strings.ToLower(text(message["text"])), word)
		}
		return in
	})
	found = found[min(number(query["offset"], 0), len(found)):]
	results := []document{}
	for _, message := range s.show(caller(r), found[:min(number(query["limit"], 10), len(found))]...) {
		results = append(results, document{"message": message})
	}
	return document{"results": results}, failed
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

func (s *API) replies(r *http.Request, _ document) (document, error) {
	found := s.find(func(m document) bool { return m["parent_id"] == r.PathValue("id") })
	return document{"messages": s.show(caller(r), last(found, number(r.URL.Query().Get("limit"), 50))...)}, nil
}

// tellMessage tells everybody about the message with an id, and who changed it.
func (s *API) tellMessage(event string, r *http.Request, id string, more document) (document, error) {
	message := s.changeMessage(id, nil)
	if message == nil {
		return nil, notFound("there is no message with id %s", id)
	}
	user := cmp.Or(caller(r), text(message["user_id"]))
	s.emit(changed(document{"type": event, "message": s.show("", message)[0], "user": s.known(user)}, more), text(message["cid"]))
	return changed(document{"message": s.show(user, message)[0]}, more), nil
}

// updateMessage replaces fields (POST) or sets and unsets some (PUT).
func (s *API) updateMessage(r *http.Request, body document) (document, error) {
	s.changeMessage(r.PathValue("id"), func(m document) document {
		set := changed(object(body["message"]), object(body["set"]))
		for _, name := range list(body["unset"]) {
			set[text(name)] = nil
		}
		for _, fixed := range []string{"id", "user", "user_id", "cid", "created_at", "type"} {
			delete(set, fixed)
		}
		return set
	})
	return s.tellMessage("message.updated", r, r.PathValue("id"), nil)
}

func (s *API) deleteMessage(r *http.Request, _ document) (document, error) {
	id, hard := r.PathValue("id"), r.URL.Query().Get("hard") == "true"
	s.changeMessage(id, func(document) document { return document{"type": "deleted", "deleted_at": s.now(), "text": ""} })
	answer, err := s.tellMessage("message.deleted", r, id, document{"hard_delete": hard})
	if hard {
		s.messages = slices.DeleteFunc(s.messages, func(m document) bool { return m["id"] == id })
	}
	return answer, err
}

// react adds a reaction; a user has one of each type.
func (s *API) react(r *http.Request, body document) (document, error) {
	sent, now := object(body["reaction"]), s.now()
	if text(sent["type"]) == "" {
		return nil, badInput(`SendReaction failed with error: "reaction.type" is a required field`)
	}
	reaction := changed(document{"score": 1, "created_at": now, "updated_at": now, "user_id": caller(r)}, sent)
	return s.setReaction(r, "reaction.new", reaction, body["enforce_unique"] == true)
}

func (s *API) unreact(r *http.Request, _ document) (document, error) {
	return s.setReaction(r, "reaction.deleted", document{"type": r.PathValue("type"), "user_id": r.URL.Query().Get("user_id")}, false)
}

func (s *API) setReaction(r *http.Request, event string, reaction document, only bool) (document, error) {
	user := cmp.Or(caller(r), text(reaction["user_id"]))
	maps.Copy(reaction, document{"message_id": r.PathValue("id"), "user_id": user, "user": s.known(user)})
	s.changeMessage(r.PathValue("id"), func(m document) document {
		all := slices.DeleteFunc(slices.Clone(list(m["latest_reactions"])), func(v any) bool {
			return object(v)["user_id"] == any(user) && (only || object(v)["type"] == reaction["type"])
		})
		if event == "reaction.new" {
			all = slices.Insert(all, 0, any(reaction))
		}
		counts, groups := document{}, document{}
		for _, v := range slices.Backward(all) {
			kind := text(object(v)["type"])
			counts[kind] = number(counts[kind], 0) + 1
			first := cmp.Or(text(object(groups[kind])["first_reaction_at"]), text(object(v)["created_at"]))
			groups[kind] = document{"count": counts[kind], "sum_scores": counts[kind], "first_reaction_at": first, "last_reaction_at": object(v)["created_at"]}
		}
		return document{"latest_reactions": all, "reaction_counts": counts, "reaction_scores": counts, "reaction_groups": groups}
	})
	return s.tellMessage(event, r, r.PathValue("id"), document{"reaction": reaction, "user": reaction["user"]})
}
