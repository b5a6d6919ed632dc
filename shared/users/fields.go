package users

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"chat-service-backend/shared/identity"
)

// A field is a user's field and the claim that sets it.
type field struct{ name, claim string }

// defaultFields is the default of USER_FIELDS.
const defaultFields = "name=name,image=picture"

// streamsOwn are the fields that only Stream or an operator may set, never a claim.
var streamsOwn = []string{
	"id", "created_at", "updated_at", "deleted_at", "deactivated_at", "last_active", "online", "invisible",
	"banned", "ban_expires", "shadow_banned", "revoke_tokens_issued_before", "teams_role", "devices", "mutes",
}

// privileged are the roles that a claim neither grants nor removes.
var privileged = []any{"admin", "global_admin"}

// parseFields reads a list like name=name,image=picture,teams=org.
func parseFields(text string) ([]field, error) {
	if text == "" {
		text = defaultFields
	}
	var fields []field
	for item := range strings.SplitSeq(text, ",") {
		name, claim, ok := strings.Cut(strings.TrimSpace(item), "=")
		if !ok || claim == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" || name == "" {
			return nil, fmt.Errorf("USER_FIELDS: want field=claim, separated by commas, as in %s, got %q", defaultFields, item)
		}
		if slices.Contains(streamsOwn, name) {
			return nil, fmt.Errorf("USER_FIELDS: want a field that a sign-in may set, got %q", name)
		}
		if slices.ContainsFunc(fields, func(f field) bool { return f.name == name }) {
			return nil, fmt.Errorf("USER_FIELDS: want one claim for each field, got another for %q", name)
		}
		fields = append(fields, field{name, claim})
	}
	return fields, nil
}

// wanted returns the fields that the claims set. It ignores a claim that is missing,
// empty or of the wrong type.
func (d *Directory) wanted(c identity.Claims) document {
	all := document{}
	for _, f := range d.fields {
		var v any
		if json.Unmarshal(c[f.claim], &v) != nil || v == nil || v == "" {
			continue
		}
		_, isText := v.(string)
		switch f.name {
		case "name", "image":
			if !isText {
				continue
			}
		case "role":
			if !isText || slices.Contains(privileged, v) {
				continue
			}
		case "teams":
			if isText {
				v = []any{v}
			} else if list, ok := v.([]any); !ok || slices.ContainsFunc(list, func(v any) bool { _, ok := v.(string); return !ok }) {
				continue
			}
		}
		all[f.name] = v
	}
	return all
}

// differing returns the wanted fields that differ from the user's.
func (d document) differing(wanted document) document {
	all := document{}
	for name, v := range wanted {
		if !reflect.DeepEqual(d[name], v) && (name != "role" || !slices.Contains(privileged, d[name])) {
			all[name] = v
		}
	}
	return all
}
