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

// openChannel answers with a channel, which is created if there is none. One that the path
// does not name is that of its members.
func (s *API) openChannel(c *call) (document, error) {
	data, kind := object(c.body["data"]), c.PathValue("type")
	members := userIDs(data["members"])
	if c.PathValue("id") == "" {
		if len(members) == 0 {
			return nil, badInput("GetOrCreateChannel failed with error: a channel needs an id or members")
		}
		sorted := slices.SortedFunc(slices.Values(members), func(a, b any) int { return strings.Compare(text(a), text(b)) })
		sum := sha256.Sum256(fmtJSON(sorted))
		c.id += "!members-" + hex.EncodeToString(sum[:16])
	}
	if s.channels[c.id] == nil {
		author, now := c.author(data["created_by_id"], object(data["created_by"])["id"]), s.now()
		switch {
		case author == "":
			return nil, badInput("GetOrCreateChannel failed with error: either data.created_by or data.created_by_id must be provided when using server side auth")
		case s.seen("channeltypes")[kind] == nil:
			return nil, notFound("GetOrCreateChannel failed with error: there is no channel type %q", kind)
		}
		channel := changed(data, document{
			"cid": c.id, "type": kind, "id": strings.TrimPrefix(c.id, kind+":"), "created_by": s.known(author), "created_at": now, "updated_at": now,
			"frozen": false, "disabled": false, "members": members, "member_count": len(members),
		})
		delete(channel, "created_by_id")
		s.channels[c.id] = channel
		for _, user := range members {
			s.setRead(c.id, text(user), document{"last_read": now, "unread_messages": 0})
		}
		s.emit("channel.created", c.id, author, document{"channel": s.channel(c.id)})
	}
	s.watch(c, c.id)
	return s.screen(c, c.id, object(c.body["messages"])), nil
}

// userIDs takes users or members as ids or as objects.
func userIDs(v any) []any {
	ids := []any{}
	for _, member := range list(v) {
		id := cmp.Or(text(member), text(object(member)["user_id"]), text(object(object(member)["user"])["id"]), text(object(member)["id"]))
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
	channel["config"] = s.seen("channeltypes")[text(channel["type"])]
	channel["own_capabilities"] = []any{
		"connect-events", "delete-own-message", "quote-message", "read-channel", "read-events", "send-custom-events", "send-message",
		"send-reaction", "send-reply", "send-typing-events", "typing-events", "update-own-message", "join-channel", "leave-channel",
	}
	return channel
}

// members returns a channel's members by id.
func (s *API) members(cid string) objects {
	members, channel := objects{}, s.channels[cid]
	for _, v := range list(channel["members"]) {
		user := s.known(text(v))
		members[text(v)] = document{
			"user_id": v, "user": user, "name": user["name"], "channel_role": "channel_member", "created_at": channel["created_at"], "updated_at": channel["updated_at"],
		}
	}
	return members
}

// screen returns a channel's state, with a page of messages.
func (s *API) screen(c *call, cid string, page document) document {
	messages := s.find(func(m document) bool {
		return m["cid"] == cid && (text(m["parent_id"]) == "" || m["show_in_channel"] == true)
	})
	read, watching := []document{}, []document{}
	for user, at := range s.read[cid] {
		read = append(read, changed(at, document{"user": s.known(user)}))
	}
	for _, other := range s.connections {
		if other.watching[cid] {
			watching = append(watching, s.known(other.user))
		}
	}
	members, _ := pick(s.members(cid), nil)
	return document{
		"channel": s.channel(cid), "members": members, "membership": s.members(cid)[c.user], "messages": s.showAll(c.user, pageOf(messages, page, 25)),
		"read": read, "watchers": watching, "watcher_count": len(watching), "pinned_messages": []any{}, "pending_messages": []any{},
	}
}

// pageOf returns the part of a conversation that page wants: beside or around a message, or
// the newest.
func pageOf(messages []document, page document, limit int) []document {
	limit = number(page["limit"], limit)
	first, end := 0, len(messages)
	for i, m := range messages {
		switch m["id"] {
		case page["id_lt"]:
			end = i
		case page["id_gt"]:
			first, end = i+1, min(end, i+1+limit)
		case page["id_around"]:
			first = max(0, min(i-limit/2, end-limit))
			end = min(end, first+limit)
		}
	}
	return messages[max(first, end-limit):end]
}

// queryChannels answers with the channels that changed last first.
func (s *API) queryChannels(c *call) (document, error) {
	found, err := pick(s.channels, c.body)
	latest := func(d document) string { return cmp.Or(text(d["last_message_at"]), text(d["created_at"])) }
	slices.SortStableFunc(found, func(a, b document) int { return strings.Compare(latest(b), latest(a)) })
	screens := []document{}
	for _, channel := range page(found, c.body, 10) {
		s.watch(c, text(channel["cid"]))
		screens = append(screens, s.screen(c, text(channel["cid"]), document{"limit": c.body["message_limit"]}))
	}
	return document{"channels": screens}, err
}

// queryMembers pages through the members of a channel in order of their ids.
func (s *API) queryMembers(c *call) (document, error) {
	cid := text(c.body["type"]) + ":" + text(c.body["id"])
	if s.channels[cid] == nil {
		return nil, notFound("QueryMembers failed with error: channel %s does not exist", cid)
	}
	found, err := pick(s.members(cid), c.body)
	return document{"members": page(found, c.body, 30)}, err
}

func (s *API) deleteChannel(c *call) (document, error) {
	channel := s.channel(c.id)
	s.emit("channel.deleted", c.id, c.user, document{"channel": channel})
	s.forget(func(message document) bool { return message["cid"] == c.id })
	delete(s.channels, c.id)
	return document{"channel": channel}, nil
}

// updateChannel adds and removes members and sets data (POST), or sets and unsets fields.
func (s *API) updateChannel(c *call) (document, error) {
	before := s.channels[c.id]
	gone := userIDs(c.body["remove_members"])
	members := userIDs(append(slices.Clone(list(before["members"])), list(c.body["add_members"])...))
	members = slices.DeleteFunc(members, func(v any) bool { return slices.Contains(gone, v) })
	set, unset := object(c.body["data"]), []any(nil)
	if c.Method == http.MethodPatch {
		set, unset = c.inCustom("ChannelResponse", before, object(c.body["set"]), list(c.body["unset"]))
	}
	s.change(s.channels, c.id, changed(set, document{"members": members, "member_count": len(members)}), unset...)
	for _, id := range members {
		if !slices.Contains(list(before["members"]), id) {
			s.emit("member.added", c.id, text(id), document{"member": s.members(c.id)[text(id)]})
		}
	}
	for _, id := range gone {
		s.emit("member.removed", c.id, text(id), document{"member": document{"user_id": id, "user": s.known(text(id))}})
	}
	s.emit("channel.updated", c.id, c.user, document{"channel": s.channel(c.id)})
	answer := s.screen(c, c.id, nil)
	return document{"channel": answer["channel"], "members": answer["members"]}, nil
}

// watch has the caller's connection get a channel's events, if the call wants that.
func (s *API) watch(c *call, cid string) {
	own := s.connections[c.query.Get("connection_id")]
	if own == nil || own.user != c.user || c.body["watch"] != true || own.watching[cid] {
		return
	}
	own.watching[cid] = true
	s.tell("user.watching.start", cid, c.user, document{"watcher_count": s.watchers(cid)})
}

func (s *API) stopWatching(c *call) (document, error) {
	if own := s.connections[c.query.Get("connection_id")]; own != nil {
		delete(own.watching, c.id)
	}
	return nil, nil
}

func (s *API) watchers(cid string) (n int) {
	for _, c := range s.connections {
		if c.watching[cid] {
			n++
		}
	}
	return n
}

// notifications are what sockets get that do not watch the event's channel: those of its
// members, or of the member whom it is about.
var notifications = map[string]string{
	"message.new": "notification.message_new", "channel.created": "notification.added_to_channel", "channel.deleted": "notification.channel_deleted",
	"member.added": "notification.added_to_channel", "member.removed": "notification.removed_from_channel",
}

// tell sends an event to the sockets that watch its channel, and a notification to others,
// and returns it. Without a channel, everybody who shares one with the event's user gets it.
func (s *API) tell(kind, cid, user string, event document) document {
	event = changed(event, document{"type": kind, "created_at": s.now()})
	if user != "" {
		event["user"] = s.known(user)
	}
	if cid != "" {
		event["cid"] = cid
		event["channel_type"], event["channel_id"], _ = strings.Cut(cid, ":")
	}
	frame := sync.OnceValue(func() []byte { return fmtJSON(event) })
	notification := sync.OnceValue(func() []byte {
		return fmtJSON(changed(event, document{"type": notifications[kind], "channel": s.channel(cid)}))
	})
	about := strings.HasPrefix(kind, "member.")
	for _, c := range s.connections {
		switch {
		case kind == "member.removed" && c.user == user:
			delete(c.watching, cid)
			c.send(notification())
		case cid == "" && c.user != user && s.shareChannel(c, user), cid != "" && c.watching[cid]:
			c.send(frame())
		case notifications[kind] != "" && (!about || c.user == user) && s.isMember(cid, c.user):
			c.send(notification())
		}
	}
	return event
}

// emit is tell for events that webhooks get as well.
func (s *API) emit(kind, cid, user string, event document) document {
	event = s.tell(kind, cid, user, event)
	s.notify(event)
	return event
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
		s.read[cid] = objects{}
	}
	s.read[cid][user] = changed(s.read[cid][user], at)
}

func (s *API) markRead(c *call) (document, error) {
	user := c.author(c.body["user_id"])
	at := document{"last_read": s.now(), "unread_messages": 0, "last_read_message_id": ""}
	for _, id := range slices.Backward(s.sent) {
		if s.messages[id]["cid"] == c.id {
			at["last_read_message_id"] = id
			break
		}
	}
	s.setRead(c.id, user, at)
	event := s.emit("message.read", c.id, user, document{"last_read_message_id": at["last_read_message_id"]})
	return document{"event": event}, nil
}

// sendEvent passes on typing and custom events. Webhooks do not get them.
func (s *API) sendEvent(c *call) (document, error) {
	event := object(c.body["event"])
	if text(event["type"]) == "" {
		return nil, badInput(`SendEvent failed with error: "event.type" is a required field`)
	}
	return document{"event": s.tell(text(event["type"]), c.id, c.author(event["user_id"]), event)}, nil
}
