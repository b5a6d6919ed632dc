package streamapi

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// What an app's first screens do, with a user's token. The stand-in has none of Stream's
// permissions, moderation or limits, and fields that it does not know stay as sent.

// chatCalls adds the calls that only apps make.
func (s *API) chatCalls() {
	s.mux.HandleFunc("GET /connect", s.connect)
	s.handle("POST /channels/{type}/query", s.distinctChannel)
	s.handle("POST /channels/{type}/{id}", s.updateChannel)
	s.handle("POST /channels/{type}/{id}/event", s.sendEvent)
	s.handle("POST /channels/{type}/{id}/read", s.markRead)
	s.handle("POST /channels/{type}/{id}/stop-watching", s.stopWatching)
	s.handle("POST /channels/read", s.markAllRead)
	s.handle("GET /messages/{id}/replies", s.replies)
	s.handle("POST /messages/{id}", s.updateMessage)
	s.handle("PUT /messages/{id}", s.updateMessage)
	s.handle("DELETE /messages/{id}", s.deleteMessage)
	s.handle("POST /messages/{id}/reaction", s.react)
	s.handle("DELETE /messages/{id}/reaction/{type}", s.unreact)
	s.handle("GET /messages/{id}/reactions", s.reactions)
	for _, call := range []string{"GET /hi", "POST /channels/delivered", "POST /threads", "POST /sync", "POST /drafts/query", "GET /unread"} {
		s.handle(call, func(*http.Request, document) (document, error) {
			return document{"events": []any{}, "threads": []any{}, "drafts": []any{}, "channels": []any{}, "total_unread_count": 0}, nil
		})
	}
}

// serverOnly reports whether a call needs a server's token.
func serverOnly(pattern string) bool {
	method, path, _ := strings.Cut(pattern, " ")
	switch _, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/"); {
	case strings.HasPrefix(path, "/channels"), strings.HasPrefix(path, "/messages"), strings.HasPrefix(path, "/devices"), strings.HasPrefix(path, "/video/"), strings.HasPrefix(path, "/uploads/"), path == "/search", strings.HasPrefix(path, "/feeds/"), pattern == "/":
		return false
	case path == "/users" || path == "/members" || path == "/app":
		return method == http.MethodPatch && path == "/app"
	default:
		return rest != "" || !slices.Contains([]string{"hi", "threads", "sync", "unread"}, path[1:]) && path != "/drafts/query"
	}
}

type callerKey struct{}

// caller returns the user whose token a request has, or "" for a server's.
func caller(r *http.Request) string {
	user, _ := r.Context().Value(callerKey{}).(string)
	return user
}

// watch has the caller's connection get a channel's events, if the request wants that.
func (s *API) watch(r *http.Request, body document, cids ...string) {
	c := s.connections[r.URL.Query().Get("connection_id")]
	if c == nil || c.user != caller(r) || body["watch"] != true {
		return
	}
	for _, cid := range cids {
		if !c.watching[cid] {
			c.watching[cid] = true
			s.tell(document{"type": "user.watching.start", "cid": cid, "user": s.known(c.user), "watcher_count": s.watchers(cid)}, cid)
		}
	}
}

func (s *API) watchers(cid string) (n int) {
	for _, c := range s.connections {
		if c.watching[cid] {
			n++
		}
	}
	return n
}

func (s *API) stopWatching(r *http.Request, _ document) (document, error) {
	if c := s.connections[r.URL.Query().Get("connection_id")]; c != nil {
		delete(c.watching, cid(r))
	}
	return document{}, nil
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

// screen returns a channel's state for an app, with a page of messages.
func (s *API) screen(r *http.Request, cid string, page document) document {
	messages := []document{}
	for _, m := range s.messages {
		if m["cid"] == cid && (m["parent_id"] == nil || m["show_in_channel"] == true) {
			messages = append(messages, m)
		}
	}
	if before := text(page["id_lt"]); before != "" {
		if i := slices.IndexFunc(messages, func(m document) bool { return m["id"] == before }); i >= 0 {
			messages = messages[:i]
		}
	}
	messages = messages[max(0, len(messages)-number(page["limit"], 25)):]
	shown := make([]document, len(messages))
	for i, m := range messages {
		shown[i] = s.shownTo(caller(r), m)
	}
	members, membership := []document{}, document(nil)
	for _, v := range list(s.channels[cid]["members"]) {
		member := changed(s.member(text(v)), document{"created_at": s.channels[cid]["created_at"], "updated_at": s.channels[cid]["updated_at"]})
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
		"channel": s.channel(cid), "members": members, "membership": membership, "messages": shown, "read": read,
		"watchers": watching, "watcher_count": len(watching), "pinned_messages": []any{}, "pending_messages": []any{},
	}
}

// openChannel answers an app that opens a channel, which is created if there is none.
func (s *API) openChannel(r *http.Request, cid string, body document) (document, error) {
	if s.channels[cid] == nil {
		data, now := object(body["data"]), s.now()
		kind, id, _ := strings.Cut(cid, ":")
		if s.seen().collections["channeltypes"][kind] == nil {
			return nil, notFound("GetOrCreateChannel failed with error: there is no channel type %q", kind)
		}
		members := userIDs(data["members"])
		s.channels[cid] = changed(data, document{
			"cid": cid, "type": kind, "id": id, "created_by": s.known(caller(r)), "created_at": now, "updated_at": now, "frozen": false, "disabled": false,
			"members": members, "member_count": len(members),
		})
		for _, user := range members {
			s.setRead(cid, text(user), document{"last_read": now, "unread_messages": 0})
		}
		s.emit(document{"type": "channel.created", "channel": s.channel(cid), "user": s.known(caller(r))}, cid)
	}
	s.watch(r, body, cid)
	return s.screen(r, cid, object(body["messages"])), nil
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

// distinctChannel opens the channel of some members, which has no id of its own.
func (s *API) distinctChannel(r *http.Request, body document) (document, error) {
	members := userIDs(object(body["data"])["members"])
	if len(members) == 0 {
		return nil, badInput("GetOrCreateChannel failed with error: a channel needs an id or members")
	}
	slices.SortFunc(members, func(a, b any) int { return strings.Compare(text(a), text(b)) })
	sum := sha256.Sum256(fmtJSON(members))
	return s.openChannel(r, r.PathValue("type")+":!members-"+hex.EncodeToString(sum[:16]), body)
}

func fmtJSON(v any) []byte { text, _ := json.Marshal(v); return text }

// updateChannel adds and removes members, and sets data.
func (s *API) updateChannel(r *http.Request, body document) (document, error) {
	id := cid(r)
	if s.channels[id] == nil {
		return nil, notFound("UpdateChannel failed with error: channel %s does not exist", id)
	}
	members := userIDs(append(slices.Clone(list(s.channels[id]["members"])), list(body["add_members"])...))
	gone := userIDs(body["remove_members"])
	members = slices.DeleteFunc(members, func(v any) bool { return slices.Contains(gone, v) })
	s.channels[id] = changed(changed(s.channels[id], object(body["data"])), document{"members": members, "member_count": len(members), "updated_at": s.now()})
	s.emit(document{"type": "channel.updated", "channel": s.channel(id), "user": s.known(caller(r))}, id)
	answer := s.screen(r, id, nil)
	return document{"channel": answer["channel"], "members": answer["members"]}, nil
}

// queryScreens answers an app's query with the channels that changed last first.
func (s *API) queryScreens(r *http.Request, body document) (document, error) {
	found, err := pick(s.channels, changed(body, document{"limit": 1000, "offset": 0}), 1000, nil)
	if err != nil {
		return nil, err
	}
	latest := func(d document) string { return cmp.Or(text(d["last_message_at"]), text(d["created_at"])) }
	slices.SortStableFunc(found, func(a, b document) int { return strings.Compare(latest(b), latest(a)) })
	found = found[min(number(body["offset"], 0), len(found)):]
	screens := []document{}
	for _, channel := range found[:min(number(body["limit"], 10), len(found))] {
		s.watch(r, body, text(channel["cid"]))
		screens = append(screens, s.screen(r, text(channel["cid"]), document{"limit": cmp.Or(number(body["message_limit"], 0), 25)}))
	}
	return document{"channels": screens}, nil
}

func (s *API) setRead(cid, user string, at document) {
	if s.read[cid] == nil {
		s.read[cid] = map[string]document{}
	}
	s.read[cid][user] = changed(s.read[cid][user], at)
}

func (s *API) markRead(r *http.Request, _ document) (document, error) {
	if s.channels[cid(r)] == nil {
		return nil, notFound("MarkRead failed with error: channel %s does not exist", cid(r))
	}
	return document{"event": s.readChannel(cid(r), caller(r))}, nil
}

func (s *API) readChannel(cid, user string) document {
	last := ""
	for _, m := range slices.Backward(s.messages) {
		if m["cid"] == cid {
			last = text(m["id"])
			break
		}
	}
	s.setRead(cid, user, document{"last_read": s.now(), "unread_messages": 0, "last_read_message_id": last})
	event := document{"type": "message.read", "user": s.known(user), "last_read_message_id": last}
	s.emit(event, cid)
	return event
}

func (s *API) markAllRead(r *http.Request, _ document) (document, error) {
	for _, cid := range slices.Sorted(maps.Keys(s.channels)) {
		if s.isMember(cid, caller(r)) {
			s.readChannel(cid, caller(r))
		}
	}
	return document{}, nil
}

// sendEvent passes on typing and custom events. Webhooks do not get them.
func (s *API) sendEvent(r *http.Request, body document) (document, error) {
	event := changed(object(body["event"]), document{"user": s.known(caller(r))})
	if text(event["type"]) == "" || s.channels[cid(r)] == nil {
		return nil, badInput("SendEvent failed with error: want an event with a type on a channel that exists")
	}
	s.tell(event, cid(r))
	return document{"event": event}, nil
}

// store puts a message into its channel and tells everybody. It asks the app's hook
// first, and lets other calls go on in the meantime.
func (s *API) store(r *http.Request, message document) (document, error) {
	id, user := cid(r), text(message["user_id"])
	answer := s.askHook(document{"message": s.shown(message), "user": s.known(user), "channel": s.channel(id)})
	if answer["type"] == "error" {
		shown := s.shownTo(user, changed(message, document{"type": "error", "text": answer["text"]}))
		return document{"message": shown}, nil
	}
	message = changed(message, answer)
	if len(s.messages) == maxMessages {
		for _, old := range s.messages[:1000] {
			delete(s.ids, text(old["id"]))
		}
		s.messages = slices.Delete(s.messages, 0, 1000)
	}
	s.messages, s.ids[text(message["id"])] = append(s.messages, message), true
	now := text(message["created_at"])
	for _, v := range list(s.channels[id]["members"]) {
		unread := number(s.read[id][text(v)]["unread_messages"], 0) + 1
		if v == any(user) {
			s.setRead(id, user, document{"last_read": now, "last_read_message_id": message["id"]})
			unread = 0
		}
		if message["parent_id"] == nil {
			s.setRead(id, text(v), document{"unread_messages": unread, "last_read": cmp.Or(s.read[id][text(v)]["last_read"], any(now))})
		}
	}
	s.channels[id] = changed(s.channels[id], document{"last_message_at": now})
	parent := s.changeMessage(text(message["parent_id"]), func(m document) document {
		return document{"reply_count": number(m["reply_count"], 0) + 1, "thread_participants": append(slices.Clone(list(m["thread_participants"])), s.known(user))}
	})
	if parent != nil {
		s.tell(document{"type": "message.updated", "message": s.shownTo("", parent), "user": s.known(user)}, id)
	}
	shown := s.shownTo("", message)
	s.emit(document{"type": "message.new", "message": shown, "user": shown["user"], "watcher_count": s.watchers(id)}, id)
	return document{"message": s.shownTo(user, message)}, nil
}

// askHook returns what the app's before-message-send hook makes of a message, or nil. As
// at Stream, a hook that fails or takes too long lets the message pass.
func (s *API) askHook(payload document) document {
	url := text(s.seen().app["before_message_send_hook_url"])
	if url == "" {
		return nil
	}
	limit := time.Duration(number(s.seen().app["before_message_send_hook_attempt_timeout_ms"], 1500)) * time.Millisecond
	s.mu.Unlock()
	defer s.mu.Lock()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	status, body, err := s.callHook(ctx, url, rand.Text(), 1, payload)
	var answer document
	if err != nil || status != http.StatusOK || json.Unmarshal(body, &answer) != nil {
		return nil
	}
	return object(answer["message"])
}

// atOnce holds one element for each webhook on its way. Callers whose events find it full
// wait with their answer: what waits here would take memory, and be late.
var atOnce = make(chan struct{}, 32)

var hooks = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: cap(atOnce)}}

// zipper is one for all, because it has a megabyte. zipping guards it.
var (
	zipper, _ = gzip.NewWriterLevel(nil, gzip.BestSpeed)
	zipping   sync.Mutex
)

// callHook signs what it sends as Stream does, before compression.
func (s *API) callHook(ctx context.Context, url, id string, attempt int, payload document) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, 6*time.Second)
	defer cancel()
	key, secrets, err := s.credentials()
	if err != nil {
		return 0, nil, err
	}
	body := fmtJSON(payload)
	mac := hmac.New(sha256.New, []byte(secrets[0]))
	mac.Write(body)
	header := http.Header{
		"Content-Type": {"application/json"}, "X-Signature": {hex.EncodeToString(mac.Sum(nil))},
		"X-Api-Key": {key}, "X-Webhook-Id": {id}, "X-Webhook-Attempt": {strconv.Itoa(attempt)},
	}
	if s.Compress && len(body) >= 256 { // Stream leaves short ones plain
		var zipped bytes.Buffer
		zipping.Lock()
		zipper.Reset(&zipped)
		_, _ = zipper.Write(body)
		_ = zipper.Close()
		zipping.Unlock()
		body = zipped.Bytes()
		header.Set("Content-Encoding", "gzip")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.Header = header
	response, err := hooks.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(response.Body, maxBody))
	if s.Hooked != nil {
		s.Hooked(payload, response.StatusCode, answer)
	}
	return response.StatusCode, answer, err
}

// notify sends an event to the webhooks that want its type: up to three times, as Stream does.
func (s *API) notify(event document) {
	for _, v := range list(s.seen().app["event_hooks"]) {
		hook := object(v)
		types := list(hook["event_types"])
		if hook["hook_type"] != "webhook" || hook["enabled"] != true || len(types) > 0 && !slices.Contains(types, event["type"]) {
			continue
		}
		s.calls = append(s.calls, func() {
			ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
			defer cancel()
			id := rand.Text()
			for attempt := range 3 {
				status, _, err := s.callHook(ctx, text(hook["webhook_url"]), id, attempt+1, event)
				if err == nil && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests && status < 500 {
					return
				}
			}
		})
	}
}

// shownTo returns a message as a user sees it.
func (s *API) shownTo(user string, message document) document {
	own := []any{}
	for _, v := range list(message["latest_reactions"]) {
		if user != "" && object(v)["user_id"] == any(user) {
			own = append(own, v)
		}
	}
	shown := changed(document{
		"html": "", "attachments": []any{}, "latest_reactions": []any{}, "reaction_counts": document{}, "reaction_scores": document{}, "reaction_groups": document{},
		"reply_count": 0, "mentioned_users": []any{}, "silent": false, "pinned": false, "shadowed": false,
	}, s.shown(message))
	shown["own_reactions"] = own
	return shown
}

// changeMessage sets fields of a message and tells those who watch.
func (s *API) changeMessage(id string, set func(document) document) document {
	i := slices.IndexFunc(s.messages, func(m document) bool { return m["id"] == id })
	if i < 0 {
		return nil
	}
	s.messages[i] = changed(changed(s.messages[i], set(s.messages[i])), document{"updated_at": s.now()})
	return s.messages[i]
}

// changed message events have the message, and the user who changed it.
func (s *API) tellMessage(kind string, r *http.Request, message, more document) document {
	user := cmp.Or(caller(r), text(message["user_id"]))
	s.emit(changed(document{"type": kind, "message": s.shownTo("", message), "user": s.known(user)}, more), text(message["cid"]))
	return document{"message": s.shownTo(user, message)}
}

// updateMessage replaces fields (POST) or sets and unsets some (PUT).
func (s *API) updateMessage(r *http.Request, body document) (document, error) {
	message := s.changeMessage(r.PathValue("id"), func(m document) document {
		set := changed(object(body["message"]), object(body["set"]))
		for _, fixed := range []string{"id", "user", "user_id", "cid", "created_at", "type"} {
			delete(set, fixed)
		}
		for _, name := range list(body["unset"]) {
			set[text(name)] = nil
		}
		return set
	})
	if message == nil {
		return nil, notFound("UpdateMessage failed with error: there is no message with id %s", r.PathValue("id"))
	}
	return s.tellMessage("message.updated", r, message, nil), nil
}

func (s *API) deleteMessage(r *http.Request, _ document) (document, error) {
	message := s.changeMessage(r.PathValue("id"), func(document) document {
		return document{"type": "deleted", "deleted_at": s.now(), "text": ""}
	})
	if message == nil {
		return nil, notFound("DeleteMessage failed with error: there is no message with id %s", r.PathValue("id"))
	}
	hard := r.URL.Query().Get("hard") == "true"
	if hard {
		s.messages = slices.DeleteFunc(s.messages, func(m document) bool { return m["id"] == message["id"] })
	}
	return s.tellMessage("message.deleted", r, message, document{"hard_delete": hard}), nil
}

func (s *API) replies(r *http.Request, _ document) (document, error) {
	found := []document{}
	for _, m := range s.messages {
		if m["parent_id"] == any(r.PathValue("id")) {
			found = append(found, s.shownTo(caller(r), m))
		}
	}
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	return document{"messages": found[max(0, len(found)-cmp.Or(limit, 50)):]}, nil
}

// react adds a reaction; a user has one of each type.
func (s *API) react(r *http.Request, body document) (document, error) {
	kind := text(object(body["reaction"])["type"])
	if kind == "" {
		return nil, badInput(`SendReaction failed with error: "reaction.type" is a required field`)
	}
	now, user := s.now(), cmp.Or(caller(r), text(object(body["reaction"])["user_id"]))
	reaction := changed(document{"score": 1}, object(body["reaction"]))
	maps.Copy(reaction, document{"message_id": r.PathValue("id"), "user_id": user, "user": s.known(user), "created_at": now, "updated_at": now})
	return s.setReaction(r, "reaction.new", reaction, body["enforce_unique"] == true)
}

func (s *API) unreact(r *http.Request, _ document) (document, error) {
	user := cmp.Or(caller(r), r.URL.Query().Get("user_id"))
	return s.setReaction(r, "reaction.deleted", document{"type": r.PathValue("type"), "user_id": user, "user": s.known(user), "message_id": r.PathValue("id")}, false)
}

func (s *API) setReaction(r *http.Request, event string, reaction document, only bool) (document, error) {
	message := s.changeMessage(r.PathValue("id"), func(m document) document {
		all := slices.DeleteFunc(slices.Clone(list(m["latest_reactions"])), func(v any) bool {
			return object(v)["user_id"] == reaction["user_id"] && (only || object(v)["type"] == reaction["type"])
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
	if message == nil {
		return nil, notFound("SendReaction failed with error: there is no message with id %s", r.PathValue("id"))
	}
	return changed(s.tellMessage(event, r, message, document{"reaction": reaction, "user": reaction["user"]}), document{"reaction": reaction}), nil
}

func (s *API) reactions(r *http.Request, _ document) (document, error) {
	found := s.find(func(m document) bool { return m["id"] == any(r.PathValue("id")) })
	if len(found) == 0 {
		return nil, notFound("GetReactions failed with error: there is no message with id %s", r.PathValue("id"))
	}
	return document{"reactions": list(found[0]["latest_reactions"])}, nil
}
