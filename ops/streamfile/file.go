// Package streamfile keeps Stream's side of a deployment in a file: it reads the file and the
// app, compares them, judges what a change may break, and carries changes out.
//
// Which fields there are follows from Stream's published description (ops/streamspec).
// What that lacks is carried along as it is: apps have values that no description has.
package streamfile

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"chat-service-backend/shared/streamrest"
)

// A Document is a JSON object, with Stream's field names.
type Document = map[string]any

// A file describes Stream's side. What it does not name is left alone.
type file struct {
	app    Document // settings and grants
	hooks  []Document
	items  map[string]map[string]Document // by the path of their collection and by label
	absent map[string][]any               // labels, or addresses and ids of hooks, by collection

	outputs map[string]string // of the stack
}

// reference is an output of the stack in a string, or, after more than one $, that text
// with one $ less.
var reference = regexp.MustCompile(`\$+\{\w+\}`)

// lastPart is the name in a queue's or topic's address, and notInNames what no variable's
// name has.
var lastPart, notInNames = regexp.MustCompile(`[^/:]*$`), regexp.MustCompile(`\W`)

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
			if strings.HasPrefix(r, "$$") {
				return r[1:]
			}
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
	f, err := parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	f.outputs = outputs
	for _, h := range f.hooks {
		for _, via := range []string{"sqs", "sns"} {
			if h["hook_type"] != via || h[via+"_auth_type"] != "keys" {
				continue
			}
			name := strings.ToUpper(notInNames.ReplaceAllString(lastPart.FindString(Address(h)), "_"))
			for _, suffix := range []string{"", "_" + name} { // its own pair counts
				if env := "STREAM_" + strings.ToUpper(via); getenv(env+"_KEY"+suffix) != "" {
					h[via+"_key"], h[via+"_secret"] = getenv(env+"_KEY"+suffix), getenv(env+"_SECRET"+suffix)
				}
			}
		}
	}
	return f, nil
}

// parse gives a file its form. The values in it are judged when they are to be sent.
func parse(raw Document) (*file, error) {
	forms := map[string]any{
		"app": Document{}, "hooks": []any{}, "roles": []any{}, "permissions": Document{}, "grants": Document{}, "channel_types": Document{},
		"blocklists": Document{}, "commands": Document{}, "absent": Document{}, "permissions_config": "", "permissions_version": number(""),
	}
	for _, key := range slices.Sorted(maps.Keys(raw)) {
		form, ok := forms[key]
		if !ok {
			return nil, fmt.Errorf("%s is no part of the file: it has %s", key, strings.Join(slices.Sorted(maps.Keys(forms)), ", "))
		}
		if raw[key] == nil {
			raw[key] = form
		}
		if got, want := typeOf(raw[key]), typeOf(form); got != want {
			return nil, fmt.Errorf("/%s is %s: make it %s", key, got, want)
		}
	}
	f := &file{app: maps.Clone(Object(raw["app"])), items: map[string]map[string]Document{}, absent: map[string][]any{}}
	if f.app == nil {
		f.app = Document{}
	}
	for _, field := range appKind.hidden {
		if f.app[field] != nil {
			return nil, fmt.Errorf("app: %s has a place of its own in the file: remove it", field)
		}
	}
	if raw["grants"] != nil {
		f.app["grants"] = raw["grants"]
	}
	for i, v := range List(raw["hooks"]) {
		h, ok := v.(Document)
		if !ok || h["hook_type"] == nil { // Stream may answer ""
			return nil, fmt.Errorf("hooks[%d] has no hook_type: add hook_type: webhook", i)
		}
		for field, v := range h {
			if credential(field, v) {
				return nil, fmt.Errorf("hooks[%d]: %s is a credential: remove it from the file; keys of queues and topics come from the environment", i, field)
			}
		}
		f.hooks = append(f.hooks, h)
	}
	for _, k := range collections {
		f.items[k.path] = map[string]Document{}
		for i, v := range List(raw[k.key]) { // roles
			if Text(v) == "" {
				return nil, fmt.Errorf("roles[%d] is %s: make it a role's name", i, typeOf(v))
			}
			f.items[k.path][Text(v)] = Document{}
		}
		for label, v := range Object(raw[k.key]) {
			if words, ok := v.([]any); ok && k.key == "blocklists" {
				v = Document{"words": words}
			}
			item, ok := v.(Document)
			if !ok && v != nil {
				return nil, fmt.Errorf("/%s/%s is %s: make it an object", k.key, label, typeOf(v))
			}
			item = maps.Clone(item)
			if item == nil {
				item = Document{}
			}
			if policies, ok := item["permissions"].([]any); ok {
				item["permissions"] = normalPolicies(policies)
			}
			if k.key == "blocklists" {
				item["name"] = cmp.Or(Text(item["name"]), label)
				label = k.label(item)
			}
			f.items[k.path][label] = item
		}
	}
	for key, names := range Object(raw["absent"]) {
		if forms[key] == nil || key == "app" || key == "grants" || key == "absent" || strings.HasPrefix(key, "permissions_") {
			return nil, fmt.Errorf("absent: there are no %s to be absent", key)
		}
		f.absent[key] = List(names)
		for _, v := range f.absent[key] {
			if Text(v) == "" {
				return nil, fmt.Errorf("absent: %s: %s names nothing: give %s", key, Show(v), map[bool]string{true: "a hook's address or id", false: "names"}[key == "hooks"])
			}
		}
	}
	return f, nil
}

// typeOf names the type of a value to the operator.
func typeOf(v any) string {
	switch v.(type) {
	case Document:
		return "an object"
	case []any:
		return "a list"
	case string:
		return "a text"
	case number:
		return "a number"
	case nil:
		return "empty"
	}
	return "true or false"
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
	if streamrest.Unmarshal(content, &doc) != nil {
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

// eachText returns a copy of a decoded document with every string in it replaced.
func eachText(v any, f func(string) string) any {
	switch v := v.(type) {
	case string:
		return f(v)
	case []any:
		all := make([]any, len(v))
		for i := range v {
			all[i] = eachText(v[i], f)
		}
		return all
	case Document:
		all := Document{}
		for name := range v {
			all[name] = eachText(v[name], f)
		}
		return all
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
			if !contains(roles, role) {
				roles = append(roles, role) // those that Stream has already are left alone
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

// normalPolicies spells policies out as Stream does. Defaults are any resource, any
// role and Allow.
func normalPolicies(policies []any) []any {
	normal := []any{}
	for _, v := range policies {
		p := Document{"resources": []any{"*"}, "roles": []any{"*"}, "owner": false, "action": "Allow", "priority": number("1"), "name": ""}
		for field, value := range Object(v) {
			if value != nil {
				p[field] = value
			}
		}
		for field, anything := range map[string]string{"resources": "AnyResource", "roles": "AnyRole"} {
			if contains(List(p[field]), anything) {
				p[field] = []any{"*"}
			}
		}
		for _, action := range []string{"Allow", "Deny"} {
			if strings.EqualFold(Text(p["action"]), action) {
				p["action"] = action
			}
		}
		normal = append(normal, p)
	}
	return normal
}
