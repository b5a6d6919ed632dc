package streamfile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/urfave/cli/v3"
	"go.yaml.in/yaml/v3"

	"chat-service-backend/ops/console"
	"chat-service-backend/ops/stack"
	"chat-service-backend/ops/streamspec"
)

const pulledHeader = `# yaml-language-server: $schema=docs/stream.schema.json
# ops plan and ops apply compare this with the app at Stream. They leave alone what is not in this file.
`

// Pull is the command that writes the file.
func Pull(c *console.Console, at *stack.Target) *cli.Command {
	return &cli.Command{
		Name:        "pull",
		Usage:       "writes the file from Stream's current settings",
		Description: "ops pull -env prod\nops pull -env prod -file -",
		Flags:       []cli.Flag{&cli.StringFlag{Name: "file", Value: "stream.yaml", Usage: "`FILE` to write; - is standard output"}},
		Action:      func(ctx context.Context, flags *cli.Command) error { return pull(ctx, c, at, flags.String("file")) },
	}
}

func pull(ctx context.Context, c *console.Console, at *stack.Target, name string) error {
	service, s, err := at.Service(ctx)
	if err != nil {
		return err
	}
	st, err := readState(ctx, service, func(kind) bool { return true })
	if err != nil {
		return err
	}
	earlier, _ := readDocument(name) // there may be none
	text, notes, err := pulled(st, s.Outputs, Object(earlier["app"]))
	if err != nil {
		return err
	}
	if name == "-" {
		for _, n := range notes {
			c.Progress("%s", n)
		}
		_, err = c.Out.Write(text)
		return err
	}
	const mode = 0o600
	if _, err := os.Stat(name); err == nil {
		if yes, err := c.Confirm(ctx, name+" exists. Overwrite it?"); err != nil || !yes {
			return errors.Join(err, errors.New("nothing was written"))
		}
	}
	_ = os.Chmod(name, mode) // or the earlier file's would stay
	if err := os.WriteFile(name, text, mode); err != nil {
		return err
	}
	c.Say("wrote %s: %d channel types, %d event hooks", name, len(st.items["channeltypes"]), len(Hooks(st.app)))
	for _, n := range notes {
		c.Say("%s", n)
	}
	return nil
}

// pulled returns the file for which a plan is empty: what an app's owner can set, without
// credentials. It keeps the settings of an earlier file that cannot be read back, and notes
// what it has left out and what it does not know.
func pulled(st *state, outputs map[string]string, earlier Document) (text []byte, notes []string, err error) {
	var foreign, left, twice []string
	// pick returns the fields of an item that can be set.
	pick := func(k kind, place string, item Document) Document {
		picked := Document{}
		for field, v := range item {
			row, known := k.row(field)
			switch {
			case k.unset(field, v), !known && (k.answered(field) || slices.Contains(k.hidden, field)), field == k.id && k.id != "":
				continue
			case !known:
				foreign = append(foreign, place+field)
			default:
				for _, p := range row.Problems(place+field, v) {
					foreign = append(foreign, p.Place)
				}
				if object, ok := v.(Document); ok && streamspec.Objects()[row.Type] != nil {
					object = maps.Clone(object)
					maps.DeleteFunc(object, func(_ string, v any) bool { return v == nil })
					v = object
				}
			}
			picked[field] = v
		}
		for field, row := range streamspec.Objects()[k.create] { // what a second app requires
			if row.Required && picked[field] == nil && defaults[field] == nil && field != k.id {
				picked[field] = map[bool]any{true: []any{}, false: ""}[row.Type[0] == '[']
			}
		}
		return picked
	}
	v1 := st.app["permission_version"] == "v1"
	app := pick(appKind, "app.", st.app)
	if app["revoke_tokens_issued_before"] != nil { // an event, no setting
		delete(app, "revoke_tokens_issued_before")
		left = append(left, "app.revoke_tokens_issued_before")
	}
	app = withoutCredentials("app.", app, &left).(Document)
	for _, provider := range Object(st.app["push_notifications"]) { // each holds credentials
		if Object(provider)["enabled"] == true {
			left = append(left, "app.push_notifications")
		}
	}
	for field, v := range earlier {
		if _, answered := st.app[field]; !answered && appKind.known(field) && !appKind.answered(field) {
			app[field] = v
		}
	}
	f := Document{"app": app}
	if !v1 && st.app["grants"] != nil {
		f["grants"] = st.allGrants(st.app["grants"])
	}
	hooks, roles, open := []any{}, []any{}, []string{}
	for field, v := range app {
		if exposes(Text(v)) {
			open = append(open, "app."+field)
		}
	}
	for i, v := range List(st.app["event_hooks"]) {
		if v != nil && Object(v) == nil {
			left = append(left, fmt.Sprintf("app.event_hooks[%d], which is no hook", i))
		}
	}
	all := Hooks(st.app)
	for i, h := range all {
		what := title(h)
		if exposes(Address(h)) {
			open = append(open, what)
		}
		before := len(foreign)
		picked := without(pick(hookKind, what+": ", h), "id")
		if addresses[Text(h["hook_type"])] == "" {
			foreign = append(foreign[:before], what)
		}
		for field, none := range map[string]any{"event_types": []any{}, "enabled": false, "hook_type": ""} {
			if picked[field] == nil {
				picked[field] = none
			}
		}
		hooks = append(hooks, withoutCredentials(what+": ", picked, &left))
		for _, other := range all[:i] {
			if SendTheSame(h, other) {
				twice = append(twice, what)
			}
		}
	}
	f["hooks"] = hooks
	for _, k := range collections {
		items := Document{}
		for _, label := range slices.Sorted(maps.Keys(st.items[k.path])) {
			item := st.items[k.path][label]
			if k.streams(label, item) {
				continue
			}
			picked := pick(k, k.key+"."+label+".", item)
			switch k.key {
			case "roles":
				roles = append(roles, label)
			case "blocklists":
				if name := item[k.id]; name != label {
					picked[k.id] = name
				}
				items[label] = picked
				if plainWords(picked) {
					items[label] = picked["words"]
				}
			case "channel_types":
				if v1 {
					delete(picked, "grants")
					picked["permissions"] = normalPolicies(List(picked["permissions"]))
				} else {
					delete(picked, "permissions")
					picked["grants"] = st.allGrants(picked["grants"])
				}
				items[label] = picked
			default:
				items[label] = picked
			}
		}
		f[k.key] = items
	}
	f["roles"] = roles
	f = eachText(f, func(s string) string { return refer(s, outputs) }).(Document)
	for what, list := range map[string][]string{
		"ops does not know these, and carries them along as they are: ":                                                                    foreign,
		"left out of the file (credentials, and what is no setting; another app needs them set by hand): ":                                 left,
		"these addresses have a password or a query, which the file now has, too; keep it as safe as they are: ":                           open,
		"these hooks send the same events as another, so that they arrive twice; remove one from the file, and apply with -allow-delete: ": twice,
	} {
		if slices.Sort(list); len(list) > 0 {
			notes = append(notes, what+strings.Join(slices.Compact(list), ", "))
		}
	}
	slices.Sort(notes)
	if blind := blindFields(st.app, app); len(blind) > 0 {
		notes = append(notes, "cannot be read back from Stream, so set them by hand if you use them: app."+strings.Join(blind, ", app."))
	}
	body, err := yaml.Marshal(node(f))
	if err != nil {
		return nil, nil, fmt.Errorf("write YAML: %w", err)
	}
	return append([]byte(pulledHeader), body...), notes, nil
}

// exposes reports whether an address has a password or a query, which may be one.
func exposes(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Host != "" && (u.User != nil || u.RawQuery != "")
}

// allGrants returns grants with those roles that have none: another app may give them some,
// as every app gives a new channel type those that messaging has.
func (st *state) allGrants(grants any) Document {
	all := Document{}
	for role, item := range st.items["roles"] {
		if item["custom"] != true || !zero(Object(st.items["channeltypes"]["messaging"]["grants"])[role]) {
			all[role] = []any{}
		}
	}
	for role, ids := range Object(grants) {
		if list, ok := ids.([]any); ok {
			ids = escaped(list)
		}
		if all[role] == nil || ids != nil {
			all[role] = ids
		}
	}
	return all
}

// escaped returns ids of permissions as [granted] reads them.
func escaped(ids []any) []any {
	all := slices.Clone(ids)
	for i, v := range all {
		if id := Text(v); id != "" && strings.Contains(`!\`, id[:1]) {
			all[i] = `\` + id
		}
	}
	return all
}

// blindFields returns the settings that Stream does not answer and the file does not have.
func blindFields(answered, app Document) (blind []string) {
	for _, field := range appKind.fields() {
		if _, ok := answered[field]; !ok && !appKind.answered(field) && app[field] == nil && !strings.HasSuffix(field, "_config") {
			blind = append(blind, field)
		}
	}
	return blind
}

// plainWords reports whether a blocklist is nothing but a list of words.
func plainWords(list Document) bool {
	for field, v := range list {
		if field != "words" && !(field == "type" && v == "word") && !zero(v) {
			return false
		}
	}
	return len(List(list["words"])) > 0
}

// refer returns a text as the file has it: with references to the stack's outputs, and
// with its own ${…} escaped.
func refer(s string, outputs map[string]string) string {
	s = reference.ReplaceAllStringFunc(s, func(r string) string { return "$" + r })
	for _, output := range []string{"WebhookUrl", "StreamQueueUrl"} {
		if rest, ok := strings.CutPrefix(s, outputs[output]); ok && outputs[output] != "" && (rest == "" || rest[0] == '/') {
			return "${" + output + "}" + rest
		}
	}
	return s
}

// confused are texts that some readers of YAML take for something else.
var confused = regexp.MustCompile(`^(<<|=|(?i:y|n|yes|no|on|off)|[-+]?\d[\d_]*(:[0-5]?\d)+(\.[\d_]*)?)$`)

// node returns a value as YAML that reads back as the same value.
func node(v any) *yaml.Node {
	switch v := v.(type) {
	case Document:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			n.Content = append(n.Content, node(name), node(v[name]))
		}
		return n
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for _, item := range v {
			n.Content = append(n.Content, node(item))
		}
		return n
	case string:
		n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: v}
		if strings.ContainsFunc(v, func(r rune) bool { return !unicode.IsPrint(r) }) || confused.MatchString(v) {
			n.Style = yaml.DoubleQuotedStyle
		}
		return n
	case number:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: string(v)}
	case nil:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	}
	n := &yaml.Node{}
	_ = n.Encode(v)
	return n
}
