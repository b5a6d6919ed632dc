package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"
)

// A step is one request to Stream, and what it changes.
type step struct {
	Method  string   `json:"method"`
	Path    string   `json:"path"`
	Body    document `json:"body,omitempty"`
	Changes []change `json:"changes"`
}

// A change is what becomes of one thing.
type change struct {
	Action string       `json:"action"` // create, update or delete
	What   string       `json:"what"`
	Fields []difference `json:"fields,omitempty"`
	Risk   string       `json:"risk,omitempty"` // deletes or lockout
}

type difference struct {
	Field  string `json:"field"`
	Before any    `json:"before"`
	After  any    `json:"after"`
}

// What needs a flag of its own.
const (
	deletes = "deletes"
	lockout = "lockout"
)

// state is what Stream has: the app's settings, and the items of each
// collection by name.
type state struct {
	app   document
	items map[string]map[string]document
}

// A collection is one of the lists that an app has.
type collection struct {
	path   string // and the key of the list in Stream's answer, but for channel types
	noun   string
	absent string // its key below absent
}

// collections are in the order in which they are created. They are removed in
// the opposite order, since the last ones use the first ones.
var collections = []collection{
	{"roles", "role", "roles"},
	{"permissions", "permission", "permissions"},
	{"blocklists", "blocklist", "blocklists"},
	{"commands", "command", "commands"},
	{"channeltypes", "channel type", "channel_types"},
}

// readState reads the app, and those of its collections that are wanted.
func readState(ctx context.Context, s *service, wanted func(path string) bool) (*state, error) {
	st := &state{items: map[string]map[string]document{}}
	var answer struct{ App document }
	if _, err := s.stream(ctx, http.MethodGet, "/app", nil, &answer); err != nil {
		return nil, fmt.Errorf("read the app's settings: %w", err)
	}
	if answer.App == nil {
		return nil, errors.New("read the app's settings: want the app in Stream's answer, got none")
	}
	st.app = answer.App
	for _, c := range collections {
		items := map[string]document{}
		st.items[c.path] = items
		if !wanted(c.path) {
			continue
		}
		var answer map[string]any
		if _, err := s.stream(ctx, http.MethodGet, "/"+c.path, nil, &answer); err != nil {
			return nil, fmt.Errorf("read the %ss: %w", c.noun, err)
		}
		list, _ := answer[c.path].([]any)
		for _, v := range list {
			item, _ := v.(document)
			name, _ := item[cmp.Or(map[string]string{"permissions": "id"}[c.path], "name")].(string)
			items[name] = item
		}
		types, _ := answer["channel_types"].(document)
		for name, v := range types {
			item, _ := v.(document)
			item["commands"] = names(item["commands"])
			items[name] = item
		}
	}
	return st, nil
}

// names are those of a list of objects, or of texts.
func names(v any) []any {
	all := []any{}
	list, _ := v.([]any)
	for _, v := range list {
		if item, ok := v.(document); ok {
			v = item["name"]
		}
		all = append(all, v)
	}
	return all
}

// items are the ones of a collection that the file names.
func (f *file) items(path string) map[string]document {
	all := map[string]document{}
	switch path {
	case "roles":
		for _, name := range f.Roles {
			all[name] = document{}
		}
	case "permissions":
		return f.Permissions
	case "blocklists":
		for name, words := range f.Blocklists {
			all[name] = document{"words": anys(words)}
		}
	case "commands":
		return f.Commands
	case "channeltypes":
		return f.ChannelTypes
	}
	return all
}

func anys[T any](list []T) []any {
	all := make([]any, len(list))
	for i, v := range list {
		all[i] = v
	}
	return all
}

// wants reports whether the file names something of a collection.
func (f *file) wants(path string) bool {
	i := slices.IndexFunc(collections, func(c collection) bool { return c.path == path })
	return len(f.items(path)) > 0 || len(f.Absent[collections[i].absent]) > 0
}

// plan returns the steps from what Stream has to what the file says: none where
// they agree.
func plan(f *file, st *state) ([]step, error) {
	var steps []step
	version := cmp.Or(text(f.App["permission_version"]), text(st.app["permission_version"]))
	for _, c := range collections {
		if c.path == "channeltypes" { // which use the roles and permissions that settings have
			if s := planApp(f, st); s != nil {
				steps = append(steps, *s)
			}
		}
		wanted := f.items(c.path)
		for _, name := range slices.Sorted(maps.Keys(wanted)) {
			if slices.Contains(f.Absent[c.absent], name) {
				return nil, fmt.Errorf("%s %s: want it absent or not, got both", c.noun, name)
			}
			if field := map[string]string{"v1": "grants", "v2": "permissions"}[version]; c.path == "channeltypes" && wanted[name][field] != nil {
				return nil, fmt.Errorf("channel type %s: the app has permissions %s, which take no %s", name, version, field)
			}
			if s := planItem(c, name, wanted[name], st.items[c.path]); s != nil {
				steps = append(steps, *s)
			}
		}
	}
	s, err := planHooks(f, st)
	if err != nil {
		return nil, err
	}
	if s != nil {
		steps = append(steps, *s)
	}
	for _, c := range slices.Backward(collections) {
		for _, name := range f.Absent[c.absent] {
			if st.items[c.path][name] != nil {
				steps = append(steps, step{http.MethodDelete, "/" + c.path + "/" + url.PathEscape(name), nil,
					[]change{{Action: "delete", What: c.noun + " " + name, Risk: deletes}}})
			}
		}
	}
	return steps, nil
}

func planItem(c collection, name string, wanted document, have map[string]document) *step {
	before, exists := have[name]
	set, fields := differences(before, wanted)
	what := c.noun + " " + name
	if exists && len(fields) == 0 {
		return nil
	}
	if exists {
		switch c.path { // of which Stream wants all fields
		case "permissions":
			set = merge(before, set, "name", "action", "description", "owner", "same_team", "condition")
		case "commands":
			set = merge(before, set, "description", "args", "set")
		}
		return &step{http.MethodPut, "/" + c.path + "/" + url.PathEscape(name), set, []change{{"update", what, fields, risk(fields)}}}
	}
	body := document{"name": name}
	if c.path == "permissions" {
		body = document{"id": name}
	}
	if c.path == "channeltypes" {
		maps.Copy(body, document{"automod": "disabled", "automod_behavior": "flag", "max_message_length": json.Number("5000")})
	}
	maps.Copy(body, set)
	return &step{http.MethodPost, "/" + c.path, body, []change{{"create", what, fields, ""}}}
}

func merge(before, set document, fields ...string) document {
	all := document{}
	for _, field := range fields {
		if before[field] != nil {
			all[field] = before[field]
		}
	}
	maps.Copy(all, set)
	return all
}

func planApp(f *file, st *state) *step {
	wanted := maps.Clone(f.App)
	if wanted == nil {
		wanted = document{}
	}
	if f.Grants != nil {
		grants := document{}
		for role, ids := range f.Grants {
			grants[role] = anys(ids)
		}
		wanted["grants"] = grants
	}
	set, fields := differences(st.app, wanted)
	if len(fields) == 0 {
		return nil
	}
	if set["permission_version"] == "v2" {
		set["migrate_permissions_to_v2"] = true
	}
	return &step{http.MethodPatch, "/app", set, []change{{"update", "the app's settings", fields, risk(fields)}}}
}

// address is where a hook sends events, which with its type is what it is known by.
func address(hook document) string {
	for _, field := range []string{"webhook_url", "sqs_queue_url", "sns_topic_arn"} {
		if v := text(hook[field]); v != "" {
			return v
		}
	}
	return ""
}

func hooksOf(app document) (hooks []document) {
	list, _ := app["event_hooks"].([]any)
	for _, v := range list {
		if hook, ok := v.(document); ok {
			hooks = append(hooks, hook)
		}
	}
	return hooks
}

// planHooks changes the hooks that the file names. Stream takes the whole list
// or nothing, so all others are written back as they are.
func planHooks(f *file, st *state) (*step, error) {
	var changes []change
	list := []any{}
	met := make([]bool, len(f.Hooks))
	for _, hook := range hooksOf(st.app) {
		what := fmt.Sprintf("%s hook %s", text(hook["hook_type"]), address(hook))
		if slices.Contains(f.Absent["hooks"], address(hook)) {
			changes = append(changes, change{Action: "delete", What: what, Risk: deletes})
			continue
		}
		hook = maps.Clone(hook)
		for i, wanted := range f.Hooks {
			if wanted["hook_type"] != hook["hook_type"] || address(wanted) != address(hook) || met[i] {
				continue
			}
			met[i] = true
			if set, fields := differences(hook, wanted); len(fields) > 0 {
				maps.Copy(hook, set)
				changes = append(changes, change{"update", what, fields, ""})
			}
		}
		for _, field := range []string{"created_at", "updated_at"} {
			if n, ok := hook[field].(json.Number); ok { // Stream answers nanoseconds here, and takes text
				ns, _ := n.Int64()
				hook[field] = time.Unix(0, ns).UTC().Format(time.RFC3339Nano)
			}
		}
		list = append(list, hook)
	}
	for i, wanted := range f.Hooks {
		if slices.Contains(f.Absent["hooks"], address(wanted)) {
			return nil, fmt.Errorf("hook %s: want it absent or not, got both", address(wanted))
		}
		if met[i] {
			continue
		}
		if wanted["sqs_auth_type"] == "keys" && wanted["sqs_key"] == nil {
			return nil, fmt.Errorf("hook %s: want its keys in STREAM_SQS_KEY and STREAM_SQS_SECRET", address(wanted))
		}
		hook := merge(document{"enabled": true, "event_types": []any{}}, wanted, "enabled", "event_types")
		_, fields := differences(nil, hook)
		changes = append(changes, change{"create", fmt.Sprintf("%s hook %s", wanted["hook_type"], address(wanted)), fields, ""})
		list = append(list, hook)
	}
	if len(changes) == 0 {
		return nil, nil
	}
	return &step{http.MethodPatch, "/app", document{"event_hooks": list}, changes}, nil
}

// differences returns what has to be set for before to have all that is wanted,
// and what that changes, field by field.
func differences(before, wanted document) (set document, fields []difference) {
	set = document{}
	for _, field := range slices.Sorted(maps.Keys(wanted)) {
		want := wanted[field]
		if field != "grants" {
			if !same(before[field], want) {
				set[field] = want
				fields = append(fields, difference{field, before[field], want})
			}
			continue
		}
		have, _ := before["grants"].(document)
		grants := document{}
		for _, role := range slices.Sorted(maps.Keys(want.(document))) {
			had, _ := have[role].([]any)
			ids := granted(had, want.(document)[role].([]any))
			if !same(have[role], ids) {
				grants[role] = ids
				fields = append(fields, difference{"grants." + role, have[role], ids})
			}
		}
		if len(grants) > 0 {
			set["grants"] = grants
		}
	}
	return set, fields
}

// granted resolves ids that begin with an exclamation mark, which take what
// they name away from what a role has. Without any, the list is what it shall have.
func granted(have, wanted []any) []any {
	revoked := func(v any) bool { return strings.HasPrefix(text(v), "!") }
	if !slices.ContainsFunc(wanted, revoked) {
		return wanted
	}
	all := slices.Clone(have)
	for _, v := range wanted {
		if revoked(v) {
			all = slices.DeleteFunc(all, func(id any) bool { return "!"+text(id) == v })
		} else if !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return all
}

// same reports whether two JSON values are equal. The order of a list does not
// count, nor a field of an object that is not wanted, nor no list for an empty one.
func same(have, want any) bool {
	switch want := want.(type) {
	case []any:
		list, ok := have.([]any)
		if !ok && have != nil || len(list) != len(want) {
			return false
		}
		for _, w := range want {
			if !slices.ContainsFunc(list, func(h any) bool { return same(h, w) }) {
				return false
			}
		}
		return true
	case document:
		object, ok := have.(document)
		for field := range want {
			ok = ok && same(object[field], want[field])
		}
		return ok
	case json.Number:
		have, ok := have.(json.Number)
		a, _ := have.Float64()
		b, _ := want.Float64()
		return ok && a == b
	}
	if have == nil { // which Stream may answer for a switch that is off
		return want == false || want == ""
	}
	return reflect.DeepEqual(have, want)
}

func text(v any) string { s, _ := v.(string); return s }

// risk is lockout where somebody may do less afterwards than before.
func risk(fields []difference) string {
	for _, d := range fields {
		before, after := listed(d.Before), listed(d.After)
		switch {
		case strings.HasPrefix(d.Field, "grants."):
			if slices.ContainsFunc(before, func(id any) bool { return !slices.Contains(after, id) }) {
				return lockout
			}
		case d.Field == "permissions":
			for _, p := range after {
				if p.(document)["action"] == "Deny" && !slices.ContainsFunc(before, func(b any) bool { return same(b, p) }) {
					return lockout
				}
			}
			for _, p := range normalPolicies(before) {
				if p.(document)["action"] == "Allow" && !slices.ContainsFunc(after, func(a any) bool { return same(p, a) }) {
					return lockout
				}
			}
		case d.Field == "user_search_disallowed_roles":
			if slices.ContainsFunc(after, func(role any) bool { return !slices.Contains(before, role) }) {
				return lockout
			}
		case d.Field == "permission_version",
			d.After == true && slices.Contains([]string{"multi_tenant_enabled", "guest_user_creation_disabled"}, d.Field),
			d.After == false && slices.Contains([]string{"disable_auth_checks", "disable_permissions_checks"}, d.Field):
			return lockout
		}
	}
	return ""
}

func listed(v any) []any { list, _ := v.([]any); return list }

// hidden reports whether a field holds what must not be shown.
func hidden(field string) bool {
	for _, word := range []string{"secret", "key", "token", "password", "credentials"} {
		if strings.Contains(field, word) {
			return true
		}
	}
	return false
}

// shown is a value without what must not be shown.
func shown(field string, v any) any {
	switch v := v.(type) {
	case string:
		if hidden(field) && v != "" {
			return "(hidden)"
		}
	case []any:
		all := []any{}
		for _, item := range v {
			all = append(all, shown(field, item))
		}
		return all
	case document:
		all := document{}
		for name := range v {
			all[name] = shown(name, v[name])
		}
		return all
	}
	return v
}

// show prints steps as people know it from Terraform.
func (o *ops) show(steps []step) {
	count := map[string]int{}
	for _, s := range steps {
		for _, c := range s.Changes {
			count[c.Action]++
			warning := map[string]string{deletes: "   (needs -allow-delete)", lockout: "   (needs -allow-lockout: somebody may do less than now)"}[c.Risk]
			o.say("  %s %s%s", map[string]string{"create": "+", "update": "~", "delete": "-"}[c.Action], c.What, warning)
			for _, d := range c.Fields {
				o.say("      %s: %s", d.Field, d.line())
			}
		}
	}
	o.say("Plan: %d to add, %d to change, %d to delete.", count["create"], count["update"], count["delete"])
}

func (d difference) line() string {
	before, wasList := d.Before.([]any)
	after, isList := d.After.([]any)
	if isList && (wasList || d.Before == nil) {
		var parts []string
		for _, v := range before {
			if !slices.ContainsFunc(after, func(a any) bool { return same(v, a) }) {
				parts = append(parts, "- "+compact(v))
			}
		}
		for _, v := range after {
			if !slices.ContainsFunc(before, func(b any) bool { return same(b, v) }) {
				parts = append(parts, "+ "+compact(v))
			}
		}
		if len(parts) > 0 {
			return strings.Join(parts, ", ")
		}
	}
	if d.Before == nil {
		return compact(shown(d.Field, d.After))
	}
	return compact(shown(d.Field, d.Before)) + " -> " + compact(shown(d.Field, d.After))
}

func compact(v any) string {
	if s, ok := v.(string); ok && s != "" {
		return s
	}
	b, _ := json.Marshal(v)
	return string(b)
}

// A planner compares a file with an app.
type planner struct {
	*ops
	fileName string
	service  *service
	file     *file
	state    *state
}

func (p *planner) flags(f *flag.FlagSet) {
	f.StringVar(&p.fileName, "file", "stream.yaml", "`FILE` that says what Stream's side shall be")
}

// read reads the file and the app and returns the steps between them.
func (p *planner) read(ctx context.Context) ([]step, error) {
	if p.service == nil {
		service, s, err := p.ops.service(ctx)
		if err != nil {
			return nil, err
		}
		values := p.outputs
		if s != nil {
			values = s.outputs
		}
		if p.file, err = readFile(p.fileName, values, p.getenv); err != nil {
			return nil, err
		}
		p.service = service
	}
	var err error
	if p.state, err = readState(ctx, p.service, p.file.wants); err != nil {
		return nil, err
	}
	return plan(p.file, p.state)
}

// report is what plan and apply print for machines.
type report struct {
	App   any    `json:"app"`
	Steps []step `json:"steps"`
	Done  int    `json:"done"` // steps
	Error string `json:"error,omitempty"`
}

func (p *planner) report(steps []step, done int, err error) error {
	if !p.json {
		return err
	}
	r := report{App: p.state.app["name"], Steps: []step{}, Done: done}
	for _, s := range steps {
		s.Body, _ = shown("", s.Body).(document)
		s.Changes = slices.Clone(s.Changes)
		for i, c := range s.Changes {
			s.Changes[i].Fields = slices.Clone(c.Fields)
			for j, d := range c.Fields {
				s.Changes[i].Fields[j] = difference{d.Field, shown(d.Field, d.Before), shown(d.Field, d.After)}
			}
		}
		r.Steps = append(r.Steps, s)
	}
	if err != nil {
		r.Error = err.Error()
	}
	return errors.Join(err, p.printJSON(r))
}

func setUpPlan(o *ops, f *flag.FlagSet) func(context.Context) error {
	p := &planner{ops: o}
	p.flags(f)
	return func(ctx context.Context) error {
		steps, err := p.read(ctx)
		if err != nil {
			return err
		}
		if len(steps) == 0 {
			o.say("Stream has all that %s says: nothing to change.", p.fileName)
		} else {
			o.say("At Stream, app %s:", compact(p.state.app["name"]))
			o.show(steps)
		}
		return p.report(steps, 0, nil)
	}
}
