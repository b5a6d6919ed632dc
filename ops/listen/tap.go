// Package listen shows a deployment's events as they happen.
package listen

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	bustypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"chat-service-backend/ops/stack"
)

// A Tap is a queue, which keeps the order of what it gets, and a rule that puts events of
// a bus into it.
type Tap struct {
	sqs    *sqs.Client
	events *eventbridge.Client
	bus    string
	rule   string
	queue  arn.ARN

	pattern string
	made    bool // the rule may exist
	url     *string
}

const targetID = "tap"

// NewTap returns a tap that makes nothing yet. Its rule and queue have a name of their own
// that begins with the stack's and purpose.
func NewTap(cfg aws.Config, caller arn.ARN, s *stack.Stack, purpose string) *Tap {
	rule := s.Name + "-" + purpose + "-" + rand.Text()[:8]
	queue := arn.ARN{Partition: caller.Partition, Service: "sqs", Region: cfg.Region, AccountID: caller.AccountID, Resource: rule + ".fifo"}
	return &Tap{sqs: sqs.NewFromConfig(cfg), events: eventbridge.NewFromConfig(cfg), bus: s.Outputs["EventBusName"], rule: rule, queue: queue}
}

// Open lets events that match a pattern in. [Tap.Close] is needed even after an error.
func (t *Tap) Open(ctx context.Context, pattern any) error {
	_, err := t.open(ctx, pattern)
	return err
}

// open is Open, and returns the rule's ARN.
func (t *Tap) open(ctx context.Context, pattern any) (arn string, err error) {
	text, err := json.Marshal(pattern)
	if err != nil {
		return "", err
	}
	t.made, t.pattern = true, string(text)
	rule, err := t.putRule(ctx)
	if err != nil {
		return "", err
	}
	type document = map[string]any
	policy, err := json.Marshal(document{"Version": "2012-10-17", "Statement": []document{{
		"Effect": "Allow", "Principal": document{"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": t.queue.String(),
		"Condition": document{"ArnEquals": document{"aws:SourceArn": rule.RuleArn}},
	}}})
	if err != nil {
		return "", err
	}
	queue, err := t.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &t.queue.Resource, Attributes: map[string]string{
		"Policy": string(policy), "MessageRetentionPeriod": "3600", "FifoQueue": "true", "ContentBasedDeduplication": "true", "SqsManagedSseEnabled": "true",
	}})
	if err != nil {
		return "", err
	}
	t.url = queue.QueueUrl
	out, err := t.events.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: &t.rule, EventBusName: &t.bus, Targets: []bustypes.Target{{
		Id: aws.String(targetID), Arn: aws.String(t.queue.String()), SqsParameters: &bustypes.SqsParameters{MessageGroupId: aws.String("events")},
	}}})
	if err == nil && out.FailedEntryCount > 0 {
		err = errors.New("EventBridge does not take the queue as a target")
	}
	return aws.ToString(rule.RuleArn), err
}

// until begins the time in a rule's description after which nobody needs it.
const until = "Of the operator's tool, which removes it. Safe to remove after "

// putRule makes the rule, or says that it is needed longer.
func (t *Tap) putRule(ctx context.Context) (*eventbridge.PutRuleOutput, error) {
	return t.events.PutRule(ctx, &eventbridge.PutRuleInput{
		Name: &t.rule, EventBusName: &t.bus, EventPattern: &t.pattern, Description: aws.String(until + time.Now().Add(lease).UTC().Format(time.RFC3339)),
	})
}

// sweep removes what listeners have left that could not do it themselves.
func sweep(ctx context.Context, cfg aws.Config, caller arn.ARN, s *stack.Stack) error {
	t := NewTap(cfg, caller, s, "listen")
	rules, err := t.events.ListRules(ctx, &eventbridge.ListRulesInput{EventBusName: &t.bus, NamePrefix: aws.String(s.Name + "-listen-")})
	if err != nil {
		return err
	}
	for _, rule := range rules.Rules {
		end, err := time.Parse(time.RFC3339, strings.TrimPrefix(aws.ToString(rule.Description), until))
		if err != nil || time.Now().Before(end) {
			continue
		}
		left := &Tap{sqs: t.sqs, events: t.events, bus: t.bus, rule: aws.ToString(rule.Name), made: true}
		if queue, err := t.sqs.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(left.rule + ".fifo")}); err == nil {
			left.url = queue.QueueUrl
		}
		if err := left.Close(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Receive waits for events, for a time in whole seconds, and removes them from the queue.
// They are as a rule's target gets them.
func (t *Tap) Receive(ctx context.Context, wait time.Duration) (events []string, err error) {
	out, err := t.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: t.url, MaxNumberOfMessages: 10, WaitTimeSeconds: int32(wait / time.Second)})
	if err != nil || len(out.Messages) == 0 {
		return nil, err
	}
	var done []types.DeleteMessageBatchRequestEntry
	for i, m := range out.Messages {
		events = append(events, aws.ToString(m.Body))
		done = append(done, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle})
	}
	_, err = t.sqs.DeleteMessageBatch(context.WithoutCancel(ctx), &sqs.DeleteMessageBatchInput{QueueUrl: t.url, Entries: done})
	return events, err
}

// Close removes what Open has made. It can be repeated after an error.
func (t *Tap) Close(ctx context.Context) error {
	var errs []error
	note := func(what string, err error) bool {
		if err != nil && !stack.Missing(err) {
			errs = append(errs, fmt.Errorf("%s %s: %w", what, t.rule, stack.Reason(err)))
			return false
		}
		return true
	}
	if t.made {
		_, err := t.events.RemoveTargets(ctx, &eventbridge.RemoveTargetsInput{Rule: &t.rule, EventBusName: &t.bus, Ids: []string{targetID}})
		gone := note("rule", err)
		_, err = t.events.DeleteRule(ctx, &eventbridge.DeleteRuleInput{Name: &t.rule, EventBusName: &t.bus})
		t.made = !(note("rule", err) && gone)
	}
	if t.url != nil {
		if _, err := t.sqs.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: t.url}); note("queue", err) {
			t.url = nil
		}
	}
	return errors.Join(errs...)
}
