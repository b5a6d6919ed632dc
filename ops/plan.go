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
	"regexp"
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
	Action string                `json:"action"` // create, update or delete
	What   string                `json:"what"`
	Fields map[string]difference `json:"fields,omitempty"`
	Risk   string                `json:"risk,omitempty"` // deletes or lockout
}

type difference struct {
	Before any `json:"before"`
	After  any `json:"after"`
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
	path string // at Stream
	key  string // in the file, and of the list in Stream's answer
	noun string
	id   string // the field that names an item
}

// collections are in the order in which they are created. They are removed in
// the opposite order, since the last ones use the first ones.
var collections = []collection{
	{"roles", "roles", "role", "name"},
	{"permissions", "permissions", "permission", "id"},
	{"blocklists", "blocklists", "blocklist", "name"},
	{"commands", "commands", "command", "name"},
	{"channeltypes", "channel_types", "channel type", "name"},
}

// readState reads the app, and those of its collections that are wanted.
func readState(ctx context.Context, s *service, wanted func(collection) bool) (*state, error) {
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
		if !wanted(c) {
			continue
		}
		var answer map[string]any
		if _, err := s.stream(ctx, http.MethodGet, "/"+c.path, nil, &answer); err != nil {
			return nil, fmt.Errorf("read the %ss: %w", c.noun, err)
		}
		for _, v := range listed(answer[c.key]) {
			items[text(object(v)[c.id])] = object(v)
		}
		for name, v := range object(answer[c.key]) {
			items[name] = object(v)
			commands := []any{} // of a channel type: objects, where a name is taken
			for _, v := range listed(items[name]["commands"]) {
				commands = append(commands, object(v)["name"])
			}
			items[name]["commands"] = commands
		}
	}
	return st, nil
}

// wants reports whether the file names something of a collection.
func (f *file) wants(c collection) bool { return len(f.items[c.path])+len(f.absent[c.key]) > 0 }

// plan returns the steps from what Stream has to what the file says: none where
// they agree.
func plan(f *file, st *state) ([]step, error) {
	var steps []step
	version := cmp.Or(text(f.app["permission_version"]), text(st.app["permission_version"]))
	if version == "v1" && f.app["grants"] != nil {
		return nil, errors.New("grants: the app has permissions v1, which take none")
	}
	for _, c := range collections {
		if c.path == "channeltypes" { // which use the roles and permissions that settings have
			if set, fields := differences(st.app, f.app); len(fields) > 0 {
				if set["permission_version"] == "v2" {
					set["migrate_permissions_to_v2"] = true
				}
				steps = append(steps, step{http.MethodPatch, "/app", set, []change{{"update", "the app's settings", fields, risk(fields)}}})
			}
		}
		wanted := f.items[c.path]
		for _, name := range slices.Sorted(maps.Keys(wanted)) {
			if slices.Contains(f.absent[c.key], any(name)) {
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
		for _, v := range f.absent[c.key] {
			if name := text(v); st.items[c.path][name] != nil {
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
	body := document{c.id: name}
	if c.path == "channeltypes" {
		maps.Copy(body, document{"automod": "disabled", "automod_behavior": "flag", "max_message_length": json.Number("5000")})
	}
	maps.Copy(body, set)
	return &step{http.MethodPost, "/" + c.path, body, []change{{"create", what, fields, ""}}}
}

// merge is set, and of before the fields that are named: without names, all.
func merge(before, set document, fields ...string) document {
	all := document{}
	if len(fields) == 0 {
		maps.Copy(all, before)
	}
	for _, field := range fields {
		if before[field] != nil {
			all[field] = before[field]
		}
	}
	maps.Copy(all, set)
	return all
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
	for _, v := range listed(app["event_hooks"]) {
		hooks = append(hooks, object(v))
	}
	return hooks
}

// planHooks changes the hooks that the file names. Stream takes the whole list
// or nothing, so all others are written back as they are.
func planHooks(f *file, st *state) (*step, error) {
	var changes []change
	list := []any{}
	met := make([]bool, len(f.hooks))
	for _, hook := range hooksOf(st.app) {
		what := fmt.Sprintf("%s hook %s", text(hook["hook_type"]), address(hook))
		if slices.Contains(f.absent["hooks"], any(address(hook))) {
			changes = append(changes, change{Action: "delete", What: what, Risk: deletes})
			continue
		}
		hook = maps.Clone(hook)
		for i, wanted := range f.hooks {
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
	for i, wanted := range f.hooks {
		if slices.Contains(f.absent["hooks"], any(address(wanted))) {
			return nil, fmt.Errorf("hook %s: want it absent or not, got both", address(wanted))
		}
		if met[i] {
			continue
		}
		if wanted["sqs_auth_type"] == "keys" && wanted["sqs_key"] == nil {
			return nil, fmt.Errorf("hook %s: want its keys in STREAM_SQS_KEY and STREAM_SQS_SECRET", address(wanted))
		}
		hook := merge(document{"enabled": true, "event_types": []any{}}, wanted)
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
func differences(before, wanted document) (set document, fields map[string]difference) {
	set, fields = document{}, map[string]difference{}
	for field, want := range wanted {
		if field == "grants" {
			continue
		}
		if !same(before[field], want) {
			set[field], fields[field] = want, difference{before[field], want}
		}
	}
	have, grants := object(before["grants"]), document{}
	for role, v := range object(wanted["grants"]) {
		ids := granted(listed(have[role]), listed(v))
		if !same(have[role], ids) {
			grants[role], fields["grants."+role] = ids, difference{have[role], ids}
		}
	}
	if len(grants) > 0 {
		set["grants"] = grants
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

// lockouts are settings that take something from somebody when they become this.
var lockouts = document{
	"multi_tenant_enabled": true, "guest_user_creation_disabled": true, "disable_auth_checks": false, "disable_permissions_checks": false,
}

// risk is lockout where somebody may do less afterwards than before.
func risk(fields map[string]difference) string {
	for field, d := range fields {
		before, after := listed(d.Before), listed(d.After)
		loses := false
		switch {
		case strings.HasPrefix(field, "grants."):
			loses = len(without(before, after)) > 0
		case field == "permissions": // policies, which allow or deny
			before = normalPolicies(before)
			loses = slices.ContainsFunc(without(before, after), action("Allow")) || slices.ContainsFunc(without(after, before), action("Deny"))
		case field == "user_search_disallowed_roles":
			loses = len(without(after, before)) > 0
		default:
			loses = field == "permission_version" || lockouts[field] != nil && lockouts[field] == d.After
		}
		if loses {
			return lockout
		}
	}
	return ""
}

// action reports whether a policy has it.
func action(want string) func(policy any) bool {
	return func(policy any) bool { return policy.(document)["action"] == want }
}

// without returns what a list has and another has not.
func without(list, other []any) []any {
	return slices.DeleteFunc(slices.Clone(list), func(v any) bool {
		return slices.ContainsFunc(other, func(o any) bool { return same(v, o) })
	})
}

// secrets are words in the names of fields whose values must not be shown.
var secrets = regexp.MustCompile(`secret|key|token|password|credentials`)

// conceal is a value without what must not be shown.
func conceal(field string, v any) any {
	switch v := v.(type) {
	case []any:
		all := []any{}
		for _, item := range v {
			all = append(all, conceal(field, item))
		}
		return all
	case document:
		all := document{}
		for name := range v {
			all[name] = conceal(field+"."+name, v[name])
		}
		return all
	case nil:
		return nil
	}
	if v != "" && secrets.MatchString(field) {
		return "(hidden)"
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
			for _, field := range slices.Sorted(maps.Keys(c.Fields)) {
				o.say("      %s: %s", field, c.Fields[field].line(field))
			}
		}
	}
	o.say("Plan: %d to add, %d to change, %d to delete.", count["create"], count["update"], count["delete"])
}

func (d difference) line(field string) string {
	before, after := conceal(field, d.Before), conceal(field, d.After)
	if _, ok := after.([]any); ok {
		var parts []string
		for _, v := range without(listed(before), listed(after)) {
			parts = append(parts, "- "+compact(v))
		}
		for _, v := range without(listed(after), listed(before)) {
			parts = append(parts, "+ "+compact(v))
		}
		if len(parts) > 0 {
			return strings.Join(parts, ", ")
		}
	}
	if before == nil {
		return compact(after)
	}
	return compact(before) + " -> " + compact(after)
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
	r := report{App: p.state.app["name"], Steps: slices.Concat([]step{}, steps), Done: done}
	if err != nil {
		r.Error = err.Error()
	}
	text, _ := json.Marshal(r)
	var plain any
	_ = json.Unmarshal(text, &plain)
	return errors.Join(err, p.printJSON(conceal("", plain)))
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
