package streamapi

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"time"
)

// collections are what an app has besides its settings: roles, permissions,
// channel types, blocklists and commands, each by its name.
type collections map[string]map[string]document

// key is the field that names an item of a collection.
func key(collection string) string {
	if collection == "permissions" {
		return "id"
	}
	return "name"
}

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

func freshCollections() collections {
	all := collections{
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

// patchApp sets the settings that are named. Event hooks are replaced as a
// whole: one without an id becomes a new one, and those left out are gone.
func (s *API) patchApp(set document) (int, document, error) {
	app := maps.Clone(s.app)
	maps.Copy(app, set)
	if set["migrate_permissions_to_v2"] == true {
		app["permission_version"] = "v2"
	}
	delete(app, "migrate_permissions_to_v2")
	if given, ok := set["event_hooks"].([]any); ok {
		hooks := []any{}
		for _, v := range given {
			hook, ok := v.(document)
			if !ok {
				return 0, nil, badInput("UpdateApp failed with error: event_hooks must be objects")
			}
			for _, field := range []string{"created_at", "updated_at"} {
				if _, ok := hook[field].(json.Number); ok { // which is how GET /app writes them
					return 0, nil, badInput("UpdateApp failed with error: event_hooks: %s must be a time", field)
				}
			}
			if hook["id"] == nil {
				hook["id"] = rand.Text()
			}
			hook["updated_at"] = time.Now().UnixNano()
			hooks = append(hooks, hook)
		}
		app["event_hooks"] = hooks
	}
	if err := mergeGrants(app, s.app["grants"], freshApp()["grants"]); err != nil {
		return 0, nil, err
	}
	s.app = app
	return http.StatusOK, document{}, nil
}

// mergeGrants keeps the grants of the roles that doc does not name. Without grants
// it gets those of a fresh one.
func mergeGrants(doc document, before, fresh any) error {
	switch named := doc["grants"].(type) {
	case document:
		merged := maps.Clone(before.(document))
		maps.Copy(merged, named)
		doc["grants"] = merged
	case nil:
		doc["grants"] = fresh
	default:
		return badInput("grants must be an object")
	}
	return nil
}

// configure answers a call about a collection, or about one of its items.
func (s *API) configure(method, collection, name string, body document) (int, document, error) {
	items := s.collections[collection]
	item, found := items[name]
	switch {
	case name == "" && method == http.MethodGet:
		if collection == "channeltypes" {
			types := document{}
			for name, t := range items {
				types[name] = s.shown(collection, t)
			}
			return http.StatusOK, document{"channel_types": types}, nil
		}
		list := []document{}
		for _, name := range slices.Sorted(maps.Keys(items)) {
			list = append(list, items[name])
		}
		return http.StatusOK, document{collection: list}, nil
	case name == "" && method == http.MethodPost:
		name, _ := body[key(collection)].(string)
		if _, found := items[name]; found || name == "" {
			return 0, nil, badInput("%s: want a %s that is not taken, got %q", collection, key(collection), name)
		}
		item = document{}
		if collection == "channeltypes" {
			item = freshChannelType(name)
		}
		if collection == "roles" || collection == "permissions" {
			item["custom"] = true
		}
		return s.put(http.StatusCreated, collection, name, item, body)
	case !found:
		return 0, nil, notFound("%s: %q does not exist", collection, name)
	case method == http.MethodGet:
		return http.StatusOK, answer(collection, method, s.shown(collection, item)), nil
	case item["custom"] == false && (method == http.MethodPut || method == http.MethodDelete):
		return 0, nil, badInput("%s: %q is built in", collection, name)
	case method == http.MethodPut:
		return s.put(http.StatusOK, collection, name, item, body)
	case method == http.MethodDelete:
		delete(items, name)
		return http.StatusOK, document{}, nil
	}
	return 0, nil, notFound("the stand-in for Stream has no %s %s", method, collection)
}

func (s *API) put(status int, collection, name string, item, set document) (int, document, error) {
	before, custom := item["grants"], item["custom"]
	item = maps.Clone(item)
	maps.Copy(item, set)
	if custom != nil { // which is read-only
		item["custom"] = custom
	}
	item[key(collection)], item["updated_at"] = name, now()
	if collection == "channeltypes" {
		if err := mergeGrants(item, before, freshChannelType(name)["grants"]); err != nil {
			return 0, nil, err
		}
		commands, _ := item["commands"].([]any)
		for _, v := range commands {
			if command, _ := v.(string); command != "all" && s.collections["commands"][command] == nil {
				return 0, nil, badInput("channeltypes: command %q does not exist", command)
			}
		}
		if blocklist, _ := item["blocklist"].(string); blocklist != "" && s.collections["blocklists"][blocklist] == nil {
			return 0, nil, badInput("channeltypes: blocklist %q does not exist", blocklist)
		}
		for role := range item["grants"].(document) {
			if s.collections["roles"][role] == nil {
				return 0, nil, badInput("channeltypes: role %q does not exist", role)
			}
		}
	}
	s.collections[collection][name] = item
	return status, answer(collection, "", maps.Clone(item)), nil
}

// answer has an item as it is, or under a name, as Stream does for each.
func answer(collection, method string, item document) document {
	switch {
	case collection == "blocklists":
		return document{"blocklist": item}
	case collection == "permissions":
		return document{"permission": item}
	case collection == "commands" && method != http.MethodGet:
		return document{"command": item}
	}
	return item
}

// shown is an item as an answer has it: a channel type with its commands, and
// not with their names alone.
func (s *API) shown(collection string, item document) document {
	item = maps.Clone(item)
	if names, ok := item["commands"].([]any); ok && collection == "channeltypes" {
		commands := []any{}
		for _, v := range names {
			if command := s.collections["commands"][v.(string)]; command != nil {
				commands = append(commands, command)
			}
		}
		item["commands"] = commands
	}
	return item
}

// notify sends an event to the webhooks that ask for its type, once.
func (s *API) notify(event document) {
	apiKey, secrets, err := s.credentials()
	if err != nil {
		return
	}
	body, _ := json.Marshal(event)
	mac := hmac.New(sha256.New, []byte(secrets[0]))
	mac.Write(body)
	signature := hex.EncodeToString(mac.Sum(nil))
	hooks, _ := s.app["event_hooks"].([]any)
	for _, v := range hooks {
		hook := v.(document)
		types, _ := hook["event_types"].([]any)
		target, _ := hook["webhook_url"].(string)
		if hook["hook_type"] != "webhook" || hook["enabled"] != true || len(types) > 0 && !slices.Contains(types, event["type"]) {
			continue
		}
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 6*time.Second)
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
			if err != nil {
				return
			}
			r.Header = http.Header{
				"Content-Type": {"application/json"}, "X-Signature": {signature},
				"X-Api-Key": {apiKey}, "X-Webhook-Id": {rand.Text()}, "X-Webhook-Attempt": {"1"},
			}
			if resp, err := http.DefaultClient.Do(r); err == nil {
				resp.Body.Close()
			}
		}()
	}
}
