package streamfile

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"chat-service-backend/internal/streamspec"
)

// A step is one request to Stream and the changes that it makes.
type step struct {
	Method  string   `json:"method"`
	Path    string   `json:"path"`
	Body    Document `json:"body,omitempty"`
	Changes []change `json:"changes"`
	// Optional is a step that may fail: it sets what ops does not know.
	Optional bool `json:"optional,omitempty"`
	stage    int  // Stream must know the steps of a stage before the next begins
}

type change struct {
	Action string                `json:"action"` // create, update or delete
	What   string                `json:"what"`
	Fields map[string]difference `json:"fields,omitempty"`
	Risk   string                `json:"risk,omitempty"` // deletes, lockout or none
}

// A plan is what leads from Stream's side to the file.
type plan struct {
	steps []step
	notes []string // what the operator should know besides
}

// The stages after those of the collections, which are 2i, and 2i+1 for second calls.
const (
	stageApp   = 7 // the app's settings may need the roles, and channel types the settings
	stageHooks = 10 + iota
	stageRevoke
	stageDelete // and up, one for each collection
)

// wants reports whether the file mentions a collection, or needs it for another.
func (f *file) wants(k kind) bool {
	switch {
	case k.key == "channel_types" && len(f.absent["roles"]) > 0, k.key == "roles" && f.grants():
		return true
	case k.key == "commands":
		for _, t := range f.items["channeltypes"] {
			if t["commands"] != nil {
				return true
			}
		}
	}
	return len(f.items[k.path])+len(f.absent[k.key]) > 0
}

// grants reports whether the file grants something to somebody.
func (f *file) grants() bool {
	for _, t := range f.items["channeltypes"] {
		if t["grants"] != nil {
			return true
		}
	}
	return f.app["grants"] != nil
}

// strangers moves the grants of roles that do not exist, and are not to, from set to
// unknown: Stream refuses them, and everything that is sent with them.
func (p *plan) strangers(what string, set, unknown Document, f *file, st *state) {
	known := maps.Clone(Object(set["grants"]))
	for _, role := range slices.Sorted(maps.Keys(known)) {
		if st.items["roles"][role] == nil && f.items["roles"][role] == nil {
			unknown["grants."+role] = known[role]
			delete(known, role)
			p.notes = append(p.notes, fmt.Sprintf("%s: the app has no role %s: add it to roles if it is yours; its grants are sent as they are", what, role))
		}
	}
	if delete(set, "grants"); len(known) > 0 {
		set["grants"] = known
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
	notes, err := appKind.check("app", f.app, sent, func(field string) bool { _, ok := st.app[field]; return ok })
	if err != nil {
		return err
	}
	unknown := Document{}
	p.strangers("app", set, unknown, f, st)
	for field := range set {
		if field != "grants" && notes[field] != "" || !appKind.known(field) {
			unknown[field] = set[field]
		}
	}
	p.note(notes, fields)
	if send == never {
		clear(blind)
	}
	if len(blind) > 0 && len(p.steps)+len(set)+len(unknown) == 0 && send != always {
		p.notes = append(p.notes, "app: "+strings.Join(slices.Sorted(maps.Keys(blind)), ", ")+
			" cannot be read back from Stream; sent with every apply that changes something else, or with -write-only")
		return nil
	}
	for field := range unknown {
		delete(set, field)
	}
	for field, v := range blind {
		set[field], fields[field] = v, difference{nil, v}
	}
	if set["permission_version"] == "v2" {
		set["migrate_permissions_to_v2"] = true
	}
	if len(set) > 0 {
		shown := maps.Clone(fields)
		for field := range unknown {
			delete(shown, field)
		}
		p.add(step{http.MethodPatch, "/app", set, []change{{"update", "the app's settings", shown, risk(shown)}}, false, stageApp})
	}
	p.unknown(step{Method: http.MethodPatch, Path: "/app", stage: stageApp}, unknown, "the app's settings", fields)
	return nil
}

// known reports whether the description has a field that can be set.
func (k kind) known(field string) bool {
	_, ok := k.row(field)
	return ok || k.key == "app" && field == "grants"
}

// note keeps the notes on fields that are about to change.
func (p *plan) note(notes map[string]string, fields map[string]difference) {
	for _, field := range slices.Sorted(maps.Keys(notes)) {
		if _, changes := fields[field]; changes {
			p.notes = append(p.notes, notes[field]+": sent as it is")
		}
	}
}

// unknown adds a step of its own for each field and value that the description does not
// allow: Stream may refuse it, and then the rest is done all the same.
func (p *plan) unknown(s step, set Document, what string, fields map[string]difference) {
	for _, field := range slices.Sorted(maps.Keys(set)) {
		one := s
		if one.Body = maps.Clone(s.Body); one.Body == nil {
			one.Body = Document{}
		}
		if role, ok := strings.CutPrefix(field, "grants."); ok {
			one.Body["grants"] = Document{role: set[field]}
		} else {
			one.Body[field] = set[field]
		}
		changes := map[string]difference{field: fields[field]}
		one.Changes = []change{{"update", what + ": " + field, changes, risk(changes)}}
		one.Optional = true
		p.add(one)
	}
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
	notes, err := k.check(what, wanted, set, func(field string) bool {
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
	if err := checkGrants(what, wanted["grants"]); err != nil {
		return err
	}
	p.note(notes, fields)
	now, later, unknown, optional := Document{}, Document{}, Document{}, false
	p.strangers(what, set, unknown, f, st)
	for field, v := range set {
		_, updates := streamspec.Objects[k.update][field]
		switch {
		case field == k.id, field == "grants":
			now[field] = v
		case !exists && !updates && k.known(field) && notes[field] != "": // now or never
			now[field], optional = v, true
		case !k.known(field), notes[field] != "" && (exists || !k.creates(field, v)):
			unknown[field] = v
		case exists && !updates:
			return fmt.Errorf("%s: Stream cannot change %s (%s -> %s): list it below absent, apply, and put it back", what, field, Show(before[field]), Show(v))
		case !exists && updates && !k.creates(field, v):
			later[field] = v
		default:
			now[field] = v
		}
	}
	put := func(stage int, set Document, before Document) step {
		body := k.along(before)
		maps.Copy(body, set)
		path, _, _ := strings.Cut(k.address(name, wanted), "?") // the team is in the body
		return step{Method: http.MethodPut, Path: path, Body: body, stage: stage}
	}
	missing := func(body Document, object string) error {
		for _, field := range slices.Sorted(maps.Keys(streamspec.Objects[object])) {
			if streamspec.Objects[object][field].Required && body[field] == nil {
				return fmt.Errorf("%s: %s is missing, and Stream requires it", what, field)
			}
		}
		return nil
	}
	after := maps.Clone(before)
	if after == nil {
		after = Document{}
	}
	maps.Copy(after, now)
	switch {
	case !exists:
		body := k.required(k.create, Document{})
		body[k.id] = cmp.Or(Text(wanted[k.id]), name)
		maps.Copy(body, now)
		if err := missing(body, k.create); err != nil {
			return err
		}
		shown := maps.Clone(fields)
		maps.DeleteFunc(shown, func(field string, _ difference) bool {
			return later[field] != nil || unknown[field] != nil || field == k.id
		})
		p.add(step{http.MethodPost, "/" + k.path, body, []change{{"create", what, shown, ""}}, optional, stage})
		maps.Copy(after, body)
		if k.key == "channel_types" {
			p.othersGrants(what, wanted, st)
		}
		if len(later) > 0 {
			s := put(stage+1, later, after)
			shown := map[string]difference{}
			for field := range later {
				shown[field] = fields[field]
			}
			s.Changes = []change{{"update", what, shown, ""}}
			p.add(s)
		}
	case len(now) > 0:
		s := put(stage, now, before)
		if err := missing(s.Body, k.update); err != nil {
			return err
		}
		shown := maps.Clone(fields)
		maps.DeleteFunc(shown, func(field string, _ difference) bool { return unknown[field] != nil })
		s.Changes = []change{{"update", what, shown, risk(shown)}}
		p.add(s)
	}
	p.unknown(put(stage+1, nil, after), unknown, what, fields)
	return nil
}

// creates reports whether an item can be created with a value, which some take only later.
func (k kind) creates(field string, v any) bool {
	row, ok := streamspec.Objects[k.create][field]
	return ok && len(row.Problems(field, v)) == 0
}

// along returns what an update of an item must send besides what it changes: Stream
// requires some fields, and of other items than channel types drops what is left out.
func (k kind) along(item Document) Document {
	body := Document{}
	for field, row := range streamspec.Objects[k.update] {
		if !k.known(field) || !row.Required && k.key == "channel_types" || k.unset(field, item[field]) {
			continue
		}
		body[field] = item[field]
	}
	return k.required(k.update, body)
}

// required adds the defaults of required fields.
func (k kind) required(object string, body Document) Document {
	for field, row := range streamspec.Objects[object] {
		if row.Required && body[field] == nil && defaults[field] != nil {
			body[field] = defaults[field]
		}
	}
	return body
}

// othersGrants tells what a new channel type will have besides what the file says: Stream
// gives it grants for roles that the file does not name.
func (p *plan) othersGrants(what string, wanted Document, st *state) {
	var roles []string
	for role, ids := range Object(st.items["channeltypes"]["messaging"]["grants"]) {
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
	for j, h := range have {
		what := title(h)
		i, ours := met[j]
		if contains(f.absent["hooks"], Address(h)) || contains(f.absent["hooks"], h["id"]) || !ours && double(own(h, f.outputs), j, have, met, f.outputs) {
			changes = append(changes, change{Action: "delete", What: what, Risk: deletes})
			continue
		}
		h = Writable(h)
		if ours {
			set, fields := differences(hookKind, h, f.hooks[i])
			if err := p.checkHook(what, f.hooks[i], set, fields, have); err != nil {
				return err
			}
			if len(fields) > 0 {
				maps.Copy(h, set)
				changes = append(changes, change{"update", what, fields, ""})
			}
		}
		list = append(list, h)
	}
	for i, wanted := range f.hooks {
		what := title(wanted)
		if a := Address(wanted); a != "" && contains(f.absent["hooks"], a) {
			return fmt.Errorf("%s is listed twice: once below absent", what)
		}
		p.unknownEvents(what, wanted, st)
		if plain := PlainWebhookURL(f.outputs); wanted["hook_type"] == "pending_message" && plain != "" && Address(wanted) == plain {
			p.notes = append(p.notes, what+": Stream adds the callback's name to the address, and this one has no routes below it: make it ${WebhookUrl}")
		}
		if found[i] {
			continue
		}
		for _, via := range []string{"sqs", "sns"} {
			if wanted["hook_type"] == via && wanted[via+"_auth_type"] == "keys" && wanted[via+"_key"] == nil {
				name := "STREAM_" + strings.ToUpper(via)
				return fmt.Errorf("%s: its keys are missing: set %s_KEY and %s_SECRET in the environment", what, name, name)
			}
		}
		if field := addresses[Text(wanted["hook_type"])]; field != "" && Address(wanted) == "" && wanted["callback"] == nil && wanted["enabled"] != false {
			return fmt.Errorf("%s has no address: set %s", what, field)
		}
		created := Document{"enabled": true, "event_types": []any{}}
		maps.Copy(created, without(wanted, "id"))
		_, fields := differences(hookKind, nil, created)
		if err := p.checkHook(what, created, created, fields, have); err != nil {
			return err
		}
		changes = append(changes, change{"create", what, fields, ""})
		list = append(list, created)
	}
	if len(changes) > 0 {
		p.add(step{http.MethodPatch, "/app", Document{"event_hooks": list}, changes, false, stageHooks})
	}
	return nil
}

// checkHook judges what is set at a hook. Hooks may have fields of any name: those of
// other hooks at Stream are no mistake.
func (p *plan) checkHook(what string, wanted, set Document, fields map[string]difference, have []Document) error {
	notes, err := hookKind.check(what, wanted, set, func(field string) bool {
		return addresses[Text(wanted["hook_type"])] == "" ||
			slices.ContainsFunc(have, func(h Document) bool { return h[field] != nil })
	})
	p.note(notes, fields)
	return err
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

// unknownEvents notes the event types that Stream does not know.
func (p *plan) unknownEvents(what string, wanted Document, st *state) {
	for _, v := range Events(wanted) {
		if name := Text(v); len(st.events) > 0 && !slices.Contains(st.events, name) {
			note := fmt.Sprintf("%s: Stream knows no event %s", what, name)
			if near := nearest(name, st.events); near != "" {
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
				p.add(step{method, path, body, []change{{"update", what, fields, deletes}}, false, stageRevoke})
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
				p.add(step{http.MethodDelete, k.address(Text(v), item), nil, []change{{Action: "delete", What: k.noun + " " + Text(v), Risk: deletes}}, false,
					stageDelete + len(collections) - i})
			}
		}
	}
}

func checkGrants(what string, grants any) error {
	for role, ids := range Object(grants) {
		if _, ok := ids.([]any); !ok && ids != nil {
			return fmt.Errorf("%s: grants.%s is not a list of permissions", what, role)
		}
	}
	return nil
}
