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
//
// The first also takes a digest of the description, see [openAPIOf]. What Stream has and ops does not
// call has no row: a new call goes into calls below.
var (
	description = flag.String("description", "", "`FILE` with Stream's OpenAPI as JSON or a digest of it, to compare published.json with")
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
	`^(Response|AppResponseFields|EventHook|ChannelTypeConfig|Command|Role|Permission|Thresholds|LabelThresholds|ChatPreferences|DataDogInfo|ModerationDashboardPreferences|PushNotificationFields|ChannelMemberResponse|ErrorResult|CheckS.SResponse|WebhookFailoverConfig|ChannelStateResponseFields|PushNotificationSettingsResponse|(PrivacySettings|TypingIndicators|ReadReceipts|DeliveryReceipts)Response)$`)

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

// openAPIOf returns the OpenAPI of a digest of it: operations, each with query, body and answer by
// status, and objects, whose fields have types such as [string] or integer:int32. digest is false,
// and the text as it was, for anything else. All else is as in OpenAPI.
func openAPIOf(t *testing.T, text []byte) (openAPI []byte, digest bool) {
	type schema = map[string]any
	var doc struct {
		Source     string
		Operations map[string]struct {
			Query  map[string]schema
			Body   string
			Answer map[string]string
		}
		Objects map[string]map[string]any
	}
	if err := json.Unmarshal(text, &doc); err != nil || doc.Operations == nil {
		return text, false
	}
	var typed func(kind string) schema
	typed = func(kind string) schema {
		base, format, _ := strings.Cut(kind, ":")
		switch {
		case kind[0] == '[':
			return schema{"type": "array", "items": typed(kind[1 : len(kind)-1])}
		case kind[0] == '{':
			return schema{"type": "object", "additionalProperties": typed(kind[1 : len(kind)-1])}
		case base == "any":
			return schema{}
		case slices.Contains([]string{"string", "integer", "number", "boolean"}, base):
			return schema{"type": base, "format": format}
		}
		return schema{"$ref": "/" + kind}
	}
	field := func(v any) schema {
		s := typed(v.(schema)["type"].(string))
		for name, v := range v.(schema) {
			if name != "type" {
				s[name] = v
			}
		}
		return s
	}
	body := func(kind string) schema {
		return schema{"content": schema{"application/json": schema{"schema": typed(kind)}}}
	}
	paths, schemas := map[string]schema{}, schema{}
	for name, operation := range doc.Operations {
		method, path, _ := strings.Cut(name, " ")
		call, parameters, answers := schema{}, []schema{}, schema{}
		for name, s := range operation.Query {
			parameters = append(parameters, schema{"in": "query", "name": name, "required": s["required"], "schema": field(s)})
		}
		for status, kind := range operation.Answer {
			answers[status] = body(kind)
		}
		if call["parameters"], call["responses"] = parameters, answers; operation.Body != "" {
			call["requestBody"] = body(operation.Body)
		}
		if paths[path] == nil {
			paths[path] = schema{}
		}
		paths[path][strings.ToLower(method)] = call
	}
	for name, fields := range doc.Objects {
		properties, required := schema{}, []string{}
		for name, v := range fields {
			if s, ok := v.(schema); ok { // and not the values of an enum
				properties[name] = field(s)
				if s["required"] == true {
					required = append(required, name)
				}
			}
		}
		schemas[name] = schema{"properties": properties, "required": required}
	}
	version := regexp.MustCompile(`v\d+(\.\d+)+`).FindString(doc.Source)
	text, err := json.Marshal(schema{"info": schema{"version": version}, "paths": paths, "components": schema{"schemas": schemas}})
	if err != nil {
		t.Fatal(err)
	}
	return text, true
}

// table makes published.json of Stream's OpenAPI: a line for each call and object. Of a
// digest it takes the calls that are there.
func table(t *testing.T, openAPI []byte, digest bool) []byte {
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
	for path, methods := range doc.Paths {
		for method := range methods {
			if name := strings.ToUpper(method) + path; digest && !slices.Contains(calls, name) {
				t.Errorf("%s: is not in calls", name)
			}
		}
	}
	slices.Sort(calls)
	for _, name := range calls {
		method, path, _ := strings.Cut(name, "/")
		call, ok := doc.Paths["/"+path][strings.ToLower(method)]
		if !ok {
			if !digest {
				t.Errorf("%s: is in calls, and not in the description", name)
			}
			continue
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
	openAPI, digest := openAPIOf(t, []byte(read(t, *description)))
	fresh := table(t, openAPI, digest)
	if *write {
		if digest {
			t.Fatal("a digest may lack calls: take the rows from Stream's OpenAPI")
		}
		if err := os.WriteFile("../streamspec/published.json", fresh, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	was, is := things(t, []byte(read(t, "../streamspec/published.json"))), things(t, fresh)
	for thing, here := range was {
		there, ok := is[thing]
		if !ok && digest {
			continue
		}
		for field, v := range here {
			if there[field] == nil || fmt.Sprint(there[field]) != fmt.Sprint(v) {
				t.Errorf("%s: %s is %v here, and %v in the description", thing, field, v, there[field])
			}
		}
	}
	for thing, there := range is {
		for field, v := range there {
			if was[thing][field] == nil {
				t.Errorf("%s: %s is new, %v", thing, field, v)
			}
		}
	}
}

// things returns the fields of a table's calls and objects.
func things(t *testing.T, text []byte) map[string]map[string]any {
	var table struct{ Calls, Objects map[string]map[string]any }
	if err := json.Unmarshal(text, &table); err != nil {
		t.Fatal(err)
	}
	maps.Copy(table.Calls, table.Objects)
	return table.Calls
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

func TestRowsHaveTheLimitsOfTheDescription(t *testing.T) {
	openAPI, digest := openAPIOf(t, []byte(`{"source":"v1.2.3", "operations":{"PUT /blocklists/{name}":{
		"query":{"team":{"type":"string","required":true}}, "body":"ARequest", "answer":{"201":"Other"}}},
		"objects":{"ARequest":{"a":{"type":"string:date-time","nullable":true}, "b":{"type":"integer:int32","minimum":0,"maximum":2097152},
			"c":{"type":"[BRequest]","required":true,"maxItems":3}, "d":{"type":"{[string]}"}}, "BRequest":{"e":{"type":"string","enum":["x","y"],"required":true}}}}`))
	const want = `  "PUT /blocklists/{name}": {"Status":201,"Query":{"team":"string!"},"Body":"ARequest","Answer":"{any}"}
},
"objects": {
  "ARequest": {"a":"time?","b":"integer 0..2097152","c":"[BRequest]! ..3","d":"{[string]}"},
  "BRequest": {"e":"string! x|y"}
}
}
`
	if got := string(table(t, openAPI, digest)); !strings.HasSuffix(got, want) || !strings.Contains(got, " v1.2.3\"") {
		t.Errorf("want\n%s, got\n%s", want, got)
	}
}
