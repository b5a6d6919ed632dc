package streamapi

import (
	"cmp"
	"crypto/rand"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"chat-service-backend/ops/streamspec"
)

// A config is what an app has besides its data. One that is stored never changes.
type config struct {
	items   map[string]objects // by kind and key, "roles" and "admin"; the settings by "app" and ""
	written time.Time
}

// collectionKeys are the fields that name an item of each kind.
var collectionKeys = map[string]string{"roles": "name", "permissions": "id", "blocklists": "name", "commands": "name", "channeltypes": "name"}

// freshConfig returns what a new app has.
func freshConfig() config {
	app := document{
		"name": "local", "organization": "local", "id": 1, "permission_version": "v2", "use_hook_v2": true, "enforce_unique_usernames": "no",
		"user_search_disallowed_roles": []any{}, "event_hooks": []any{}, "webhook_events": nil, "image_moderation_labels": nil,
		"before_message_send_hook_url": "", "cdn_expiration_seconds": 1209600, "reminders_interval": 3600, "async_url_enrich_enabled": true,
		"file_upload_config":  document{"size_limit": 0, "allowed_file_extensions": nil, "blocked_file_extensions": nil},
		"image_upload_config": document{"size_limit": 0, "allowed_file_extensions": nil, "blocked_file_extensions": nil},
		"grants":              document{"user": []any{"create-channel", "search-user"}, "guest": []any{"search-user"}, "anonymous": []any{}, "admin": []any{"ban-user", "search-user"}},
	}
	all := map[string]objects{
		"app": {"": app}, "roles": {}, "blocklists": {}, "commands": {}, "channeltypes": {},
		"permissions": {"search-user": {"id": "search-user", "name": "Search User", "action": "SearchUser", "condition": nil}},
	}
	for _, name := range []string{"user", "guest", "anonymous", "admin", "moderator", "global_admin", "global_moderator", "channel_member", "channel_moderator"} {
		all["roles"][name] = document{"name": name}
	}
	for name, set := range map[string]string{"giphy": "fun_set", "imgur": "fun_set", "flag": "moderation_set", "ban": "moderation_set", "unban": "moderation_set", "mute": "moderation_set", "unmute": "moderation_set"} {
		all["commands"][name] = document{"name": name, "description": "built in", "args": "", "set": set}
	}
	for _, name := range []string{"messaging", "team", "livestream", "commerce", "gaming"} {
		all["channeltypes"][name] = fresh("channeltypes", name)
	}
	return config{items: all}
}

// fresh returns an item of a kind that has only what Stream gives it.
func fresh(kind, name string) document {
	switch kind {
	case "blocklists":
		return document{"type": "word"}
	case "roles", "permissions":
		return document{"custom": true}
	case "commands":
		return nil
	}
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

// seen returns the items of a kind that Stream's other servers know by now, and forgets
// older ones.
func (s *API) seen(kind string) objects {
	for len(s.configs) > 1 && !s.Now().Before(s.configs[1].written.Add(s.Lag)) {
		s.configs = s.configs[1:]
	}
	return s.configs[0].items[kind]
}

// app returns the app's settings, as others know them by now.
func (s *API) app() document { return s.seen("app")[""] }

// written returns the items of a kind as last written.
func (s *API) written(kind string) objects { return s.configs[len(s.configs)-1].items[kind] }

// write stores an item, or none in its place.
func (s *API) write(kind, id string, item document) {
	items := maps.Clone(s.configs[len(s.configs)-1].items)
	items[kind] = maps.Clone(items[kind])
	if items[kind][id] = item; item == nil {
		delete(items[kind], id)
	}
	s.configs = append(s.configs, config{items, s.Now()})
}

// patchApp sets the named settings. Event hooks are replaced as a whole: one
// without an id becomes a new one, and those left out are gone.
func (s *API) patchApp(c *call) (document, error) {
	set := c.body
	for _, v := range list(set["event_hooks"]) {
		hook := object(v)
		if _, ok := hook["event_types"]; !ok {
			hook["event_types"] = nil
		}
		if text(hook["id"]) == "" {
			for name := range hook {
				if _, known := streamspec.Objects()["EventHook"][name]; !known && slices.Contains([]any{nil, "webhook", "sqs", "sns", "pending_message"}, hook["hook_type"]) {
					return nil, badInput(`UpdateApp failed with error: "event_hooks.%s is not a known field"`, name)
				}
			}
			hook["id"], hook["created_at"] = rand.Text(), s.now()
		}
		hook["updated_at"] = s.now()
	}
	if err := s.knowsRoles(set); err != nil {
		return nil, err
	}
	s.write("app", "", withGrants(s.written("app")[""], set))
	return nil, nil
}

// knowsRoles refuses grants of a role that does not exist, or not yet.
func (s *API) knowsRoles(set document) error {
	for role := range object(set["grants"]) {
		if s.seen("roles")[role] == nil {
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

// id returns the key of the item that a call is about: of a blocklist, a team may have one
// of its own under the same name.
func (c collection) id(r *call) string {
	name := cmp.Or(r.PathValue(c.key), text(r.body[c.key]))
	team := cmp.Or(r.query.Get("team"), text(r.body["team"]))
	return strings.TrimSuffix(name+"\n"+team, "\n")
}

func (c collection) list(r *call) (document, error) {
	all, query, items := c.seen(c.kind), r.query, []document{}
	if c.kind == "channeltypes" {
		types := document{}
		for name, t := range all {
			types[name] = c.withCommands(t)
		}
		return document{"channel_types": types}, nil
	}
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(name string) bool { return name <= query.Get("cursor") })
	next := ""
	if limit := number(query.Get("limit"), 25); c.kind == "blocklists" && len(names) > limit {
		names, next = names[:limit], names[limit-1]
	}
	for _, name := range names {
		items = append(items, all[name])
	}
	return document{c.kind: items, "next_cursor": next}, nil
}

func (c collection) get(r *call) (document, error) {
	item := c.seen(c.kind)[c.id(r)]
	switch {
	case item == nil:
		return nil, notFound("%s: %q does not exist", c.kind, c.id(r))
	case c.kind == "channeltypes":
		return c.withCommands(item), nil
	case c.kind == "commands":
		return item, nil
	}
	return document{strings.TrimSuffix(c.kind, "s"): item}, nil
}

// withCommands returns a channel type with its commands in full.
func (s *API) withCommands(channelType document) document {
	commands := []any{}
	for _, name := range list(channelType["commands"]) {
		if command := s.seen("commands")[text(name)]; command != nil {
			commands = append(commands, command)
		}
	}
	return changed(channelType, document{"commands": commands})
}

// store creates an item (POST) or changes one (PUT). It refuses what the item would refer to
// and Stream does not know yet.
func (c collection) store(r *call) (document, error) {
	id := c.id(r)
	item := c.written(c.kind)[id]
	switch {
	case r.Method == http.MethodPut && item == nil:
		return nil, notFound("%s: %q does not exist", c.kind, id)
	case r.Method == http.MethodPut:
		r.body[c.key] = item[c.key]
	case item != nil || text(r.body[c.key]) == "":
		return nil, badInput("%s: the %s %q is empty or taken", c.kind, c.key, r.body[c.key])
	default:
		item = changed(fresh(c.kind, id), document{"created_at": c.now()})
	}
	item = changed(withGrants(item, r.body), document{"updated_at": c.now()})
	answer := document{strings.TrimSuffix(c.kind, "s"): item}
	if c.kind == "channeltypes" {
		commands, err := c.commandsOf(item["commands"])
		if err = cmp.Or(err, c.knowsRoles(r.body)); err != nil {
			return nil, err
		}
		item["commands"], answer = commands, item // with the commands' names
	}
	c.write(c.kind, id, item)
	return answer, nil
}

func (c collection) remove(r *call) (document, error) {
	id := c.id(r)
	if c.written(c.kind)[id] == nil {
		return nil, notFound("%s: %q does not exist", c.kind, id)
	}
	for _, kind := range []string{"app", "channeltypes"} {
		for _, item := range c.written(kind) {
			if c.kind == "roles" && len(list(object(item["grants"])[id])) > 0 {
				return nil, badInput("role %q has grants", id)
			}
		}
	}
	c.write(c.kind, id, nil)
	return document{"name": r.PathValue(c.key)}, nil
}

// commandsOf returns the names of commands, of which some stand for a set.
func (s *API) commandsOf(v any) (commands []any, err error) {
	commands, known := []any{}, s.seen("commands")
	for _, v := range list(v) {
		before := len(commands)
		for _, name := range slices.Sorted(maps.Keys(known)) {
			if v == any(name) || v == known[name]["set"] || v == "all" {
				commands = append(commands, name)
			}
		}
		if len(commands) == before {
			return nil, badInput("commands: %q does not exist", v)
		}
	}
	return commands, nil
}
