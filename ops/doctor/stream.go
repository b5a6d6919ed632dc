package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"chat-service-backend/ops/stack"
	"chat-service-backend/ops/streamfile"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Stream's error codes. https://getstream.io/chat/docs/api_errors_response/
const (
	codeAccessKey = 2
	codeAuth      = 5
	codeSignature = 43
)

func (d *doctor) streamApp(ctx context.Context) bool {
	var answer struct{ App document }
	header, err := d.service.Stream(ctx, http.MethodGet, "/app", nil, &answer)
	if err != nil {
		var r *stack.Refusal
		errors.As(err, &r)
		do := "see the log of the proxy function"
		switch {
		case r == nil:
		case r.Code == codeAccessKey:
			do = "Stream does not know the API key: copy it from the dashboard, then " + d.make("params")
		case r.Code == codeAuth || r.Code == codeSignature:
			do = "the API secret is not that of the API key: copy both from the same app, then " + d.make("params")
		case r.Status == http.StatusForbidden:
			do = "allow " + d.stack.Outputs["ServiceApiArn"] + "/GET/proxy/app to your role or user"
		case r.Status == http.StatusBadGateway || r.Status == http.StatusGatewayTimeout:
			do = "check StreamBaseUrl (" + d.stack.Parameters["StreamBaseUrl"] + ") and https://status.getstream.io"
		}
		d.bad("Stream", do, "cannot be called: %v", err)
		return false
	}
	d.app = answer.App
	d.ok("Stream", "accepts key and secret, of app %s", streamfile.Show(d.app["name"]))
	if d.app["suspended"] == true {
		d.bad("app", "ask Stream's support", "suspended: %s", streamfile.Show(d.app["suspended_explanation"]))
	}
	for field, what := range map[string]string{"disable_auth_checks": "anybody can connect as anybody", "disable_permissions_checks": "every user may do everything"} {
		if d.app[field] == true {
			d.bad("app", "set "+field+": false below app: in stream.yaml, then "+d.make("apply"), "%s is on: %s", field, what)
		}
	}
	if version := streamfile.Text(d.app["permission_version"]); version != "v2" {
		d.warn("app", "see Permissions v1 in docs/ops.md", "has permissions %s, which Stream calls legacy", cmp.Or(version, "of an unknown version"))
	} else {
		d.ok("app", "has permissions v2")
	}
	limit, _ := strconv.Atoi(header.Get("X-Ratelimit-Limit"))
	left, _ := strconv.Atoi(header.Get("X-Ratelimit-Remaining"))
	if limit > 0 && left*10 < limit {
		d.warn("rate limits", "find out who calls (docs/monitoring.md), or ask Stream for a higher limit", "%d of %d calls are left in this minute", left, limit)
	} else if limit > 0 {
		d.ok("rate limits", "%d of %d calls are left in this minute", left, limit)
	}
	return true
}

// patience is how long Stream may take to agree with itself after a change.
const patience = 10 * time.Second

// hooks examines where Stream sends events. What is bad may only be late: it looks again
// until Stream has had the time to agree.
func (d *doctor) hooks(ctx context.Context) {
	var found []finding
	for waited := time.Duration(0); ; waited += time.Second {
		found = d.judgeHooks()
		if !slices.ContainsFunc(found, func(f finding) bool { return f.Status == "bad" }) || waited >= patience {
			break
		}
		if waited == 0 {
			d.Progress("Waiting up to %s for Stream to agree with itself", patience)
		}
		var answer struct{ App document }
		if d.at.Wait(ctx, time.Second) != nil {
			break
		}
		if _, err := d.service.Stream(ctx, http.MethodGet, "/app", nil, &answer); err != nil || answer.App == nil {
			break
		}
		d.app = answer.App
	}
	for _, f := range found {
		d.find(f.Status, f.Check, f.Do, "%s", f.Found)
	}
}

func (d *doctor) judgeHooks() (found []finding) {
	find := func(status, do, format string, args ...any) {
		found = append(found, finding{"webhook", status, fmt.Sprintf(format, args...), do})
	}
	kind, target := "webhook", d.stack.Outputs["WebhookUrl"]
	if queue := d.stack.Parameters["StreamQueue"]; queue != "" && queue != "false" {
		kind, target = "sqs", d.stack.Outputs["StreamQueueUrl"]
	}
	if target == "" {
		find("skip", "", "its URL is unknown: set it with -output WebhookUrl=URL")
		return found
	}
	hooks := streamfile.Hooks(d.app)
	if len(hooks) == 0 && kind == "webhook" && d.app["use_hook_v2"] != true && streamfile.Text(d.app["webhook_url"]) != "" { // an app that Stream has not moved to event hooks
		hooks = []document{{"hook_type": kind, "webhook_url": d.app["webhook_url"], "enabled": true, "event_types": d.app["webhook_events"]}}
	}
	disabled, elsewhere := 0, 0
	var types []any
	var here []document // the hooks that send the chat's events to this stack
	for _, hook := range hooks {
		to := streamfile.Address(hook)
		ours := to != "" && (to == d.stack.Outputs["WebhookUrl"] || to == d.stack.Outputs["StreamQueueUrl"])
		switch product := streamfile.Product(hook); {
		case !ours || hook["hook_type"] == "pending_message" || product != "all" && product != "chat":
			elsewhere++
			continue
		case to != target:
			find("bad", "list it below absent: hooks: in stream.yaml, then "+d.make("apply")+" ARGS=-allow-delete", "Stream sends to %s as well as to %s: events arrive twice", to, target)
			continue
		case hook["enabled"] != true:
			disabled++
			continue
		}
		if slices.ContainsFunc(here, func(other document) bool { return streamfile.SendTheSame(hook, other) }) {
			find("bad", d.make("apply")+" ARGS=-allow-delete removes what stream.yaml does not have", "several hooks send the same events to %s: they arrive more than once", target)
		}
		here = append(here, hook)
		if types = append(types, streamfile.Events(hook)...); streamfile.Events(hook) == nil {
			types = append(types, "all events")
		}
	}
	d.newMessages = slices.Contains(types, any("all events")) || slices.Contains(types, any("message.new"))
	switch {
	case len(here) > 0:
		find("ok", "", "Stream sends %s to %s", strings.Trim(streamfile.Show(types), "[]"), target)
	case disabled > 0:
		find("bad", d.make("apply"), "the hook to %s is disabled", target)
	default:
		find("bad", d.make("apply"), "Stream does not send to %s (%d hooks send elsewhere)", target, elsewhere)
	}
	if d.app["use_hook_v2"] == false && len(streamfile.Hooks(d.app)) > 0 && streamfile.Text(d.app["webhook_url"]) != "" {
		find("warn", "ask Stream's support to move the app to event hooks (use_hook_v2)", "the app has event hooks and an old webhook_url, and use_hook_v2 is off: Stream may use the old one, %s", d.app["webhook_url"])
	}
	return found
}

// hookTime compares how long the function waits for the hook's answer with how long Stream
// waits for the function's.
func (d *doctor) hookTime() {
	const network = 300 // ms
	ours, err := strconv.Atoi(d.stack.Parameters["HookTimeoutMs"])
	if err != nil {
		return
	}
	stream, _ := strconv.Atoi(fmt.Sprint(d.app["before_message_send_hook_attempt_timeout_ms"]))
	if stream <= 0 {
		stream = 1500 // Stream's default
	}
	if ours+network > stream {
		d.warn("hook", fmt.Sprintf("set before_message_send_hook_attempt_timeout_ms: %d below app: in stream.yaml, then %s, or lower HookTimeoutMs", min(ours+network, 5000), d.make("apply")),
			"HookTimeoutMs is %d, and the network takes up to %d ms more, but Stream waits only %d ms for an answer before it sends a message", ours, network, stream)
	}
}

// fallbackQueue looks for events that the bus did not take.
func (d *doctor) fallbackQueue(ctx context.Context) {
	queue := d.stack.Outputs["FallbackQueueUrl"]
	if queue == "" {
		return
	}
	out, err := sqs.NewFromConfig(d.cfg).GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &queue, AttributeNames: []sqstypes.QueueAttributeName{"ApproximateNumberOfMessages"}})
	if err != nil {
		d.skip("fallback queue", "%v", stack.Reason(err))
	} else if n := out.Attributes["ApproximateNumberOfMessages"]; n != "0" {
		d.bad("fallback queue", d.make("redrive"), "%s events that the bus did not take are waiting", n)
	} else {
		d.ok("fallback queue", "empty")
	}
}
