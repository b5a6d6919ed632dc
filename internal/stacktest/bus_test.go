package stacktest

import (
	"fmt"
	"strings"
	"testing"
)

func TestEventBusKeepsWhatItTakesAndWhatItDoesNot(t *testing.T) {
	t.Parallel()
	s := translate(t, "EventRetentionDays=9")
	archive := s.resource("AWS::Events::Archive", "ChatEventArchive")
	if got := fmt.Sprintf("%v %v %v", archive["SourceArn"], archive["RetentionDays"], dig(archive, "EventPattern", "source")); got != "ChatEventBus.Arn 9 [stream.chat]" {
		t.Errorf("want an archive of the bus for 9 days, got %s", got)
	}
	queue := s.resource("AWS::SQS::Queue", "FallbackQueue")
	if queue["MessageRetentionPeriod"] != "1209600" || queue["SqsManagedSseEnabled"] != "true" {
		t.Errorf("want events kept for SQS's longest, 14 days, and encrypted, got %v", queue)
	}
	bucket := s.resource("AWS::S3::Bucket", "LargeEventsBucket")
	for _, key := range []string{"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"} {
		if dig(bucket, "PublicAccessBlockConfiguration", key) != "true" {
			t.Errorf("want %s on the bucket", key)
		}
	}
	if dig(bucket, "BucketEncryption") == nil || dig(bucket, "LifecycleConfiguration") == nil {
		t.Errorf("want a bucket that encrypts and expires, got %v", bucket)
	}
	if got := s.resources("AWS::Lambda::EventSourceMapping"); len(got) != 0 {
		t.Errorf("want no queue for Stream unless asked for, got %q", sortedKeys(got))
	}
}

func TestEventBusCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	s := translate(t, "EventBus=false")
	for _, kind := range []string{"AWS::Events::EventBus", "AWS::Events::Archive", "AWS::SQS::Queue", "AWS::S3::Bucket", "AWS::S3::BucketPolicy"} {
		if got := s.resources(kind); len(got) != 0 {
			t.Errorf("%s: want none, got %q", kind, sortedKeys(got))
		}
	}
	for name, value := range dig(s.resource("AWS::Lambda::Function", "WebhookFunction"), "Environment", "Variables").(object) {
		if !strings.HasPrefix(name, "PARAMETER_") && value != "" {
			t.Errorf("%s: want nothing, got %v", name, value)
		}
	}
	for _, g := range roleGrants(t, "WebhookRole", s.resource("AWS::IAM::Role", "WebhookRole")) {
		if service, _, _ := strings.Cut(g.action, ":"); service != "logs" && service != "ssm" {
			t.Errorf("want no right to what is not there, got %s", g)
		}
	}
}

func TestStreamAloneMayWriteIntoItsQueue(t *testing.T) {
	t.Parallel()
	s := translate(t, "StreamQueue=true")
	statements := dig(s.resource("AWS::SQS::QueuePolicy", "StreamEventsQueuePolicy"), "PolicyDocument", "Statement").(list)
	if len(statements) != 1 {
		t.Fatalf("want one statement, got %v", statements)
	}
	got := fmt.Sprintf("%v %v %v", dig(statements[0], "Effect"), texts(dig(statements[0], "Principal", "AWS")), texts(dig(statements[0], "Action")))
	if got != "Allow [arn:aws:iam::185583345998:root] [sqs:SendMessage]" {
		t.Errorf("want Stream's account and sqs:SendMessage, got %s", got)
	}
	mapping := s.resource("AWS::Lambda::EventSourceMapping", "StreamEventsMapping")
	if got := fmt.Sprint(mapping["FunctionResponseTypes"]); got != "[ReportBatchItemFailures]" {
		t.Errorf("want one failure to bring one message again, got %s", got)
	}
	grants := roleGrants(t, "WebhookRole", s.resource("AWS::IAM::Role", "WebhookRole"))
	for _, action := range []string{"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"} {
		if !allowed(grants, action, "StreamEventsQueue.Arn") || allowed(grants, action, "FallbackQueue.Arn") {
			t.Errorf("want %s on Stream's queue and no other", action)
		}
	}
	if queue := s.resource("AWS::SQS::Queue", "StreamEventsQueue"); dig(queue, "RedrivePolicy", "deadLetterTargetArn") != "StreamDeadLetterQueue.Arn" {
		t.Errorf("want a dead-letter queue, got %v", queue["RedrivePolicy"])
	}
	if s.resources("AWS::CloudWatch::Alarm")["StreamDeadLetterAlarm"] == nil {
		t.Error("want an alarm on the dead-letter queue")
	}
}
