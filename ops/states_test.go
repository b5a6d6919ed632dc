package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// Apps as they are at Stream, whatever its description says: pull writes a file whose plan
// is empty, and which makes a second app like the first.
func TestWhateverStreamAnswersSurvivesPullAndGoesToASecondApp(t *testing.T) {
	t.Parallel()
	type setup = []string // method, path, body, method …
	hooks := func(hooks string) setup { return setup{"PATCH", "/app", `{"event_hooks":[` + hooks + `]}`} }
	app := func(fields string) func(string, map[string]any) {
		return func(path string, answer map[string]any) {
			if path == "/app" {
				var set map[string]any
				_ = json.Unmarshal([]byte(fields), &set)
				for field, v := range set {
					answer["app"].(map[string]any)[field] = v
				}
			}
		}
	}
	for name, c := range map[string]struct {
		setup setup
		twist func(path string, answer map[string]any)
		said  string // by pull, after what it wrote
		file  string // what the file has
		lacks string
		other string // what apply says of a second app
	}{
		"an empty enum": {twist: app(`{"enforce_unique_usernames":""}`), lacks: "enforce_unique_usernames"},
		"an unknown enum": {twist: app(`{"enforce_unique_usernames":"tenant"}`), said: "carries them along as they are: app.enforce_unique_usernames", file: "enforce_unique_usernames: tenant",
			other: `left out, because Stream refused it: update the app's settings: enforce_unique_usernames: Stream or the proxy answered 400`},
		"an unknown setting":            {twist: app(`{"quantum_mode":{"on":true}}`), said: "as they are: app.quantum_mode", file: "quantum_mode:\n", other: "? update the app's settings: quantum_mode = {\"on\":true}   (each apply tries it: quantum_mode is not in Stream's description)"},
		"zero for none":                 {twist: app(`{"reminders_interval":0,"cdn_expiration_seconds":0,"enforce_unique_usernames":null}`), lacks: "reminders_interval"},
		"push credentials":              {twist: app(`{"push_notifications":{"apn":{"enabled":true,"auth_key":"pem"}},"datadog_info":{"api_key":"dd","enabled":true}}`), said: "set by hand): app.datadog_info.api_key, app.push_notifications", file: "datadog_info:\n", lacks: "pem"},
		"a revocation":                  {setup: setup{"PATCH", "/app", `{"revoke_tokens_issued_before":"2026-01-01T00:00:00Z"}`}, said: "app.revoke_tokens_issued_before", lacks: "2026-01-01"},
		"a switch named as a secret is": {twist: app(`{"secret_chats":{"enabled":true},"quantum_token":"x"}`), said: "app.quantum_token", file: "secret_chats:\n", lacks: "quantum_token", other: "each apply tries it: secret_chats is not in Stream's description"},
		"more settings":                 {setup: setup{"PATCH", "/app", `{"before_message_send_hook_attempt_timeout_ms":3000,"moderation_webhook_url":"https://m","sns_topic_arn":"arn:x","allowed_flag_reasons":["spam"]}`}, file: "before_message_send_hook_attempt_timeout_ms: 3000"},
		"its own references":            {setup: setup{"POST", "/blocklists", `{"name":"shell","words":["${HOME}","$${X}","a$$"]}`}, file: "- $${HOME}"},
		"a role that we do not know": {twist: func(path string, answer map[string]any) {
			if path == "/roles" {
				answer["roles"] = append(answer["roles"].([]any), map[string]any{"name": "global_read_only", "custom": false})
			}
		}, file: "global_read_only: []", lacks: "- global_read_only"},
		"a hook of an unknown type": {setup: hooks(`{"hook_type":"gcp_pubsub","enabled":true,"event_types":null,"gcp_pubsub_topic":"projects/plum/topics/chat","gcp_credentials_json":"{private}"}`),
			said: "as they are: gcp_pubsub hook projects/plum/topics/chat", file: "gcp_pubsub_topic: projects/plum/topics/chat", lacks: "private"},
		"a hook without an address": {setup: hooks(`{"hook_type":"pending_message","enabled":true,"callback":{"mode":"CALLBACK_MODE_NONE"},"product":"moderation"}`), file: "mode: CALLBACK_MODE_NONE"},
		"hooks without a type":      {setup: hooks(`{"enabled":true,"webhook_url":"https://a"},{"hook_type":"","enabled":true,"webhook_url":"https://b"}`), said: "as they are: hook https://a", file: `hook_type: ""`},
		"stars":                     {setup: hooks(`{"hook_type":"webhook","enabled":true,"webhook_url":"` + hookURL + `","event_types":["*"]},{"hook_type":"webhook","enabled":true,"webhook_url":"` + hookURL + `","event_types":["message.new"]}`), said: "these hooks send the same events as another", file: "webhook_url: ${WebhookUrl}"},
		"doubles":                   {setup: hooks(`{"hook_type":"webhook","enabled":true,"webhook_url":"https://a"},{"hook_type":"webhook","enabled":true,"webhook_url":"https://a"}`), said: "arrive twice"},
		"two products":              {setup: hooks(`{"hook_type":"webhook","enabled":true,"webhook_url":"https://a","product":"video"},{"hook_type":"webhook","enabled":true,"webhook_url":"https://a","product":"chat"}`), file: "product: video"},
		"two event types":           {setup: hooks(`{"hook_type":"webhook","enabled":false,"webhook_url":"https://a","event_types":["user.updated"]},{"hook_type":"webhook","enabled":true,"webhook_url":"https://a","event_types":["message.new"]}`), file: "- user.updated"},
		"the rest of a hook":        {setup: hooks(`{"hook_type":"sns","sns_topic_arn":"arn:x","sns_key":"AKIA","sns_region":"eu","should_send_custom_events":true,"sns_event_based_message_group_id_enabled":true,"failover_config":{"type":"gcs","gcs_credentials":"cred","gcs_bucket":"b"}}`), said: "sns hook arn:x: failover_config.gcs_credentials, sns hook arn:x: sns_key", file: "gcs_bucket: b", lacks: "AKIA"},
		"lists of other kinds": {setup: setup{"POST", "/blocklists", `{"name":"mails","type":"email","words":["*"]}`, "POST", "/blocklists", `{"name":"mails","team":"red","words":["x"],"is_leet_check_enabled":true}`, "POST", "/blocklists", `{"name":"mails (red)","words":["y"]}`,
			"PUT", "/channeltypes/messaging", `{"automod":"disabled","automod_behavior":"flag","max_message_length":5000,"blocklists":[{"blocklist":"mails","behavior":"block"}]}`}, file: "type: email"},
		"odd names": {setup: setup{"POST", "/blocklists", `{"name":"schöne wörter","words":["yes","1e3","null",""]}`, "POST", "/commands", `{"name":"mein befehl","description":"true","set":"x"}`,
			"POST", "/roles", `{"name":"true"}`, "PUT", "/channeltypes/messaging", `{"automod":"disabled","automod_behavior":"flag","max_message_length":5000,"commands":["mein befehl"]}`, "PATCH", "/app", `{"grants":{"true":["search-user"]}}`}, file: "mein befehl"},
		"a whole channel type": {setup: setup{"POST", "/channeltypes", `{"name":"match","automod":"AI","automod_behavior":"flag","max_message_length":200,"partition_size":20,"partition_ttl":"24h","chat_preferences":{"default_preference":"none"},"commands":["all"],"grants":{"channel_member":["read-channel"],"guest":[]}}`,
			"PUT", "/channeltypes/match", `{"automod":"AI","automod_behavior":"shadow_block","max_message_length":200,"quotes":false,"reminders":false,"automod_thresholds":{"spam":{"block":0.5}},"allowed_flag_reasons":["spam"]}`}, file: "partition_ttl: 24h"},
		"a role that only messaging knows": {setup: setup{"POST", "/roles", `{"name":"nurse"}`, "POST", "/channeltypes", `{"name":"match","automod":"disabled","automod_behavior":"flag","max_message_length":200}`,
			"PUT", "/channeltypes/messaging", `{"automod":"disabled","automod_behavior":"flag","max_message_length":5000,"grants":{"nurse":["read-channel"]}}`}, file: "nurse: []"},
		"grants that are null": {twist: func(path string, answer map[string]any) {
			if path == "/channeltypes" {
				answer["channel_types"].(map[string]any)["team"].(map[string]any)["grants"].(map[string]any)["user"] = nil
			}
		}, file: "user: []"},
		"a list named as Stream's are":           {setup: setup{"POST", "/blocklists", `{"name":"profanity_own","words":["x"]}`}, file: "profanity_own:\n"},
		"a permission":                           {setup: setup{"POST", "/permissions", `{"id":"own","name":"Own","action":"ReadChannel","condition":{"$subject.x":{"$eq":null}},"owner":true}`}, file: "condition:\n"},
		"a permission that looks like a removal": {setup: setup{"POST", "/permissions", `{"id":"!own","name":"Own","action":"ReadChannel","condition":{}}`, "PATCH", "/app", `{"grants":{"user":["!own","\\b","search-user"]}}`}, file: "- \\!own\n"},
		"a command in a set of Stream's": {setup: setup{"POST", "/commands", `{"name":"dance","description":"x","set":"fun_set"}`}, twist: func(path string, answer map[string]any) {
			for _, v := range anyList(answer["commands"]) {
				v.(map[string]any)["created_at"] = nil
			}
		}, file: "dance:\n"},
		"what is no hook":     {twist: app(`{"event_hooks":["text"]}`), said: "app.event_hooks[0], which is no hook"},
		"minutes and seconds": {setup: setup{"POST", "/blocklists", `{"name":"12:30:45","words":["1:30"]}`}, file: `"12:30:45":`},
		"nothing where something is required": {setup: setup{"POST", "/blocklists", `{"name":"later","words":["x"]}`, "POST", "/commands", `{"name":"bare","description":""}`}, twist: func(path string, answer map[string]any) {
			for _, v := range append(anyList(answer["blocklists"]), anyList(answer["commands"])...) {
				v.(map[string]any)["words"], v.(map[string]any)["description"] = nil, nil
			}
		}, file: "words: []"},
		"a queue's keys": {setup: hooks(`{"hook_type":"webhook","enabled":true,"webhook_url":"https://a"},{"hook_type":"sqs","enabled":true,"sqs_queue_url":"https://q","sqs_auth_type":"keys","sqs_key":"AKIA","sqs_secret":"s3cret"}`),
			said: "sqs hook https://q: sqs_key", file: "sqs_auth_type: keys", lacks: "AKIA", other: "sqs hook https://q is not created: its keys are no part of the file; set STREAM_SQS_KEY and STREAM_SQS_SECRET"},
		"roles that may nothing": {setup: setup{"POST", "/channeltypes", `{"name":"match","automod":"disabled","automod_behavior":"flag","max_message_length":200,"grants":{"guest":[],"user":[],"admin":[]}}`, "PATCH", "/app", `{"grants":{"guest":[]}}`},
			twist: func(path string, answer map[string]any) {
				if path == "/channeltypes" { // as Stream may write "nothing"
					grants := answer["channel_types"].(map[string]any)["match"].(map[string]any)["grants"].(map[string]any)
					for role, ids := range grants {
						if len(ids.([]any)) == 0 {
							delete(grants, role)
						}
					}
				}
			}, file: "            guest: []\n"},
		"what is not listed": {twist: func(path string, answer map[string]any) {
			if path == "/channeltypes" {
				team := answer["channel_types"].(map[string]any)["team"].(map[string]any)
				team["commands"], team["blocklist"] = []any{map[string]any{"name": "giphy"}, map[string]any{"name": "ghost"}}, "profanity_xx"
				team["typing_events"], team["blocklists"] = false, []any{map[string]any{"blocklist": "profanity_xx", "behavior": "flag"}}
			} else if path == "/app" {
				answer["app"].(map[string]any)["user_search_disallowed_roles"] = []any{"guest", "nobody"}
			}
		}, file: "- ghost", other: "left out, because Stream refused it: update channel type team: commands: "},
		"values of another form": {twist: func(path string, answer map[string]any) {
			if path == "/channeltypes" {
				team := answer["channel_types"].(map[string]any)["team"].(map[string]any)
				team["read_events"], team["commands"] = map[string]any{"on": true}, []any{nil, map[string]any{"name": nil}}
			} else if path == "/app" {
				answer["app"].(map[string]any)["event_hooks"] = []any{nil}
				answer["app"].(map[string]any)["reminders_max_members"] = 1
			}
		}, file: "read_events:\n", other: "left out, because Stream refused it: update channel type team: read_events: "},
		"nearly a field of Stream's": {twist: func(path string, answer map[string]any) {
			if path == "/channeltypes" {
				team := answer["channel_types"].(map[string]any)["team"].(map[string]any)
				team["typing_event"], team["polls"], team["commands"], team["blocklists"] = true, "yes", "some", []any{map[string]any{"blocklist": ""}}
				team["grants"].(map[string]any)["user"] = "all"
			} else if path == "/app" {
				for _, v := range anyList(answer["app"].(map[string]any)["event_hooks"]) {
					v.(map[string]any)["timeouts_ms"] = 10
				}
			}
		}, setup: hooks(`{"hook_type":"webhook","enabled":true,"webhook_url":"https://a"}`), file: "typing_event: true", other: "timeouts_ms is not in Stream's description: did you mean timeout_ms?"},
		"what has no name": {twist: func(path string, answer map[string]any) {
			if types, ok := answer["channel_types"].(map[string]any); ok {
				types["ghost"] = nil
			}
			for _, kind := range []string{"roles", "commands", "blocklists", "permissions"} {
				if list, ok := answer[kind].([]any); ok {
					answer[kind] = append(list, nil, map[string]any{"name": "", "custom": true})
				}
			}
		}, lacks: "ghost"},
		"permissions v1": {setup: setup{"PUT", "/channeltypes/team", `{"automod":"disabled","automod_behavior":"flag","max_message_length":5000,"permissions":[{"name":"All","action":"Allow","owner":false,"priority":2,"resources":["*"],"roles":["*"]}]}`, "PATCH", "/app", `{"permission_version":"v1"}`},
			twist: func(path string, answer map[string]any) {
				if path == "/channeltypes" {
					policy := answer["channel_types"].(map[string]any)["team"].(map[string]any)["permissions"]
					for _, v := range anyList(policy) {
						v.(map[string]any)["owner"], v.(map[string]any)["resources"] = nil, nil
					}
				}
			}, file: "priority: 2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newApp(t), newApp(t)
			for i := 0; i < len(c.setup); i += 3 {
				a.call(c.setup[i], c.setup[i+1], json.RawMessage(c.setup[i+2]))
			}
			a.twist = c.twist
			a.run("pull").want(t, 0, "wrote ", c.said)
			text, _ := os.ReadFile(a.dir + "/stream.yaml")
			if !strings.Contains(string(text), c.file) || c.lacks != "" && strings.Contains(string(text), c.lacks) {
				t.Errorf("want %q and no %q in the file:\n%s", c.file, c.lacks, text)
			}
			a.run("plan").want(t, 0, "nothing to change")
			a.run("apply", "-yes").want(t, 0, "nothing to change")
			b.file("stream.yaml", string(text))
			b.run("apply", "-yes", "-allow-lockout", "-allow-delete").want(t, 0, c.other)
			if p := decodePlan(t, b.run("plan", "-json")); len(p.Steps) > 0 {
				t.Errorf("want nothing to change at the second app, got %+v", p.Steps)
			}
			b.twist = c.twist
			b.env["STREAM_SQS_KEY"], b.env["STREAM_SQS_SECRET"] = "AKIA", "s3cret"
			b.run("apply", "-yes").want(t, 0)
			b.run("pull", "-yes").want(t, 0)
			again, _ := os.ReadFile(b.dir + "/stream.yaml")
			if string(again) != string(text) {
				t.Errorf("want the second app like the first, got %q instead of %q", missing(again, text), missing(text, again))
			}
		})
	}
}

func anyList(v any) []any { list, _ := v.([]any); return list }

// missing returns the lines of a that b lacks.
func missing(a, b []byte) (lines []string) {
	for line := range strings.Lines(string(a)) {
		if !strings.Contains(string(b), line) {
			lines = append(lines, line)
		}
	}
	return lines
}

func TestSchemaAllowsWhatPullWrites(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.file("stream.yaml", whole)
	a.run("apply", "-yes", "-allow-lockout").want(t, 0)
	a.run("pull", "-yes").want(t, 0)
	schema, err := jsonschema.NewCompiler().Compile("../docs/stream.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{a.dir + "/stream.yaml", "../stream.yaml"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var file any
		if err := yaml.Unmarshal(text, &file); err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(file); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPullReadsAllPages(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for i := range 60 {
		a.call("POST", "/blocklists", map[string]any{"name": fmt.Sprint("list-", i), "words": []string{"x"}})
	}
	a.run("pull", "-file", "-").want(t, 0, "list-0:", "list-59:")
	a.run("pull").want(t, 0)
	a.run("plan").want(t, 0, "nothing to change")
}

// What a file makes of an app: apply says so, and a second plan is empty.
func TestApplyOnAppsAsTheyAre(t *testing.T) {
	t.Parallel()
	const ours, required = `{"hook_type":"webhook","enabled":true,"webhook_url":"` + hookURL + `"`, `"automod":"disabled","automod_behavior":"flag","max_message_length":5000`
	const hook = "hooks: [{hook_type: webhook, webhook_url: '${WebhookUrl}', enabled: true, event_types: []}]"
	hooks := func(hooks string) []string { return []string{"PATCH", "/app", `{"event_hooks":[` + hooks + `]}`} }
	for name, c := range map[string]struct {
		setup []string // method, path, body, method …
		file  string
		flags string
		want  []string // that plan and apply say
		left  int      // hooks
	}{
		"a double goes":                      {hooks(ours + `,"event_types":["message.new"]},` + ours + `,"event_types":[]}`), hook, "-allow-delete", []string{"- webhook hook " + hookURL + "   (needs -allow-delete)"}, 1},
		"stars are all":                      {hooks(ours + `,"event_types":["*"]}`), hook, "", []string{"nothing to change"}, 1},
		"a star double goes":                 {hooks(ours + `,"event_types":["message.new"]},` + ours + `,"event_types":["*"]}`), hook, "-allow-delete", []string{"Plan: 0 to add, 0 to change, 1 to delete."}, 1},
		"other events stay":                  {hooks(ours + `,"event_types":["user.updated"]}`), strings.Replace(hook, "[]", "[message.new]", 1), "", []string{"~ webhook hook", "- user.updated, + message.new"}, 1},
		"two of one address":                 {nil, "hooks: [{hook_type: webhook, webhook_url: 'https://a', event_types: [user.updated]}, {hook_type: webhook, webhook_url: 'https://a', event_types: [message.new]}]", "", []string{"Plan: 2 to add, 0 to change, 0 to delete."}, 2},
		"a hook with more moves":             {hooks(`{"id":"one","hook_type":"webhook","enabled":true,"webhook_url":"https://a","retries":5}`), "hooks: [{hook_type: webhook, webhook_url: 'https://b', retries: 5}]\nabsent: {hooks: ['https://a']}", "-allow-delete", []string{"Plan: 1 to add, 0 to change, 1 to delete", "done: delete webhook hook https://a, create webhook hook https://b", "done: update webhook hook https://b: retries"}, 1},
		"a hook's address changes":           {hooks(`{"hook_type":"webhook","webhook_url":"https://a"}`), "hooks: [{hook_type: webhook, webhook_url: 'https://b'}]", "", []string{"webhook hook https://b is new; not in the file, and so left alone: webhook hook https://a. List below absent what shall go"}, 2},
		"another product's hook stays":       {hooks(ours + `,"product":"video"}`), hook, "", []string{"Plan: 1 to add"}, 2},
		"the chat's hook is meant":           {hooks(ours + `,"product":"chat"}`), hook, "", []string{"nothing to change"}, 1},
		"a foreign hook can be absent":       {hooks(`{"hook_type":"gcp_pubsub","gcp_pubsub_topic":"projects/plum/topics/chat"}`), "absent: {hooks: [projects/plum/topics/chat]}", "-allow-delete", []string{"- gcp_pubsub hook projects/plum/topics/chat"}, 0},
		"a hook can be absent by its id":     {hooks(`{"id":"one","hook_type":"webhook"}`), "absent: {hooks: [one]}", "-allow-delete", []string{"- webhook hook one"}, 0},
		"the stack's hook moves":             {hooks(`{"hook_type":"webhook","enabled":true,"webhook_url":"https://client.example.com/v1/webhook"}`), hook, "-output ClientApiUrl=https://client.example.com/v1", []string{"webhook_url: https://client.example.com/v1/webhook -> " + hookURL, "1 to change"}, 1},
		"the stack's callbacks move":         {hooks(`{"hook_type":"pending_message","enabled":true,"webhook_url":"https://client.example.com/v1/webhook"}`), strings.Replace(hook, "hook_type: webhook", "hook_type: pending_message", 1), "-output ClientApiUrl=https://client.example.com/v1", []string{"webhook_url: https://client.example.com/v1/webhook -> " + hookURL, "1 to change"}, 1},
		"the earlier address may stay":       {hooks(`{"hook_type":"webhook","enabled":true,"webhook_url":"https://client.example.com/v1/webhook"}`), strings.Replace(hook, "${WebhookUrl}", "https://client.example.com/v1/webhook", 1), "-output ClientApiUrl=https://client.example.com/v1", []string{"nothing to change"}, 1},
		"an unknown event type":              {nil, strings.Replace(hook, "[]", "[mesage.new, call.endet, tea.ready, feeds.activity.added, USER.BANNED, 'message.new ']", 1), "", []string{"Stream knows no event mesage.new: did you mean message.new?", `event "USER.BANNED": did you mean user.banned?`, `event "message.new ": did you mean message.new?`, "Stream knows no event call.endet: did you mean call.ended?", "Stream knows no event tea.ready\n"}, 1},
		"times and durations":                {nil, "app: {revoke_tokens_issued_before: '2026-01-01T02:00:00.1234567+02:00'}\nchannel_types: {match: {partition_ttl: 24h, partition_size: 20}, messaging: {partition_ttl: 90m}}", "", []string{"issued_before: 2026-01-01T02:00:00.1234567+02:00", "partition_ttl: 90m"}, 0},
		"an event of the app itself":         {nil, "app: {webhook_events: [mesage.new]}", "", []string{"app: webhook_events: Stream knows no event mesage.new: did you mean message.new?"}, 0},
		"one field of a channel type":        {nil, "channel_types: {messaging: {typing_events: false}}", "", []string{"typing_events: true -> false"}, 0},
		"a new channel type":                 {nil, "channel_types: {match: {quotes: false, reminders: false, grants: {channel_member: [read-channel]}}}", "", []string{"as messaging has them: admin, guest, user", "quotes: false"}, 0},
		"a set of commands":                  {nil, "channel_types: {messaging: {commands: [all]}, team: {commands: [fun_set]}}", "", []string{"commands: + all", "commands: + fun_set"}, 0},
		"a role with grants":                 {[]string{"POST", "/roles", `{"name":"old"}`, "PATCH", "/app", `{"grants":{"old":["search-user"]}}`, "PUT", "/channeltypes/team", `{` + required + `,"grants":{"old":["read-channel"]}}`}, "absent: {roles: [old]}", "-allow-delete", []string{"grants.old: - search-user", "~ channel type team   (needs -allow-delete)", "done: delete role old"}, 0},
		"a later value of a new type":        {nil, "channel_types: {match: {automod_behavior: shadow_block, partition_size: 5}}", "", []string{"done: create channel type match", "done: update channel type match"}, 0},
		"a value beyond the description":     {nil, "channel_types: {messaging: {max_message_length: 300}}\napp: {cdn_expiration_seconds: 14400}", "", []string{"max_message_length: 5000 -> 300"}, 0},
		"a part of a setting":                {nil, "app: {file_upload_config: {blocked_file_extensions: [exe]}}", "", []string{"done: update the app's settings"}, 0},
		"a value that Stream refuses":        {nil, "app: {cdn_expiration_seconds: 60, guest_user_creation_disabled: true}\nchannel_types: {match: {automod: oracle, max_message_length: 90000}}", "", []string{"left out, because Stream refused it: update the app's settings: cdn_expiration_seconds", "left out, because Stream refused it: update channel type match: automod", "guest_user_creation_disabled: false -> true", "max_message_length: 90000", "done: create channel type match"}, -1},
		"a value that only creating takes":   {nil, "channel_types: {match: {max_message_length: 90000, quotes: false}}", "", []string{"left out, because Stream refused it: update channel type match: max_message_length", "done: update channel type match\n"}, -1},
		"a change of a team's blocklist":     {[]string{"POST", "/blocklists", `{"name":"rude","team":"red","words":["x"]}`}, "blocklists: {rude: {team: red, words: [y]}}", "", []string{"~ blocklist rude (red)", "words: - x, + y"}, 0},
		"a team's blocklist":                 {nil, "blocklists: {rude: [darn], rude in red: {name: rude, team: red, type: domain, words: [x.org]}}", "", []string{"+ blocklist rude (red)"}, 0},
		"a role that Stream may have":        {nil, "roles: [support]\ngrants: {global_reader: [search-user], support: [search-user]}\nchannel_types: {team: {grants: {global_reader: [read-channel]}}}", "", []string{"the app has no role global_reader: add it to roles if it is yours", "done: update the app's settings", "left out, because Stream refused it: update the app's settings: grants.global_reader", "left out, because Stream refused it: update channel type team: grants.global_reader"}, -1},
		"words of an unknown form":           {nil, "blocklists: {wild: {words: {de: [a]}}, plain: [x]}", "", []string{"left out, because Stream refused it: create blocklist wild", "done: create blocklist plain"}, -1},
		"a blocklist of an unknown type":     {nil, "blocklists: {wild: {type: wildcard, words: ['a*']}, plain: [x]}", "", []string{"left out, because Stream refused it: create blocklist wild", "done: create blocklist plain"}, -1},
		"what refers to what Stream refuses": {nil, "blocklists: {wild: {type: wildcard, words: ['a*']}}\nchannel_types: {team: {blocklist: wild, typing_events: false}}", "", []string{"? update channel type team: blocklist = wild   (each apply tries it: the app has no blocklist wild)", "done: update channel type team\n"}, -1},
		"a part of what Stream refuses":      {nil, "app: {file_upload_config: {size_limit: 5, virus_scan: true}}\nchannel_types: {match: {automod_thresholds: {spam: {block: 2}, toxic: {block: 0.5}}}}", "", []string{"file_upload_config: {\"allowed", "left out, because Stream refused it: update the app's settings: file_upload_config", "done: update the app's settings\n", `automod_thresholds: {"toxic":{"block":0.5}}`, "done: update channel type match\n"}, -1},
		"what is named like a secret":        {nil, "app: {revoke_tokens_issued_before: '2026-01-01T00:00:00Z', moderation_dashboard_preferences: {filterable_custom_keys: [team]}}", "", []string{"revoke_tokens_issued_before: 2026-01-01T00:00:00Z", `{"filterable_custom_keys":["team"]}`}, 0},
		"a duration in other words":          {[]string{"PUT", "/channeltypes/team", `{` + required + `,"partition_ttl":"24h0m0s"}`}, "channel_types: {team: {partition_ttl: 24h}}", "", []string{"nothing to change"}, 0},
		"a name that is too long":            {nil, "roles: [" + strings.Repeat("long", 20) + ", short]\ngrants: {" + strings.Repeat("long", 20) + ": [search-user], short: [search-user]}\nblocklists: {" + strings.Repeat("list", 70) + ": [x]}\nchannel_types: {team: {blocklist: " + strings.Repeat("list", 70) + ", uploads: false}}", "", []string{"Plan: 1 to add, 2 to change", "left out, because Stream refused it: create role long", "left out, because Stream refused it: create blocklist list", "done: update channel type team\n", "done: update the app's settings\n"}, -1},
		"a field with a mistake":             {nil, "app: {multi_tenent_enabled: true}\nchannel_types: {team: {polls: 'no', grants: {user: all}}}\nhooks: [{hook_type: webhook, webhook_url: 'https://a', tmeout_ms: 10}]", "", []string{"did you mean multi_tenant_enabled?", "did you mean timeout_ms?", "polls must be a boolean", "grants.user is no list of permissions", "left out, because Stream refused it: update the app's settings: multi_tenent_enabled"}, -1},
		"what is not in the description":     {nil, "roles: [support]\napp: {quantum_mode: true}", "", []string{"quantum_mode = true   (each apply tries it: quantum_mode is not in Stream's description)", "left out, because Stream refused it", "done: create role support"}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t)
			for i := 0; i < len(c.setup); i += 3 {
				a.call(c.setup[i], c.setup[i+1], json.RawMessage(c.setup[i+2]))
			}
			a.file("stream.yaml", c.file)
			a.run("apply", append(strings.Fields(c.flags), "-yes", "-allow-lockout")...).want(t, 0, c.want...)
			a.run("plan").want(t, 0, "nothing to change")
			if hooks := a.hooks(); c.left >= 0 && len(hooks) != c.left {
				t.Errorf("want %d hooks, got %v", c.left, hooks)
			}
		})
	}
}

func TestFilesThatCannotBeMeantAreRefused(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.call("POST", "/blocklists", map[string]any{"name": "mails", "type": "email", "words": []string{"x"}})
	for text, want := range map[string]string{
		`absent: {hooks: [""]}`:                         "names nothing: give a hook's address or id",
		"app: {name: other}":                            "app: name cannot be changed",
		"app: {event_hooks: []}":                        "event_hooks has a place of its own",
		"commands: {ticket: {args: x}}":                 "command ticket: description is missing",
		"blocklists: {mails: {type: word, words: [x]}}": "Stream cannot change type (email -> word)",
		"hooks: [{webhook_url: 'https://a'}]":           "hooks[0] has no hook_type",
		"absent: {events: [x]}":                         "absent: there are no events to be absent",
		"channels: {}":                                  "channels is no part of the file",
	} {
		a.file("stream.yaml", text)
		a.run("plan").want(t, 1, want)
	}
}

func TestPlanNamesUnknownEventTypesWithoutStreamsHelp(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.file("stream.yaml", "hooks: [{hook_type: webhook, webhook_url: 'https://a', event_types: [mesage.new, message.new]}]")
	a.intercept(func(w http.ResponseWriter, r *http.Request, n int) bool {
		if r.URL.Path != "/proxy/hook/events" { // which Stream's description does not have
			return false
		}
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"code":16,"message":"not found"}`)
		return true
	})
	a.run("apply", "-yes").want(t, 0, "Stream knows no event mesage.new: did you mean message.new?\n", "done: create webhook hook https://a")
	a.run("plan").want(t, 0, "nothing to change")
}

func TestWhatCannotBeReadBackIsSentWithOtherChangesOrOnDemand(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.file("stream.yaml", "app: {channel_hide_members_only: false, enable_hook_payload_compression: true}")
	const note = "Note: app: channel_hide_members_only, enable_hook_payload_compression cannot be read back"
	a.run("apply").want(t, 0, "nothing to change", note)
	sent := func() any {
		for _, made := range a.requests() {
			if made.Path == "/app" {
				return made.Body["channel_hide_members_only"]
			}
		}
		return nil
	}
	if got := sent(); got != nil {
		t.Errorf("want nothing sent, got %v", got)
	}
	a.run("apply", "-yes", "-write-only").want(t, 0, "channel_hide_members_only: false", "done: update the app's settings")
	if got := sent(); got != false {
		t.Errorf("want it sent, got %v", got)
	}
	a.file("stream.yaml", "roles: [support]\nchannel_types: {messaging: {typing_events: false}}\napp: {channel_hide_members_only: false, enable_hook_payload_compression: true}")
	a.run("apply", "-yes").want(t, 0, "done: create role support", "done: update the app's settings")
	if got := sent(); got != false {
		t.Errorf("want it sent with the role, got %v", got)
	}
	a.run("plan").want(t, 0, "nothing to change", note)
	a.run("pull", "-yes").want(t, 0)
	if text, _ := os.ReadFile(a.dir + "/stream.yaml"); !strings.Contains(string(text), "channel_hide_members_only: false") {
		t.Errorf("want pull to keep what the file had, got\n%s", text)
	}
}

func TestWhatStreamRefusesHoldsNothingElseBack(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.file("stream.yaml", "roles: [support]\napp: {webhook_url: x, multi_tenant_enabled: true}\nchannel_types: {match: {uploads: false, grants: {support: [nothing]}}, team: {automod: AI, automod_behavior: block, grants: {user: [read-channel], support: [nothing], guest: []}}}\nblocklists: {rude: [x]}")
	refused := func(w http.ResponseWriter, r *http.Request, n int) bool {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if !strings.Contains(string(body), "webhook_url") && !strings.Contains(string(body), "nothing") {
			return false
		}
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"code":4,"message":"no"}`)
		return true
	}
	a.intercept(refused)
	a.run("apply", "-yes", "-allow-lockout").want(t, 1, "done: create blocklist rude", "done: create channel type match", "done: update channel type match: uploads", "done: update the app's settings: multi_tenant_enabled",
		"took all else: update the app's settings: webhook_url, update channel type match: grants.support, update channel type team: grants.support. Run plan: ")
	a.run("plan").want(t, 0, "grants.support: + nothing", "Plan: 0 to add, 3 to change")
	team := a.call("GET", "/channeltypes/team", nil)
	if grants := team["grants"].(map[string]any); team["automod"] != "AI" || team["automod_behavior"] != "block" || fmt.Sprint(grants["user"], grants["guest"]) != "[read-channel] []" {
		t.Errorf("want all else of the type, got %v", team)
	}
	a.intercept(nil)
	a.run("apply", "-yes", "-allow-lockout").want(t, 0)
	a.run("plan").want(t, 0, "nothing to change")
}

func TestHooksThatStreamMayRefuseAreTriedOneByOne(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.call("PATCH", "/app", json.RawMessage(`{"event_hooks":[{"id":"one","hook_type":"webhook","enabled":true,"webhook_url":"https://a","timeout_ms":10}]}`))
	a.requests()
	a.file("stream.yaml", "hooks: [{hook_type: webhook, webhook_url: 'https://a', product: chat, timeout_ms: 20}, {hook_type: webhook, webhook_url: 'https://b', callback: {mode: 5}}, {hook_type: nats, nats_subject: c}, {hook_type: kafka, kafka_topic: d}, {hook_type: webhook, webhook_url: 'https://e', timeout_ms: 7, retries: 5}]")
	a.intercept(func(w http.ResponseWriter, r *http.Request, n int) bool {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if !strings.Contains(string(body), `"mode":5`) && !strings.Contains(string(body), "retries") {
			return false
		}
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"code":4,"message":"no"}`)
		return true
	})
	const chess = "? create webhook hook https://b   (each apply tries it: by Stream's description, callback.mode must be a string"
	a.run("plan").want(t, 0, "Plan: 1 to add, 1 to change, 0 to delete", chess, "? create nats hook c   (each apply tries it: ops does not know its type)")
	a.run("apply", "-yes").want(t, 0, "done: update webhook hook https://a", "left out, because Stream refused it: create webhook hook https://b", "done: create nats hook c", "done: create kafka hook d", "left out, because Stream refused it: update webhook hook https://e: retries")
	hooks := a.hooks()
	if len(hooks) != 4 || hooks[0].(map[string]any)["id"] != "one" || fmt.Sprint(hooks[1].(map[string]any)["timeout_ms"]) != "7" {
		t.Errorf("want the first one kept and three more, got %v", hooks)
	}
	a.run("plan").want(t, 0, "nothing to change", chess, "update webhook hook https://e: retries = 5   (each apply tries it: retries is not in Stream's description")
	a.intercept(nil)
	a.run("apply", "-yes").want(t, 0, "done: update webhook hook https://e: retries")
	if hooks := a.hooks(); len(hooks) != 4 || fmt.Sprint(hooks[1].(map[string]any)["retries"]) != "5" {
		t.Errorf("want the same hooks, got %v", hooks)
	}
}

// A new hook gets its id from Stream, so what is tried at it finds it by what it is.
func TestWhatAHookIsTriedWithComesToTheNewOne(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.file("stream.yaml", "hooks: [{hook_type: webhook, webhook_url: 'https://a', event_types: [message.new], retries: 5}, {hook_type: webhook, webhook_url: 'https://a', event_types: [user.updated], retries: 6}]")
	a.run("apply", "-yes").want(t, 0, "done: update webhook hook https://a: retries")
	for i, v := range a.hooks() {
		if h := v.(map[string]any); i > 1 || fmt.Sprint(h["event_types"], h["retries"]) != []string{"[message.new] 5", "[user.updated] 6"}[i] {
			t.Errorf("want each with its own, got %v", h)
		}
	}
	a.run("plan").want(t, 0, "nothing to change")
}

func TestGrantsOfAPermissionThatTheAppLacksHoldNothingBack(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.call("POST", "/roles", map[string]any{"name": "nurse"})
	a.twist = func(path string, answer map[string]any) {
		list := anyList(answer["permissions"])
		for _, id := range strings.Fields("read-channel create-channel delete-channel create-message create-reaction ban-user") {
			list = append(list, map[string]any{"id": id, "custom": false})
		}
		answer["permissions"] = list
	}
	a.intercept(func(w http.ResponseWriter, r *http.Request, n int) bool {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if !strings.Contains(string(body), "serch-user") {
			return false
		}
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"code":4,"message":"no"}`)
		return true
	})
	a.file("stream.yaml", "roles: [nurse]\ngrants: {nurse: [read-channel, serch-user]}\nchannel_types: {match: {grants: {nurse: [serch-user]}}}")
	a.run("apply", "-yes").want(t, 0, "grants.nurse: + read-channel\n", "the app has no permission serch-user (did you mean search-user?)", "done: update the app's settings\n", "left out, because Stream refused it: update channel type match: grants.nurse")
	a.run("plan").want(t, 0, "nothing to change")
}

// pull leaves credentials out, so a change of what is beside them must not remove them.
func TestCredentialsStayBesideWhatChanges(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.call("PATCH", "/app", json.RawMessage(`{"datadog_info":{"api_key":"dd","site":"us","enabled":true},"moderation_dashboard_preferences":{"keyframe_classifications_map":{"a":{"x":true}}},
		"event_hooks":[{"id":"one","hook_type":"webhook","enabled":true,"webhook_url":"https://a","new":{"token":"t","deep":{"password":"p","size":1}},"failover_config":{"type":"gcs","gcs_credentials":"cred","gcs_path":"p"}}]}`))
	a.run("pull").want(t, 0)
	text, _ := os.ReadFile(a.dir + "/stream.yaml")
	changed := strings.NewReplacer("site: us", "site: eu", "gcs_path: p", "gcs_path: q", "size: 1", "size: 2").Replace(string(text))
	a.file("stream.yaml", changed)
	a.requests()
	a.run("apply", "-yes").want(t, 0, "Plan: 0 to add, 2 to change")
	for _, made := range a.requests() {
		if hooks := made.Body["event_hooks"]; hooks != nil && nullIn(hooks) != "" { // Stream answers some, and does not take all of them back
			t.Errorf("want no null in event_hooks, got %v", hooks)
		}
	}
	app := a.call("GET", "/app", nil)["app"].(map[string]any)
	if got := fmt.Sprint(app["datadog_info"], app["event_hooks"]); !strings.Contains(got, "api_key:dd enabled:true site:eu") || !strings.Contains(got, "gcs_credentials:cred gcs_path:q") || !strings.Contains(got, "deep:map[password:p size:2] token:t") {
		t.Errorf("want only what the file changes, got %s", got)
	}
}

// Stream replaces the whole of a list, a command or a permission, so what ops does not know goes along.
func TestAnUpdateTakesAlongWhatTheDescriptionLacks(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.call("POST", "/blocklists", map[string]any{"name": "rude", "words": []string{"x"}})
	a.twist = func(path string, answer map[string]any) {
		for _, v := range anyList(answer["blocklists"]) {
			v.(map[string]any)["severity"] = 3
		}
	}
	a.file("stream.yaml", "blocklists: {rude: {words: [y], severity: 3}}")
	a.requests()
	a.run("apply", "-yes").want(t, 0, "Plan: 0 to add, 1 to change", "done: update blocklist rude\n", "left out, because Stream refused it: update blocklist rude: severity")
	var sent []any
	for _, made := range a.requests() {
		if made.Method == "PUT" {
			sent = append(sent, made.Body["severity"])
		}
	}
	if got := fmt.Sprint(sent); got != "[3 <nil> 3]" {
		t.Errorf("want it sent along, then left out, then tried, got %s", got)
	}
	a.run("plan").want(t, 0, "nothing to change")
}

func TestStreamThatNeverAgreesIsNotBelieved(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.twist = func(path string, answer map[string]any) {
		if path == "/roles" {
			answer["roles"] = []any{}
		}
	}
	a.file("stream.yaml", "roles: [support]")
	a.run("apply", "-yes").want(t, 1, "done: create role support", "waiting for Stream to agree, up to 10s: create role support", "10s later still answers otherwise: create role support")
}

// What is named is what Stream keeps otherwise, and not what it has learned since.
func TestWhatStreamKeepsOtherwiseIsNamed(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	reads := 0
	a.twist = func(path string, answer map[string]any) {
		if reads++; path == "/app" {
			answer["app"].(map[string]any)["reminders_interval"] = 60
		}
		commands, _ := answer["commands"].([]any)
		for _, v := range commands {
			if command := v.(map[string]any); command["name"] == "ticket" {
				command["description"] = "other"
			}
		}
		if path == "/roles" && reads < 60 { // which takes it longer than a stage may last
			answer["roles"] = []any{}
		}
	}
	a.file("stream.yaml", "roles: [support]\ncommands: {ticket: {description: opens}}\napp: {reminders_interval: 120, async_url_enrich_enabled: false}")
	a.run("apply", "-yes").want(t, 1, "10s later still answers otherwise: create command ticket, update the app's settings (reminders_interval). Run")
}

func TestChangesInALaterStageAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.file("stream.yaml", "roles: [old]\ngrants: {old: [search-user]}\nchannel_types: {messaging: {grants: {old: [read-channel]}}}")
	a.run("apply", "-yes").want(t, 0)
	a.file("stream.yaml", "app: {reminders_interval: 120}\nchannel_types: {messaging: {typing_events: false}}\nabsent: {roles: [old]}")
	if got := a.run("apply", "-yes", "-allow-delete"); got.status != 0 || strings.Contains(got.stderr, "later still answers") {
		t.Errorf("want what the next stage removes left to it, got %d %s", got.status, got.stderr)
	}
}

func TestAWaitOutlastsFailures(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	failures := 0
	a.intercept(func(w http.ResponseWriter, r *http.Request, n int) bool {
		if n > 0 {
			failures = 6
			return false
		}
		if failures--; failures < 0 {
			return false
		}
		w.WriteHeader(http.StatusNotFound) // not asked for again at once, as a 500 is
		fmt.Fprint(w, `{"code":16,"message":"no"}`)
		return true
	})
	a.file("stream.yaml", "app: {reminders_interval: 120}")
	a.run("apply", "-yes").want(t, 0, "done: update the app's settings")
}

func TestAWaitThatCannotCompareSaysWhy(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	reads := 0
	a.twist = func(path string, answer map[string]any) {
		if path == "/app" {
			if reads++; reads > 2 { // once to plan, and once to back up
				answer["app"].(map[string]any)["permission_version"] = "v1"
			}
		}
	}
	a.file("stream.yaml", "grants: {user: [search-user]}")
	a.run("apply", "-yes", "-allow-lockout").want(t, 1, "the app has permissions v1", "Run apply again to go on")
}

func TestStreamIsBelievedWhenItAgreesThreeTimes(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	reads := 0
	a.twist = func(path string, answer map[string]any) {
		if path != "/roles" {
			return
		}
		if reads++; reads%2 == 0 && reads < 9 { // from a server that does not know of it
			answer["roles"] = []any{}
		}
	}
	a.file("stream.yaml", "roles: [support]")
	a.run("apply", "-yes").want(t, 0, "done: create role support")
	if reads < 11 {
		t.Errorf("want reads until three in a row agree, got %d", reads)
	}
}

func TestARefusalRightAfterACreationIsTriedAgain(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	left := 3
	a.intercept(func(w http.ResponseWriter, r *http.Request, n int) bool {
		if r.Method != http.MethodPatch || left == 0 {
			return false
		}
		left-- // from a server that does not know the role yet
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"code":4,"message":"grants: role support does not exist"}`)
		return true
	})
	a.file("stream.yaml", "roles: [support]\ngrants: {support: [search-user]}")
	a.run("apply", "-yes").want(t, 0, "waiting for Stream to agree, up to 10s: it refuses to update the app's settings", "done: update the app's settings")
}
