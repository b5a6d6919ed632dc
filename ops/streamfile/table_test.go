package streamfile

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Stream publishes its OpenAPI in github.com/GetStream/protocol. With newer files, in
// openapi there, the first command shows the rows that differ, the second takes them:
//
//	go test ./ops/streamfile -run Published -description chat-openapi.json -events serverside-api.json
//	go test ./ops/streamfile -run Published -description chat-openapi.json -events serverside-api.json -write
var (
	description = flag.String("description", "", "`FILE` with Stream's OpenAPI as JSON, to compare published.json with")
	events      = flag.String("events", "", "`FILE` with that of all products, to compare events.txt with")
)

// calls are those that ops, the doctor, the functions and the recipes make, and that a chat makes.
var calls = strings.Fields(`
	GET/app PATCH/app
	GET/users POST/users PATCH/users POST/users/restore POST/users/delete POST/users/deactivate POST/users/reactivate
	POST/users/{user_id}/deactivate POST/users/{user_id}/reactivate GET/users/{user_id}/export POST/export/users GET/tasks/{id}
	GET/channeltypes POST/channeltypes GET/channeltypes/{name} PUT/channeltypes/{name} DELETE/channeltypes/{name}
	GET/roles POST/roles DELETE/roles/{name}
	GET/permissions POST/permissions GET/permissions/{id} PUT/permissions/{id} DELETE/permissions/{id}
	GET/blocklists POST/blocklists GET/blocklists/{name} PUT/blocklists/{name} DELETE/blocklists/{name}
	GET/commands POST/commands GET/commands/{name} PUT/commands/{name} DELETE/commands/{name}
	POST/check_sqs POST/check_sns POST/moderation/ban DELETE/moderation/ban GET/members GET/devices POST/devices DELETE/devices
	POST/channels POST/channels/{type}/{id}/query DELETE/channels/{type}/{id} POST/channels/{type}/{id}/message GET/messages/{id}
`)

// whole are the objects whose fields matter here; of all others only that they are objects.
var whole = regexp.MustCompile(`Request$|Payload$|Options$|^List|^Get.*Response$|Config(uration|Fields)?$|(Role|Users?|Members|List|Type|Command|Task|Export\w+|Devices?|Delete\w+|Channels?|Message|State)Response$|` +
	`^(Response|AppResponseFields|EventHook|ChannelTypeConfig|Command|Role|Permission|Thresholds|LabelThresholds|ChatPreferences|DataDogInfo|ModerationDashboardPreferences|PushNotificationFields|ChannelMemberResponse|ErrorResult|CheckS.SResponse|WebhookFailoverConfig|PushNotificationSettingsResponse|(PrivacySettings|TypingIndicators|ReadReceipts|DeliveryReceipts)Response)$`)

// row writes a field's schema as [streamspec.Field] reads it.
func row(s map[string]any, required bool) (text, object string) {
	var kind func(s map[string]any) string
	kind = func(s map[string]any) string {
		if ref, ok := s["$ref"].(string); ok {
			if object = ref[strings.LastIndex(ref, "/")+1:]; !whole.MatchString(object) {
				object = ""
				return "{any}"
			}
			return object
		}
		switch s["type"] {
		case "array":
			return "[" + kind(s["items"].(map[string]any)) + "]"
		case "object":
			values, _ := s["additionalProperties"].(map[string]any)
			return "{" + kind(values) + "}"
		case nil:
			return "any"
		}
		if f := map[any]string{"date-time": "time", "duration": "duration"}[s["format"]]; f != "" {
			return f
		}
		return fmt.Sprint(s["type"])
	}
	text = kind(s)
	if required {
		text += "!"
	}
	if s["nullable"] == true {
		text += "?"
	}
	limit := func(names ...string) string {
		for _, name := range names {
			if s[name] != nil {
				return fmt.Sprint(s[name])
			}
		}
		return ""
	}
	if low, high := limit("minimum", "minLength", "minItems"), limit("maximum", "maxLength", "maxItems"); low+high != "" {
		text += " " + low + ".." + high
	}
	for i, v := range anyList(s["enum"]) {
		text += map[bool]string{true: " ", false: "|"}[i == 0] + fmt.Sprint(v)
	}
	return text, object
}

func anyList(v any) []any { l, _ := v.([]any); return l }

// table makes published.json of Stream's OpenAPI: a line for each call and object.
func table(t *testing.T, openAPI []byte) []byte {
	type schema = map[string]any
	var doc struct {
		Info  struct{ Version string }
		Paths map[string]map[string]struct {
			Parameters []struct {
				In, Name string
				Required bool
				Schema   schema
				Content  map[string]struct{ Schema schema }
			}
			RequestBody struct {
				Content map[string]struct{ Schema schema }
			}
			Responses map[string]struct {
				Content map[string]struct{ Schema schema }
			}
		}
		Components struct{ Schemas map[string]schema }
	}
	d := json.NewDecoder(bytes.NewReader(openAPI))
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	const body = "application/json"
	rows, todo := map[string]map[string]string{}, []string{}
	lines := []string{}
	encode := func(v any) string {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(b.String())
	}
	use := func(s schema) string {
		text, object := row(s, false)
		if object != "" {
			todo = append(todo, object)
		}
		return text
	}
	slices.Sort(calls)
	for _, name := range calls {
		method, path, _ := strings.Cut(name, "/")
		call, ok := doc.Paths["/"+path][strings.ToLower(method)]
		if !ok {
			t.Fatalf("the description has no %s /%s", method, path)
		}
		out := struct {
			Status int
			Query  map[string]string `json:",omitempty"`
			Body   string            `json:",omitempty"`
			Answer string            `json:",omitempty"`
		}{Query: map[string]string{}}
		for _, p := range call.Parameters {
			if p.In == "query" {
				s := p.Schema
				if s == nil {
					s = p.Content[body].Schema
				}
				text, object := row(s, p.Required)
				if object != "" {
					todo = append(todo, object)
				}
				out.Query[p.Name] = text
			}
		}
		if s := call.RequestBody.Content[body].Schema; s != nil {
			out.Body = use(s)
		}
		for status, r := range call.Responses {
			if status < "300" {
				fmt.Sscan(status, &out.Status)
				out.Answer = use(r.Content[body].Schema)
			}
		}
		lines = append(lines, fmt.Sprintf("  %q: %s", method+" /"+path, encode(out)))
	}
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		if rows[name] != nil {
			continue
		}
		s := doc.Components.Schemas[name]
		required := anyList(s["required"])
		rows[name] = map[string]string{}
		fields, _ := s["properties"].(map[string]any)
		for field, v := range fields {
			text, object := row(v.(schema), slices.Contains(required, any(field)))
			if rows[name][field] = text; object != "" {
				todo = append(todo, object)
			}
		}
	}
	objects := []string{}
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		objects = append(objects, fmt.Sprintf("  %q: %s", name, encode(rows[name])))
	}
	return fmt.Appendf(nil, "{\n\"source\": \"Stream's OpenAPI of the chat API (v1 paths), %s\",\n\"calls\": {\n%s\n},\n\"objects\": {\n%s\n}\n}\n",
		doc.Info.Version, strings.Join(lines, ",\n"), strings.Join(objects, ",\n"))
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPublishedTableIsStreamsDescription(t *testing.T) {
	if *description == "" {
		t.Skip("name Stream's OpenAPI with -description")
	}
	fresh := table(t, []byte(read(t, *description)))
	if *write {
		if err := os.WriteFile("../streamspec/published.json", fresh, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	was, is := strings.Split(read(t, "../streamspec/published.json"), "\n"), strings.Split(string(fresh), "\n")
	for _, line := range was {
		if !slices.Contains(is, line) {
			t.Errorf("gone or changed: %s", line)
		}
	}
	for _, line := range is {
		if !slices.Contains(was, line) {
			t.Errorf("new or changed: %s", line)
		}
	}
}

// The list is of all products, so it is in another file of Stream's description.
func TestPublishedEventsAreStreamsDescription(t *testing.T) {
	if *events == "" {
		t.Skip("name Stream's OpenAPI of all products with -events")
	}
	var doc struct {
		Components struct {
			Schemas struct {
				WHEvent struct {
					Discriminator struct{ Mapping map[string]any }
				}
			}
		}
	}
	err := json.Unmarshal([]byte(read(t, *events)), &doc)
	if err != nil {
		t.Fatal(err)
	}
	types := doc.Components.Schemas.WHEvent.Discriminator.Mapping
	delete(types, "*")
	fresh := strings.Join(slices.Sorted(maps.Keys(types)), "\n") + "\n"
	if *write {
		err = os.WriteFile("../streamspec/events.txt", []byte(fresh), 0o644)
	} else if fresh != read(t, "../streamspec/events.txt") {
		t.Error("the list has changed: run this test with -write")
	}
	if err != nil {
		t.Fatal(err)
	}
}
