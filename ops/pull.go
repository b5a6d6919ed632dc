package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const pulledHeader = `# yaml-language-server: $schema=ops/stream.schema.json
# What ops plan and ops apply compare with the app at Stream. What is not named here is left alone.
`

func setUpPull(o *ops, f *flag.FlagSet) func(context.Context) error {
	name := f.String("file", "stream.yaml", "`FILE` to write; - is standard output")
	return func(ctx context.Context) error {
		service, stack, err := o.service(ctx)
		if err != nil {
			return err
		}
		st, err := readState(ctx, service, func(collection) bool { return true })
		if err != nil {
			return err
		}
		values := o.outputs
		if stack != nil {
			values = stack.outputs
		}
		text, err := pulled(st, values)
		if err != nil {
			return err
		}
		if *name == "-" {
			_, err = o.stdout.Write(text)
			return err
		}
		if _, err := os.Stat(*name); err == nil {
			if yes, err := o.confirm(ctx, *name+" exists: write over it?"); err != nil || !yes {
				return errors.Join(err, errors.New("nothing was written"))
			}
		}
		if err := os.WriteFile(*name, text, 0o644); err != nil {
			return err
		}
		o.say("wrote %s: %d channel types, %d event hooks", *name, len(st.items["channeltypes"]), len(hooksOf(st.app)))
		return nil
	}
}

// pulled is the file by which a plan is empty. It has what its schema knows and
// the app's owner can have set, and no secret.
func pulled(st *state, values outputs) ([]byte, error) {
	var schema document
	if err := json.Unmarshal(schemaText, &schema); err != nil {
		return nil, err
	}
	// pick is what an item has of the fields that the schema knows there.
	pick := func(item document, where ...string) document {
		known, picked := schema, document{}
		for _, name := range append(where, "properties") {
			known = object(known[name])
		}
		for field := range known {
			if item[field] != nil {
				picked[field] = item[field]
			}
		}
		return picked
	}
	f := document{"app": pick(st.app, "properties", "app")}
	if st.app["permission_version"] != "v1" && st.app["grants"] != nil {
		f["grants"] = st.app["grants"]
	}
	hooks := []any{}
	for _, hook := range hooksOf(st.app) {
		hook = pick(hook, "properties", "hooks", "items")
		for field, v := range hook {
			for _, output := range []string{"WebhookUrl", "StreamQueueUrl"} {
				if v == values[output] && v != "" {
					hook[field] = "${" + output + "}"
				}
			}
		}
		hooks = append(hooks, hook)
	}
	f["hooks"] = hooks
	roles, permissions, blocklists, commands, types := []any{}, document{}, document{}, document{}, document{}
	for _, name := range slices.Sorted(maps.Keys(st.items["roles"])) {
		if st.items["roles"][name]["custom"] != false && !slices.Contains(builtInRoles, name) {
			roles = append(roles, name)
		}
	}
	for name, item := range st.items["permissions"] {
		if item["custom"] != false {
			permissions[name] = pick(item, "properties", "permissions", "additionalProperties")
		}
	}
	for name, item := range st.items["blocklists"] {
		if !strings.HasPrefix(name, "profanity_") { // Stream's own
			blocklists[name] = item["words"]
		}
	}
	for name, item := range st.items["commands"] {
		if !slices.Contains(builtInCommands, name) {
			commands[name] = pick(item, "properties", "commands", "additionalProperties")
		}
	}
	for name, item := range st.items["channeltypes"] {
		t := pick(item, "$defs", "channelType")
		if st.app["permission_version"] == "v1" {
			delete(t, "grants")
			t["permissions"] = normalPolicies(listed(t["permissions"]))
		} else {
			delete(t, "permissions")
		}
		types[name] = t
	}
	f["roles"], f["permissions"], f["blocklists"], f["commands"], f["channel_types"] = roles, permissions, blocklists, commands, types
	if err := validate(f); err != nil {
		return nil, fmt.Errorf("Stream has something that the file cannot say: %w", err)
	}
	encoded, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	var plain any
	if err := yaml.Unmarshal(encoded, &plain); err != nil { // JSON is YAML, and its numbers stay numbers
		return nil, err
	}
	body, err := yaml.Marshal(plain)
	return append([]byte(pulledHeader), body...), err
}

// builtInCommands are those that every app has.
var builtInCommands = []string{"giphy", "imgur", "flag", "ban", "unban", "mute", "unmute"}
