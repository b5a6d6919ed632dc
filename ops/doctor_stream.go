package main

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

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
	header, err := d.service.stream(ctx, http.MethodGet, "/app", nil, &answer)
	if err != nil {
		var r *refusal
		errors.As(err, &r)
		do := "see the log of the proxy function"
		switch {
		case r == nil:
		case r.code == codeAccessKey:
			do = "Stream does not know the API key: copy it from the dashboard, then " + d.make("params")
		case r.code == codeAuth || r.code == codeSignature:
			do = "the API secret is not that of the API key: copy both from the same app, then " + d.make("params")
		case r.status == http.StatusForbidden:
			do = "allow " + d.stack.outputs["ServiceApiArn"] + "/GET/proxy/app to whoever runs this"
		case r.status == http.StatusBadGateway || r.status == http.StatusGatewayTimeout:
			do = "check StreamBaseUrl (" + d.stack.parameters["StreamBaseUrl"] + ") and https://status.getstream.io"
		}
		d.bad("Stream", do, "does not take the credentials: %v", err)
		return false
	}
	d.app = answer.App
	d.ok("Stream", "takes key and secret, of app %s", compact(d.app["name"]))
	if d.app["suspended"] == true {
		d.bad("app", "ask Stream's support", "is suspended: %s", compact(d.app["suspended_explanation"]))
	}
	for field, what := range map[string]string{"disable_auth_checks": "anybody can connect as anybody", "disable_permissions_checks": "every user may do everything"} {
		if d.app[field] == true {
			d.bad("app", "set "+field+": false below app: in stream.yaml, then "+d.make("apply"), "%s is on: %s", field, what)
		}
	}
	if version := text(d.app["permission_version"]); version != "v2" {
		d.warn("app", "see docs/ops.md on permissions", "has permissions %s, which Stream calls legacy", cmp.Or(version, "of an unknown version"))
	} else {
		d.ok("app", "has permissions v2")
	}
	limit, _ := strconv.Atoi(header.Get("X-Ratelimit-Limit"))
	left, _ := strconv.Atoi(header.Get("X-Ratelimit-Remaining"))
	if limit > 0 && left*10 < limit {
		d.warn("rate limits", "find out who calls (docs/operations.md), or ask Stream for more", "%d of %d calls are left in this minute", left, limit)
	} else if limit > 0 {
		d.ok("rate limits", "%d of %d calls are left in this minute", left, limit)
	}
	return true
}

// hooks examines where Stream sends events.
func (d *doctor) hooks() {
	kind, target := "webhook", d.stack.outputs["WebhookUrl"]
	if queue := d.stack.parameters["StreamQueue"]; queue != "" && queue != "false" {
		kind, target = "sqs", d.stack.outputs["StreamQueueUrl"]
	}
	if target == "" {
		d.skip("webhook", "-output WebhookUrl=URL says what Stream should call")
		return
	}
	hooks := hooksOf(d.app)
	if hooks == nil && kind == "webhook" && d.app["webhook_url"] != "" { // an app that Stream has not moved to event hooks
		hooks = []document{{"hook_type": kind, "webhook_url": d.app["webhook_url"], "enabled": true, "event_types": d.app["webhook_events"]}}
	}
	disabled, elsewhere := 0, 0
	var seen []any // event types, of all hooks to this stack
	for _, hook := range hooks {
		events := listed(hook["event_types"])
		switch to := address(hook); {
		case to != target && (to == "" || to != d.stack.outputs["WebhookUrl"] && to != d.stack.outputs["StreamQueueUrl"]),
			hook["hook_type"] == "pending_message":
			elsewhere++
			continue
		case to != target:
			d.bad("webhook", "take it out (absent: hooks: in stream.yaml), then "+d.make("apply"), "%s sends here as well as %s: events come twice", to, target)
			continue
		case hook["enabled"] != true:
			disabled++
			continue
		case len(events) == 0:
			events = []any{"all events"}
		}
		if len(seen) > 0 && (seen[0] == "all events" || events[0] == "all events" || len(without(events, seen)) < len(events)) {
			d.bad("webhook", "remove all but one in Stream's dashboard", "several hooks send the same events to %s: they come more than once", target)
		}
		seen = append(seen, events...)
	}
	switch {
	case len(seen) > 0:
		d.eventType = seen[0] == "all events" || slices.Contains(seen, any("message.new"))
		d.ok("webhook", "Stream sends %s to %s", strings.Trim(compact(seen), "[]"), target)
	case disabled > 0:
		d.bad("webhook", d.make("apply"), "the hook to %s is disabled", target)
	default:
		d.bad("webhook", d.make("apply"), "Stream does not send to %s (%d hooks send elsewhere)", target, elsewhere)
	}
}

// waiting looks for events that the bus did not take.
func (d *doctor) waiting(ctx context.Context) {
	queue := d.stack.outputs["FallbackQueueUrl"]
	if queue == "" {
		return
	}
	out, err := sqs.NewFromConfig(d.cfg).GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &queue, AttributeNames: []sqstypes.QueueAttributeName{"ApproximateNumberOfMessages"}})
	if err != nil {
		d.skip("fallback queue", "%v", reason(err))
	} else if n := out.Attributes["ApproximateNumberOfMessages"]; n != "0" {
		d.bad("fallback queue", d.make("redrive"), "%s events wait that the bus did not take", n)
	} else {
		d.ok("fallback queue", "empty")
	}
}
