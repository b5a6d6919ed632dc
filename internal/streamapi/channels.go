package streamapi

import (
	"cmp"
	"crypto/rand"
	"net/http"
	"slices"
)

// cid is the id of the channel that a request's path names.
func cid(r *http.Request) string { return r.PathValue("type") + ":" + r.PathValue("id") }

func (s *API) getOrCreateChannel(r *http.Request, body document) (document, error) {
	id := cid(r)
	if caller(r) != "" {
		return s.openChannel(r, id, body)
	}
	if s.channels[id] == nil {
		data := object(body["data"])
		author := cmp.Or(text(data["created_by_id"]), text(object(data["created_by"])["id"]))
		if author == "" {
			return nil, badInput("GetOrCreateChannel failed with error: either data.created_by or data.created_by_id must be provided when using server side auth")
		}
		members := userIDs(data["members"])
		channel := changed(data, document{
			"cid": id, "type": r.PathValue("type"), "id": r.PathValue("id"), "created_by": s.known(author),
			"created_at": s.now(), "updated_at": s.now(), "frozen": false, "disabled": false, "members": members, "member_count": len(members),
		})
		delete(channel, "created_by_id")
		s.channels[id] = channel
	}
	return s.state(id), nil
}

// state returns a channel with its messages and members.
func (s *API) state(id string) document {
	channel := changed(s.channels[id], nil)
	delete(channel, "members")
	members := []document{}
	for _, v := range list(s.channels[id]["members"]) {
		members = append(members, s.member(text(v)))
	}
	messages := s.find(func(message document) bool { return message["cid"] == id })
	return document{"channel": channel, "members": members, "messages": messages}
}

func (s *API) member(id string) document {
	return document{"user_id": id, "user": s.known(id), "channel_role": "channel_member"}
}

func (s *API) queryChannels(r *http.Request, body document) (document, error) {
	if caller(r) != "" {
		return s.queryScreens(r, body)
	}
	found, err := pick(s.channels, body, 10, nil)
	states := []document{}
	for _, channel := range found {
		states = append(states, s.state(text(channel["cid"])))
	}
	return document{"channels": states}, err
}

// queryMembers pages through the members of a channel in order of their ids.
func (s *API) queryMembers(_ *http.Request, query document) (document, error) {
	id := text(query["type"]) + ":" + text(query["id"])
	if s.channels[id] == nil {
		return nil, notFound("QueryMembers failed with error: channel %s does not exist", id)
	}
	all := map[string]document{}
	for _, v := range list(s.channels[id]["members"]) {
		all[text(v)] = changed(s.member(text(v)), document{"name": s.known(text(v))["name"]}) // which filters may name
	}
	found, err := pick(all, query, 30, nil)
	return document{"members": found}, err
}

func (s *API) deleteChannel(r *http.Request, _ document) (document, error) {
	channel := s.state(cid(r))["channel"]
	if s.channels[cid(r)] == nil {
		return nil, notFound("DeleteChannel failed with error: channel %s does not exist", cid(r))
	}
	s.messages = slices.DeleteFunc(s.messages, func(message document) bool { return message["cid"] == cid(r) })
	delete(s.channels, cid(r))
	return document{"channel": channel}, nil
}

func (s *API) sendMessage(r *http.Request, body document) (document, error) {
	sent, ok := body["message"].(document)
	author := cmp.Or(caller(r), text(sent["user_id"]), text(object(sent["user"])["id"]))
	id := cmp.Or(text(sent["id"]), rand.Text())
	taken := s.ids[id]
	switch {
	case s.known(author)["banned"] == true:
		return nil, &streamError{17, http.StatusForbidden, "SendMessage failed with error: user " + author + " is banned"}
	case s.channels[cid(r)] == nil:
		return nil, notFound("SendMessage failed with error: channel %s does not exist", cid(r))
	case !ok:
		return nil, badInput(`SendMessage failed with error: "message" is a required field`)
	case author == "":
		return nil, badInput("SendMessage failed with error: either message.user or message.user_id must be provided when using server side auth")
	case taken:
		return nil, badInput("SendMessage failed with error: a message with id %s exists", id)
	}
	message := changed(sent, document{"id": id, "cid": cid(r), "user_id": author, "type": "regular", "created_at": s.now(), "updated_at": s.now()})
	if text(message["parent_id"]) != "" {
		message["type"] = "reply"
	}
	delete(message, "user")
	return s.store(r, message)
}

func (s *API) getMessage(r *http.Request, _ document) (document, error) {
	found := s.find(func(message document) bool { return message["id"] == r.PathValue("id") })
	if len(found) == 0 {
		return nil, notFound("Can't find message with id %s", r.PathValue("id"))
	}
	return document{"message": found[0]}, nil
}

// find returns the messages that match, as answers show them.
func (s *API) find(match func(document) bool) []document {
	found := []document{}
	for _, message := range s.messages {
		if match(message) {
			found = append(found, s.shown(message))
		}
	}
	return found
}

// shown returns a message with its author as stored now.
func (s *API) shown(message document) document {
	shown := changed(message, document{"user": s.known(text(message["user_id"]))})
	delete(shown, "user_id")
	return shown
}
