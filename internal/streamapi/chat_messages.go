package streamapi

import (
	"cmp"
	"crypto/rand"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// find returns the messages that match, as stored, the oldest first.
func (s *API) find(match func(document) bool) (found []document) {
	for _, id := range s.sent {
		if match(s.messages[id]) {
			found = append(found, s.messages[id])
		}
	}
	return found
}

// forget drops the messages that match.
func (s *API) forget(match func(document) bool) {
	maps.DeleteFunc(s.messages, func(_ string, message document) bool { return match(message) })
	s.sent = slices.DeleteFunc(s.sent, func(id string) bool { return s.messages[id] == nil })
}

// change sets and removes fields of an object that exists, but not those that say which one
// it is, and returns it.
func (s *API) change(among objects, id string, set document, unset ...any) document {
	before := among[id]
	now := changed(before, set)
	for _, name := range unset {
		delete(now, text(name))
	}
	for _, fixed := range []string{"id", "cid", "created_by", "created_at", "user_id"} {
		if value, has := before[fixed]; has {
			now[fixed] = value
		}
	}
	now["updated_at"] = s.now()
	among[id] = now
	return now
}

// show returns a message as a user sees it, with its author as stored now.
func (s *API) show(user string, message document) document {
	own := []any{}
	for _, v := range list(message["latest_reactions"]) {
		if user != "" && object(v)["user_id"] == any(user) {
			own = append(own, v)
		}
	}
	shown := changed(document{
		"html": "", "attachments": []any{}, "latest_reactions": []any{}, "reaction_counts": document{}, "reaction_scores": document{}, "reaction_groups": document{},
		"reply_count": 0, "silent": false, "pinned": false, "shadowed": false,
	}, message)
	mentioned := []any{}
	for _, id := range userIDs(message["mentioned_users"]) {
		mentioned = append(mentioned, s.known(text(id)))
	}
	if quoted := s.messages[text(message["quoted_message_id"])]; quoted != nil {
		shown["quoted_message"] = s.show(user, changed(quoted, document{"quoted_message_id": nil}))
	}
	shown["user"], shown["own_reactions"], shown["mentioned_users"] = s.known(text(message["user_id"])), own, mentioned
	delete(shown, "user_id")
	return shown
}

func (s *API) showAll(user string, messages []document) []document {
	shown := []document{}
	for _, message := range messages {
		shown = append(shown, s.show(user, message))
	}
	return shown
}

func (s *API) sendMessage(c *call) (document, error) {
	sent, ok := c.body["message"].(document)
	author := c.author(sent["user_id"], object(sent["user"])["id"])
	id := cmp.Or(text(sent["id"]), rand.Text())
	switch {
	case !ok:
		return nil, badInput(`SendMessage failed with error: "message" is a required field`)
	case author == "":
		return nil, badInput("SendMessage failed with error: either message.user or message.user_id must be provided when using server side auth")
	case s.known(author)["banned"] == true:
		return nil, &streamError{17, http.StatusForbidden, "SendMessage failed with error: user " + author + " is banned"}
	case s.messages[id] != nil:
		return nil, badInput("SendMessage failed with error: a message with id %s exists", id)
	}
	message := changed(sent, document{"id": id, "cid": c.id, "user_id": author, "type": "regular", "created_at": s.now(), "updated_at": s.now()})
	if text(message["parent_id"]) != "" {
		message["type"] = "reply"
	}
	// The hook is asked first. Other calls go on in the meantime.
	answer := s.askHook(func() document {
		return document{"message": s.show("", message), "user": s.known(author), "channel": s.channel(c.id)}
	})
	if answer["type"] == "error" {
		return document{"message": s.show(author, changed(message, document{"type": "error", "text": answer["text"]}))}, nil
	}
	s.store(c.id, id, author, changed(message, answer))
	c.id = id
	return s.tellMessage(c, "message.new", document{"watcher_count": s.watchers(text(message["cid"]))})
}

// store puts a message into its channel, which others have not read then.
func (s *API) store(cid, id, author string, message document) {
	if len(s.sent) == maxMessages {
		for _, old := range s.sent[:1000] {
			delete(s.messages, old)
		}
		s.sent = slices.Delete(s.sent, 0, 1000)
	}
	s.messages[id], s.sent = message, append(s.sent, id)
	now, parent := message["created_at"], text(message["parent_id"])
	for _, v := range list(s.channels[cid]["members"]) {
		before := s.read[cid][text(v)]
		switch {
		case v == any(author):
			s.setRead(cid, author, document{"last_read": now, "last_read_message_id": id, "unread_messages": 0})
		case parent == "":
			s.setRead(cid, text(v), document{"unread_messages": number(before["unread_messages"], 0) + 1, "last_read": cmp.Or(before["last_read"], now)})
		}
	}
	s.channels[cid] = changed(s.channels[cid], document{"last_message_at": now})
	if before := s.messages[parent]; before != nil {
		participants := append(slices.Clone(list(before["thread_participants"])), s.known(author))
		after := s.change(s.messages, parent, document{"reply_count": number(before["reply_count"], 0) + 1, "thread_participants": participants})
		s.tell("message.updated", cid, author, document{"message": s.show("", after)})
	}
}

func (s *API) getMessage(c *call) (document, error) {
	message := s.messages[c.id]
	return document{"message": changed(s.show(c.user, message), document{"channel": s.channel(text(message["cid"]))})}, nil
}

func (s *API) replies(c *call) (document, error) {
	page := document{}
	for name, values := range c.query {
		page[name] = values[0]
	}
	found := s.find(func(m document) bool { return m["parent_id"] == c.id })
	return document{"messages": s.showAll(c.user, pageOf(found, page, 50))}, nil
}

func (s *API) messagesByID(c *call) (document, error) {
	ids := strings.Split(c.query.Get("ids"), ",")
	found := s.find(func(m document) bool { return m["cid"] == c.id && slices.Contains(ids, text(m["id"])) })
	return document{"messages": s.showAll(c.user, found)}, nil
}

// search finds the messages of the channels that match which have each word of the query.
func (s *API) search(c *call) (document, error) {
	if c.body["filter_conditions"] == nil {
		return nil, badInput("Search failed with error: filter_conditions is a required field")
	}
	filter := object(c.body["message_filter_conditions"])
	channels, err := pick(s.channels, c.body)
	if _, wrong := matches(nil, filter); cmp.Or(err, wrong) != nil {
		return nil, cmp.Or(err, wrong)
	}
	found := s.find(func(message document) bool {
		in, _ := matches(message, filter)
		for word := range strings.FieldsSeq(strings.ToLower(text(c.body["query"]))) {
			in = in && strings.Contains(strings.ToLower(text(message["text"])), word)
		}
		return in && slices.ContainsFunc(channels, func(channel document) bool { return channel["cid"] == message["cid"] })
	})
	results := []document{}
	for _, message := range s.showAll(c.user, page(found, c.body, 10)) {
		results = append(results, document{"message": message})
	}
	return document{"results": results}, nil
}

// upload answers with the address of a file, which the stand-in does not keep.
func (s *API) upload(c *call) (document, error) {
	c.Body = http.MaxBytesReader(nil, c.Body, maxBody)
	file, header, err := c.FormFile("file")
	if err != nil {
		return nil, badInput("UploadFile failed with error: the body is not a form with a file: %v", err)
	}
	_ = file.Close()
	return document{"file": "https://uploads.invalid/" + rand.Text() + "/" + url.PathEscape(header.Filename)}, nil
}

// tellMessage tells everybody about the message of a call, and who changed it.
func (s *API) tellMessage(c *call, event string, more document) (document, error) {
	message := s.messages[c.id]
	user := c.author(message["user_id"])
	s.emit(event, text(message["cid"]), user, changed(document{"message": s.show("", message)}, more))
	return changed(document{"message": s.show(user, message)}, more), nil
}

// updateMessage replaces fields (POST) or sets and unsets some (PUT).
func (s *API) updateMessage(c *call) (document, error) {
	set := changed(object(c.body["message"]), object(c.body["set"]))
	delete(set, "type")
	s.change(s.messages, c.id, set, list(c.body["unset"])...)
	return s.tellMessage(c, "message.updated", nil)
}

func (s *API) deleteMessage(c *call) (document, error) {
	hard := c.query.Get("hard") == "true"
	s.change(s.messages, c.id, document{"type": "deleted", "deleted_at": s.now(), "text": ""})
	answer, err := s.tellMessage(c, "message.deleted", document{"hard_delete": hard})
	if hard {
		s.forget(func(message document) bool { return message["id"] == c.id })
	}
	return answer, err
}

// react adds a reaction; a user has one of each type.
func (s *API) react(c *call) (document, error) {
	sent, now := object(c.body["reaction"]), s.now()
	if text(sent["type"]) == "" {
		return nil, badInput(`SendReaction failed with error: "reaction.type" is a required field`)
	}
	reaction := changed(document{"score": 1, "created_at": now, "updated_at": now}, sent)
	return s.setReaction(c, "reaction.new", reaction, c.body["enforce_unique"] == true)
}

func (s *API) unreact(c *call) (document, error) {
	return s.setReaction(c, "reaction.deleted", document{"type": c.PathValue("reaction"), "user_id": c.query.Get("user_id")}, false)
}

func (s *API) setReaction(c *call, event string, reaction document, only bool) (document, error) {
	user := c.author(reaction["user_id"])
	maps.Copy(reaction, document{"message_id": c.id, "user_id": user, "user": s.known(user)})
	all := slices.DeleteFunc(slices.Clone(list(s.messages[c.id]["latest_reactions"])), func(v any) bool {
		return object(v)["user_id"] == any(user) && (only || object(v)["type"] == reaction["type"])
	})
	if event == "reaction.new" {
		all = slices.Insert(all, 0, any(reaction))
	}
	counts, groups := document{}, document{}
	for _, v := range slices.Backward(all) {
		kind, at := text(object(v)["type"]), object(v)["created_at"]
		counts[kind] = number(counts[kind], 0) + 1
		first := cmp.Or(object(groups[kind])["first_reaction_at"], at)
		groups[kind] = document{"count": counts[kind], "sum_scores": counts[kind], "first_reaction_at": first, "last_reaction_at": at}
	}
	s.change(s.messages, c.id, document{"latest_reactions": all, "reaction_counts": counts, "reaction_scores": counts, "reaction_groups": groups})
	return s.tellMessage(c, event, document{"reaction": reaction})
}
