package streamfile

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"chat-service-backend/ops/streamspec"
)

var write = flag.Bool("write", false, "write what a test compares: stream.schema.json, or with other flags published.json and events.txt")

// about explains fields to whoever writes the file. All else in the schema follows from
// Stream's description.
var about = map[string]string{
	"app":                              "Settings of the app.",
	"app.before_message_send_hook_url": "Stream calls it before each message and lets it rewrite or reject the message. Empty: none.",
	"app.before_message_send_hook_attempt_timeout_ms": "How long Stream waits for that: 1 to 5000, of itself 1500.",
	"app.custom_action_handler_url":                   "Stream calls it for custom commands and replaces {type} with the command. Empty: none.",
	"app.disable_auth_checks":                         "true lets anybody connect as anybody.",
	"app.disable_permissions_checks":                  "true lets every user do everything.",
	"app.multi_tenant_enabled":                        "true shows users of a team only that team's channels and users.",
	"app.channel_hide_members_only":                   "Cannot be read back from Stream: sent with every apply that changes something else, or with -write-only.",
	"app.enable_hook_payload_compression":             "Cannot be read back from Stream: sent with every apply that changes something else, or with -write-only.",
	"app.webhook_url":                                 "The webhook of an app without event hooks.",
	"hooks":                                           "Event hooks, identified by type, address and product. Other hooks at Stream stay as they are. ${WebhookUrl} and ${StreamQueueUrl} are outputs of the stack. Keys of a queue or topic come from STREAM_SQS_KEY and STREAM_SQS_SECRET, STREAM_SNS_KEY and STREAM_SNS_SECRET in the environment.",
	"hooks.event_types":                               "Empty or [\"*\"]: all, including those that Stream adds later.",
	"hooks.hook_type":                                 "webhook, sqs, sns or pending_message.",
	"hooks.product":                                   "all, chat, video, moderation or feeds. Of itself all.",
	"roles":                                           "Custom roles.",
	"permissions":                                     "Custom permissions by id.",
	"permissions.condition":                           "Of itself {}.",
	"grants":                                          "What a role may do in the whole app: permission ids by role. Other roles keep theirs. A list replaces the role's grants, unless an id begins with !: then that id is removed from them and the others are added.",
	"channel_types":                                   "Channel types by name. One that does not exist is created.",
	"channel_types.grants":                            "As grants, in channels of this type.",
	"channel_types.permissions":                       "Policies, for an app with permissions v1. They replace those of the channel type.",
	"channel_types.commands":                          "Names of commands, or sets of them: all, fun_set, moderation_set.",
	"blocklists":                                      "The words of each blocklist, or its fields.",
	"blocklists.name":                                 "Of itself the key. Another one lets teams have lists of one name.",
	"commands":                                        "Custom commands by name.",
	"absent":                                          "What must not exist: hooks by address or id, everything else by name. apply also needs -allow-delete to remove it.",
	"permissions_config":                              "Permissions file of Mia-Platform's plugin (its PERMISSIONS_CONFIG), relative to this file.",
	"permissions_version":                             "Format of that file (the plugin's PERMISSIONS_VERSION). Of itself 2.",
}

// schemaOf is the schema of a field of Stream's.
func schemaOf(f streamspec.Field) Document {
	s := Document{}
	limit := func(low, high string) {
		if f.Min != nil {
			s[low] = *f.Min
		}
		if f.Max != nil {
			s[high] = *f.Max
		}
	}
	item := streamspec.Field{Type: strings.Trim(f.Type, "[]{}")}
	switch {
	case f.Type[0] == '[':
		s["type"], s["items"] = "array", schemaOf(item)
		limit("minItems", "maxItems")
	case f.Type[0] == '{' && item.Type != "any":
		s["type"], s["additionalProperties"] = "object", schemaOf(streamspec.Field{Type: f.Type[1 : len(f.Type)-1]})
	case f.Type == "any":
	case f.Type == "string" || f.Type == "time" || f.Type == "duration":
		s["type"] = "string"
		if len(f.Enum) > 0 {
			s["enum"] = f.Enum
		}
		limit("minLength", "maxLength")
	case f.Type == "integer" || f.Type == "number" || f.Type == "boolean":
		s["type"] = f.Type
		limit("minimum", "maximum")
	default:
		s["type"] = "object"
		properties := Document{}
		for name, f := range streamspec.Objects()[f.Type] {
			if name != "*" && !credential(name, "") {
				properties[name] = schemaOf(f)
			}
		}
		if len(properties) > 0 {
			s["properties"], s["additionalProperties"] = properties, false
		}
		if f.Type == "BlockListOptions" {
			s["required"] = []string{"blocklist", "behavior"}
		}
	}
	return s
}

// fieldsSchema is the schema of the fields that a kind of thing has in the file.
func fieldsSchema(k kind, more ...string) Document {
	properties := Document{}
	for _, field := range k.fields() {
		row, _ := k.row(field)
		if field != k.id && !credential(field, "") {
			properties[field] = described(k.key+"."+field, schemaOf(row))
		}
	}
	for _, field := range more {
		properties[field] = described(k.key+"."+field, Document{"type": "string"})
	}
	return Document{"type": "object", "additionalProperties": false, "properties": properties}
}

func described(place string, s Document) Document {
	if text := about[place]; text != "" {
		s["description"] = text
	}
	return s
}

func schema() Document {
	names := Document{"type": "array", "items": Document{"type": "string", "minLength": 1}, "uniqueItems": true}
	hooks := fieldsSchema(hookKind)
	hooks["required"] = []string{"hook_type"}
	properties := Document{
		"app":                 described("app", fieldsSchema(appKind)),
		"hooks":               described("hooks", Document{"type": "array", "items": hooks}),
		"grants":              described("grants", schemaOf(streamspec.Objects()["UpdateAppRequest"]["grants"])),
		"permissions_config":  described("permissions_config", Document{"type": "string"}),
		"permissions_version": described("permissions_version", Document{"enum": []int{1, 2}}),
	}
	absent := Document{"hooks": names}
	for _, k := range collections {
		absent[k.key] = names
		var item Document
		switch k.key {
		case "roles":
			properties[k.key] = described(k.key, Document{"type": "array", "items": names["items"], "uniqueItems": true})
			continue
		case "blocklists":
			words := Document{"type": "array", "items": Document{"type": "string"}}
			item = Document{"anyOf": []Document{words, fieldsSchema(k, "name")}}
		case "permissions":
			item = fieldsSchema(k, "name")
			item["required"] = []string{"name", "action"}
		case "commands":
			item = fieldsSchema(k)
			item["required"] = []string{"description"}
		default:
			item = fieldsSchema(k)
		}
		properties[k.key] = described(k.key, Document{"type": "object", "additionalProperties": item})
	}
	properties["absent"] = described("absent", Document{"type": "object", "additionalProperties": false, "properties": absent})
	return Document{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Stream's side of a deployment",
		"description": "ops plan and ops apply compare this file with the app at Stream and leave alone what is not in it. Fields have Stream's own names.",
		"type":        "object", "additionalProperties": false, "properties": properties,
	}
}

// After a change of the table: go test ./ops/streamfile -run Editors -write
func TestEditorsKnowEachFieldOfStreams(t *testing.T) {
	var want bytes.Buffer
	e := json.NewEncoder(&want)
	e.SetEscapeHTML(false)
	if err := e.Encode(schema()); err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(want.String(), `},"`, "},\n\"") // a line for each field
	if *write {
		if err := os.WriteFile("../../docs/stream.schema.json", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile("../../docs/stream.schema.json"); err != nil || string(got) != text {
		t.Errorf("stream.schema.json is not what follows from Stream's description (%v): run this test with -write", err)
	}
}
