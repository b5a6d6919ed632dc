package main

import (
	"bytes"
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
)

// schemaText describes stream.yaml, to editors and to this program.
//
//go:embed stream.schema.json
var schemaText []byte

// A document is an item of Stream's, with Stream's own field names.
type document = map[string]any

// A file says what Stream's side shall be. What it does not name is left alone.
type file struct {
	app    document // its settings, grants included
	hooks  []document
	items  map[string]map[string]document // of each collection, by name
	absent map[string][]any               // names, or addresses of hooks
}

// reference is an output of the stack in a text.
var reference = regexp.MustCompile(`\$\{\w+\}`)

// readFile reads stream.yaml, with ${NAME} in its texts replaced by an output
// of the stack.
func readFile(name string, values outputs, getenv func(string) string) (*file, error) {
	raw, err := readDocument(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	missing := map[string]bool{}
	raw = eachText(raw, func(s string) string {
		return reference.ReplaceAllStringFunc(s, func(r string) string {
			output := r[2 : len(r)-1]
			if values[output] == "" {
				missing[output] = true
			}
			return values[output]
		})
	}).(document)
	if len(missing) > 0 {
		has := "none is known"
		if len(values) > 0 {
			has = "it has " + strings.Join(slices.Sorted(maps.Keys(values)), ", ")
		}
		return nil, fmt.Errorf("%s: the stack has no output %s; %s (-output NAME=VALUE gives one)",
			name, strings.Join(slices.Sorted(maps.Keys(missing)), ", "), has)
	}
	if config := text(raw["permissions_config"]); config != "" {
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
	f := &file{app: document{}, items: map[string]map[string]document{}, absent: map[string][]any{}}
	maps.Copy(f.app, object(raw["app"]))
	if raw["grants"] != nil {
		f.app["grants"] = raw["grants"]
	}
	for _, v := range listed(raw["hooks"]) {
		hook := object(v)
		if hook["hook_type"] == "sqs" && hook["sqs_auth_type"] == "keys" && getenv("STREAM_SQS_KEY") != "" {
			hook["sqs_key"], hook["sqs_secret"] = getenv("STREAM_SQS_KEY"), getenv("STREAM_SQS_SECRET")
		}
		f.hooks = append(f.hooks, hook)
	}
	for _, c := range collections {
		f.items[c.path] = map[string]document{}
		for _, name := range listed(raw[c.key]) { // of roles
			f.items[c.path][text(name)] = document{}
		}
		for name, v := range object(raw[c.key]) {
			if words, ok := v.([]any); ok { // of a blocklist
				v = document{"words": words}
			}
			item := object(v)
			if policies, ok := item["permissions"].([]any); ok {
				item["permissions"] = normalPolicies(policies)
			}
			f.items[c.path][name] = item
		}
	}
	for key, names := range object(raw["absent"]) {
		f.absent[key] = listed(names)
	}
	return f, nil
}

func readDocument(name string) (document, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, errors.Unwrap(err) // without the name
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
	var doc document
	d := json.NewDecoder(bytes.NewReader(content))
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		return nil, errors.New("want an object")
	}
	if doc == nil {
		doc = document{}
	}
	return doc, nil
}

// object and listed are what a value is, or nothing.
func object(v any) document { d, _ := v.(document); return d }
func listed(v any) []any    { l, _ := v.([]any); return l }
func text(v any) string     { s, _ := v.(string); return s }

// validate reports what of the schema a file breaks.
func validate(raw document) error {
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
	if err := compiled.Validate(raw); errors.As(err, &invalid) {
		for len(invalid.Causes) > 0 {
			invalid = invalid.Causes[0]
		}
		return errors.New(strings.TrimSpace(invalid.Error()))
	} else if err != nil {
		return err
	}
	return nil
}

// eachText replaces every text in a decoded document.
func eachText(v any, f func(string) string) any {
	switch v := v.(type) {
	case string:
		return f(v)
	case []any:
		for i := range v {
			v[i] = eachText(v[i], f)
		}
	case document:
		for name := range v {
			v[name] = eachText(v[name], f)
		}
	}
	return v
}

// addPermissions adds the plugin's file of permissions to raw. Version 1 has the
// policies of each channel type; version 2 has the grants of each role, in each
// channel type and, below app, in the whole app.
func addPermissions(raw, permissions document) error {
	field := "grants"
	if fmt.Sprint(raw["permissions_version"]) == "1" {
		field = "permissions"
	}
	roles := listed(raw["roles"])
	for scope, v := range permissions {
		target := raw
		if scope != "app" || field == "permissions" {
			types := merge(object(raw["channel_types"]), nil)
			types[scope] = merge(object(types[scope]), nil)
			raw["channel_types"], target = types, object(types[scope])
		}
		if target[field] != nil {
			return fmt.Errorf("want %s of %s here or in the file that names this one, got both", field, scope)
		}
		target[field] = v
		for role := range object(v) {
			if !slices.Contains(builtInRoles, role) && !slices.Contains(roles, any(role)) {
				roles = append(roles, role)
			}
		}
	}
	raw["roles"] = roles
	return nil
}

// builtInRoles are those that every app has.
var builtInRoles = []string{"admin", "user", "guest", "anonymous", "moderator", "global_admin", "global_moderator", "channel_member", "channel_moderator"}

// normalPolicies spells policies out as Stream does: any resource and any role
// by default, and Allow.
func normalPolicies(policies []any) []any {
	normal := []any{}
	for _, v := range policies {
		given := v.(document)
		p := document{"resources": []any{"*"}, "roles": []any{"*"}, "owner": false, "action": "Allow", "priority": json.Number("0"), "name": ""}
		for name := range p {
			if given[name] != nil {
				p[name] = given[name]
			}
		}
		p = eachText(p, func(s string) string {
			if s == "AnyResource" || s == "AnyRole" {
				return "*"
			}
			return s
		}).(document)
		p["action"] = map[bool]string{true: "Deny", false: "Allow"}[strings.EqualFold(fmt.Sprint(p["action"]), "deny")]
		normal = append(normal, p)
	}
	return normal
}
