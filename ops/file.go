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
	App               document            `json:"app,omitempty"`
	Hooks             []document          `json:"hooks,omitempty"`
	Roles             []string            `json:"roles,omitempty"`
	Permissions       map[string]document `json:"permissions,omitempty"`
	Grants            map[string][]string `json:"grants,omitempty"`
	ChannelTypes      map[string]document `json:"channel_types,omitempty"`
	Blocklists        map[string][]string `json:"blocklists,omitempty"`
	Commands          map[string]document `json:"commands,omitempty"`
	Absent            map[string][]string `json:"absent,omitempty"`
	PermissionsConfig string              `json:"permissions_config,omitempty"`
	PermissionVersion int                 `json:"permissions_version,omitempty"`
}

// readFile reads stream.yaml, with ${NAME} in its texts replaced by an output
// of the stack.
func readFile(name string, values outputs, getenv func(string) string) (*file, error) {
	f := &file{}
	if err := decodeFile(name, values, f); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, hook := range f.Hooks {
		if hook["hook_type"] == "sqs" && hook["sqs_auth_type"] == "keys" && getenv("STREAM_SQS_KEY") != "" {
			hook["sqs_key"], hook["sqs_secret"] = getenv("STREAM_SQS_KEY"), getenv("STREAM_SQS_SECRET")
		}
	}
	if f.PermissionsConfig != "" {
		config := filepath.Join(filepath.Dir(name), f.PermissionsConfig)
		if err := f.addPermissions(config); err != nil {
			return nil, fmt.Errorf("%s: %w", config, err)
		}
	}
	for _, t := range f.ChannelTypes {
		if policies, ok := t["permissions"].([]any); ok {
			t["permissions"] = normalPolicies(policies)
		}
	}
	return f, nil
}

// reference is an output of the stack in a text.
var reference = regexp.MustCompile(`\$\{\w+\}`)

func decodeFile(name string, values outputs, f *file) error {
	content, err := os.ReadFile(name)
	if err != nil {
		return errors.Unwrap(err)
	}
	var raw any
	if err := yaml.Unmarshal(content, &raw); err != nil {
		return err
	}
	if raw == nil {
		raw = document{}
	}
	unknown := map[string]bool{}
	raw = eachText(raw, func(s string) string {
		return reference.ReplaceAllStringFunc(s, func(r string) string {
			name := r[2 : len(r)-1]
			unknown[name] = unknown[name] || values[name] == ""
			return values[name]
		})
	})
	maps.DeleteFunc(unknown, func(_ string, missing bool) bool { return !missing })
	if len(unknown) > 0 {
		return fmt.Errorf("the stack has no output %s; it has %s (-output NAME=VALUE gives one)",
			strings.Join(slices.Sorted(maps.Keys(unknown)), ", "), strings.Join(slices.Sorted(maps.Keys(values)), ", "))
	}
	text, err := json.Marshal(raw)
	if err != nil {
		return err
	}
	if err := validate(text); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(f)
}

func validate(text []byte) error {
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
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	var invalid *jsonschema.ValidationError
	if err := compiled.Validate(instance); errors.As(err, &invalid) {
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

// addPermissions reads the plugin's file of permissions. Version 1 has the
// policies of each channel type; version 2 has the grants of each role, in each
// channel type and, below app, in the whole app.
func (f *file) addPermissions(name string) error {
	content, err := os.ReadFile(name)
	if err != nil {
		return errors.Unwrap(err)
	}
	var raw map[string]any
	if err := json.Unmarshal(content, &raw); err != nil {
		return fmt.Errorf("want a JSON object: %w", err)
	}
	more := document{"channel_types": document{}}
	types := more["channel_types"].(document)
	field := "grants"
	if f.PermissionVersion == 1 {
		field = "permissions"
	}
	for scope, v := range raw {
		if scope == "app" && field == "grants" {
			more["grants"] = v
		} else {
			types[scope] = document{field: v}
		}
	}
	text, err := json.Marshal(more)
	if err != nil {
		return err
	}
	if err := validate(text); err != nil {
		return err
	}
	var parsed file
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&parsed); err != nil {
		return err
	}
	if f.Grants != nil && parsed.Grants != nil {
		return errors.New("want the app's grants here or in the file that names this one, got both")
	}
	if parsed.Grants != nil {
		f.Grants = parsed.Grants
	}
	if f.ChannelTypes == nil {
		f.ChannelTypes = map[string]document{}
	}
	roles := slices.Collect(maps.Keys(parsed.Grants))
	for name, t := range parsed.ChannelTypes {
		if f.ChannelTypes[name] == nil {
			f.ChannelTypes[name] = document{}
		}
		if f.ChannelTypes[name][field] != nil {
			return fmt.Errorf("want %s of %s here or in the file that names this one, got both", field, name)
		}
		f.ChannelTypes[name][field] = t[field]
		if grants, ok := t["grants"].(document); ok {
			roles = slices.AppendSeq(roles, maps.Keys(grants))
		}
	}
	slices.Sort(roles)
	for _, role := range slices.Compact(roles) {
		if !slices.Contains(f.Roles, role) && !slices.Contains(builtInRoles, role) {
			f.Roles = append(f.Roles, role)
		}
	}
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
