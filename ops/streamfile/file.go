// Package streamfile keeps Stream's side of a deployment in a file: it reads the file and the
// app, compares them, judges what a change may break, and carries changes out.
package streamfile

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"chat-service-backend/ops/stack"
)

// schemaText describes stream.yaml, to editors and to this program.
//
//go:embed stream.schema.json
var schemaText []byte

// A Document is a JSON object, with Stream's field names.
type Document = map[string]any

// A file describes Stream's side. What it does not name is left alone.
type file struct {
	app    Document // settings and grants
	hooks  []Document
	items  map[string]map[string]Document // by the path of their collection and by name
	absent map[string][]any               // names, or addresses of hooks, by collection
}

// reference is an output of the stack in a string.
var reference = regexp.MustCompile(`\$\{\w+\}`)

// readFile reads stream.yaml and replaces each ${NAME} in its strings with that output
// of the stack.
func readFile(name string, outputs map[string]string, getenv func(string) string) (*file, error) {
	raw, err := readDocument(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	missing := map[string]bool{}
	raw = eachText(raw, func(s string) string {
		return reference.ReplaceAllStringFunc(s, func(r string) string {
			output := r[2 : len(r)-1]
			if outputs[output] == "" {
				missing[output] = true
			}
			return outputs[output]
		})
	}).(Document)
	if len(missing) > 0 {
		return nil, fmt.Errorf("%s: the stack has no output %s, it has %s (-output NAME=VALUE sets one)",
			name, strings.Join(slices.Sorted(maps.Keys(missing)), ", "), cmp.Or(strings.Join(slices.Sorted(maps.Keys(outputs)), ", "), "none"))
	}
	if config := Text(raw["permissions_config"]); config != "" {
		config = filepath.Join(filepath.Dir(name), config)
		permissions, err := readDocument(config)
		if err == nil {
			err = addPermissions(raw, permissions)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", config, err)
		}
		name += " with " + config
	}
	if err := validate(raw); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	f := &file{app: child(raw, "app"), items: map[string]map[string]Document{}, absent: map[string][]any{}}
	if raw["grants"] != nil {
		f.app["grants"] = raw["grants"]
	}
	for _, v := range List(raw["hooks"]) {
		hook := Object(v)
		if hook["hook_type"] == "sqs" && hook["sqs_auth_type"] == "keys" && getenv("STREAM_SQS_KEY") != "" {
			hook["sqs_key"], hook["sqs_secret"] = getenv("STREAM_SQS_KEY"), getenv("STREAM_SQS_SECRET")
		}
		f.hooks = append(f.hooks, hook)
	}
	for _, c := range collections {
		f.items[c.path] = map[string]Document{}
		for _, name := range List(raw[c.key]) { // roles
			f.items[c.path][Text(name)] = Document{}
		}
		for name, v := range Object(raw[c.key]) {
			if words, ok := v.([]any); ok { // a blocklist
				v = Document{"words": words}
			}
			item := Object(v)
			if policies, ok := item["permissions"].([]any); ok {
				item["permissions"] = normalPolicies(policies)
			}
			f.items[c.path][name] = item
		}
	}
	for key, names := range Object(raw["absent"]) {
		f.absent[key] = List(names)
	}
	return f, nil
}

func readDocument(name string) (Document, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, errors.Unwrap(err) // the caller adds the name
	}
	if !json.Valid(content) {
		var v any
		if err = yaml.Unmarshal(content, &v); err == nil {
			content, err = json.Marshal(v)
		}
		if err != nil {
			return nil, err
		}
	}
	var doc Document
	if stack.Unmarshal(content, &doc) != nil {
		return nil, errors.New("not an object: begin with a line such as app: {}")
	}
	if doc == nil {
		doc = Document{}
	}
	return doc, nil
}

// The following return v, or the zero value if it has another type.

func Object(v any) Document { d, _ := v.(Document); return d }
func List(v any) []any      { l, _ := v.([]any); return l }
func Text(v any) string     { s, _ := v.(string); return s }

// validate returns the first place where a file breaks the schema.
func validate(raw Document) error {
	compiler := jsonschema.NewCompiler()
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemaText))
	if err != nil {
		return err
	}
	if err := compiler.AddResource("stream.schema.json", schema); err != nil {
		return err
	}
	compiled, err := compiler.Compile("stream.schema.json")
	if err != nil {
		return err
	}
	var invalid *jsonschema.ValidationError
	if err = compiled.Validate(raw); !errors.As(err, &invalid) {
		return err
	}
	for len(invalid.Causes) > 0 {
		invalid = invalid.Causes[0]
	}
	return errors.New(strings.TrimSpace(invalid.Error()))
}

// eachText replaces every string in a decoded document.
func eachText(v any, f func(string) string) any {
	switch v := v.(type) {
	case string:
		return f(v)
	case []any:
		for i := range v {
			v[i] = eachText(v[i], f)
		}
	case Document:
		for name := range v {
			v[name] = eachText(v[name], f)
		}
	}
	return v
}

// addPermissions adds Mia-Platform's file of permissions to raw. Version 1 lists the
// policies of each channel type. Version 2 lists the grants of each role, by channel
// type and, below app, in the whole app.
func addPermissions(raw, permissions Document) error {
	field := "grants"
	if fmt.Sprint(raw["permissions_version"]) == "1" {
		field = "permissions"
	}
	roles := List(raw["roles"])
	for scope, v := range permissions {
		target := raw
		if scope != "app" || field == "permissions" {
			target = child(child(raw, "channel_types"), scope)
		}
		if target[field] != nil {
			return fmt.Errorf("%s of %s are set twice: here, and in the file that names this one", field, scope)
		}
		target[field] = v
		for role := range Object(v) {
			if !slices.Contains(builtIn["roles"], role) && !slices.Contains(roles, any(role)) {
				roles = append(roles, role)
			}
		}
	}
	raw["roles"] = roles
	return nil
}

// child returns the object in a field of doc, and creates it if there is none.
func child(doc Document, field string) Document {
	if Object(doc[field]) == nil {
		doc[field] = Document{}
	}
	return Object(doc[field])
}

// builtIn are the items that every app has, by the path of their collection.
var builtIn = map[string][]string{
	"roles":    {"admin", "user", "guest", "anonymous", "moderator", "global_admin", "global_moderator", "channel_member", "channel_moderator"},
	"commands": {"giphy", "imgur", "flag", "ban", "unban", "mute", "unmute"},
}

// normalPolicies spells policies out as Stream does. Defaults are any resource, any
// role and Allow.
func normalPolicies(policies []any) []any {
	normal := []any{}
	for _, v := range policies {
		p := Document{"resources": []any{"*"}, "roles": []any{"*"}, "owner": false, "action": "Allow", "priority": json.Number("0"), "name": ""}
		for field, value := range v.(Document) {
			if _, known := p[field]; known && value != nil {
				p[field] = value
			}
		}
		for field, anything := range map[string]string{"resources": "AnyResource", "roles": "AnyRole"} {
			if slices.Contains(List(p[field]), any(anything)) {
				p[field] = []any{"*"}
			}
		}
		if strings.EqualFold(Text(p["action"]), "deny") {
			p["action"] = "Deny"
		} else {
			p["action"] = "Allow"
		}
		normal = append(normal, p)
	}
	return normal
}
