package streamfile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"chat-service-backend/ops/stack"
	"chat-service-backend/ops/streamspec"
)

// state is the app at Stream: its settings, and the items of each collection by label.
type state struct {
	app    Document
	items  map[string]map[string]Document
	events []string // types that Stream knows; nil if it did not say
}

// label names an item in its collection: by its name, and the team if it is one team's. A
// name that looks as if it had a team gets an empty one.
func (k kind) label(item Document) string {
	name := Text(item[k.id])
	if team := Text(item["team"]); k.key == "blocklists" && (team != "" || strings.HasSuffix(name, ")")) {
		name += " (" + team + ")"
	}
	return name
}

// address returns the path of an item at Stream.
func (k kind) address(label string, item Document) string {
	path := "/" + k.path + "/" + url.PathEscape(cmp.Or(Text(item[k.id]), label))
	if team := Text(item["team"]); k.key == "blocklists" && team != "" {
		path += "?team=" + url.QueryEscape(team)
	}
	return path
}

// readState reads the app and the wanted collections.
func readState(ctx context.Context, s *stack.Service, wanted func(kind) bool) (*state, error) {
	st := &state{items: map[string]map[string]Document{}}
	var answer struct{ App Document }
	if _, err := s.Stream(ctx, http.MethodGet, "/app", nil, &answer); err != nil {
		return nil, fmt.Errorf("read the app's settings: %w", err)
	}
	if answer.App == nil {
		return nil, errors.New("read the app's settings: Stream's answer has no app in it; check StreamBaseUrl")
	}
	st.app = answer.App
	for _, k := range collections {
		st.items[k.path] = map[string]Document{}
		if !wanted(k) {
			continue
		}
		if err := st.readItems(ctx, s, k); err != nil {
			return nil, fmt.Errorf("read the %ss: %w", k.noun, err)
		}
	}
	return st, nil
}

// readItems reads a collection, page by page.
func (st *state) readItems(ctx context.Context, s *stack.Service, k kind) error {
	items := map[string]Document{}
	query := ""
	for {
		var answer Document
		if _, err := s.Stream(ctx, http.MethodGet, "/"+k.path+query, nil, &answer); err != nil {
			return err
		}
		for _, v := range List(answer[k.key]) {
			if item := Object(v); Text(item[k.id]) != "" {
				items[k.label(item)] = item
			}
		}
		for name, v := range Object(answer[k.key]) {
			item, ok := v.(Document)
			if !ok {
				continue // there is nothing to keep
			}
			items[name] = item
			list, isList := item["commands"].([]any)
			if !isList && item["commands"] != nil {
				continue // of an unknown form
			}
			commands := []any{} // of a channel type: Stream answers objects and takes names
			for _, v := range list {
				if command, ok := v.(Document); ok {
					v = command["name"]
				}
				if v != nil {
					commands = append(commands, v)
				}
			}
			item["commands"] = commands
		}
		next := "?cursor=" + url.QueryEscape(cmp.Or(Text(answer["next_cursor"]), Text(answer["next"])))
		if next == "?cursor=" || next == query {
			break
		}
		query = next
	}
	st.items[k.path] = items
	return nil
}

// eventType is the shape of one.
var eventType = regexp.MustCompile(`^[a-z_]+(\.[a-z0-9_]+)+$`)

// EventTypes returns the types of events that Stream knows: those that it answers, or else
// those of its description. The form of the answer is documented nowhere, so any text in it
// that looks like one counts.
func EventTypes(ctx context.Context, s *stack.Service) (types []string) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	var answer any
	if _, err := s.Stream(ctx, http.MethodGet, "/hook/events", nil, &answer); err != nil {
		return streamspec.Events // an older Stream, or a policy that does not allow the call
	}
	var collect func(v any)
	collect = func(v any) {
		switch v := v.(type) {
		case string:
			if eventType.MatchString(v) {
				types = append(types, v)
			}
		case []any:
			for _, item := range v {
				collect(item)
			}
		case Document:
			for name, value := range v {
				collect(name)
				collect(value)
			}
		}
	}
	if collect(answer); len(types) == 0 {
		return streamspec.Events
	}
	return types
}

// expanded returns the commands of a channel type with the sets in it replaced by their
// commands, as Stream answers them. all stands for every set.
func (st *state) expanded(wanted, have []any) []any {
	names := []any{}
	for _, v := range wanted {
		var members []any
		if st.items["commands"][Text(v)] == nil {
			for name, command := range st.items["commands"] {
				if v == command["set"] || v == "all" && (slices.Contains(builtIn, name) || contains(have, name)) {
					members = append(members, name)
				}
			}
		}
		if members == nil {
			members = []any{v}
		}
		for _, name := range members {
			if !contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// tellsPermissions reports whether Stream has listed its own permissions, too: all that the
// app grants are among them.
func (st *state) tellsPermissions() bool {
	owners := append(slices.Collect(maps.Values(st.items["channeltypes"])), st.app)
	for _, owner := range owners {
		for _, ids := range Object(owner["grants"]) {
			for _, id := range List(ids) {
				if st.items["permissions"][Text(id)] == nil {
					return false
				}
			}
		}
	}
	return slices.ContainsFunc(slices.Collect(maps.Values(st.items["permissions"])), func(p Document) bool { return p["custom"] != true })
}

func contains(list []any, v any) bool { return slices.Contains(list, v) }

// builtIn are commands that every app has, and commandSets are names for several of them.
var (
	builtIn     = []string{"giphy", "imgur", "flag", "ban", "unban", "mute", "unmute"}
	commandSets = []string{"all", "fun_set", "moderation_set"}
)

// ownList is the name of a blocklist that every app has, such as profanity_en_2020_v1.
var ownList = regexp.MustCompile(`^profanity_[a-z]+_\d+_v\d+$`)

// streams reports whether an item is Stream's own, which the file does not describe.
func (k kind) streams(label string, item Document) bool {
	switch k.key {
	case "commands":
		return slices.Contains(builtIn, label)
	case "blocklists":
		return ownList.MatchString(label)
	case "channel_types":
		return false
	}
	return item["custom"] != true
}
