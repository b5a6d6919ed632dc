package streamfile

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"chat-service-backend/ops/streamspec"
)

type number = json.Number

type difference struct {
	Before any `json:"before"`
	After  any `json:"after"`
}

// differences returns the fields to set so that before has everything in wanted, and
// what that changes.
func differences(k kind, before, wanted Document) (set Document, fields map[string]difference) {
	set, fields = Document{}, map[string]difference{}
	for field, want := range wanted {
		have := before[field]
		switch {
		case field == "grants" && k.key != "hooks":
			continue
		case before == nil:
		case k.key == "hooks" && (field == "id" || field == "product" && Product(before) == Product(wanted)):
			continue
		case k.key == "hooks" && field == "event_types" && same(any(Events(before)), any(Events(wanted))):
			continue
		case k.key == "channel_types" && field == "permissions" && same(any(normalPolicies(List(have))), want):
			continue
		case same(have, want), k.same(field, have, want):
			continue
		}
		fields[field] = difference{have, want}
		if row, known := k.row(field); Object(have) != nil && Object(want) != nil {
			want = onto(Object(have), Object(want), !known || streamspec.Objects()[row.Type] != nil)
		}
		set[field] = want
	}
	have, grants := Object(before["grants"]), Document{}
	for role, v := range Object(wanted["grants"]) {
		ids := v
		if list, isList := v.([]any); isList || v == nil {
			ids = granted(List(have[role]), list) // never null
		}
		if before == nil || !same(have[role], ids) {
			grants[role], fields["grants."+role] = ids, difference{have[role], ids}
		}
	}
	if len(grants) > 0 {
		set["grants"] = grants
	}
	return set, fields
}

// onto returns an object as Stream, which replaces the whole, is to have it: with what the
// present one has besides, or at least with the credentials that pull leaves out.
func onto(have, want Document, all bool) Document {
	merged := maps.Clone(want)
	for name, v := range have {
		w, named := want[name]
		switch {
		case Object(v) != nil && Object(w) != nil:
			merged[name] = onto(Object(v), Object(w), false)
		case !named && v != nil && (all || credential(name, v)):
			merged[name] = v
		}
	}
	return merged
}

// same reports whether a value that Stream answers for nothing is the wanted one, or writes
// the same duration or time in another way.
func (k kind) same(field string, have, want any) bool {
	row, _ := k.row(field)
	switch row.Type {
	case "duration":
		a, err := time.ParseDuration(Text(have))
		b, wrong := time.ParseDuration(Text(want))
		return err == nil && wrong == nil && a == b
	case "time":
		a, err := time.Parse(time.RFC3339, Text(have))
		b, wrong := time.Parse(time.RFC3339, Text(want))
		return err == nil && wrong == nil && a.Truncate(time.Microsecond).Equal(b.Truncate(time.Microsecond)) // as Stream keeps it
	}
	return k.unset(field, have) && (zero(want) || want == "no" || field == "type" && want == "word")
}

// granted returns a role's new grants. If an id in wanted begins with !, those ids are
// taken from what the role has and the others added; otherwise wanted is the new list. An
// id that itself begins with ! has a \ before it.
func granted(have, wanted []any) []any {
	all, adds := []any{}, false
	if slices.ContainsFunc(wanted, func(v any) bool { return strings.HasPrefix(Text(v), "!") }) {
		all, adds = append(all, have...), true
	}
	for _, v := range wanted {
		if id, revoked := strings.CutPrefix(Text(v), "!"); revoked {
			all = slices.DeleteFunc(all, func(v any) bool { return Text(v) == id })
			continue
		}
		if id, escaped := strings.CutPrefix(Text(v), `\`); escaped {
			v = id
		}
		if !adds || !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return all
}

// same reports whether Stream's value is the wanted one. The order of a list does not
// matter, nor do further fields of an object, and nothing is the same as what Stream
// answers for it.
func same(have, want any) bool {
	if have == nil || want == nil {
		return zero(have) && zero(want)
	}
	switch want := want.(type) {
	case []any:
		list, ok := have.([]any)
		if !ok || len(list) != len(want) {
			return false
		}
		for _, w := range want {
			if !slices.ContainsFunc(list, func(h any) bool { return same(h, w) }) {
				return false
			}
		}
		return true
	case Document:
		object, ok := have.(Document)
		for field := range want {
			ok = ok && same(object[field], want[field])
		}
		return ok
	case number:
		have, ok := have.(number)
		a, _ := have.Float64()
		b, _ := want.Float64()
		return ok && (have == want || a == b)
	}
	return reflect.DeepEqual(have, want)
}

// Without returns the items of list that other lacks.
func Without(list, other []any) []any {
	return slices.DeleteFunc(slices.Clone(list), func(v any) bool {
		return slices.ContainsFunc(other, func(o any) bool { return same(v, o) })
	})
}

const (
	deletes = "deletes" // something is removed
	lockout = "lockout" // somebody may do less than before
)

// lockouts are the settings that take something from somebody at this value.
var lockouts = Document{
	"multi_tenant_enabled": true, "guest_user_creation_disabled": true, "disable_auth_checks": false, "disable_permissions_checks": false,
}

// risk returns lockout if somebody may do less afterwards than before, otherwise "".
func risk(fields map[string]difference) string {
	for field, d := range fields {
		before, after := List(d.Before), List(d.After)
		loses := false
		switch {
		case strings.HasPrefix(field, "grants."):
			loses = len(Without(before, after)) > 0
		case field == "permissions": // policies that allow or deny
			before = normalPolicies(before)
			loses = slices.ContainsFunc(Without(before, after), action("Allow")) || slices.ContainsFunc(Without(after, before), action("Deny"))
		case field == "user_search_disallowed_roles":
			loses = len(Without(after, before)) > 0
		default:
			loses = field == "permission_version" || field == "revoke_tokens_issued_before" || lockouts[field] != nil && lockouts[field] == d.After
		}
		if loses {
			return lockout
		}
	}
	return ""
}

// action returns a function that reports whether a policy has this action.
func action(want string) func(policy any) bool {
	return func(policy any) bool { return Object(policy)["action"] == want }
}
