package streamfile

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"chat-service-backend/ops/console"
	"chat-service-backend/ops/streamspec"
)

// A kind is a sort of thing at Stream that the file describes: the app, its hooks, or the
// items of one of its lists. Which fields it has follows from Stream's description.
type kind struct {
	path string // at Stream
	key  string // in the file and in Stream's answers
	noun string
	id   string // the field that names an item
	// The description's objects.
	create, update, answer string
	// hidden are the fields of these objects that the file does not have, since they are
	// set elsewhere in it or are no settings.
	hidden []string
}

var (
	appKind  = kind{path: "app", key: "app", noun: "app", update: "UpdateAppRequest", answer: "AppResponseFields", hidden: []string{"event_hooks", "grants", "migrate_permissions_to_v2"}}
	hookKind = kind{key: "hooks", noun: "hook", update: "EventHook", answer: "EventHook", hidden: []string{"created_at", "updated_at"}}
)

// collections are the lists in the order in which items are created. They are removed in
// the opposite order, since later collections refer to earlier ones.
var collections = []kind{
	{path: "roles", key: "roles", noun: "role", id: "name", create: "CreateRoleRequest", answer: "Role"},
	{path: "permissions", key: "permissions", noun: "permission", id: "id", create: "CreatePermissionRequest", update: "PermissionRequest", answer: "Permission"},
	{path: "blocklists", key: "blocklists", noun: "blocklist", id: "name", create: "CreateBlockListRequest", update: "UpdateBlockListRequest", answer: "BlockListResponse", hidden: []string{"user", "user_id"}},
	{path: "commands", key: "commands", noun: "command", id: "name", create: "CreateCommandRequest", update: "UpdateCommandRequest", answer: "Command"},
	{path: "channeltypes", key: "channel_types", noun: "channel type", id: "name", create: "CreateChannelTypeRequest", update: "UpdateChannelTypeRequest", answer: "ChannelTypeConfig"},
}

// defaults are the values of required fields that neither the file nor Stream has.
var defaults = Document{"automod": "disabled", "automod_behavior": "flag", "max_message_length": number("5000"), "condition": Document{}}

// row returns the row of a field that can be set.
func (k kind) row(field string) (streamspec.Field, bool) {
	f, ok := streamspec.Objects()[k.update][field]
	if !ok {
		f, ok = streamspec.Objects()[k.create][field]
	}
	return f, ok && field != "*" && !slices.Contains(k.hidden, field)
}

// fields are the names of those that can be set.
func (k kind) fields() []string {
	all := map[string]bool{}
	for _, object := range []string{k.create, k.update} {
		for field := range streamspec.Objects()[object] {
			if _, ok := k.row(field); ok {
				all[field] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// answered reports whether Stream's answers have a field.
func (k kind) answered(field string) bool {
	_, ok := streamspec.Objects()[k.answer][field]
	return ok
}

// unset reports whether a value stands for none: Stream answers "" or 0 where its own
// description does not allow that.
func (k kind) unset(field string, v any) bool {
	row, ok := k.row(field)
	return v == nil || ok && zero(v) && len(row.Problems(field, v)) > 0
}

// part returns what of a value that Stream may refuse goes without that, or nil: a part of
// what the app has already would be less than it has, and a part of its policies is others.
func (k kind) part(field string, have, v any) any {
	row, ok := k.row(field)
	if !ok || field == "permissions" || len(row.Problems(field, have)) > 0 {
		return nil
	}
	if part := row.Part(v); part != nil && !same(have, part) {
		return part
	}
	return nil
}

// zero reports whether v is what Stream answers for nothing.
func zero(v any) bool {
	switch v := v.(type) {
	case []any:
		return len(v) == 0
	case Document:
		return len(v) == 0
	case number:
		n, err := v.Float64()
		return err == nil && n == 0
	}
	return v == nil || v == false || v == ""
}

// check judges what the file says of an item: the names of all fields, and the values of
// those that are to be set. It returns why Stream's description does not allow some: what
// looks like a mistake may be Stream's all the same. known are the fields that Stream has
// answered for such items.
func (k kind) check(place string, wanted, set Document, known func(field string) bool) (why map[string]string, err error) {
	why = map[string]string{}
	for _, field := range slices.Sorted(maps.Keys(wanted)) {
		row, ok := k.row(field)
		_, sets := set[field]
		switch {
		case ok && sets:
			for _, p := range row.Problems(field, set[field]) {
				why[field] = "by Stream's description, " + p.Error()
			}
		case ok || field == "grants" || field == k.id:
		case k.answered(field) && sets:
			return nil, fmt.Errorf("%s: %s cannot be changed: remove it", place, field)
		case k.answered(field) || known(field):
		default:
			why[field] = field + " is not in Stream's description"
			if near := nearest(field, k.fields()); near != "" {
				why[field] += ": did you mean " + near + "?"
			}
		}
	}
	return why, nil
}

// nearest returns the name that a word with a mistake or two was meant to be, or "".
func nearest(word string, names []string) string {
	best, least := "", min(3, len(word)/4+1)
	for _, name := range names {
		if d := console.Distance(word, name); d < least {
			best, least = name, d
		}
	}
	return best
}

// secret matches the names of fields that hold credentials, also of hooks that the
// description lacks.
var secret = regexp.MustCompile(`(?i)secret|password|token|credential|private|_key$|^key$|^auth_key|cert|service_account|sas_|connection_string`)

// credential reports whether a field holds a credential. A switch or a number with such a
// name is none.
func credential(field string, v any) bool {
	return field != "revoke_tokens_issued_before" && secret.MatchString(field) && !switches(v)
}

// switches reports whether there is nothing but true, false and numbers in a value.
func switches(v any) bool {
	if object, ok := v.(Document); ok && len(object) > 0 {
		return !slices.ContainsFunc(slices.Collect(maps.Values(object)), func(v any) bool { return !switches(v) })
	}
	_, isNumber := v.(number)
	return isNumber || v == true || v == false
}

// withoutCredentials returns a value without the credentials in it, and adds their places
// to left.
func withoutCredentials(place string, v any, left *[]string) any {
	switch v := v.(type) {
	case Document:
		kept := Document{}
		for field, value := range v {
			if credential(field, value) {
				if !zero(value) {
					*left = append(*left, place+field)
				}
				continue
			}
			kept[field] = withoutCredentials(place+field+".", value, left)
		}
		return kept
	case []any:
		kept := make([]any, len(v))
		for i := range v {
			kept[i] = withoutCredentials(place, v[i], left)
		}
		return kept
	}
	return v
}
