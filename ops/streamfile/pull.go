package streamfile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"
	"go.yaml.in/yaml/v3"

	"chat-service-backend/ops/console"
	"chat-service-backend/ops/stack"
)

const pulledHeader = `# yaml-language-server: $schema=ops/streamfile/stream.schema.json
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
	st, err := readState(ctx, service, func(collection) bool { return true })
	if err != nil {
		return err
	}
	text, err := pulled(st, s.Outputs)
	if err != nil {
		return err
	}
	if name == "-" {
		_, err = c.Out.Write(text)
		return err
	}
	if _, err := os.Stat(name); err == nil {
		if yes, err := c.Confirm(ctx, name+" exists. Overwrite it?"); err != nil || !yes {
			return errors.Join(err, errors.New("nothing was written"))
		}
	}
	if err := os.WriteFile(name, text, 0o600); err != nil {
		return err
	}
	c.Say("wrote %s: %d channel types, %d event hooks", name, len(st.items["channeltypes"]), len(Hooks(st.app)))
	return nil
}

// pulled returns the file for which a plan is empty: the fields in the schema that an
// app's owner can set, without secrets.
func pulled(st *state, outputs map[string]string) ([]byte, error) {
	var schema Document
	if err := json.Unmarshal(schemaText, &schema); err != nil {
		return nil, err
	}
	// pick returns the fields of an item that the schema has at a place.
	pick := func(item Document, place ...string) Document {
		known, picked := schema, Document{}
		for _, name := range append(place, "properties") {
			known = Object(known[name])
		}
		for field := range known {
			if item[field] != nil {
				picked[field] = withoutNulls(item[field])
			}
		}
		return picked
	}
	v1 := st.app["permission_version"] == "v1"
	f := Document{"app": pick(st.app, "properties", "app")}
	if !v1 && st.app["grants"] != nil {
		f["grants"] = st.app["grants"]
	}
	hooks, roles := []any{}, []any{}
	for _, hook := range Hooks(st.app) {
		hook = pick(hook, "properties", "hooks", "items")
		for field, v := range hook {
			for _, output := range []string{"WebhookUrl", "StreamQueueUrl"} {
				if v == outputs[output] && v != "" {
					hook[field] = "${" + output + "}"
				}
			}
		}
		hooks = append(hooks, hook)
	}
	f["hooks"] = hooks
	for _, c := range collections {
		items := Document{}
		for _, name := range slices.Sorted(maps.Keys(st.items[c.path])) {
			item := st.items[c.path][name]
			if item["custom"] == false || slices.Contains(builtIn[c.path], name) || c.path == "blocklists" && strings.HasPrefix(name, "profanity_") {
				continue // Stream's own
			}
			switch c.path {
			case "roles":
				roles = append(roles, name)
			case "blocklists":
				items[name] = item["words"]
			case "channeltypes":
				t := pick(item, "$defs", "channelType")
				if v1 {
					delete(t, "grants")
					t["permissions"] = normalPolicies(List(t["permissions"]))
				} else {
					delete(t, "permissions")
				}
				items[name] = t
			default:
				items[name] = pick(item, "properties", c.key, "additionalProperties")
			}
		}
		f[c.key] = items
	}
	f["roles"] = roles
	if err := validate(f); err != nil {
		return nil, fmt.Errorf("Stream has something that the schema does not allow: %w", err)
	}
	encoded, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	var plain any
	if err := yaml.Unmarshal(encoded, &plain); err != nil { // JSON is YAML, and so its numbers stay numbers
		return nil, err
	}
	body, err := yaml.Marshal(plain)
	return append([]byte(pulledHeader), body...), err
}

// withoutNulls returns a value without the members that Stream answers and nobody has set.
func withoutNulls(v any) any {
	object, ok := v.(Document)
	if !ok {
		return v
	}
	object = maps.Clone(object)
	maps.DeleteFunc(object, func(_ string, v any) bool { return v == nil })
	return object
}
