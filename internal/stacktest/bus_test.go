package stacktest

import (
	"fmt"
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
	s := translate(t, full...)
	same(t, "bus", denials(t, s.get("ChatEventBusPolicy", "Statement")), []string{"events:PutEvents" + tls})
	for _, test := range []struct {
		id   string
		want []string
	}{
		{"LargeEventsBucketPolicy", []string{"s3:*" + tls}},
		{"FallbackQueuePolicy", []string{"sqs:*" + tls, "sqs:SendMessage map[ArnNotEquals:map[aws:PrincipalArn:WebhookRole.Arn]]"}},
		{"StreamDeadLetterQueuePolicy", []string{"sqs:*" + tls}},
		{"StreamEventsQueuePolicy", []string{"sqs:*" + tls, "sqs:SendMessage map[ArnNotEquals:map[aws:PrincipalArn:StreamQueueUser.Arn]]"}},
	} {
		same(t, test.id, denials(t, s.get(test.id, "PolicyDocument", "Statement")), test.want)
	}
	queues, policies := s.all("AWS::SQS::Queue"), s.all("AWS::SQS::QueuePolicy")
	if len(queues) != 3 || len(policies) != len(queues) {
		t.Errorf("want a policy for each queue, got %q for %q", sortedKeys(policies), sortedKeys(queues))
	}
	for id, queue := range queues {
		if queue["KmsMasterKeyId"] != kmsARN || dig(translate(t).get(id), "SqsManagedSseEnabled") != "true" && id == "FallbackQueue" || queue["MessageRetentionPeriod"] != "1209600" {
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
func TestStreamWritesIntoItsQueueWithAKeyOnly(t *testing.T) {
	t.Parallel()
	s := translate(t, full...)
	var users []string
	for _, user := range s.all("AWS::IAM::User") {
		users = append(users, inlineGrants(t, user)...)
	}
	const viaSQS = ` {"StringEquals":{"kms:ViaService":"sqs.eu-central-1.amazonaws.com"}}`
	same(t, "rights of users", users, []string{"sqs:SendMessage StreamEventsQueue.Arn", "sqs:GetQueueUrl StreamEventsQueue.Arn", "sqs:GetQueueAttributes StreamEventsQueue.Arn", "kms:GenerateDataKey " + kmsARN + viaSQS, "kms:Decrypt " + kmsARN + viaSQS})
	for _, statement := range s.get("StreamEventsQueuePolicy", "PolicyDocument", "Statement").(list) {
		if dig(statement, "Effect") == "Allow" {
			t.Errorf("want no account that may write into the queue, got %v", statement)
		}
	}
	if keys := s.all("AWS::IAM::AccessKey"); len(keys) != 0 {
		t.Errorf("want no key whose secret the stack would hold, got %q", sortedKeys(keys))
	}
}
