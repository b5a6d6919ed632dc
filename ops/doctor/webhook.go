package doctor

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"chat-service-backend/ops/streamfile"
)

// askAgain is the time between two looks at an app that may not agree with itself yet.
const askAgain = 2 * time.Second

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
		wrong := slices.ContainsFunc(d.findings[len(found):], func(f finding) bool { return f.Status == "bad" || f.Status == "warn" })
		if !wrong || waited >= streamfile.Patience || d.at.Wait(ctx, askAgain) != nil {
			said()
			return
		}
		if waited == 0 {
			d.Progress("Waiting up to %s for Stream to agree with itself", streamfile.Patience)
		}
		_, _ = d.readApp(ctx) // if it fails, the next may not
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
	} else if d.app["use_hook_v2"] == false && len(hooks) > 0 {
		d.warn("webhook", "ask Stream's support to move the app to event hooks", "the app has event hooks, and use_hook_v2 is off: Stream may use only the old webhook_url, which is %q", streamfile.Text(d.app["webhook_url"]))
	}
	guessable := streamfile.PlainWebhookURL(d.stack.Outputs)
	disabled, elsewhere, products, before := 0, 0, []string{}, []string{}
	old := func(address string) bool {
		was := address != target && address != guessable && streamfile.Ours(address, d.stack.Outputs)
		if was {
			before = append(before, address)
		}
		return was
	}
	var seen []document // hooks that send here
	for _, hook := range hooks {
		to, product := streamfile.Address(hook), streamfile.Product(hook)
		plain := kind == "webhook" && to == guessable && to != target
		here := to != "" && (to == d.stack.Outputs["WebhookUrl"] || to == d.stack.Outputs["StreamQueueUrl"] || plain)
		switch {
		case !here || hook["hook_type"] == "pending_message":
			if !old(to) {
				elsewhere++
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
	for _, field := range []string{"before_message_send_hook_url", "custom_action_handler_url", "moderation_webhook_url"} {
		old(streamfile.Text(d.app[field]))
	}
	slices.Sort(before)
	for _, address := range slices.Compact(before) {
		d.bad("webhook", "correct it in stream.yaml, then "+d.again("apply"), "Stream calls %s, an address that this stack no longer has, and not %s", address, target)
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
	case len(before) > 0: // said already
	case d.at.Local(): // its app has only the hooks that somebody has made
		d.warn("webhook", d.again("apply"), "Stream does not send to %s (%d hooks send elsewhere)", target, elsewhere)
	default:
		d.bad("webhook", d.again("apply"), "Stream does not send to %s (%d hooks send elsewhere)", target, elsewhere)
	}
}

// hookOverhead is how much longer Stream has to wait than our function waits for the team's,
// in milliseconds.
const hookOverhead = 300

// hookURL examines whom Stream asks before it sends a message.
func (d *doctor) hookURL() {
	ours, to := d.stack.Outputs["WebhookUrl"], streamfile.Text(d.app["before_message_send_hook_url"])
	plain := streamfile.PlainWebhookURL(d.stack.Outputs)
	set := "set before_message_send_hook_url: ${WebhookUrl} below app: in stream.yaml, then " + d.again("apply")
	switch function := d.stack.Parameters["HookFunctionArn"]; {
	case function == "" && to != "" && (to == ours || to == plain):
		d.warn("hook", "set HookFunctionArn, or set before_message_send_hook_url: '' in stream.yaml, then "+d.again("apply"), "Stream asks %s before each message, and there is no HookFunctionArn to answer", to)
		return
	case function == "":
		return
	case to == "":
		d.bad("hook", set, "HookFunctionArn is set, but Stream asks nobody before it sends a message: before_message_send_hook_url is not set")
		return
	case to != ours && to != plain:
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
