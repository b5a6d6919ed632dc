package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	bustypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

// circlePause is between two events: a new rule takes a while to be in force.
const circlePause = 15 * time.Second

// circle has Stream make an event and waits for it on the bus. A queue and a rule
// of its own listen there; whatever happens, they are gone afterwards.
func (d *doctor) circle(ctx context.Context) {
	bus := d.stack.outputs["EventBusName"]
	if bus == "" {
		d.skip("event", "the stack has no bus (EventBus is %q)", d.stack.parameters["EventBus"])
		return
	}
	send, clear, how, err := d.eventSource(ctx)
	if err != nil {
		d.skip("event", "cannot be made: %v", err)
		return
	}
	c := &listener{sqs: sqs.NewFromConfig(d.cfg), bus: eventbridge.NewFromConfig(d.cfg), name: d.stack.name + "-doctor-" + rand.Text()[:8], busName: bus}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
		defer cancel()
		if err := errors.Join(clear(ctx), c.close(ctx)); err != nil {
			d.warn("event", "remove it by hand", "something of the doctor's is left behind: %v", err)
		}
	}()
	if err := c.open(ctx, d.account, d.cfg.Region, d.marker()); err != nil {
		d.skip("event", "cannot listen on the bus: %v (it takes the rights to make a queue and a rule)", err)
		return
	}
	d.progress("Waiting for an event to come from %s to the bus, %s at most", how, d.wait)
	began := time.Now()
	for next := began; time.Since(began) < d.wait && ctx.Err() == nil; {
		if !time.Now().Before(next) {
			next = next.Add(circlePause)
			if err := send(ctx); err != nil {
				d.bad("event", "see above", "%s: %v", how, err)
				return
			}
		}
		got, err := c.receive(ctx)
		if err != nil {
			d.bad("event", "run the doctor again", "listening on the bus: %v", reason(err))
			return
		}
		if got {
			d.ok("event", "%s came to the bus %s within %s", how, bus, time.Since(began).Round(time.Second))
			return
		}
	}
	if ctx.Err() == nil {
		d.bad("event", "see the log of the webhook function, the metric WebhooksRejected, and Stream's dashboard for failed webhooks", "%s did not come to the bus %s within %s", how, bus, d.wait)
	}
}

// marker names what the doctor makes at Stream. It is found in the event.
func (d *doctor) marker() string {
	if d.id == "" {
		d.id = "chat-service-doctor-" + strings.ToLower(rand.Text()[:10])
	}
	return d.id
}

// eventSource returns how an event is made: a message in a channel of the
// doctor's own at Stream, if that is sent here, else a webhook that is signed
// here. clear removes what was made.
func (d *doctor) eventSource(ctx context.Context) (send, clear func(context.Context) error, how string, err error) {
	id := d.marker()
	if d.eventType {
		channel := "/channels/messaging/" + id
		made := false
		send = func(ctx context.Context) error {
			var err error
			if !made {
				_, err = d.service.stream(ctx, http.MethodPost, channel+"/query", document{"data": document{"created_by": document{"id": id}}}, nil)
				made = true // or perhaps
			}
			if err == nil {
				_, err = d.service.stream(ctx, http.MethodPost, channel+"/message", document{"message": document{"text": "from the doctor", "user_id": id}}, nil)
			}
			return err
		}
		clear = func(ctx context.Context) error {
			if !made {
				return nil
			}
			return errors.Join(d.remove(ctx, channel+"?hard_delete=true"), d.remove(ctx, "/users/"+id+"?hard_delete=true&mark_messages_deleted=true"))
		}
		return send, clear, "a message sent in Stream", nil
	}
	name := d.stack.prefix() + apiSecret
	have, err := stored(ctx, ssm.NewFromConfig(d.cfg), true, name)
	if err != nil {
		return nil, nil, "", fmt.Errorf("no message comes from Stream, and the secret to sign one here cannot be read: %w", err)
	}
	secret := aws.ToString(have[name].Value)
	if secret == "" {
		return nil, nil, "", fmt.Errorf("no message comes from Stream, and %s is missing or empty", name)
	}
	body, err := json.Marshal(document{"type": "health.check", "channel_id": id})
	send = func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.stack.outputs["WebhookUrl"], bytes.NewReader(body))
		if err != nil {
			return err
		}
		r.Header = http.Header{"Content-Type": {"application/json"}, "X-Signature": {hex.EncodeToString(mac(secret, string(body)))}, "X-Webhook-Id": {id}, "X-Webhook-Attempt": {"1"}}
		a, err := receive(d.client, r)
		if err == nil {
			err = a.refusal()
		}
		return err
	}
	return send, func(context.Context) error { return nil }, "a webhook signed here (Stream sends no message.new)", err
}

// remove deletes something at Stream. It may not be there.
func (d *doctor) remove(ctx context.Context, path string) error {
	_, err := d.service.stream(ctx, http.MethodDelete, path, nil, nil)
	var r *refusal
	if errors.As(err, &r) && r.status == http.StatusNotFound {
		return nil
	}
	return err
}

// A listener is a queue, and a rule that brings it events from the bus.
type listener struct {
	sqs           *sqs.Client
	bus           *eventbridge.Client
	name, busName string
	queue         *string
	rule          bool
}

func (l *listener) open(ctx context.Context, account, region, marker string) error {
	partition := "aws"
	if strings.HasPrefix(region, "cn-") {
		partition = "aws-cn"
	} else if strings.HasPrefix(region, "us-gov-") {
		partition = "aws-us-gov"
	}
	queueARN := fmt.Sprintf("arn:%s:sqs:%s:%s:%s", partition, region, account, l.name)
	ruleARN := fmt.Sprintf("arn:%s:events:%s:%s:rule/%s/%s", partition, region, account, l.busName, l.name)
	policy, err := json.Marshal(document{"Version": "2012-10-17", "Statement": []document{{
		"Effect": "Allow", "Principal": document{"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": queueARN,
		"Condition": document{"ArnEquals": document{"aws:SourceArn": ruleARN}},
	}}})
	if err != nil {
		return err
	}
	queue, err := l.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &l.name, Attributes: map[string]string{"Policy": string(policy), "MessageRetentionPeriod": "300"}})
	if err != nil {
		return reason(err)
	}
	l.queue = queue.QueueUrl
	pattern, err := json.Marshal(document{"source": []string{source}, "detail": document{"event": document{"channel_id": []string{marker}}}})
	if err != nil {
		return err
	}
	l.rule = true // or perhaps
	if _, err := l.bus.PutRule(ctx, &eventbridge.PutRuleInput{Name: &l.name, EventBusName: &l.busName, EventPattern: aws.String(string(pattern)), Description: aws.String("The doctor listens for its own event. Safe to remove.")}); err != nil {
		return reason(err)
	}
	out, err := l.bus.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: &l.name, EventBusName: &l.busName, Targets: []bustypes.Target{{Id: aws.String("doctor"), Arn: &queueARN}}})
	if err == nil && out.FailedEntryCount > 0 {
		err = errors.New("EventBridge does not take the queue as a target")
	}
	return reason(err)
}

// receive reports whether an event has come, after two seconds at most.
func (l *listener) receive(ctx context.Context) (bool, error) {
	out, err := l.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: l.queue, WaitTimeSeconds: 2})
	if err != nil && ctx.Err() == nil {
		return false, err
	}
	return err == nil && len(out.Messages) > 0, nil
}

func (l *listener) close(ctx context.Context) error {
	var errs []error
	if l.rule {
		_, err := l.bus.RemoveTargets(ctx, &eventbridge.RemoveTargetsInput{Rule: &l.name, EventBusName: &l.busName, Ids: []string{"doctor"}})
		if err != nil && !hasCode(err, "ResourceNotFound") {
			errs = append(errs, fmt.Errorf("rule %s: %w", l.name, reason(err)))
		}
		if _, err := l.bus.DeleteRule(ctx, &eventbridge.DeleteRuleInput{Name: &l.name, EventBusName: &l.busName}); err != nil && !hasCode(err, "ResourceNotFound") {
			errs = append(errs, fmt.Errorf("rule %s: %w", l.name, reason(err)))
		}
	}
	if l.queue != nil {
		if _, err := l.sqs.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: l.queue}); err != nil {
			errs = append(errs, fmt.Errorf("queue %s: %w", l.name, reason(err)))
		}
	}
	return errors.Join(errs...)
}
