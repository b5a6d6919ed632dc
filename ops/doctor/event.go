package doctor

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"chat-service-backend/ops/rotate"
	"chat-service-backend/ops/stack"
	"chat-service-backend/ops/values"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	bustypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

// resendAfter is the time between two events. A new rule takes a while to match.
const resendAfter = 15 * time.Second

// event makes an event and waits for it on the bus, with a queue and a rule of its own.
// It always removes what it has made.
func (d *doctor) event(ctx context.Context) {
	bus := d.stack.Outputs["EventBusName"]
	if bus == "" {
		d.skip("event", "the stack has no bus: its parameter EventBus is %q", d.stack.Parameters["EventBus"])
		return
	}
	id := "chat-service-doctor-" + strings.ToLower(rand.Text()[:10])
	source, err := d.eventSource(ctx, id)
	if err != nil {
		d.skip("event", "Stream sends no message.new here, and no webhook can be signed: %v", err)
		return
	}
	name := arn.ARN{Partition: d.caller.Partition, Service: "sqs", Region: d.cfg.Region, AccountID: d.caller.AccountID, Resource: d.stack.Name + "-doctor-" + rand.Text()[:8]}
	l := &listener{sqs: sqs.NewFromConfig(d.cfg), events: eventbridge.NewFromConfig(d.cfg), arn: name, bus: bus}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
		defer cancel()
		if err := errors.Join(source.clean(ctx), l.close(ctx)); err != nil {
			d.warn("event", "remove it by hand", "something that the doctor made could not be removed: %v", err)
		}
	}()
	if err := l.open(ctx, id); err != nil {
		d.skip("event", "cannot listen on the bus, which takes the rights to make a queue and a rule: %v", stack.Reason(err))
		return
	}
	d.Progress("Waiting up to %s for %s to arrive on the bus", d.wait, source.what)
	began := time.Now()
	for next := began; time.Since(began) < d.wait && ctx.Err() == nil; {
		if !time.Now().Before(next) {
			next = next.Add(resendAfter)
			if err := source.send(ctx); err != nil {
				d.bad("event", "see the checks above", "%s: %v", source.what, err)
				return
			}
		}
		arrived, err := l.receive(ctx)
		if err != nil {
			d.bad("event", "run the doctor again", "listening on the bus: %v", stack.Reason(err))
			return
		}
		if arrived {
			d.ok("event", "%s arrived on the bus %s within %s", source.what, bus, time.Since(began).Round(time.Second))
			return
		}
	}
	if ctx.Err() == nil {
		d.bad("event", "see the log of the webhook function, the metric WebhooksRejected, and failed webhooks in Stream's dashboard",
			"%s did not arrive on the bus %s within %s", source.what, bus, d.wait)
	}
}

// An eventSource makes events with a certain channel id.
type eventSource struct {
	what        string
	send, clean func(context.Context) error
}

// eventSource returns a message in a channel of the doctor's own if Stream sends those to
// this stack, otherwise a webhook that the doctor signs.
func (d *doctor) eventSource(ctx context.Context, id string) (*eventSource, error) {
	if d.newMessages {
		return d.message(id), nil
	}
	name := d.stack.Prefix() + values.Secret
	have, err := values.Stored(ctx, ssm.NewFromConfig(d.cfg), true, name)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", name, err)
	}
	secret := aws.ToString(have[name].Value)
	if secret == "" {
		return nil, fmt.Errorf("%s is missing or empty", name)
	}
	body, err := json.Marshal(document{"type": "health.check", "channel_id": id})
	header := http.Header{"Content-Type": {"application/json"}, "X-Signature": {hex.EncodeToString(rotate.MAC(secret, string(body)))}, "X-Webhook-Id": {id}, "X-Webhook-Attempt": {"1"}}
	send := func(ctx context.Context) error {
		a, err := stack.Fetch(ctx, http.MethodPost, d.stack.Outputs["WebhookUrl"], header, body)
		if err != nil {
			return err
		}
		return a.Decode(nil)
	}
	return &eventSource{"a webhook from the doctor (Stream sends no message.new)", send, func(context.Context) error { return nil }}, err
}

func (d *doctor) message(id string) *eventSource {
	channel, made := "/channels/messaging/"+id, false
	send := func(ctx context.Context) (err error) {
		if !made {
			made = true // even after an error: Stream may have made it
			_, err = d.service.Stream(ctx, http.MethodPost, channel+"/query", document{"data": document{"created_by": document{"id": id}}}, nil)
		}
		if err == nil {
			_, err = d.service.Stream(ctx, http.MethodPost, channel+"/message", document{"message": document{"text": "from the doctor", "user_id": id}}, nil)
		}
		return err
	}
	clean := func(ctx context.Context) (err error) {
		if !made {
			return nil
		}
		// The user is not deleted for good: that may leave another, deleted-user-….
		for _, path := range []string{channel + "?hard_delete=true", "/users/" + id + "?mark_messages_deleted=true"} {
			_, failed := d.service.Stream(ctx, http.MethodDelete, path, nil, nil)
			var r *stack.Refusal
			if !errors.As(failed, &r) || r.Status != http.StatusNotFound {
				err = errors.Join(err, failed)
			}
		}
		return err
	}
	return &eventSource{"a message sent in Stream", send, clean}
}

// A listener is a queue, and a rule of the same name that puts events into it.
type listener struct {
	sqs    *sqs.Client
	events *eventbridge.Client
	arn    arn.ARN // of the queue
	bus    string

	rule  bool // may exist
	queue *string
}

const targetID = "doctor"

// open listens for events with this channel id.
func (l *listener) open(ctx context.Context, channelID string) error {
	pattern, err := json.Marshal(document{"source": []string{stack.EventSource}, "detail": document{"event": document{"channel_id": []string{channelID}}}})
	if err != nil {
		return err
	}
	l.rule = true
	rule, err := l.events.PutRule(ctx, &eventbridge.PutRuleInput{
		Name: &l.arn.Resource, EventBusName: &l.bus, EventPattern: aws.String(string(pattern)), Description: aws.String("Of make doctor, which removes it. Safe to remove."),
	})
	if err != nil {
		return err
	}
	policy, err := json.Marshal(document{"Version": "2012-10-17", "Statement": []document{{
		"Effect": "Allow", "Principal": document{"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": l.arn.String(),
		"Condition": document{"ArnEquals": document{"aws:SourceArn": rule.RuleArn}},
	}}})
	if err != nil {
		return err
	}
	queue, err := l.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &l.arn.Resource, Attributes: map[string]string{"Policy": string(policy), "MessageRetentionPeriod": "300"}})
	if err != nil {
		return err
	}
	l.queue = queue.QueueUrl
	out, err := l.events.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: &l.arn.Resource, EventBusName: &l.bus, Targets: []bustypes.Target{{Id: aws.String(targetID), Arn: aws.String(l.arn.String())}}})
	if err == nil && out.FailedEntryCount > 0 {
		err = errors.New("EventBridge does not take the queue as a target")
	}
	return err
}

// receive waits up to two seconds and reports whether an event has arrived.
func (l *listener) receive(ctx context.Context) (bool, error) {
	out, err := l.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: l.queue, WaitTimeSeconds: 2})
	if ctx.Err() != nil {
		return false, nil
	}
	return err == nil && len(out.Messages) > 0, err
}

func (l *listener) close(ctx context.Context) error {
	var errs []error
	note := func(what string, err error) {
		if err != nil && !errors.As(err, new(*bustypes.ResourceNotFoundException)) {
			errs = append(errs, fmt.Errorf("%s %s: %w", what, l.arn.Resource, stack.Reason(err)))
		}
	}
	if l.rule {
		_, err := l.events.RemoveTargets(ctx, &eventbridge.RemoveTargetsInput{Rule: &l.arn.Resource, EventBusName: &l.bus, Ids: []string{targetID}})
		note("rule", err)
		_, err = l.events.DeleteRule(ctx, &eventbridge.DeleteRuleInput{Name: &l.arn.Resource, EventBusName: &l.bus})
		note("rule", err)
	}
	if l.queue != nil {
		_, err := l.sqs.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: l.queue})
		note("queue", err)
	}
	return errors.Join(errs...)
}
