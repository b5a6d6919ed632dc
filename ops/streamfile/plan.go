package streamfile

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"chat-service-backend/ops/streamspec"
)

// A step is one request to Stream and the changes that it makes.
type step struct {
	Method  string   `json:"method"`
	Path    string   `json:"path"`
	Body    Document `json:"body,omitempty"`
	Changes []change `json:"changes"`
	// Why is why Stream may refuse the step, which is then no change but a try; "" if it
	// should not.
	Why   string   `json:"why,omitempty"`
	stage int      // Stream must know the steps of a stage before the next begins
	hook  Document // to add to Stream's list, or to put in the place of the one with its id
	as    Document // what a hook without an id is by then
	parts []step   // what the step sets, one by one, for when Stream refuses the whole
}

type change struct {
	Action string                `json:"action"` // create, update or delete
	What   string                `json:"what"`
	Fields map[string]difference `json:"fields,omitempty"`
	Risk   string                `json:"risk,omitempty"` // deletes, lockout or none
}

// A plan is what leads from Stream's side to the file.
type plan struct {
	steps []step   // tries among them
	notes []string // what the operator should know besides
}

// changes returns the steps that are no tries.
func changes(steps []step) []step {
	return slices.DeleteFunc(slices.Clone(steps), func(s step) bool { return s.Why != "" })
}

// The stages after those of the collections, which are 2i, and 2i+1 for second calls.
const (
	stageApp   = 7 // the app's settings may need the roles, and channel types the settings
	stageHooks = 10 + iota
	stageRevoke
	stageDelete                    // and up, one for each collection
	stageTries  = stageDelete + 10 // and up, one for each hook that Stream may refuse
)

// wants reports whether the file mentions a collection, or needs it for another.
func (f *file) wants(k kind) bool {
	switch {
	case k.key == "channel_types" && len(f.absent["roles"]) > 0, len(f.items[k.path])+len(f.absent[k.key]) > 0:
		return true
	}
	for _, d := range append(slices.Collect(maps.Values(f.items["channeltypes"])), f.app) {
		for field, path := range references {
			if path == k.path && d[strings.TrimSuffix(field, ".")] != nil {
				return true
			}
		}
	}
	return false
}

// references are the fields that name items of collections, by their paths; grants. are
// the lists in grants.
var references = map[string]string{"grants": "roles", "grants.": "permissions", "user_search_disallowed_roles": "roles", "commands": "commands", "blocklist": "blocklists", "blocklists": "blocklists"}

// missing moves from set to doubtful what refers to roles, permissions, commands and
// blocklists that neither the app nor the file has, since Stream refuses that, and
// everything that is sent with it. An app may answer such names all the same: what stands
// in a list already stays there.
func (p *plan) missing(set, before, doubtful Document, why map[string]string, f *file, st *state) {
	has := func(path, name string) bool {
		known := func(d Document) bool {
			return path == "blocklists" && d["name"] == name || path == "commands" && d["set"] == name
		}
		tried := func(s step) bool { // and may be refused
			return s.Why != "" && s.Path == "/"+path && (s.Body["name"] == name || path == "permissions" && s.Body["id"] == name)
		}
		for _, items := range []map[string]Document{st.items[path], f.items[path]} {
			if items[name] != nil || name != "" && slices.ContainsFunc(slices.Collect(maps.Values(items)), known) {
				return st.items[path][name] != nil || !slices.ContainsFunc(p.steps, tried)
			}
		}
		return path == "commands" && slices.Contains(commandSets, name) || path == "permissions" && !st.tellsPermissions()
	}
	named := func(v any) string { return cmp.Or(Text(v), Text(Object(v)["blocklist"])) }
	// known returns what of a list the app will have, and what it lacks.
	known := func(path string, have, all []any) (there []any, lacks string) {
		var absent []string
		there = slices.DeleteFunc(append([]any{}, all...), func(v any) bool {
			name := named(v)
			if has(path, name) || slices.ContainsFunc(have, func(v any) bool { return named(v) == name }) {
				return false
			}
			if near := nearest(name, slices.Sorted(maps.Keys(st.items[path]))); near != "" {
				name += " (did you mean " + near + "?)"
			}
			absent = append(absent, name)
			return true
		})
		if len(absent) > 0 {
			lacks = "the app has no " + strings.TrimSuffix(path, "s") + " " + strings.Join(absent, ", ")
		}
		return there, lacks
	}
	grants := maps.Clone(Object(set["grants"]))
	for role, ids := range grants {
		list, isList := ids.([]any)
		have := List(Object(before["grants"])[role])
		there, lacks := known("permissions", have, list)
		switch {
		case !has("roles", role):
			why["grants."+role] = "the app has no role " + role + ": add it to roles if it is yours"
		case !isList:
			why["grants."+role] = "grants." + role + " is no list of permissions"
		case lacks != "":
			if why["grants."+role], doubtful["grants."+role] = lacks, ids; !same(have, there) {
				grants[role] = there
				continue
			}
		default:
			continue
		}
		if delete(grants, role); !zero(ids) { // or they have none
			doubtful["grants."+role] = ids
		}
	}
	if delete(set, "grants"); len(grants) > 0 {
		set["grants"] = grants
	}
	for field, path := range references {
		all, isList := set[field].([]any)
		if !isList && Text(set[field]) != "" {
			all = []any{set[field]}
		}
		have := List(before[field])
		if there, lacks := known(path, have, all); lacks != "" {
			doubtful[field], why[field] = set[field], lacks
			delete(set, field)
			if isList && !same(have, there) && !(field == "commands" && same(have, st.expanded(there, have))) {
				set[field] = there
			}
		}
	}
}

// When to send what cannot be read back.
type blindness int

const (
	withOthers blindness = iota // if something else changes
	always
	never
)

// compare returns the plan that makes Stream's side match the file.
func compare(f *file, st *state, send blindness) (*plan, error) {
	p := &plan{}
	version := cmp.Or(Text(f.app["permission_version"]), Text(st.app["permission_version"]))
	if version == "v1" && f.app["grants"] != nil {
		return nil, errors.New("grants: the app has permissions v1, which have no grants")
	}
	for i, k := range collections {
		for _, name := range slices.Sorted(maps.Keys(f.items[k.path])) {
			wanted := f.items[k.path][name]
			if contains(f.absent[k.key], name) {
				return nil, fmt.Errorf("%s %s is listed twice: once below absent", k.noun, name)
			}
			if field := map[string]string{"v1": "grants", "v2": "permissions"}[version]; k.key == "channel_types" && wanted[field] != nil {
				return nil, fmt.Errorf("channel type %s: the app has permissions %s, which have no %s", name, version, field)
			}
			if err := p.item(k, 2*i, name, wanted, f, st); err != nil {
				return nil, err
			}
		}
	}
	if err := p.hooks(f, st); err != nil {
		return nil, err
	}
	p.remove(f, st)
	if err := p.app(f, st, send); err != nil { // last, since it depends on whether there are others
		return nil, err
	}
	slices.SortStableFunc(p.steps, func(a, b step) int { return a.stage - b.stage })
	return p, nil
}

func (p *plan) add(s step) { p.steps = append(p.steps, s) }

// app compares the app's settings and grants.
func (p *plan) app(f *file, st *state, send blindness) error {
	known, blind := Document{}, Document{}
	for field, v := range f.app {
		if _, answered := st.app[field]; field != "grants" && !answered && !appKind.answered(field) && appKind.known(field) {
			blind[field] = v
		} else {
			known[field] = v
		}
	}
	set, fields := differences(appKind, st.app, known)
	sent := maps.Clone(set)
	maps.Copy(sent, blind)
	why, err := appKind.check("app", f.app, sent, func(field string) bool { _, ok := st.app[field]; return ok })
	if err != nil {
		return err
	}
	doubtful := Document{}
	p.missing(set, st.app, doubtful, why, f, st)
	for field := range set {
		if field != "grants" && why[field] != "" || !appKind.known(field) {
			doubtful[field] = set[field]
			part := appKind.part(field, st.app[field], set[field])
			if delete(set, field); part != nil {
				set[field] = part
			}
		}
	}
	if send == never {
		clear(blind)
	}
	if len(blind) > 0 && len(changes(p.steps))+len(set) == 0 && send != always {
		p.notes = append(p.notes, "app: "+strings.Join(slices.Sorted(maps.Keys(blind)), ", ")+
			" cannot be read back from Stream; sent with every apply that changes something else, or with -write-only")
		blind = nil
	}
	for field, v := range blind {
		if set[field], fields[field] = v, (difference{nil, v}); why[field] != "" {
			doubtful[field] = v
			delete(set, field)
		}
	}
	const what = "the app's settings"
	patch := step{Method: http.MethodPatch, Path: "/app", Body: Document{}, stage: stageApp}
	if len(set) > 0 {
		s := patch
		s.parts = each(patch, set, st.app, what, nil)
		if set["permission_version"] == "v2" {
			set["migrate_permissions_to_v2"] = true
		}
		shown := shownOf(set, fields)
		s.Body, s.Changes = set, []change{{"update", what, shown, risk(shown)}}
		p.add(s)
	}
	p.steps = append(p.steps, each(patch, doubtful, st.app, what, why)...)
	return nil
}

// known reports whether the description has a field that can be set.
func (k kind) known(field string) bool {
	_, ok := k.row(field)
	return ok || k.key == "app" && field == "grants"
}

// shownOf returns what a step that sets some fields changes.
func shownOf(set Document, fields map[string]difference) map[string]difference {
	shown := map[string]difference{}
	for name, d := range fields {
		from, field := set, name
		if role, isGrant := strings.CutPrefix(field, "grants."); isGrant {
			from, field = Object(set["grants"]), role
		}
		if v, ok := from[field]; ok {
			_, isList := v.([]any)
			if isList || Object(v) != nil && d.Before == nil { // perhaps not all of it
				d.After = v
			}
			shown[name] = d
		}
	}
	return shown
}

// each returns a step for each field in set, and each role in grants, which sends that with
// what s sends. With why, they are tries: Stream may refuse what its description lacks.
func each(s step, set, before Document, what string, why map[string]string) (steps []step) {
	add := func(field string, have, want any, body Document) {
		one := s
		one.Body = maps.Clone(s.Body)
		maps.Copy(one.Body, body)
		if field == "permission_version" && want == "v2" {
			one.Body["migrate_permissions_to_v2"] = true
		}
		fields := map[string]difference{field: {have, want}}
		one.Changes = []change{{"update", what + ": " + field, fields, risk(fields)}}
		if why != nil {
			one.Why = cmp.Or(why[field], field+" is not in Stream's description")
		}
		steps = append(steps, one)
	}
	grant := func(role string, ids any) {
		add("grants."+role, Object(before["grants"])[role], ids, Document{"grants": Document{role: ids}})
	}
	for _, field := range slices.Sorted(maps.Keys(set)) {
		if role, ok := strings.CutPrefix(field, "grants."); ok {
			grant(role, set[field])
		} else if field == "grants" {
			for _, role := range slices.Sorted(maps.Keys(Object(set[field]))) {
				grant(role, Object(set[field])[role])
			}
		} else {
			add(field, before[field], set[field], Document{field: set[field]})
		}
	}
	return steps
}

func without(d Document, fields ...string) Document {
	d = maps.Clone(d)
	for _, field := range fields {
		delete(d, field)
	}
	return d
}

// item compares one item of a collection.
func (p *plan) item(k kind, stage int, name string, wanted Document, f *file, st *state) error {
	before, exists := st.items[k.path][name]
	what := k.noun + " " + name
	compared := wanted
	if k.key == "channel_types" && exists && wanted["commands"] != nil {
		compared = maps.Clone(wanted)
		if all := st.expanded(List(wanted["commands"]), List(before["commands"])); same(before["commands"], all) {
			compared["commands"] = before["commands"]
		}
	}
	set, fields := differences(k, before, compared)
	why, err := k.check(what, wanted, set, func(field string) bool {
		for _, item := range st.items[k.path] {
			if item[field] != nil {
				return true
			}
		}
		return false
	})
	if err != nil {
		return err
	}
	if exists && len(fields) == 0 {
		return nil
	}
	now, later, doubtful, doubt := Document{}, Document{}, Document{}, ""
	if id := cmp.Or(Text(wanted[k.id]), name); !exists { // Stream may have named it when it took longer names
		for _, problem := range streamspec.Objects()[k.create][k.id].Problems(k.id, id) {
			doubt = "by Stream's description, " + problem.Error()
		}
	}
	p.missing(set, before, doubtful, why, f, st)
	for field, v := range set {
		_, updates := streamspec.Objects()[k.update][field]
		switch {
		case field == k.id, field == "grants":
			now[field] = v
		case !exists && (!updates || demanded(k, field)) && k.known(field) && why[field] != "": // now or never
			now[field], doubt = v, why[field]
		case !k.known(field), why[field] != "" && doubtful[field] == nil && (exists || !k.creates(field, v)):
			doubtful[field] = v
			part := k.part(field, before[field], v)
			switch {
			case part == nil:
			case exists && updates || k.creates(field, part):
				now[field] = part
			case updates:
				later[field] = part
			}
		case exists && !updates:
			return fmt.Errorf("%s: Stream cannot change %s (%s -> %s): list it below absent, apply, and put it back", what, field, Show(before[field]), Show(v))
		case !exists && updates && !k.creates(field, v):
			later[field] = v
		default:
			now[field] = v
		}
	}
	if !exists && len(later)+len(doubtful) > 0 { // an update will not do with what only creating takes
		for field, v := range now {
			if why[field] != "" && doubt == "" && doubtful[field] == nil {
				doubtful[field] = v
				delete(now, field)
			}
		}
	}
	put := func(stage int, set Document, before Document) step {
		body := k.along(before)
		maps.Copy(body, set)
		path, _, _ := strings.Cut(k.address(name, wanted), "?") // the team is in the body
		shown := shownOf(set, fields)
		return step{Method: http.MethodPut, Path: path, Body: body, Changes: []change{{"update", what, shown, risk(shown)}}, stage: stage}
	}
	complete := func(body Document, object string) error {
		for _, field := range slices.Sorted(maps.Keys(streamspec.Objects()[object])) {
			if streamspec.Objects()[object][field].Required && body[field] == nil {
				return fmt.Errorf("%s: %s is missing, and Stream requires it", what, field)
			}
		}
		return nil
	}
	after := maps.Clone(before)
	if after == nil {
		after = Document{}
	}
	switch {
	case !exists:
		bare := k.required(k.create, Document{k.id: cmp.Or(Text(wanted[k.id]), name)})
		body := maps.Clone(bare)
		maps.Copy(body, now)
		if err := complete(body, k.create); err != nil {
			return err
		}
		create := func(body Document) step {
			shown := shownOf(body, fields)
			delete(shown, k.id)
			return step{Method: http.MethodPost, Path: "/" + k.path, Body: body, Changes: []change{{"create", what, shown, ""}}, Why: doubt, stage: stage}
		}
		s := create(body)
		if k.key == "channel_types" {
			p.othersGrants(what, wanted, f, st)
			s.parts = append([]step{create(bare)}, each(put(stage, nil, bare), without(now, k.id), nil, what, nil)...)
		}
		p.add(s)
		maps.Copy(after, body)
		if len(later) > 0 {
			then := put(stage+1, later, after)
			then.Why = doubt
			p.add(then)
		}
	case len(now) > 0:
		s := put(stage, now, before)
		if err := complete(s.Body, k.update); err != nil {
			return err
		}
		if k.key == "channel_types" {
			s.parts = each(put(stage, nil, before), now, before, what, nil)
		} else if more := k.unknown(before); len(more) > 0 { // Stream would drop these, too, or refuse them
			sure := s
			s.Body = maps.Clone(s.Body)
			maps.Copy(s.Body, more)
			s.parts = append([]step{sure}, each(sure, more, nil, what, why)...)
		}
		p.add(s)
		maps.Copy(after, now)
	}
	p.steps = append(p.steps, each(put(stage+1, nil, after), doubtful, before, what, why)...)
	return nil
}

// demanded reports whether nothing can be created without a field, which has no default.
func demanded(k kind, field string) bool {
	return streamspec.Objects()[k.create][field].Required && k.required(k.create, Document{})[field] == nil
}

// creates reports whether an item can be created with a value, which some take only later.
func (k kind) creates(field string, v any) bool {
	row, ok := streamspec.Objects()[k.create][field]
	return ok && len(row.Problems(field, v)) == 0
}

// along returns what an update of an item must send besides what it changes: Stream
// requires some fields, and of other items than channel types drops what is left out.
func (k kind) along(item Document) Document {
	body := Document{}
	for field, row := range streamspec.Objects()[k.update] {
		if !k.known(field) || !row.Required && k.key == "channel_types" || k.unset(field, item[field]) {
			continue
		}
		body[field] = item[field]
	}
	return k.required(k.update, body)
}

// unknown returns the fields of an item that Stream's description lacks.
func (k kind) unknown(item Document) Document {
	more := maps.Clone(item)
	maps.DeleteFunc(more, func(field string, v any) bool {
		return v == nil || k.known(field) || k.answered(field) || field == k.id || slices.Contains(k.hidden, field)
	})
	return more
}

// required adds the defaults of required fields.
func (k kind) required(object string, body Document) Document {
	for field, row := range streamspec.Objects()[object] {
		if row.Required && body[field] == nil && defaults[field] != nil {
			body[field] = defaults[field]
		}
	}
	return body
}

// othersGrants tells what a new channel type will have besides what the file says: Stream
// gives it grants for roles that the file does not name.
func (p *plan) othersGrants(what string, wanted Document, f *file, st *state) {
	var roles []string
	messaging := maps.Clone(Object(st.items["channeltypes"]["messaging"]["grants"]))
	if messaging == nil {
		messaging = Document{}
	}
	maps.Copy(messaging, Object(f.items["channeltypes"]["messaging"]["grants"]))
	for role, ids := range messaging {
		if _, named := Object(wanted["grants"])[role]; !named && len(List(ids)) > 0 {
			roles = append(roles, role)
		}
	}
	if slices.Sort(roles); len(roles) == 0 && st.items["channeltypes"]["messaging"] != nil {
		return
	}
	p.notes = append(p.notes, what+": Stream gives a new channel type grants for roles that the file does not name, as messaging has them: "+
		cmp.Or(strings.Join(roles, ", "), "see them with pull"))
}

// hooks changes the hooks in the file. Stream replaces the whole list, so the others are
// written back as they are.
func (p *plan) hooks(f *file, st *state) error {
	var changes []change
	list, have := []any{}, Hooks(st.app)
	met := match(f.hooks, have, f.outputs)
	found := map[int]bool{}
	for _, i := range met {
		found[i] = true
	}
	var others []string
	// set changes the last hook of the list, and is a step of its own if Stream may refuse it.
	var parts []step
	set := func(h Document, c change, why string) {
		one := step{Method: http.MethodPatch, Path: "/app", Body: Document{"event_hooks": []any{h}}, Changes: []change{c}, Why: why, stage: stageTries + len(p.steps), hook: h}
		if why != "" {
			p.add(one)
			return
		}
		if c.Action == "create" {
			list = append(list, nil)
		}
		list[len(list)-1] = h
		changes, parts = append(changes, c), append(parts, one)
	}
	// put sets fields of a hook, and tries apart what of them Stream may refuse.
	put := func(action string, h, fresh Document, fields map[string]difference, why map[string]string, doubt string) {
		whole, sound := maps.Clone(h), maps.Clone(fresh)
		maps.Copy(whole, fresh)
		what := title(whole)
		if doubt == "" || why == nil {
			set(whole, change{action, what, fields, ""}, doubt)
			return
		}
		tried := Document{}
		for field := range why {
			tried[field] = fresh[field]
			part := hookKind.part(field, h[field], fresh[field])
			if delete(sound, field); part != nil {
				sound[field] = part
			}
		}
		base := maps.Clone(h)
		maps.Copy(base, sound)
		if len(sound) > 0 {
			set(base, change{action, what, shownOf(sound, fields), ""}, "")
		}
		set(whole, change{"update", what + ": " + strings.Join(slices.Sorted(maps.Keys(tried)), ", "), shownOf(tried, fields), ""}, doubt)
		if h["id"] == nil {
			p.steps[len(p.steps)-1].as = base
		}
	}
	for j, h := range have {
		what := title(h)
		i, ours := met[j]
		if contains(f.absent["hooks"], Address(h)) || contains(f.absent["hooks"], h["id"]) || !ours && double(own(h, f.outputs), j, have, met, f.outputs) {
			changes = append(changes, change{Action: "delete", What: what, Risk: deletes})
			continue
		}
		h = Writable(h)
		list = append(list, h)
		if !ours {
			others = append(others, what)
			continue
		}
		fresh, fields := differences(hookKind, h, f.hooks[i])
		why, doubt, err := hookDoubt(what, f.hooks[i], fresh, have)
		switch {
		case err != nil:
			return err
		case len(fields) > 0:
			put("update", h, fresh, fields, why, doubt)
		}
	}
	p.unknownEvents("app: webhook_events", f.oldHook(), st)
	for i, wanted := range f.hooks {
		what := title(wanted)
		if a := Address(wanted); a != "" && contains(f.absent["hooks"], a) {
			return fmt.Errorf("%s is listed twice: once below absent", what)
		}
		p.unknownEvents(what, wanted, st)
		if found[i] {
			continue
		}
		via := Text(wanted["hook_type"])
		if (via == "sqs" || via == "sns") && wanted[via+"_auth_type"] == "keys" && wanted[via+"_key"] == nil {
			env := "STREAM_" + strings.ToUpper(via)
			p.notes = append(p.notes, fmt.Sprintf("%s is not created: its keys are no part of the file; set %s_KEY and %s_SECRET in the environment, and apply again", what, env, env))
			continue
		}
		created := Document{"enabled": true, "event_types": []any{}}
		maps.Copy(created, without(wanted, "id"))
		_, fields := differences(hookKind, nil, created)
		why, doubt, err := hookDoubt(what, created, created, nil)
		if err != nil {
			return err
		}
		if field := addresses[via]; field != "" && Address(wanted) == "" && wanted["callback"] == nil {
			why, doubt = nil, cmp.Or(doubt, "it has no "+field)
		}
		put("create", Document{}, created, fields, why, doubt)
		if len(others) > 0 { // one of them may be what the file had before
			p.notes = append(p.notes, fmt.Sprintf("%s is new; not in the file, and so left alone: %s. List below absent what shall go", what, strings.Join(others, ", ")))
		}
	}
	if len(changes) > 0 {
		if len(parts) < len(changes) {
			parts = nil // something is deleted
		}
		p.add(step{Method: http.MethodPatch, Path: "/app", Body: Document{"event_hooks": list}, Changes: changes, stage: stageHooks, parts: parts})
	}
	return nil
}

// hookDoubt judges what is set at a hook, and returns why Stream may refuse it; no fields if
// that is the whole hook. Hooks may have fields of any name: those that hooks at Stream have
// are no mistake, though Stream may refuse them in a new one.
func hookDoubt(what string, wanted, set Document, have []Document) (why map[string]string, doubt string, err error) {
	address := addresses[Text(wanted["hook_type"])]
	why, err = hookKind.check(what, wanted, set, func(field string) bool {
		return address == "" || slices.ContainsFunc(have, func(h Document) bool { return h[field] != nil })
	})
	if address == "" && len(set) > 0 {
		return nil, "ops does not know its type", err
	}
	for _, field := range slices.Sorted(maps.Keys(why)) {
		doubt = cmp.Or(doubt, why[field])
	}
	for _, field := range []string{address, "enabled", "event_types", "hook_type", "product", "callback"} {
		if why[field] != "" { // without it the hook sends something else
			return nil, doubt, err
		}
	}
	return why, doubt, err
}

// double reports whether a hook that the file does not have sends what one of the file's
// sends to the same address, or is exactly like it.
func double(other Document, j int, have []Document, met map[int]int, outputs map[string]string) bool {
	plain := func(h Document) Document { return without(h, "id", "created_at", "updated_at") }
	for k := range met {
		ours := own(have[k], outputs)
		switch {
		case k == j || Address(other) == "" || Product(other) != Product(ours) && !(chat[Product(other)] && chat[Product(ours)]):
		case SendTheSame(other, ours), same(plain(other), plain(ours)) && same(plain(ours), plain(other)):
			return true
		}
	}
	return false
}

// oldHook is the webhook of an app without event hooks, as far as its events go.
func (f *file) oldHook() Document { return Document{"event_types": f.app["webhook_events"]} }

// unknownEvents notes the event types that Stream does not know.
func (p *plan) unknownEvents(what string, wanted Document, st *state) {
	for _, v := range Events(wanted) {
		if name := Text(v); len(st.events) > 0 && !slices.Contains(st.events, name) {
			if !eventType.MatchString(name) { // a space may be all that is wrong
				shown, _ := json.Marshal(v)
				name = string(shown)
			}
			note := fmt.Sprintf("%s: Stream knows no event %s", what, name)
			if near := nearest(strings.ToLower(strings.Trim(name, `" `)), st.events); near != "" {
				note += ": did you mean " + near + "?"
			}
			p.notes = append(p.notes, note)
		}
	}
}

// remove removes what is absent in the file. Stream keeps a role that has grants, so
// those go first.
func (p *plan) remove(f *file, st *state) {
	for _, v := range f.absent["roles"] {
		role := Text(v)
		if st.items["roles"][role] == nil {
			continue
		}
		revoke := func(method, path string, body Document, what string, grants any) {
			if ids := List(Object(grants)[role]); len(ids) > 0 {
				body["grants"] = Document{role: []any{}}
				fields := map[string]difference{"grants." + role: {ids, []any{}}}
				p.add(step{Method: method, Path: path, Body: body, Changes: []change{{"update", what, fields, deletes}}, stage: stageRevoke})
			}
		}
		revoke(http.MethodPatch, "/app", Document{}, "the app's grants", st.app["grants"])
		for _, name := range slices.Sorted(maps.Keys(st.items["channeltypes"])) {
			t := st.items["channeltypes"][name]
			if !contains(f.absent["channel_types"], name) {
				k := collections[len(collections)-1]
				revoke(http.MethodPut, k.address(name, nil), k.along(t), "channel type "+name, t["grants"])
			}
		}
	}
	for i, k := range slices.Backward(collections) {
		for _, v := range f.absent[k.key] {
			if item := st.items[k.path][Text(v)]; item != nil {
				p.add(step{Method: http.MethodDelete, Path: k.address(Text(v), item), stage: stageDelete + len(collections) - i,
					Changes: []change{{Action: "delete", What: k.noun + " " + Text(v), Risk: deletes}}})
			}
		}
	}
}
