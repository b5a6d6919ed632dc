package streamapi

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Channels as apps and servers see them. The stand-in has none of Stream's permissions,
// moderation or limits, and fields that it does not know stay as sent.

// cid is the id of the channel that a request's path names.
func cid(r *http.Request) string { return r.PathValue("type") + ":" + r.PathValue("id") }

// openChannel answers with a channel, which is created if there is none. One that the path
// does not name is that of its members.
func (s *API) openChannel(r *http.Request, body document) (document, error) {
	id, data := cid(r), object(body["data"])
	members := userIDs(data["members"])
	if r.PathValue("id") == "" {
		if len(members) == 0 {
			return nil, badInput("GetOrCreateChannel failed with error: a channel needs an id or members")
		}
		sorted := slices.SortedFunc(slices.Values(members), func(a, b any) int { return strings.Compare(text(a), text(b)) })
		sum := sha256.Sum256(fmtJSON(sorted))
		id += "!members-" + hex.EncodeToString(sum[:16])
	}
	if s.channels[id] == nil {
		author, now := cmp.Or(caller(r), text(data["created_by_id"]), text(object(data["created_by"])["id"])), s.now()
		kind, name, _ := strings.Cut(id, ":")
		switch {
		case author == "":
			return nil, badInput("GetOrCreateChannel failed with error: either data.created_by or data.created_by_id must be provided when using server side auth")
		case s.seen().collections["channeltypes"][kind] == nil:
			return nil, notFound("GetOrCreateChannel failed with error: there is no channel type %q", kind)
		}
		channel := changed(data, document{
			"cid": id, "type": kind, "id": name, "created_by": s.known(author), "created_at": now, "updated_at": now, "frozen": false, "disabled": false,
			"members": members, "member_count": len(members),
		})
		delete(channel, "created_by_id")
		s.channels[id] = channel
		for _, user := range members {
			s.setRead(id, text(user), document{"last_read": now, "unread_messages": 0})
		}
		s.emit(document{"type": "channel.created", "channel": s.channel(id), "user": s.known(author)}, id)
	}
	s.watch(r, body, id)
	return s.screen(r, id, object(body["messages"])), nil
}

// userIDs takes members as ids or as objects.
func userIDs(v any) []any {
	ids := []any{}
	for _, member := range list(v) {
		id := cmp.Or(text(member), text(object(member)["user_id"]), text(object(object(member)["user"])["id"]))
		if id != "" && !slices.Contains(ids, any(id)) {
			ids = append(ids, id)
		}
	}
	return ids
}

func fmtJSON(v any) []byte { text, _ := json.Marshal(v); return text }

// channel returns a channel as answers and events show it.
func (s *API) channel(cid string) document {
	channel := changed(s.channels[cid], nil)
	delete(channel, "members")
	channel["config"] = s.seen().collections["channeltypes"][text(channel["type"])]
	channel["own_capabilities"] = []any{
		"connect-events", "delete-own-message", "quote-message", "read-channel", "read-events", "send-custom-events", "send-message",
		"send-reaction", "send-reply", "send-typing-events", "typing-events", "update-own-message", "join-channel", "leave-channel",
	}
	return channel
}

func (s *API) member(cid, user string) document {
	channel := s.channels[cid]
	return document{"user_id": user, "user": s.known(user), "channel_role": "channel_member", "created_at": channel["created_at"], "updated_at": channel["updated_at"]}
}

// screen returns a channel's state, with a page of messages.
func (s *API) screen(r *http.Request, cid string, page document) document {
	messages := s.find(func(m document) bool {
		return m["cid"] == cid && (text(m["parent_id"]) == "" || m["show_in_channel"] == true)
	})
	if i := slices.IndexFunc(messages, func(m document) bool { return m["id"] == page["id_lt"] }); i >= 0 {
		messages = messages[:i]
	}
	members, membership := []document{}, document(nil)
	for _, v := range list(s.channels[cid]["members"]) {
		member := s.member(cid, text(v))
		if members = append(members, member); v == any(caller(r)) {
			membership = member
		}
	}
	read, watching := []document{}, []document{}
	for user, at := range s.read[cid] {
		read = append(read, changed(at, document{"user": s.known(user)}))
	}
	for _, c := range s.connections {
		if c.watching[cid] {
			watching = append(watching, s.known(c.user))
		}
	}
	return document{
		"channel": s.channel(cid), "members": members, "membership": membership, "messages": s.show(caller(r), last(messages, number(page["limit"], 25))...), "read": read,
		"watchers": watching, "watcher_count": len(watching), "pinned_messages": []any{}, "pending_messages": []any{},
	}
}

func last(all []document, n int) []document { return all[max(0, len(all)-n):] }

// queryChannels answers with the channels that changed last first.
func (s *API) queryChannels(r *http.Request, body document) (document, error) {
	found, err := pick(s.channels, changed(body, document{"limit": maxMessages, "offset": 0}), 0, nil)
	latest := func(d document) string { return cmp.Or(text(d["last_message_at"]), text(d["created_at"])) }
	slices.SortStableFunc(found, func(a, b document) int { return strings.Compare(latest(b), latest(a)) })
	found = found[min(number(body["offset"], 0), len(found)):]
	screens := []document{}
	for _, channel := range found[:min(number(body["limit"], 10), len(found))] {
		s.watch(r, body, text(channel["cid"]))
		screens = append(screens, s.screen(r, text(channel["cid"]), document{"limit": body["message_limit"]}))
	}
	return document{"channels": screens}, err
}

// queryMembers pages through the members of a channel in order of their ids.
func (s *API) queryMembers(_ *http.Request, query document) (document, error) {
	id := text(query["type"]) + ":" + text(query["id"])
	if s.channels[id] == nil {
		return nil, notFound("QueryMembers failed with error: channel %s does not exist", id)
	}
	all := map[string]document{}
	for _, v := range list(s.channels[id]["members"]) {
		all[text(v)] = changed(s.member(id, text(v)), document{"name": s.known(text(v))["name"]}) // which filters may name
	}
	found, err := pick(all, query, 30, nil)
	return document{"members": found}, err
}

// existing answers only for a channel that exists.
func (s *API) existing(call string, answer func(r *http.Request, id string, body document) (document, error)) func(*http.Request, document) (document, error) {
	return func(r *http.Request, body document) (document, error) {
		if s.channels[cid(r)] == nil {
			return nil, notFound("%s failed with error: channel %s does not exist", call, cid(r))
		}
		return answer(r, cid(r), body)
	}
}

func (s *API) deleteChannel(_ *http.Request, id string, _ document) (document, error) {
	channel := s.channel(id)
	s.messages = slices.DeleteFunc(s.messages, func(message document) bool { return message["cid"] == id })
	delete(s.channels, id)
	return document{"channel": channel}, nil
}

// updateChannel adds and removes members and sets data (POST), or sets and unsets fields.
func (s *API) updateChannel(r *http.Request, id string, body document) (document, error) {
	members := userIDs(append(slices.Clone(list(s.channels[id]["members"])), list(body["add_members"])...))
	gone := userIDs(body["remove_members"])
	members = slices.DeleteFunc(members, func(v any) bool { return slices.Contains(gone, v) })
	set, unset := object(body["set"]), list(body["unset"])
	if r.Method == http.MethodPatch {
		set, unset = inCustom(r, "ChannelResponse", s.channels[id], set, unset)
	}
	channel := changed(changed(s.channels[id], object(body["data"])), set)
	for _, name := range unset {
		delete(channel, text(name))
	}
	for _, fixed := range []string{"cid", "type", "id", "created_by", "created_at"} {
		channel[fixed] = s.channels[id][fixed]
	}
	s.channels[id] = changed(channel, document{"members": members, "member_count": len(members), "updated_at": s.now()})
	event := document{"type": "channel.updated", "channel": s.channel(id)}
	if caller(r) != "" {
		event["user"] = s.known(caller(r))
	}
	s.emit(event, id)
	answer := s.screen(r, id, nil)
	return document{"channel": answer["channel"], "members": answer["members"]}, nil
}

// watch has the caller's connection get a channel's events, if the request wants that.
func (s *API) watch(r *http.Request, body document, cid string) {
	c := s.connections[r.URL.Query().Get("connection_id")]
	if c == nil || c.user != caller(r) || body["watch"] != true || c.watching[cid] {
		return
	}
	c.watching[cid] = true
	s.tell(document{"type": "user.watching.start", "user": s.known(c.user), "watcher_count": s.watchers(cid)}, cid)
}

func (s *API) stopWatching(r *http.Request, _ document) (document, error) {
	if c := s.connections[r.URL.Query().Get("connection_id")]; c != nil {
		delete(c.watching, cid(r))
	}
	return document{}, nil
}

func (s *API) watchers(cid string) (n int) {
	for _, c := range s.connections {
		if c.watching[cid] {
			n++
		}
	}
	return n
}

// tell sends an event to the sockets that watch its channel, and a notification to
// members' other sockets. A nil channel means everybody who shares a channel with the
// event's user.
func (s *API) tell(event document, cid string) {
	event["created_at"] = cmp.Or(text(event["created_at"]), s.now())
	if cid != "" {
		event["cid"] = cid
		event["channel_type"], event["channel_id"], _ = strings.Cut(cid, ":")
	}
	frame := sync.OnceValue(func() []byte { return fmtJSON(event) })
	notification := sync.OnceValue(func() []byte {
		return fmtJSON(changed(event, document{"type": "notification.message_new", "channel": s.channel(cid)}))
	})
	user := text(object(event["user"])["id"])
	for _, c := range s.connections {
		switch {
		case cid == "" && c.user != user && s.shareChannel(c, user), cid != "" && c.watching[cid]:
			c.send(frame())
		case event["type"] == "message.new" && s.isMember(cid, c.user):
			c.send(notification())
		}
	}
}

// emit is tell for events that webhooks get as well.
func (s *API) emit(event document, cid string) {
	s.tell(event, cid)
	s.notify(event)
}

func (s *API) isMember(cid, user string) bool {
	return slices.Contains(list(s.channels[cid]["members"]), any(user))
}

func (s *API) shareChannel(c *connection, user string) bool {
	for cid := range c.watching {
		if s.isMember(cid, user) || s.isMember(cid, c.user) && text(object(s.channels[cid]["created_by"])["id"]) == user {
			return true
		}
	}
	return false
}

func (s *API) setRead(cid, user string, at document) {
	if s.read[cid] == nil {
		s.read[cid] = map[string]document{}
	}
	s.read[cid][user] = changed(s.read[cid][user], at)
}

func (s *API) markRead(r *http.Request, id string, _ document) (document, error) {
	user := caller(r)
	event := document{"type": "message.read", "user": s.known(user), "last_read_message_id": ""}
	for _, m := range slices.Backward(s.messages) {
		if m["cid"] == id {
			event["last_read_message_id"] = m["id"]
			break
		}
	}
	s.setRead(id, user, document{"last_read": s.now(), "unread_messages": 0, "last_read_message_id": event["last_read_message_id"]})
	s.emit(event, id)
	return document{"event": event}, nil
}

// sendEvent passes on typing and custom events. Webhooks do not get them.
func (s *API) sendEvent(r *http.Request, id string, body document) (document, error) {
	event := changed(object(body["event"]), document{"user": s.known(caller(r))})
	if text(event["type"]) == "" {
		return nil, badInput(`SendEvent failed with error: "event.type" is a required field`)
	}
	s.tell(event, id)
	return document{"event": event}, nil
}
