package doctor

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

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
		d.warn("rate limits", "find out who calls (docs/operations.md), or ask Stream for a higher limit", "%d of %d calls are left in this minute", left, limit)
	} else if limit > 0 {
		d.ok("rate limits", "%d of %d calls are left in this minute", left, limit)
	}
	return true
}

// hooks examines where Stream sends events.
func (d *doctor) hooks() {
	kind, target := "webhook", d.stack.Outputs["WebhookUrl"]
	if queue := d.stack.Parameters["StreamQueue"]; queue != "" && queue != "false" {
		kind, target = "sqs", d.stack.Outputs["StreamQueueUrl"]
	}
	if target == "" {
		d.skip("webhook", "its URL is unknown: set it with -output WebhookUrl=URL")
		return
	}
	hooks := streamfile.Hooks(d.app)
	if hooks == nil && kind == "webhook" && streamfile.Text(d.app["webhook_url"]) != "" { // an app that Stream has not moved to event hooks
		hooks = []document{{"hook_type": kind, "webhook_url": d.app["webhook_url"], "enabled": true, "event_types": d.app["webhook_events"]}}
	}
	const all = "all events"
	disabled, elsewhere := 0, 0
	var seen []any // event types that are sent here
	for _, hook := range hooks {
		to, events := streamfile.Address(hook), streamfile.List(hook["event_types"])
		here := to != "" && (to == d.stack.Outputs["WebhookUrl"] || to == d.stack.Outputs["StreamQueueUrl"])
		switch {
		case !here || hook["hook_type"] == "pending_message":
			elsewhere++
			continue
		case to != target:
			d.bad("webhook", "list it below absent: hooks: in stream.yaml, then "+d.make("apply"), "Stream sends to %s as well as to %s: events arrive twice", to, target)
			continue
		case hook["enabled"] != true:
			disabled++
			continue
		case len(events) == 0:
			events = []any{all}
		}
		if len(seen) > 0 && (seen[0] == all || events[0] == all || len(streamfile.Without(events, seen)) < len(events)) {
			d.bad("webhook", "remove all but one in Stream's dashboard", "several hooks send the same events to %s: they arrive more than once", target)
		}
		seen = append(seen, events...)
	}
	switch {
	case len(seen) > 0:
		d.newMessages = seen[0] == all || slices.Contains(seen, any("message.new"))
		d.ok("webhook", "Stream sends %s to %s", strings.Trim(streamfile.Show(seen), "[]"), target)
	case disabled > 0:
		d.bad("webhook", d.make("apply"), "the hook to %s is disabled", target)
	default:
		d.bad("webhook", d.make("apply"), "Stream does not send to %s (%d hooks send elsewhere)", target, elsewhere)
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
