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
		st, err := readState(ctx, service, func(string) bool { return true })
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
	var schema struct {
		Properties struct {
			App   struct{ Properties document }
			Hooks struct {
				Items struct{ Properties document }
			}
			Permissions struct {
				AdditionalProperties struct{ Properties document }
			}
			Commands struct {
				AdditionalProperties struct{ Properties document }
			}
		}
		Defs struct {
			ChannelType struct{ Properties document }
		} `json:"$defs"`
	}
	if err := json.Unmarshal(schemaText, &schema); err != nil {
		return nil, err
	}
	policies := text(st.app["permission_version"]) == "v1"
	f := file{
		App: pick(st.app, schema.Properties.App.Properties), Permissions: map[string]document{}, ChannelTypes: map[string]document{},
		Blocklists: map[string][]string{}, Commands: map[string]document{},
	}
	for _, hook := range hooksOf(st.app) {
		hook = pick(hook, schema.Properties.Hooks.Items.Properties)
		for field, v := range hook {
			for _, output := range []string{"WebhookUrl", "StreamQueueUrl"} {
				if v == values[output] && v != "" {
					hook[field] = "${" + output + "}"
				}
			}
		}
		f.Hooks = append(f.Hooks, hook)
	}
	for _, name := range slices.Sorted(maps.Keys(st.items["roles"])) {
		if custom(st.items["roles"][name]) && !slices.Contains(builtInRoles, name) {
			f.Roles = append(f.Roles, name)
		}
	}
	for name, item := range st.items["permissions"] {
		if custom(item) {
			f.Permissions[name] = pick(item, schema.Properties.Permissions.AdditionalProperties.Properties)
		}
	}
	for name, item := range st.items["commands"] {
		if !slices.Contains(builtInCommands, name) {
			f.Commands[name] = pick(item, schema.Properties.Commands.AdditionalProperties.Properties)
		}
	}
	for name, item := range st.items["blocklists"] {
		if strings.HasPrefix(name, "profanity_") { // Stream's own
			continue
		}
		for _, word := range listed(item["words"]) {
			f.Blocklists[name] = append(f.Blocklists[name], text(word))
		}
	}
	for name, item := range st.items["channeltypes"] {
		t := pick(item, schema.Defs.ChannelType.Properties)
		if policies {
			delete(t, "grants")
			t["permissions"] = normalPolicies(listed(t["permissions"]))
		} else {
			delete(t, "permissions")
		}
		f.ChannelTypes[name] = t
	}
	if grants, ok := st.app["grants"].(document); ok && !policies {
		f.Grants = map[string][]string{}
		for role, ids := range grants {
			f.Grants[role] = []string{}
			for _, id := range listed(ids) {
				f.Grants[role] = append(f.Grants[role], text(id))
			}
		}
	}
	encoded, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	if err := validate(encoded); err != nil {
		return nil, fmt.Errorf("Stream has something that the file cannot say: %w", err)
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

// pick is what an item has of the fields that a schema knows.
func pick(item, known document) document {
	picked := document{}
	for field := range known {
		if item[field] != nil {
			picked[field] = item[field]
		}
	}
	return picked
}

// custom reports whether an item is not one that every app has.
func custom(item document) bool { return item["custom"] != false }
