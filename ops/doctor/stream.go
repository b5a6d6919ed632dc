package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"chat-service-backend/ops/streamfile"
	"chat-service-backend/shared/streamrest"
)

// Stream's error codes. https://getstream.io/chat/docs/api_errors_response/
const (
	codeAccessKey = 2
	codeAuth      = 5
	codeSignature = 43
	codeSuspended = 99
)

func (d *doctor) streamApp(ctx context.Context) {
	header, err := d.readApp(ctx)
	if err != nil {
		var r *streamrest.Error
		errors.As(err, &r)
		base := d.stack.Parameters["StreamBaseUrl"]
		do := "see the log of the proxy function"
		switch {
		case r == nil:
			do = "check StreamBaseUrl (" + base + "): something else answers there, or nothing"
		case r.Code == codeAccessKey && regional.MatchString(base):
			do = "Stream does not know the API key at " + base + ": set StreamBaseUrl to the app's region, or copy the key from the dashboard, then " + d.again("params")
		case r.Code == codeAccessKey:
			do = "Stream does not know the API key: copy it from the dashboard, then " + d.again("params")
		case r.Code == codeAuth || r.Code == codeSignature:
			do = "the API secret is not that of the API key: copy both from the same app, then " + d.again("params")
		case r.Code == codeSuspended:
			do = "Stream has suspended the app: see its dashboard, or ask Stream's support"
		case r.Status == http.StatusTooManyRequests:
			do = "Stream limits the app's calls: wait a minute, and find out who calls (docs/monitoring.md)"
		case r.Status == http.StatusNotFound:
			do = "check StreamBaseUrl (" + base + "): it is not Stream's"
		case r.Code > 0 && r.Status >= 500:
			do = "Stream itself fails: https://status.getstream.io"
		case r.Code > 0:
			do = "look up Stream's code " + strconv.Itoa(r.Code) + ": https://getstream.io/chat/docs/api_errors_response/"
		case r.Status == http.StatusServiceUnavailable:
			do = "the functions cannot read key and secret: see values and key above, and the log of the proxy function"
		case r.Status == http.StatusForbidden:
			do = "allow " + d.stack.Outputs["ServiceApiArn"] + "/GET/proxy/app to your role or user"
		case r.Status == http.StatusBadGateway || r.Status == http.StatusGatewayTimeout:
			do = "check StreamBaseUrl (" + base + ") and https://status.getstream.io"
		}
		d.bad("Stream", do, "cannot be called: %v", err)
		return
	}
	d.header = header
	d.has |= app
	d.ok("Stream", "accepts key and secret, of app %s", streamfile.Show(d.app["name"]))
}

func (d *doctor) readApp(ctx context.Context) (http.Header, error) {
	var answer struct{ App document }
	a, err := d.service.Send(ctx, http.MethodGet, "/proxy/app", nil)
	if err != nil {
		return nil, err
	}
	header := a.Header
	if err = a.Decode(&answer); a.Status >= 500 { // which a second try may mend
		header, err = d.service.Stream(ctx, http.MethodGet, "/app", nil, &answer)
	}
	if err == nil && answer.App == nil {
		err = errors.New("the answer has no app")
	}
	if err == nil {
		d.app = answer.App
	}
	return header, err
}

func placementOf(app document) string { return streamfile.Text(app["placement"]) }

func (d *doctor) appSettings(context.Context) {
	if d.app["suspended"] == true {
		d.bad("app", "ask Stream's support", "suspended: %s", streamfile.Show(d.app["suspended_explanation"]))
	}
	for field, what := range map[string]string{"disable_auth_checks": "anybody can connect as anybody", "disable_permissions_checks": "every user may do everything"} {
		if d.app[field] == true {
			d.bad("app", "set "+field+": false below app: in stream.yaml, then "+d.again("apply"), "%s is on: %s", field, what)
		}
	}
	if region := d.region(); region != "" {
		d.bad("app", "set StreamBaseUrl to the app's region, or to https://chat.stream-io-api.com, then "+d.again("deploy"),
			"StreamBaseUrl is in %s, and the app in %s", region, placementOf(d.app))
	}
	if version := streamfile.Text(d.app["permission_version"]); version != "v2" {
		d.warn("app", "see Permissions v1 in docs/ops.md", "has permissions %s, which Stream calls legacy", cmp.Or(version, "of an unknown version"))
	} else {
		d.ok("app", "has permissions v2")
	}
	limit, _ := strconv.Atoi(d.header.Get("X-Ratelimit-Limit"))
	left, _ := strconv.Atoi(d.header.Get("X-Ratelimit-Remaining"))
	if limit > 0 && left*10 < limit {
		d.warn("rate limits", "find out who calls (docs/monitoring.md), or ask Stream for a higher limit", "%d of %d calls are left in this minute", left, limit)
	} else if limit > 0 {
		d.ok("rate limits", "%d of %d calls are left in this minute", left, limit)
	}
}

// users finds out whether sign-ins make new users where the app had some before this stack:
// an id that differs from the one a user has costs them their chats, without an error.
func (d *doctor) users(ctx context.Context) {
	if d.stack.Created.IsZero() {
		return
	}
	type user struct {
		ID      string    `json:"id"`
		Created time.Time `json:"created_at"`
	}
	find := func(field, operator string, limit int) []user {
		query, _ := json.Marshal(document{
			"filter_conditions": document{field: document{operator: d.stack.Created}},
			"sort":              []any{document{"field": field, "direction": -1}}, "limit": limit,
		})
		var found struct{ Users []user }
		if _, err := d.service.Stream(ctx, http.MethodGet, "/users?payload="+url.QueryEscape(string(query)), nil, &found); err != nil {
			return nil
		}
		return slices.DeleteFunc(found.Users, func(u user) bool { return strings.HasPrefix(u.ID, "chat-service-doctor") })
	}
	before := find("created_at", "$lt", 2)
	last := find("last_active", "$gt", 30)
	if len(before) == 0 || len(last) == 0 {
		return
	}
	known := 0
	for _, u := range last {
		if u.Created.Before(d.stack.Created) {
			known++
		}
	}
	if known > 0 {
		d.ok("users", "%d of the last %d to connect were there before this stack", known, len(last))
		return
	}
	d.warn("users", "compare the ids, and choose UserIdClaim so that they agree: docs/existing-users.md",
		"the app had users before this stack, such as %s, and the last %d to connect are all new, such as %s", streamfile.Show(before[0].ID), len(last), streamfile.Show(last[0].ID))
}

const (
	// agreement is how long Stream may take to answer with what was changed a moment ago.
	agreement = 10 * time.Second
	askAgain  = 2 * time.Second
)

// hooks examines where Stream sends events, and whom it asks. It gives Stream time to agree
// with itself.
func (d *doctor) hooks(ctx context.Context) {
	found := d.findings
	for waited := time.Duration(0); ; waited += askAgain {
		d.findings = found
		said := d.Quiet(func() {
			d.eventHooks()
			d.hookURL()
			d.hookTime()
		})
		bad := slices.ContainsFunc(d.findings[len(found):], func(f finding) bool { return f.Status == "bad" })
		if !bad || waited >= agreement || d.at.Wait(ctx, askAgain) != nil {
			said()
			return
		}
		if waited == 0 {
			d.Progress("Waiting up to %s for Stream to agree with itself", agreement)
		}
		if _, err := d.readApp(ctx); err != nil {
			said()
			return
		}
	}
}

func (d *doctor) eventHooks() {
	kind, target := "webhook", d.stack.Outputs["WebhookUrl"]
	if d.stack.Parameters["StreamQueue"] == "true" {
		kind, target = "sqs", d.stack.Outputs["StreamQueueUrl"]
	}
	if target == "" {
		d.skip("webhook", "its URL is unknown: set it with -output WebhookUrl=URL")
		return
	}
	hooks := streamfile.Hooks(d.app)
	if len(hooks) == 0 && kind == "webhook" && d.app["use_hook_v2"] != true && streamfile.Text(d.app["webhook_url"]) != "" { // an app that Stream has not moved to event hooks
		hooks = []document{{"hook_type": kind, "webhook_url": d.app["webhook_url"], "enabled": true, "event_types": d.app["webhook_events"]}}
	} else if old := streamfile.Text(d.app["webhook_url"]); d.app["use_hook_v2"] == false && len(hooks) > 0 && old != "" {
		d.warn("webhook", "ask Stream's support to move the app to event hooks", "the app has event hooks and an old webhook_url, and use_hook_v2 is off: Stream may use the old one, %s", old)
	}
	disabled, elsewhere, products, before := 0, 0, []string{}, ""
	var seen []document // hooks that send here
	for _, hook := range hooks {
		to, product := streamfile.Address(hook), streamfile.Product(hook)
		plain := kind == "webhook" && to == d.plain() && to != target
		here := to != "" && (to == d.stack.Outputs["WebhookUrl"] || to == d.stack.Outputs["StreamQueueUrl"] || plain)
		switch {
		case !here || hook["hook_type"] == "pending_message":
			if elsewhere++; strings.HasPrefix(to, d.plain()+"/") {
				before = to
			}
			continue
		case to != target && !plain:
			d.bad("webhook", "list it below absent: hooks: in stream.yaml, then "+d.again("apply"), "Stream sends to %s as well as to %s: events arrive twice", to, target)
			continue
		case hook["enabled"] != true:
			disabled++
			continue
		case product != "all" && product != "chat":
			products = append(products, product)
			continue
		case plain:
			d.warn("webhook", d.again("apply"), "Stream sends to %s, which anybody can guess, and not to %s", to, target)
		}
		if slices.ContainsFunc(seen, func(other document) bool { return streamfile.SendTheSame(hook, other) }) {
			d.bad("webhook", "remove all but one: "+d.again("apply")+" with -allow-delete, or Stream's dashboard", "several hooks send the same events to %s: they arrive more than once", to)
		}
		seen = append(seen, hook)
	}
	var events []string
	for _, hook := range seen {
		if types := streamfile.Events(hook); types != nil {
			events = append(events, strings.Trim(streamfile.Show(types), "[]"))
			d.newMessages = d.newMessages || slices.Contains(types, any("message.new"))
		} else {
			events, d.newMessages = append(events, "all events"), true
		}
	}
	switch {
	case len(seen) > 0:
		d.ok("webhook", "Stream sends %s to %s", strings.Join(events, ","), target)
	case disabled > 0:
		d.bad("webhook", d.again("apply"), "the hook to %s is disabled", target)
	case len(products) > 0:
		d.bad("webhook", "set product: all in stream.yaml, then "+d.again("apply"), "the hook to %s is only for %s, and not for chat", target, strings.Join(products, ", "))
	case before != "":
		d.bad("webhook", d.again("apply"), "Stream sends to %s, an address that this stack no longer has, and not to %s", before, target)
	case d.at.Local(): // its app has only the hooks that somebody has made
		d.warn("webhook", d.again("apply"), "Stream does not send to %s (%d hooks send elsewhere)", target, elsewhere)
	default:
		d.bad("webhook", d.again("apply"), "Stream does not send to %s (%d hooks send elsewhere)", target, elsewhere)
	}
}

// plain returns the address for webhooks that every stack has.
func (d *doctor) plain() string {
	return strings.TrimSuffix(d.stack.Outputs["ClientApiUrl"], "/") + "/webhook"
}

// hookOverhead is how much longer Stream has to wait than our function waits for the team's,
// in milliseconds.
const hookOverhead = 300

// hookURL examines whom Stream asks before it sends a message.
func (d *doctor) hookURL() {
	ours, to := d.stack.Outputs["WebhookUrl"], streamfile.Text(d.app["before_message_send_hook_url"])
	set := "set before_message_send_hook_url: ${WebhookUrl} below app: in stream.yaml, then " + d.again("apply")
	switch function := d.stack.Parameters["HookFunctionArn"]; {
	case function == "" && to != "" && (to == ours || to == d.plain()):
		d.warn("hook", "set HookFunctionArn, or set before_message_send_hook_url: '' in stream.yaml, then "+d.again("apply"), "Stream asks %s before each message, and there is no HookFunctionArn to answer", to)
		return
	case function == "":
		return
	case to == "":
		d.bad("hook", set, "HookFunctionArn is set, but Stream asks nobody before it sends a message: before_message_send_hook_url is not set")
		return
	case to != ours && to != d.plain():
		d.bad("hook", set, "HookFunctionArn is set, but Stream asks %s and not %s: an old stack, or another service", to, ours)
		return
	}
	d.ok("hook", "Stream asks %s before it sends a message", to)
}

// hookTime compares how long Stream waits for an answer with how long our function waits for
// the team's.
func (d *doctor) hookTime() {
	ours, err := strconv.Atoi(d.stack.Parameters["HookTimeoutMs"])
	if err != nil {
		return
	}
	waits := 1500 // by default
	if n, ok := d.app["before_message_send_hook_attempt_timeout_ms"].(json.Number); ok {
		if ms, err := strconv.Atoi(n.String()); err == nil && ms > 0 {
			waits = ms
		}
	}
	if ours+hookOverhead > waits {
		d.warn("hook", "set before_message_send_hook_attempt_timeout_ms: "+strconv.Itoa(min(ours+hookOverhead, 5000))+" below app: in stream.yaml, then "+d.again("apply")+", or lower HookTimeoutMs",
			"Stream waits %d ms for an answer, and HookTimeoutMs is %d: it lets messages pass before your function has answered", waits, ours)
	}
}
