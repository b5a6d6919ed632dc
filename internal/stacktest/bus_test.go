package stacktest

import (
	"fmt"
	"strings"
	"testing"
)

// denials returns the Deny statements of a policy, as "action condition".
func denials(t *testing.T, statements any) (found []string) {
	t.Helper()
	all, ok := statements.(list)
	if !ok {
		all = list{statements}
	}
	for _, statement := range all {
		if dig(statement, "Effect") != "Deny" {
			continue
		}
		if dig(statement, "Principal") != "*" {
			t.Errorf("want a Deny for everybody, got %v", statement)
		}
		found = append(found, fmt.Sprint(dig(statement, "Action"), " ", dig(statement, "Condition")))
	}
	return found
}

func TestQueuesBusAndBucketDenyWhatTheyMust(t *testing.T) {
	t.Parallel()
	const tls = " map[Bool:map[aws:SecureTransport:false]]"
	s, shared := translate(t, full...), translate(t, private...)
	same(t, "bus", denials(t, s.get("ChatEventBusPolicy", "Statement")), []string{"events:PutEvents" + tls})
	for _, test := range []struct {
		s    stack
		id   string
		want []string
	}{
		{s, "LargeEventsBucketPolicy", []string{"s3:*" + tls}},
		{s, "FallbackQueuePolicy", []string{"sqs:*" + tls, "sqs:SendMessage map[ArnNotEquals:map[aws:PrincipalArn:WebhookRole.Arn]]"}},
		{s, "StreamDeadLetterQueuePolicy", []string{"sqs:*" + tls}},
		{s, "StreamEventsQueuePolicy", []string{"sqs:*" + tls, "sqs:SendMessage map[ArnNotEquals:map[aws:PrincipalArn:StreamQueueUser.Arn]]"}},
		{shared, "StreamEventsQueuePolicy", []string{"sqs:*" + tls, "sqs:SendMessage map[StringNotEquals:map[aws:PrincipalAccount:185583345998]]"}},
	} {
		same(t, test.id, denials(t, test.s.get(test.id, "PolicyDocument", "Statement")), test.want)
	}
	queues, policies := s.all("AWS::SQS::Queue"), s.all("AWS::SQS::QueuePolicy")
	if len(queues) != 3 || len(policies) != len(queues) {
		t.Errorf("want a policy for each queue, got %q for %q", sortedKeys(policies), sortedKeys(queues))
	}
	for id, queue := range queues {
		if queue["SqsManagedSseEnabled"] != "true" || queue["MessageRetentionPeriod"] != "1209600" {
			t.Errorf("%s: want encryption, and messages kept for the longest that SQS allows, 14 days, got %v", id, queue)
		}
	}
	for _, key := range []string{"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"} {
		if s.get("LargeEventsBucket", "PublicAccessBlockConfiguration", key) != "true" {
			t.Errorf("want %s on the bucket", key)
		}
	}
	if s.get("LargeEventsBucket", "BucketEncryption") == nil {
		t.Error("want an encrypted bucket")
	}
}

// Stream has one AWS account for all its customers, so that account does not prove
// whose event a message is. A key that only our app's settings hold does.
func TestStreamWritesIntoItsQueueWithAKeyUnlessItsAccountIsAllowed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ overrides, users, accounts []string }{
		{full, []string{"sqs:SendMessage StreamEventsQueue.Arn"}, nil},
		{private, nil, []string{"arn:aws:iam::185583345998:root"}},
	} {
		s := translate(t, test.overrides...)
		var users, accounts []string
		for _, user := range s.all("AWS::IAM::User") {
			users = append(users, inlineGrants(t, user)...)
		}
		for _, statement := range s.get("StreamEventsQueuePolicy", "PolicyDocument", "Statement").(list) {
			if dig(statement, "Effect") == "Allow" {
				accounts = append(accounts, texts(dig(statement, "Principal", "AWS"))...)
			}
		}
		same(t, "rights of users", users, test.users)
		same(t, "accounts that may write into the queue", accounts, test.accounts)
		if keys := s.all("AWS::IAM::AccessKey"); len(keys) != 0 {
			t.Errorf("want no key whose secret the stack would hold, got %q", sortedKeys(keys))
		}
	}
	description := fmt.Sprint(dig(source(t), "Parameters", "StreamQueue", "Description"))
	if !strings.Contains(description, "one account for all its customers") {
		t.Errorf("want the risk of shared-account in its description, got %s", description)
	}
}
