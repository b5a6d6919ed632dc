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

// reserved are the fields that only Stream, an operator or this package may set, never a
// claim.
var reserved = []string{
	"id", "created_at", "updated_at", "deleted_at", "deactivated_at", "last_active", "online", "invisible",
	"banned", "ban_expires", "shadow_banned", "revoke_tokens_issued_before", "teams_role", "devices", "mutes",
	"avg_response_time", "blocked_user_ids", "bypass_moderation", "channel_mutes", "custom", "push_notifications",
	"total_unread_count", "unread_channels", "unread_count", "unread_threads", rolesIssued, endedSessions,
}

// builtIn are fields that a claim may set and that mean something to Stream.
var builtIn = []string{"name", "image", "role", "teams", "language", "privacy_settings"}

// privileged are the roles that a claim neither grants nor removes.
var privileged = []string{"admin", "global_admin"}

func isPrivileged(role any) bool {
	text, _ := role.(string)
	return slices.Contains(privileged, strings.ToLower(strings.TrimSpace(text)))
}

// ValidRole reports whether a sign-in may give users this role.
func ValidRole(role string) bool {
	return role != "" && !isPrivileged(role) && !listed(role)
}

// MaySet reports whether a sign-in may set a custom field of users by this name.
func MaySet(name string) bool {
	lower := strings.ToLower(name)
	return validName(name) && !slices.Contains(reserved, lower) && !slices.Contains(builtIn, lower)
}

func validName(name string) bool {
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}

// parseFields reads a list like name=name,image=picture,teams=org.
func parseFields(text string) ([]field, error) {
	if text == "" {
		text = defaultFields
	}
	var fields []field
	for item := range strings.SplitSeq(text, ",") {
		name, claim, ok := strings.Cut(strings.TrimSpace(item), "=")
		if !ok || claim == "" || !validName(name) {
			return nil, fmt.Errorf("USER_FIELDS: %q is not field=claim; separate several with commas, as in %s", item, defaultFields)
		}
		// Nobody knows in which case Stream reads them.
		lower := strings.ToLower(name)
		if slices.Contains(reserved, lower) {
			return nil, fmt.Errorf("USER_FIELDS: a sign-in may not set %q; leave it out", name)
		}
		if name != lower && slices.Contains(builtIn, lower) {
			return nil, fmt.Errorf("USER_FIELDS: %q is not one of Stream's fields; write %s", name, lower)
		}
		if slices.ContainsFunc(fields, func(f field) bool { return f.name == name }) {
			return nil, fmt.Errorf("USER_FIELDS: %q has two claims; name one", name)
		}
		fields = append(fields, field{name, claim})
	}
	return fields, nil
}

// Missing returns the claims of USER_FIELDS that are not in c.
func (d *Directory) Missing(c identity.Claims) (claims []string) {
	for _, f := range d.fields {
		if len(c[f.claim]) == 0 {
			claims = append(claims, f.claim)
		}
	}
	return claims
}

// wanted returns the fields that the caller's claims set, and those that a function of the
// team has set. It ignores a claim that is missing or empty, and names in odd the claims
// that cannot be what their field is.
func (d *Directory) wanted(caller identity.Caller) (all document, odd []string) {
	all = document{}
	for _, f := range d.fields {
		var v any
		if json.Unmarshal(caller.Claims[f.claim], &v) != nil || v == nil || v == "" {
			continue
		}
		ok := true
		text, isText := v.(string)
		switch f.name {
		case "name", "image":
			ok = isText
		case "role":
			if ok = isText && !listed(text); isPrivileged(v) {
				continue
			}
		case "teams":
			v, ok = teams(v)
		}
		if !ok {
			odd = append(odd, f.claim)
			continue
		}
		all[f.name] = v
	}
	for name, v := range caller.Set {
		if name != "role" || !isPrivileged(v) {
			all[name] = v
		}
	}
	return all, odd
}

// listed reports whether a text looks like several.
func listed(text string) bool { return strings.ContainsAny(text, "[]{}\",;\n") }

// teams returns the teams in a claim: a list of texts, one text, or a list in a text, since
// Cognito's own attributes can only be texts.
func teams(v any) ([]any, bool) {
	if text, ok := v.(string); ok {
		if strings.HasPrefix(strings.TrimSpace(text), "[") {
			v = nil
			_ = json.Unmarshal([]byte(text), &v)
		} else if v = []any{text}; listed(text) {
			return nil, false
		}
	}
	list, ok := v.([]any)
	unique := []any{}
	for _, team := range list {
		text, isText := team.(string)
		if ok = ok && isText && text != ""; ok && !slices.Contains(unique, team) {
			unique = append(unique, team)
		}
	}
	return unique, ok
}

// differing returns the wanted fields that differ from the user's. The order of teams
// means nothing.
func (d document) differing(wanted document) document {
	all := document{}
	for name, v := range wanted {
		switch {
		case name == "role" && isPrivileged(d[name]), reflect.DeepEqual(d[name], v):
			continue
		case name == "teams":
			have, _ := d[name].([]any)
			want, _ := v.([]any)
			if len(have) == len(want) && !slices.ContainsFunc(want, func(team any) bool { return !slices.Contains(have, team) }) {
				continue
			}
		}
		all[name] = v
	}
	return all
}
