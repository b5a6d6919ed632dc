package streamapi

import (
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// freshApp returns the settings of a new app.
func freshApp() document {
	return document{
		"name": "local", "organization": "local", "suspended": false,
		"disable_auth_checks": false, "disable_permissions_checks": false, "permission_version": "v2",
		"multi_tenant_enabled": false, "guest_user_creation_disabled": false, "channel_hide_members_only": false,
		"enforce_unique_usernames": "no", "user_search_disallowed_roles": []any{},
		"before_message_send_hook_url": "", "custom_action_handler_url": "", "event_hooks": []any{},
		"grants": document{"user": []any{"create-channel", "search-user"}, "guest": []any{"search-user"}, "anonymous": []any{}, "admin": []any{"ban-user", "search-user"}},
	}
}

// freshCollections returns what a new app has besides its settings.
func freshCollections() map[string]map[string]document {
	all := map[string]map[string]document{
		"roles": {}, "blocklists": {}, "commands": {}, "channeltypes": {},
		"permissions": {"search-user": {"id": "search-user", "name": "Search User", "action": "SearchUser", "custom": false}},
	}
	for _, name := range []string{"user", "guest", "anonymous", "admin", "moderator", "channel_member", "channel_moderator"} {
		all["roles"][name] = document{"name": name, "custom": false, "scopes": []any{}}
	}
	for _, name := range []string{"giphy", "ban", "mute"} {
		all["commands"][name] = document{"name": name, "description": "built in", "args": "", "set": "fun_set"}
	}
	for _, name := range []string{"messaging", "team", "livestream", "commerce", "gaming"} {
		all["channeltypes"][name] = freshChannelType(name)
	}
	return all
}

func freshChannelType(name string) document {
	t := document{
		"name": name, "automod": "disabled", "automod_behavior": "flag", "max_message_length": 5000, "message_retention": "infinite",
		"commands": []any{}, "permissions": []any{}, "blocklist": "", "blocklist_behavior": "", "created_at": now(), "updated_at": now(),
		"grants": document{
			"user": []any{"create-channel", "read-channel"}, "guest": []any{"read-channel"}, "anonymous": []any{},
			"channel_member": []any{"read-channel", "create-message", "create-reaction"}, "admin": []any{"read-channel", "delete-channel"},
		},
	}
	for _, field := range []string{
		"typing_events", "read_events", "connect_events", "search", "reactions", "replies", "quotes", "mutes", "uploads",
		"url_enrichment", "push_notifications", "polls", "reminders", "custom_events", "mark_messages_pending",
	} {
		t[field] = true
	}
	return t
}

// patchApp sets the named settings. Event hooks are replaced as a whole: one
// without an id becomes a new one, and those left out are gone.
func (s *API) patchApp(_ *http.Request, set document) (document, error) {
	for _, v := range list(set["event_hooks"]) {
		hook, ok := v.(document)
		if !ok {
			return nil, badInput("UpdateApp failed with error: event_hooks must be objects")
		}
		for _, field := range []string{"created_at", "updated_at"} {
			if _, ok := hook[field].(json.Number); ok { // as GET /app writes them
				return nil, badInput("UpdateApp failed with error: event_hooks: %s must be a time", field)
			}
		}
		if hook["id"] == nil {
			hook["id"] = rand.Text()
		}
		hook["updated_at"] = time.Now().UnixNano()
	}
	s.app = withGrants(s.app, set)
	return document{}, nil
}

// withGrants returns a changed document that keeps the grants of roles that set
// does not name.
func withGrants(d, set document) document {
	changes := changed(set, nil)
	if named, ok := set["grants"].(document); ok {
		changes["grants"] = changed(object(d["grants"]), named)
	}
	return changed(d, changes)
}

// list returns a collection.
func (s *API) list(kind string) document {
	if kind == "channeltypes" {
		types := document{}
		for name, t := range s.collections[kind] {
			types[name] = s.withCommands(t)
		}
		return document{"channel_types": types}
	}
	items := []document{}
	for _, name := range slices.Sorted(maps.Keys(s.collections[kind])) {
		items = append(items, s.collections[kind][name])
	}
	return document{kind: items}
}

func (s *API) get(kind, name string) (document, error) {
	item, ok := s.collections[kind][name]
	switch {
	case !ok:
		return nil, notFound("%s: %q does not exist", kind, name)
	case kind == "channeltypes":
		return s.withCommands(item), nil
	}
	return document{strings.TrimSuffix(kind, "s"): item}, nil
}

// withCommands returns a channel type with its commands in full.
func (s *API) withCommands(channelType document) document {
	commands := []any{}
	for _, name := range list(channelType["commands"]) {
		if command := s.collections["commands"][text(name)]; command != nil {
			commands = append(commands, command)
		}
	}
	return changed(channelType, document{"commands": commands})
}

func (s *API) create(kind string, item document) (document, error) {
	key := "name"
	if kind == "permissions" {
		key = "id"
	}
	name := text(item[key])
	if name == "" || s.collections[kind][name] != nil {
		return nil, badInput("%s: want a %s that is not taken, got %q", kind, key, name)
	}
	fresh := document{key: name}
	switch kind {
	case "channeltypes":
		fresh = freshChannelType(name)
	case "roles", "permissions":
		fresh["custom"] = true
	}
	return s.put(kind, name, fresh, item)
}

func (s *API) update(kind, name string, set document) (document, error) {
	if _, err := s.get(kind, name); err != nil {
		return nil, err
	}
	return s.put(kind, name, s.collections[kind][name], set)
}

func (s *API) remove(kind, name string) (document, error) {
	_, err := s.get(kind, name)
	delete(s.collections[kind], name)
	return document{}, err
}

// put stores an item with changed fields, of which some are read-only.
func (s *API) put(kind, name string, item, set document) (document, error) {
	changes := changed(set, document{"updated_at": now()})
	for _, field := range []string{"id", "name", "custom"} {
		if v, ok := item[field]; ok {
			changes[field] = v
		}
	}
	if kind != "channeltypes" {
		s.collections[kind][name] = changed(item, changes)
		return s.get(kind, name)
	}
	t := withGrants(item, changes)
	s.collections[kind][name] = t
	return changed(t, nil), nil // with the commands' names
}
