package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"chat-service-backend/ops/stack"
)

const whole = `
app:
  user_search_disallowed_roles: [guest]
  before_message_send_hook_url: https://example.com/before
hooks:
  - hook_type: webhook
    webhook_url: ${WebhookUrl}
    event_types: [message.new, message.deleted]
roles: [support]
permissions:
  read-own: {name: Read own, action: ReadChannel, owner: true}
grants:
  support: [search-user]
channel_types:
  messaging:
    typing_events: false
    commands: [giphy, ticket]
    blocklist: rude
    grants:
      support: [read-channel, read-own]
      user: ["!create-channel", update-channel]
  ticketing:
    max_message_length: 200
blocklists:
  rude: [darn, "a$$"]
commands:
  ticket: {description: opens a ticket}
`

// planned is what plan and apply print with -json.
type planned struct {
	Steps []struct {
		Method, Path string
		Body         map[string]any
		Changes      []struct{ Action, What, Risk string }
	}
	Done  int
	Error string
}

func decodePlan(t *testing.T, r result) (p planned) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.stdout), &p); err != nil {
		t.Fatalf("want JSON, got %v\n%s%s", err, r.stdout, r.stderr)
	}
	return p
}

func TestApplyMakesTheRequestsOfThePlanAndASecondPlanIsEmpty(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.file("stream.yaml", whole)
	p := decodePlan(t, a.run("plan", "-json"))
	a.run("plan").want(t, 0, "  + role support\n", "  ~ channel type messaging", "      typing_events: true -> false\n",
		"      grants.user: - create-channel, + update-channel\n", "Plan: 6 to add, 2 to change, 0 to delete.\n")
	if made := a.requests(); len(made) != 0 {
		t.Fatalf("want plan to change nothing, got %v", made)
	}
	a.run("apply", "-yes", "-allow-lockout").want(t, 0, "done: create role support", "done: create webhook hook "+hookURL)
	made := a.requests()
	if len(p.Steps) != 8 || len(made) != len(p.Steps) {
		t.Fatalf("want 8 requests, got %d planned, %d made", len(p.Steps), len(made))
	}
	for i, s := range p.Steps {
		if got := made[i]; got.Method != s.Method || got.Path != s.Path || !reflect.DeepEqual(got.Body, s.Body) {
			t.Errorf("want %+v as planned, got %+v", s, got)
		}
	}
	a.run("plan").want(t, 0, "nothing to change")
	a.run("apply").want(t, 0, "nothing to change")
	if made := a.requests(); len(made) != 0 {
		t.Errorf("want nothing done twice, got %v", made)
	}
	messaging := a.call("GET", "/channeltypes/messaging", nil)
	grants := messaging["grants"].(map[string]any)
	if want := []any{"read-channel", "update-channel"}; !reflect.DeepEqual(grants["user"], want) {
		t.Errorf("want what user had, less one and plus one, %v, got %v", want, grants["user"])
	}
	if want := []any{"read-channel", "create-message", "create-reaction"}; !reflect.DeepEqual(grants["channel_member"], want) {
		t.Errorf("want a role that the file does not name left alone, got %v", grants["channel_member"])
	}
	if messaging["read_events"] != true || messaging["typing_events"] != false {
		t.Errorf("want the switch that is named changed and no other, got %v", messaging)
	}
}

func TestApplyAsksAndOnlyYesCounts(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.file("stream.yaml", "roles: [support]")
	for stdin, want := range map[string]string{"y\n": "nothing was changed", "": "-yes answers every question", "no\n": "nothing was changed"} {
		a.answer(stdin, "apply").want(t, 1, want, "+ role support")
	}
	if made := a.requests(); len(made) != 0 {
		t.Fatalf("want nothing changed, got %v", made)
	}
	a.answer("yes\n", "apply").want(t, 0, "done: create role support")
}

func TestUpdateSendsTheFieldsThatStreamWouldDropOtherwise(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.file("stream.yaml", "permissions: {own: {name: Own, action: ReadChannel, owner: true}}\ncommands: {ticket: {description: opens, args: text}}")
	a.run("apply", "-yes").want(t, 0)
	a.requests()
	a.file("stream.yaml", "permissions: {own: {name: Own, action: UpdateChannel}}\ncommands: {ticket: {description: closes}}")
	a.run("apply", "-yes").want(t, 0, "action: ReadChannel -> UpdateChannel", "description: opens -> closes")
	made := a.requests()
	if len(made) != 2 || made[0].Body["owner"] != true || made[0].Body["name"] != "Own" || made[1].Body["args"] != "text" {
		t.Errorf("want owner, name and args sent along, got %v", made)
	}
	a.run("plan").want(t, 0, "nothing to change")
}

// foreign are hooks of somebody else, with fields that this program does not know.
var foreign = []any{
	map[string]any{"id": "one", "hook_type": "sqs", "enabled": true, "sqs_queue_url": "https://sqs.example.com/q", "sqs_auth_type": "keys",
		"sqs_key": "AKIA", "sqs_secret": "queue-secret", "event_types": []any{"user.updated"}, "new_field": map[string]any{"x": nil}},
	map[string]any{"id": "two", "hook_type": "webhook", "enabled": false, "webhook_url": "https://other.example.com", "event_types": nil},
}

func TestForeignHooksStayAsTheyAre(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.call("PATCH", "/app", map[string]any{"event_hooks": foreign})
	before := a.hooks()
	a.file("stream.yaml", "hooks: [{hook_type: webhook, webhook_url: '${WebhookUrl}'}]")
	r := a.run("plan", "-json")
	r.hides(t, "queue-secret", "AKIA")
	a.run("apply", "-yes").want(t, 0, "done: create webhook hook")
	after := a.hooks()
	if len(after) != 3 {
		t.Fatalf("want ours beside two, got %v", after)
	}
	for i := range before {
		old, now := before[i].(map[string]any), after[i].(map[string]any)
		delete(old, "updated_at") // Stream's own to set
		delete(now, "updated_at")
		if !reflect.DeepEqual(old, now) {
			t.Errorf("want %v, got %v", old, now)
		}
	}
	a.run("plan").want(t, 0, "nothing to change")

	a.file("stream.yaml", "hooks: [{hook_type: webhook, webhook_url: '${WebhookUrl}', enabled: false}]\nabsent: {hooks: ['https://other.example.com']}")
	a.run("apply", "-yes").want(t, 1, "needs -allow-delete", "nothing was changed")
	a.run("apply", "-yes", "-allow-delete").want(t, 0, "delete webhook hook https://other.example.com", "update webhook hook "+hookURL)
	if left := a.hooks(); len(left) != 2 || left[1].(map[string]any)["id"] != after[2].(map[string]any)["id"] {
		t.Errorf("want the queue and ours under its id, got %v", left)
	}
}

func TestAppThatChangesBetweenPlanAndApplyIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		when func(reads, n int) bool
		made int // the other's request included
	}{
		"before the first step":        {func(reads, n int) bool { return reads == 2 }, 1}, // the second look, after the answer
		"before the hooks are written": {func(reads, n int) bool { return n == 1 }, 2},     // while the role is created
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t)
			a.file("stream.yaml", "roles: [support]\nhooks: [{hook_type: webhook, webhook_url: '${WebhookUrl}'}]")
			reads, changed := 0, false
			a.intercept(func(w http.ResponseWriter, r *http.Request, n int) bool {
				if r.Method == http.MethodGet && r.URL.Path == "/proxy/app" {
					reads++
				}
				if !changed && c.when(reads, n) {
					changed = true
					go a.intercept(nil)
					a.call("PATCH", "/app", map[string]any{"event_hooks": foreign})
				}
				return false
			})
			a.run("apply", "-yes").want(t, 1, "somebody else has changed the app meanwhile: plan again")
			if made := a.requests(); len(made) != c.made {
				t.Errorf("want %d requests, got %v", c.made, made)
			}
			if hooks := a.hooks(); len(hooks) != 2 {
				t.Errorf("want the other's hooks, got %v", hooks)
			}
			a.run("apply", "-yes").want(t, 0, "done: create webhook hook")
			if hooks := a.hooks(); len(hooks) != 3 {
				t.Errorf("want the other's hooks and ours, got %v", hooks)
			}
		})
	}
}

func TestThrottledCallsAndFailedReadsAreRepeated(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.file("stream.yaml", "roles: [support, sales]")
	a.fail(0, http.StatusBadGateway, "")
	a.run("plan").want(t, 0, "+ role support")
	a.fail(2, http.StatusTooManyRequests, `{"code":9,"message":"Too many requests"}`)
	a.run("apply", "-yes").want(t, 0, "waiting 1s", "done: create role sales", "done: create role support")
	a.run("plan").want(t, 0, "nothing to change")
}

func TestRetryAfterIsAsLongAsStreamSaysUpToTwoMinutes(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, c := range []struct {
		header, value string
		want          time.Duration
	}{
		{"Retry-After", "7", 7 * time.Second}, {"Retry-After", "0", time.Second}, {"Retry-After", "soon", time.Second},
		{"X-Ratelimit-Reset", "1030", 30 * time.Second}, {"X-Ratelimit-Reset", "900", time.Second}, {"X-Ratelimit-Reset", "9000", 2 * time.Minute},
	} {
		if got := stack.RetryAfter(http.Header{c.header: {c.value}}, now); got != c.want {
			t.Errorf("%s: %s: want %s, got %s", c.header, c.value, c.want, got)
		}
	}
	second := http.Header{"X-Ratelimit-Reset": {"1030"}, "X-Ratelimit-Remaining": {"9"}}
	if got := stack.RetryAfter(second, now); got != time.Second {
		t.Errorf("want a second for a second's limit, got %s", got)
	}
}

func TestHalfAppliedIsReportedAndCanBeAppliedAgain(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.file("stream.yaml", whole)
	a.fail(3, http.StatusInternalServerError, `{"code":-1,"message":"internal error"}`)
	a.run("apply", "-yes", "-allow-lockout").want(t, 1, "done: create role support", "create blocklist rude: Stream or the proxy answered 500: internal error",
		"2 of 8 steps were applied", "still to do: create blocklist rude, create command ticket")
	if made := a.requests(); len(made) != 3 {
		t.Errorf("want a write that failed not repeated, got %v", made)
	}
	a.intercept(nil)
	a.run("apply", "-yes", "-allow-lockout").want(t, 0)
	if made := a.requests(); len(made) != 6 || made[0].Path != "/blocklists" {
		t.Errorf("want the six that were left, got %v", made)
	}
	a.run("plan").want(t, 0, "nothing to change")
}

func TestCtrlCEndsAfterTheCurrentStep(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.file("stream.yaml", whole)
	cmd := process(t, nil, a.args("apply", "-yes", "-allow-lockout")...)
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stderr) // of which it may have read several
	started, text := make(chan struct{}), make(chan string, 1)
	a.intercept(func(w http.ResponseWriter, r *http.Request, n int) bool {
		if n == 0 { // a process waits for Stream in real time
			_ = a.wait(t.Context(), 5*time.Second)
		}
		if n == 2 {
			<-started
			_ = cmd.Process.Signal(os.Interrupt)
			said := ""
			for !strings.Contains(said, "Interrupted") {
				line, err := lines.ReadString('\n')
				if said += line; err != nil {
					break
				}
			}
			text <- said
		}
		return false
	})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	close(started)
	said := <-text
	rest, _ := io.ReadAll(lines)
	_ = cmd.Wait()
	r := result{cmd.ProcessState.ExitCode(), stdout.String(), said + string(rest)}
	r.want(t, 1, "Interrupted: ", "done: create role support", "done: create permission read-own", "interrupt signal received\n2 of 8 steps were applied")
	if made := a.requests(); len(made) != 2 {
		t.Errorf("want the current step finished and no other begun, got %v", made)
	}
	a.intercept(nil)
	_ = a.wait(t.Context(), 5*time.Second) // Stream's time to agree
	a.run("apply", "-yes", "-allow-lockout").want(t, 0)
	a.run("plan").want(t, 0, "nothing to change")
}

func TestWhatLocksOutOrDeletesNeedsItsFlag(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, flag string }{
		"a grant taken away":     {"channel_types: {messaging: {grants: {user: [read-channel]}}}", "-allow-lockout"},
		"all grants taken away":  {"grants: {user: []}", "-allow-lockout"},
		"tenancy":                {"app: {multi_tenant_enabled: true}", "-allow-lockout"},
		"no more guests":         {"app: {guest_user_creation_disabled: true}", "-allow-lockout"},
		"a role removed":         {"absent: {roles: [old]}", "-allow-delete"},
		"a channel type removed": {"absent: {channel_types: [gaming]}", "-allow-delete"},
		"a command removed":      {"absent: {commands: [giphy]}", "-allow-delete"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t)
			a.call("POST", "/roles", map[string]any{"name": "old"})
			a.requests()
			a.file("stream.yaml", c.file)
			other := map[string]string{"-allow-lockout": "-allow-delete", "-allow-delete": "-allow-lockout"}[c.flag]
			a.run("apply", "-yes", other).want(t, 1, "needs "+c.flag, "nothing was changed")
			if made := a.requests(); len(made) != 0 {
				t.Fatalf("want nothing changed, got %v", made)
			}
			a.run("apply", "-yes", c.flag).want(t, 0, "done: ")
			a.run("plan").want(t, 0, "nothing to change")
		})
	}
}

func TestFileThatCannotBeRightIsRefused(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.file("v1.json", `{"messaging":[{"name":"x","priority":1}]}`)
	for text, want := range map[string]string{
		"hooks: [{hook_type: webhook, webhook_url: '${Nothing}'}]":             "no output Nothing, it has ClientApiUrl, WebhookUrl",
		"hooks: [{hook_type: sqs, sqs_queue_url: 'https://q', sqs_secret: x}]": "sqs_secret",
		"roles: {support: true}":           "/roles",
		"roles: [":                         "yaml",
		"roles: [x]\nabsent: {roles: [x]}": "role x is listed twice",
		"channel_types: {messaging: {permissions: [{name: x, priority: 1}]}}":           "the app has permissions v2",
		"permissions_config: nothing.json":                                              "no such file",
		"permissions_config: v1.json\npermissions_version: 1":                           "the app has permissions v2",
		"permissions_config: v2.json\nchannel_types: {messaging: {grants: {user: []}}}": "no such file",
	} {
		a.file("stream.yaml", text)
		r := a.run("plan")
		r.want(t, 1, want)
		if strings.Count(r.stderr, "\n") > 3 {
			t.Errorf("%s: want a short answer, got %s", text, r.stderr)
		}
	}
	a.run("plan", "-file", "none.yaml").want(t, 1, "none.yaml: no such file")
}

func TestKeysOfAQueueComeFromTheEnvironmentAndAreNotShown(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.file("stream.yaml", "hooks: [{hook_type: sqs, sqs_queue_url: 'https://sqs.example.com/q', sqs_region: eu-central-1, sqs_auth_type: keys}]")
	a.env["STREAM_SQS_KEY"], a.env["STREAM_SQS_SECRET"] = "AKIA-MINE", "my-queue-secret"
	for _, args := range [][]string{{"plan"}, {"plan", "-json"}, {"apply", "-yes"}} {
		r := a.run(args[0], args[1:]...)
		r.want(t, 0, "(hidden)")
		r.hides(t, "MINE", "my-queue")
	}
	clear(a.env)
	a.file("stream.yaml", "roles: [keymaster]\ngrants: {keymaster: [search-user]}")
	a.run("plan").want(t, 0, "grants.keymaster: + search-user") // a role's name is no reason to hide its grants
	a.file("stream.yaml", "hooks: [{hook_type: sqs, sqs_queue_url: 'https://sqs.example.com/q', sqs_region: eu-central-1, sqs_auth_type: keys}]")
	if hook := a.hooks()[0].(map[string]any); hook["sqs_key"] != "AKIA-MINE" || hook["sqs_secret"] != "my-queue-secret" || hook["enabled"] != true {
		t.Errorf("want the keys at Stream, got %v", hook)
	}
	a.run("plan").want(t, 0, "nothing to change") // without the keys: those that are there stay
	a.env = map[string]string{"STREAM_SQS_KEY": "AKIA-MINE", "STREAM_SQS_SECRET": "my-queue-secret", "STREAM_SQS_KEY_OTHER_Q": "AKIA-OTHER", "STREAM_SQS_SECRET_OTHER_Q": "other-secret"}
	a.file("stream.yaml", "hooks: [{hook_type: sqs, sqs_queue_url: 'https://sqs.example.com/q', sqs_auth_type: keys}, {hook_type: sqs, sqs_queue_url: 'https://sqs.example.com/other-q', sqs_auth_type: keys}]")
	a.run("apply", "-yes").want(t, 0, "Plan: 1 to add, 0 to change")
	if hook := a.hooks()[1].(map[string]any); hook["sqs_key"] != "AKIA-OTHER" || hook["sqs_secret"] != "other-secret" {
		t.Errorf("want the queue's own keys, got %v", hook)
	}
}

func TestPluginsPermissionFilesAreReadAsTheyAre(t *testing.T) {
	t.Parallel()
	t.Run("version 2", func(t *testing.T) {
		t.Parallel()
		a := newApp(t)
		a.file("permissions.json", `{"app":{"doctor":["search-user"],"user":["create-channel","search-user"]},
			"messaging":{"doctor":["read-channel","create-message"],"user":["!create-channel"]},"visits":{"doctor":["read-channel"]}}`)
		a.file("stream.yaml", "permissions_config: permissions.json")
		a.run("apply", "-yes", "-allow-lockout").want(t, 0, "+ role doctor", "+ channel type visits", "grants.user: - create-channel")
		a.run("plan").want(t, 0, "nothing to change")
		grants := a.call("GET", "/channeltypes/messaging", nil)["grants"].(map[string]any)
		if !reflect.DeepEqual(grants["user"], []any{"read-channel"}) || !reflect.DeepEqual(grants["doctor"], []any{"read-channel", "create-message"}) {
			t.Errorf("want the file's grants, got %v", grants)
		}
	})
	t.Run("version 1", func(t *testing.T) {
		t.Parallel()
		a := newApp(t)
		a.call("PATCH", "/app", map[string]any{"permission_version": "v1"})
		a.file("permissions.json", `{"messaging":[{"name":"Nobody else","action":"deny","priority":1},
			{"name":"Own messages","resources":["UpdateMessage"],"roles":["AnyRole","user"],"owner":true,"priority":500}],"visits":[{"name":"All","priority":2}]}`)
		a.file("stream.yaml", "permissions_config: permissions.json\npermissions_version: 1")
		a.run("apply", "-yes", "-allow-lockout").want(t, 0, "+ channel type visits", "~ channel type messaging")
		a.run("plan").want(t, 0, "nothing to change")
		want := []any{
			map[string]any{"name": "Nobody else", "resources": []any{"*"}, "roles": []any{"*"}, "owner": false, "action": "Deny", "priority": 1.0},
			map[string]any{"name": "Own messages", "resources": []any{"UpdateMessage"}, "roles": []any{"*"}, "owner": true, "action": "Allow", "priority": 500.0},
		}
		if got := a.call("GET", "/channeltypes/messaging", nil)["permissions"]; !reflect.DeepEqual(got, want) {
			t.Errorf("want the file's policies with Stream's defaults, %v, got %v", want, got)
		}
	})
}

func TestPullWritesAFileWhosePlanIsEmpty(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"v2", "v1"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			a := newApp(t)
			a.file("stream.yaml", whole)
			a.run("apply", "-yes", "-allow-lockout").want(t, 0)
			a.call("PATCH", "/app", map[string]any{"permission_version": version, "event_hooks": append(a.hooks()[:0], foreign...)})
			a.run("pull").want(t, 1, "-yes answers every question")
			a.run("pull", "-yes").want(t, 0, "stream.yaml: ")
			text, err := os.ReadFile(a.dir + "/stream.yaml")
			if err != nil || strings.Contains(string(text), "queue-secret") || strings.Contains(string(text), "AKIA") {
				t.Errorf("want no secret in the file, got %v\n%s", err, text)
			}
			a.run("plan").want(t, 0, "nothing to change")
		})
	}
	a := newApp(t)
	a.file("stream.yaml", "hooks: [{hook_type: webhook, webhook_url: '${WebhookUrl}'}]")
	a.run("apply", "-yes").want(t, 0)
	a.run("pull", "-file", "-").want(t, 0, "webhook_url: ${WebhookUrl}", "$schema=")
	a.call("PATCH", "/app", map[string]any{"custom_action_handler_url": "https://ops:pw@a.example/x", "event_hooks": []any{map[string]any{"hook_type": "webhook", "enabled": true, "webhook_url": "https://b.example/x?token=t"}}})
	if err := os.Chmod(a.dir+"/stream.yaml", 0o644); err != nil {
		t.Fatal(err)
	}
	r := a.run("pull", "-yes")
	r.want(t, 0, "these addresses have a password or a query, which the file now has, too; keep it as safe as they are: app.custom_action_handler_url, webhook hook https://b.example/x")
	r.hides(t, "ops:pw", "token=t")
	if is, err := os.Stat(a.dir + "/stream.yaml"); err != nil || is.Mode().Perm() != 0o600 {
		t.Errorf("want a file for the operator alone, got %v, %v", is.Mode(), err)
	}
}

func TestServicesOwnErrorsAreShownAsTheyAre(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.file("stream.yaml", "roles: [support]")
	for body, want := range map[string]string{
		`{"errorMsg":"The app's credentials are not available right now."}`:           "credentials are not available",
		`{"Message":"User: x is not authorized to perform: execute-api:Invoke on y"}`: "not authorized to perform",
		`<html>secret</html>`: "403: Forbidden",
	} {
		a.intercept(func(w http.ResponseWriter, r *http.Request, n int) bool {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, body)
			return true
		})
		r := a.run("plan")
		r.want(t, 1, want)
		r.hides(t, "<html>")
	}
}
