package streamapi

import (
	"crypto/rand"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A config is an app's settings and collections. One that is stored never changes.
type config struct {
	app         document
	collections map[string]map[string]document // by kind and key, "roles" and "admin"
	written     time.Time
}

// collectionKeys are the fields that name an item of each kind.
var collectionKeys = map[string]string{"roles": "name", "permissions": "id", "blocklists": "name", "commands": "name", "channeltypes": "name"}

// freshApp returns the settings of a new app.
func freshApp() document {
	return document{
		"name": "local", "organization": "local", "id": 1, "permission_version": "v2", "use_hook_v2": true, "enforce_unique_usernames": "no",
		"user_search_disallowed_roles": []any{}, "event_hooks": []any{}, "webhook_events": nil, "image_moderation_labels": nil,
		"before_message_send_hook_url": "", "cdn_expiration_seconds": 1209600, "reminders_interval": 3600, "async_url_enrich_enabled": true,
		"file_upload_config":  document{"size_limit": 0, "allowed_file_extensions": nil, "blocked_file_extensions": nil},
		"image_upload_config": document{"size_limit": 0, "allowed_file_extensions": nil, "blocked_file_extensions": nil},
		"grants":              document{"user": []any{"create-channel", "search-user"}, "guest": []any{"search-user"}, "anonymous": []any{}, "admin": []any{"ban-user", "search-user"}},
	}
}

// freshCollections returns what a new app has besides its settings.
func freshCollections() map[string]map[string]document {
	all := map[string]map[string]document{
		"roles": {}, "blocklists": {}, "commands": {}, "channeltypes": {},
		"permissions": {"search-user": {"id": "search-user", "name": "Search User", "action": "SearchUser", "condition": nil}},
	}
	for _, name := range []string{"user", "guest", "anonymous", "admin", "moderator", "global_admin", "global_moderator", "channel_member", "channel_moderator"} {
		all["roles"][name] = document{"name": name}
	}
	for name, set := range map[string]string{"giphy": "fun_set", "imgur": "fun_set", "flag": "moderation_set", "ban": "moderation_set", "unban": "moderation_set", "mute": "moderation_set", "unmute": "moderation_set"} {
		all["commands"][name] = document{"name": name, "description": "built in", "args": "", "set": set}
	}
	for _, name := range []string{"messaging", "team", "livestream", "commerce", "gaming"} {
		all["channeltypes"][name] = freshChannelType(name)
	}
	return all
}

func freshChannelType(name string) document {
	t := document{
		"name": name, "automod": "disabled", "automod_behavior": "flag", "max_message_length": 5000, "message_retention": "infinite",
		"commands": []any{}, "permissions": []any{}, "blocklist": "", "blocklist_behavior": "", "partition_ttl": nil, "push_level": "all",
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

// seen returns the configuration that Stream's other servers know by now, and forgets
// older ones.
func (s *API) seen() config {
	for len(s.configs) > 1 && !s.Now().Before(s.configs[1].written.Add(s.Lag)) {
		s.configs = s.configs[1:]
	}
	return s.configs[0]
}

// written returns the configuration as last written.
func (s *API) written() config {
	s.seen()
	return s.configs[len(s.configs)-1]
}

// write stores a changed copy of the configuration.
func (s *API) write(change func(c *config)) {
	c := s.written()
	c.app, c.collections, c.written = maps.Clone(c.app), maps.Clone(c.collections), s.Now()
	for kind := range c.collections {
		c.collections[kind] = maps.Clone(c.collections[kind])
	}
	change(&c)
	s.configs = append(s.configs, c)
}

// patchApp sets the named settings. Event hooks are replaced as a whole: one
// without an id becomes a new one, and those left out are gone.
func (s *API) patchApp(_ *http.Request, set document) (document, error) {
	for _, v := range list(set["event_hooks"]) {
		hook := object(v)
		if _, ok := hook["event_types"]; !ok {
			hook["event_types"] = nil
		}
		if text(hook["id"]) == "" {
			hook["id"], hook["created_at"] = rand.Text(), s.now()
		}
		hook["updated_at"] = s.now()
	}
	if err := s.knowsRoles(set); err != nil {
		return nil, err
	}
	s.write(func(c *config) { c.app = withGrants(c.app, set) })
	return document{}, nil
}

// knowsRoles refuses grants of a role that does not exist, or not yet.
func (s *API) knowsRoles(set document) error {
	for role := range object(set["grants"]) {
		if s.seen().collections["roles"][role] == nil {
			return badInput("grants: role %q does not exist", role)
		}
	}
	return nil
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

// A collection answers for the items of a kind.
type collection struct {
	*API
	kind, key string
}

// id returns the key of the item that a request is about: of a blocklist, a team may
// have one of its own under the same name.
func (c collection) id(r *http.Request, body document) string {
	name, team := r.PathValue(c.key), r.URL.Query().Get("team")
	if name == "" {
		name = text(body[c.key])
	}
	if team == "" {
		team = text(body["team"])
	}
	return strings.TrimSuffix(name+"\n"+team, "\n")
}

func (c collection) list(r *http.Request, _ document) (document, error) {
	all := c.seen().collections[c.kind]
	if c.kind == "channeltypes" {
		types := document{}
		for name, t := range all {
			types[name] = c.withCommands(t)
		}
		return document{"channel_types": types}, nil
	}
	query, items, next := r.URL.Query(), []document{}, ""
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if name <= query.Get("cursor") {
			continue
		}
		if c.kind == "blocklists" && len(items) == number(query.Get("limit"), 25) {
			next = text(items[len(items)-1]["name"])
			break
		}
		items = append(items, all[name])
	}
	return document{c.kind: items, "next_cursor": next}, nil
}

func (c collection) get(r *http.Request, _ document) (document, error) {
	item, ok := c.seen().collections[c.kind][c.id(r, nil)]
	switch {
	case !ok:
		return nil, notFound("%s: %q does not exist", c.kind, r.PathValue(c.key))
	case c.kind == "channeltypes":
		return c.withCommands(item), nil
	case c.kind == "commands":
		return item, nil
	}
	return document{strings.TrimSuffix(c.kind, "s"): item}, nil
}

// withCommands returns a channel type with its commands in full.
func (c collection) withCommands(channelType document) document {
	commands := []any{}
	for _, name := range list(channelType["commands"]) {
		if command := c.seen().collections["commands"][text(name)]; command != nil {
			commands = append(commands, command)
		}
	}
	return changed(channelType, document{"commands": commands})
}

func (c collection) create(r *http.Request, item document) (document, error) {
	name := c.id(r, item)
	if text(item[c.key]) == "" || c.written().collections[c.kind][name] != nil {
		return nil, badInput("%s: the %s %q is empty or taken", c.kind, c.key, item[c.key])
	}
	fresh := document{c.key: item[c.key], "created_at": c.now()}
	switch c.kind {
	case "channeltypes":
		fresh = changed(freshChannelType(name), fresh)
	case "blocklists":
		fresh["type"] = "word"
	case "roles", "permissions":
		fresh["custom"] = true
	}
	return c.put(name, fresh, item)
}

func (c collection) update(r *http.Request, set document) (document, error) {
	name := c.id(r, set)
	item := c.written().collections[c.kind][name]
	if item == nil {
		return nil, notFound("%s: %q does not exist", c.kind, r.PathValue(c.key))
	}
	return c.put(name, item, set)
}

func (c collection) remove(r *http.Request, _ document) (document, error) {
	id, name := c.id(r, nil), r.PathValue(c.key)
	if c.written().collections[c.kind][id] == nil {
		return nil, notFound("%s: %q does not exist", c.kind, name)
	}
	granting := []document{c.written().app}
	for _, t := range c.written().collections["channeltypes"] {
		granting = append(granting, t)
	}
	for _, d := range granting {
		if c.kind == "roles" && len(list(object(d["grants"])[name])) > 0 {
			return nil, badInput("role %q has grants", name)
		}
	}
	c.write(func(all *config) { delete(all.collections[c.kind], id) })
	return document{"name": name}, nil
}

// put stores an item with changed fields. It refuses what the item would refer to and
// Stream does not know yet.
func (c collection) put(id string, item, set document) (document, error) {
	item = changed(withGrants(item, set), document{c.key: item[c.key], "updated_at": c.now()})
	if c.kind == "channeltypes" {
		if err := c.knowsRoles(set); err != nil {
			return nil, err
		}
		commands := []any{}
		known := c.seen().collections["commands"]
		for _, v := range list(item["commands"]) {
			if known[text(v)] != nil {
				commands = append(commands, v)
				continue
			}
			set := len(commands)
			for _, name := range slices.Sorted(maps.Keys(known)) {
				if v == known[name]["set"] || v == "all" {
					commands = append(commands, name)
				}
			}
			if len(commands) == set {
				return nil, badInput("commands: %q does not exist", v)
			}
		}
		item["commands"] = commands
	}
	c.write(func(all *config) { all.collections[c.kind][id] = item })
	if c.kind == "channeltypes" {
		return item, nil // with the commands' names
	}
	return document{strings.TrimSuffix(c.kind, "s"): item}, nil
}
