package streamfile

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"chat-service-backend/ops/console"
	"chat-service-backend/ops/stack"
)

// A step is one request to Stream and the changes that it makes.
type step struct {
	Method  string   `json:"method"`
	Path    string   `json:"path"`
	Body    Document `json:"body,omitempty"`
	Changes []change `json:"changes"`
}

type change struct {
	Action string                `json:"action"` // create, update or delete
	What   string                `json:"what"`
	Fields map[string]difference `json:"fields,omitempty"`
	Risk   string                `json:"risk,omitempty"` // deletes, lockout or none
}

type difference struct {
	Before any `json:"before"`
	After  any `json:"after"`
}

const (
	deletes = "deletes" // something is removed
	lockout = "lockout" // somebody may do less than before
)

// allow names the flag that each risk needs.
var allow = map[string]string{deletes: "-allow-delete", lockout: "-allow-lockout"}

// state is the app at Stream: its settings, and the items of each collection by
// name.
type state struct {
	app   Document
	items map[string]map[string]Document
}

// A collection is one of an app's lists.
type collection struct {
	path string // at Stream
	key  string // in the file and in Stream's answers
	noun string
	id   string // the field that names an item
}

// collections are in the order in which items are created. They are removed in the
// opposite order, since later collections refer to earlier ones.
var collections = []collection{
	{"roles", "roles", "role", "name"},
	{"permissions", "permissions", "permission", "id"},
	{"blocklists", "blocklists", "blocklist", "name"},
	{"commands", "commands", "command", "name"},
	{"channeltypes", "channel_types", "channel type", "name"},
}

// readState reads the app and the wanted collections.
func readState(ctx context.Context, s *stack.Service, wanted func(collection) bool) (*state, error) {
	st := &state{items: map[string]map[string]Document{}}
	var answer struct{ App Document }
	if _, err := s.Stream(ctx, http.MethodGet, "/app", nil, &answer); err != nil {
		return nil, fmt.Errorf("read the app's settings: %w", err)
	}
	if answer.App == nil {
		return nil, errors.New("read the app's settings: want app in Stream's answer, got none")
	}
	st.app = answer.App
	for _, c := range collections {
		items := map[string]Document{}
		st.items[c.path] = items
		if !wanted(c) {
			continue
		}
		var answer map[string]any
		if _, err := s.Stream(ctx, http.MethodGet, "/"+c.path, nil, &answer); err != nil {
			return nil, fmt.Errorf("read the %ss: %w", c.noun, err)
		}
		for _, v := range List(answer[c.key]) {
			items[Text(Object(v)[c.id])] = Object(v)
		}
		for name, v := range Object(answer[c.key]) {
			items[name] = Object(v)
			commands := []any{} // of a channel type: Stream answers objects and takes names
			for _, v := range List(items[name]["commands"]) {
				commands = append(commands, Object(v)["name"])
			}
			items[name]["commands"] = commands
		}
	}
	return st, nil
}

// wants reports whether the file mentions a collection.
func (f *file) wants(c collection) bool { return len(f.items[c.path])+len(f.absent[c.key]) > 0 }

// plan returns the steps that make Stream's side match the file.
func plan(f *file, st *state) ([]step, error) {
	var steps []step
	version := cmp.Or(Text(f.app["permission_version"]), Text(st.app["permission_version"]))
	if version == "v1" && f.app["grants"] != nil {
		return nil, errors.New("grants: the app has permissions v1, which have no grants")
	}
	for _, c := range collections {
		if c.path == "channeltypes" { // the app's settings may need the roles, and channel types the settings
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
				return nil, fmt.Errorf("%s %s is listed twice: once below absent", c.noun, name)
			}
			if field := map[string]string{"v1": "grants", "v2": "permissions"}[version]; c.path == "channeltypes" && wanted[name][field] != nil {
				return nil, fmt.Errorf("channel type %s: the app has permissions %s, which have no %s", name, version, field)
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
			if name := Text(v); st.items[c.path][name] != nil {
				steps = append(steps, step{http.MethodDelete, "/" + c.path + "/" + url.PathEscape(name), nil,
					[]change{{Action: "delete", What: c.noun + " " + name, Risk: deletes}}})
			}
		}
	}
	return steps, nil
}

func planItem(c collection, name string, wanted Document, have map[string]Document) *step {
	before, exists := have[name]
	set, fields := differences(before, wanted)
	what := c.noun + " " + name
	if !exists {
		body := Document{c.id: name}
		if c.path == "channeltypes" {
			maps.Copy(body, Document{"automod": "disabled", "automod_behavior": "flag", "max_message_length": json.Number("5000")})
		}
		if c.path == "permissions" {
			body["condition"] = Document{}
		}
		maps.Copy(body, set)
		return &step{http.MethodPost, "/" + c.path, body, []change{{"create", what, fields, ""}}}
	}
	if len(fields) == 0 {
		return nil
	}
	for _, field := range wholeItems[c.path] {
		if set[field] == nil && before[field] != nil {
			set[field] = before[field]
		} else if set[field] == nil && field == "condition" {
			set[field] = Document{}
		}
	}
	return &step{http.MethodPut, "/" + c.path + "/" + url.PathEscape(name), set, []change{{"update", what, fields, risk(fields)}}}
}

// wholeItems are the fields of collections whose updates must have all of them.
var wholeItems = map[string][]string{
	"permissions": {"name", "action", "description", "owner", "same_team", "condition"},
	"commands":    {"description", "args", "set"},
	// What Stream's description requires.
	"channeltypes": {"automod", "automod_behavior", "max_message_length"},
}

// Address returns where a hook sends events. Address and type identify a hook.
func Address(hook Document) string {
	for _, field := range []string{"webhook_url", "sqs_queue_url", "sns_topic_arn"} {
		if v := Text(hook[field]); v != "" {
			return v
		}
	}
	return ""
}

// Hooks returns an app's event hooks.
func Hooks(app Document) (hooks []Document) {
	for _, v := range List(app["event_hooks"]) {
		hooks = append(hooks, Object(v))
	}
	return hooks
}

// planHooks changes the hooks in the file. Stream replaces the whole list, so the
// others are written back as they are.
func planHooks(f *file, st *state) (*step, error) {
	var changes []change
	list := []any{}
	met := make([]bool, len(f.hooks))
	for _, hook := range Hooks(st.app) {
		what := fmt.Sprintf("%s hook %s", Text(hook["hook_type"]), Address(hook))
		if slices.Contains(f.absent["hooks"], any(Address(hook))) {
			changes = append(changes, change{Action: "delete", What: what, Risk: deletes})
			continue
		}
		hook = maps.Clone(hook)
		for i, wanted := range f.hooks {
			if wanted["hook_type"] != hook["hook_type"] || Address(wanted) != Address(hook) || met[i] {
				continue
			}
			met[i] = true
			if set, fields := differences(hook, wanted); len(fields) > 0 {
				maps.Copy(hook, set)
				changes = append(changes, change{"update", what, fields, ""})
			}
		}
		for _, field := range []string{"created_at", "updated_at"} {
			if n, ok := hook[field].(json.Number); ok { // Stream answers nanoseconds and takes text
				ns, _ := n.Int64()
				hook[field] = time.Unix(0, ns).UTC().Format(time.RFC3339Nano)
			}
		}
		list = append(list, hook)
	}
	for i, wanted := range f.hooks {
		if slices.Contains(f.absent["hooks"], any(Address(wanted))) {
			return nil, fmt.Errorf("hook %s is listed twice: once below absent", Address(wanted))
		}
		if met[i] {
			continue
		}
		if wanted["sqs_auth_type"] == "keys" && wanted["sqs_key"] == nil {
			return nil, fmt.Errorf("hook %s: want the queue's keys in STREAM_SQS_KEY and STREAM_SQS_SECRET, got none", Address(wanted))
		}
		hook := Document{"enabled": true, "event_types": []any{}}
		maps.Copy(hook, wanted)
		_, fields := differences(nil, hook)
		changes = append(changes, change{"create", fmt.Sprintf("%s hook %s", wanted["hook_type"], Address(wanted)), fields, ""})
		list = append(list, hook)
	}
	if len(changes) == 0 {
		return nil, nil
	}
	return &step{http.MethodPatch, "/app", Document{"event_hooks": list}, changes}, nil
}

// differences returns the fields to set so that before has everything in wanted, and
// what that changes.
func differences(before, wanted Document) (set Document, fields map[string]difference) {
	set, fields = Document{}, map[string]difference{}
	for field, want := range wanted {
		if field != "grants" && !same(before[field], want) {
			set[field], fields[field] = want, difference{before[field], want}
		}
	}
	have, grants := Object(before["grants"]), Document{}
	for role, v := range Object(wanted["grants"]) {
		ids := granted(List(have[role]), List(v))
		if !same(have[role], ids) {
			grants[role], fields["grants."+role] = ids, difference{have[role], ids}
		}
	}
	if len(grants) > 0 {
		set["grants"] = grants
	}
	return set, fields
}

// granted returns a role's new grants. If an id in wanted begins with !, those ids are
// taken from what the role has and the others added; otherwise wanted is the new list.
func granted(have, wanted []any) []any {
	revoked := func(v any) bool { return strings.HasPrefix(Text(v), "!") }
	if !slices.ContainsFunc(wanted, revoked) {
		return wanted
	}
	all := slices.Clone(have)
	for _, v := range wanted {
		if revoked(v) {
			all = slices.DeleteFunc(all, func(id any) bool { return "!"+Text(id) == v })
		} else if !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return all
}

// same reports whether Stream's value is the wanted one. The order of a list does not
// matter, nor do further fields of an object, and a missing list is an empty one.
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
	case Document:
		object, ok := have.(Document)
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
	if have == nil { // as Stream may answer for a switch that is off
		return want == false || want == ""
	}
	return reflect.DeepEqual(have, want)
}

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
			loses = field == "permission_version" || lockouts[field] != nil && lockouts[field] == d.After
		}
		if loses {
			return lockout
		}
	}
	return ""
}

// action returns a function that reports whether a policy has this action.
func action(want string) func(policy any) bool {
	return func(policy any) bool { return policy.(Document)["action"] == want }
}

// Without returns the items of list that other lacks.
func Without(list, other []any) []any {
	return slices.DeleteFunc(slices.Clone(list), func(v any) bool {
		return slices.ContainsFunc(other, func(o any) bool { return same(v, o) })
	})
}

// secrets matches the names of fields whose values must not be shown.
var secrets = regexp.MustCompile(`secret|key|token|password|credentials`)

// conceal returns a copy of a value with the secrets hidden.
func conceal(field string, v any) any {
	switch v := v.(type) {
	case []any:
		all := []any{}
		for _, item := range v {
			all = append(all, conceal(field, item))
		}
		return all
	case Document:
		all := Document{}
		for name := range v {
			all[name] = conceal(field+"."+name, v[name])
		}
		return all
	case nil:
		return nil
	}
	if v != "" && secrets.MatchString(field) && !strings.Contains(field, "grants.") {
		return "(hidden)"
	}
	return v
}

// show prints steps the way Terraform does.
func (p *planner) show(steps []step) {
	count := map[string]int{}
	for _, s := range steps {
		for _, c := range s.Changes {
			count[c.Action]++
			warning := map[string]string{deletes: "   (needs -allow-delete)", lockout: "   (needs -allow-lockout: somebody may do less than now)"}[c.Risk]
			p.Say("  %s %s%s", map[string]string{"create": "+", "update": "~", "delete": "-"}[c.Action], c.What, warning)
			for _, field := range slices.Sorted(maps.Keys(c.Fields)) {
				p.Say("      %s: %s", field, c.Fields[field].line(field))
			}
		}
	}
	p.Say("Plan: %d to add, %d to change, %d to delete.", count["create"], count["update"], count["delete"])
}

func (d difference) line(field string) string {
	before, after := conceal(field, d.Before), conceal(field, d.After)
	if _, ok := after.([]any); ok {
		var parts []string
		for _, v := range Without(List(before), List(after)) {
			parts = append(parts, "- "+Show(v))
		}
		for _, v := range Without(List(after), List(before)) {
			parts = append(parts, "+ "+Show(v))
		}
		if len(parts) > 0 {
			return strings.Join(parts, ", ")
		}
	}
	if before == nil {
		return Show(after)
	}
	return Show(before) + " -> " + Show(after)
}

// Show returns a value on one line.
func Show(v any) string {
	if s, ok := v.(string); ok && s != "" {
		return s
	}
	b, _ := json.Marshal(v)
	return string(b)
}

// A planner compares the file with the app at Stream.
type planner struct {
	*console.Console
	at       *stack.Target
	fileName string
	service  *stack.Service
	file     *file
	state    *state
}

func newPlanner(c *console.Console, at *stack.Target) (*planner, *cli.StringFlag) {
	p := &planner{Console: c, at: at}
	return p, &cli.StringFlag{Name: "file", Value: "stream.yaml", Usage: "`FILE` that describes Stream's side", Destination: &p.fileName}
}

// read reads the file and the app and returns the steps between them.
func (p *planner) read(ctx context.Context) ([]step, error) {
	if p.service == nil {
		service, s, err := p.at.Service(ctx)
		if err != nil {
			return nil, err
		}
		if p.file, err = readFile(p.fileName, s.Outputs, p.at.Getenv); err != nil {
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

// plan reads the steps and prints them.
func (p *planner) plan(ctx context.Context) ([]step, error) {
	steps, err := p.read(ctx)
	if err != nil {
		return nil, err
	}
	if len(steps) == 0 {
		p.Say("Stream matches %s: nothing to change.", p.fileName)
		return nil, nil
	}
	p.Say("At Stream, app %s:", Show(p.state.app["name"]))
	p.show(steps)
	return steps, nil
}

// report prints the JSON of plan and apply.
func (p *planner) report(steps []step, done int, err error) error {
	if !p.JSON {
		return err
	}
	r := Document{"app": p.state.app["name"], "steps": slices.Concat([]step{}, steps), "done": done}
	if err != nil {
		r["error"] = err.Error()
	}
	text, _ := json.Marshal(r)
	var plain any
	_ = json.Unmarshal(text, &plain)
	return errors.Join(err, p.PrintJSON(conceal("", plain)))
}

// Plan is the command that shows the difference.
func Plan(c *console.Console, at *stack.Target) *cli.Command {
	p, file := newPlanner(c, at)
	return &cli.Command{
		Name:        "plan",
		Usage:       "shows what apply would change at Stream",
		Description: "ops plan -env prod\nops plan -file other.yaml -json",
		Flags:       []cli.Flag{file},
		Action: func(ctx context.Context, _ *cli.Command) error {
			steps, err := p.plan(ctx)
			if err != nil {
				return err
			}
			return p.report(steps, 0, nil)
		},
	}
}
