package stacktest

import (
	"fmt"
	"slices"
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
		if !strings.HasPrefix(name, "PARAMETER_") && !strings.HasPrefix(name, "HOOK_") && value != "" {
			t.Errorf("%s: want nothing, got %v", name, value)
		}
	}
	for _, g := range roleGrants(t, "WebhookRole", s.resource("AWS::IAM::Role", "WebhookRole")) {
		if service, _, _ := strings.Cut(g.action, ":"); service != "logs" && service != "ssm" {
			t.Errorf("want no right to what is not there, got %s", g)
		}
	}
}

func TestHookFunctionAloneMayBeInvokedAndIsWatched(t *testing.T) {
	t.Parallel()
	s := translate(t, "HookFunctionArn="+hookARN)
	var invoked []string
	for id, role := range s.resources("AWS::IAM::Role") {
		if id == "CodeDeployServiceRole" {
			continue
		}
		for _, g := range roleGrants(t, id, role) {
			if strings.HasPrefix(g.action, "lambda:") {
				invoked = append(invoked, id+" "+g.String())
			}
		}
	}
	same(t, "rights", invoked, []string{"WebhookRole lambda:InvokeFunction " + hookARN})
	same(t, "alarm", watches(t, "HookAlarm", s.resources("AWS::CloudWatch::Alarm")["HookAlarm"]), []string{"Sum ChatServiceBackend HooksFailed FunctionName=WebhookFunction"})
}

// denials are the Deny statements of a policy, as "action condition key value".
func denials(t *testing.T, statements any) []string {
	t.Helper()
	var found []string
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
		for operator, keys := range dig(statement, "Condition").(object) {
			for key, value := range keys.(object) {
				found = append(found, fmt.Sprint(strings.Join(texts(dig(statement, "Action")), " "), " ", operator, " ", key, " ", value))
			}
		}
	}
	slices.Sort(found)
	return found
}

func TestQueuesBusAndBucketDenyWhatTheyMust(t *testing.T) {
	t.Parallel()
	const tls = " Bool aws:SecureTransport false"
	s, shared := translate(t, "StreamQueue=true"), translate(t, "StreamQueue=shared-account")
	same(t, "bus, wanted", denials(t, s.resource("AWS::Events::EventBusPolicy", "ChatEventBusPolicy")["Statement"]), []string{"events:PutEvents" + tls})
	for _, test := range []struct {
		s        stack
		id, kind string
		want     []string
	}{
		{s, "LargeEventsBucketPolicy", "AWS::S3::BucketPolicy", []string{"s3:*" + tls}},
		{s, "FallbackQueuePolicy", "AWS::SQS::QueuePolicy", []string{"sqs:*" + tls, "sqs:SendMessage ArnNotEquals aws:PrincipalArn WebhookRole.Arn"}},
		{s, "StreamDeadLetterQueuePolicy", "AWS::SQS::QueuePolicy", []string{"sqs:*" + tls}},
		{s, "StreamEventsQueuePolicy", "AWS::SQS::QueuePolicy", []string{"sqs:*" + tls, "sqs:SendMessage ArnNotEquals aws:PrincipalArn StreamQueueUser.Arn"}},
		{shared, "StreamEventsQueuePolicy", "AWS::SQS::QueuePolicy", []string{"sqs:*" + tls, "sqs:SendMessage StringNotEquals aws:PrincipalAccount 185583345998"}},
	} {
		same(t, test.id+", wanted", denials(t, dig(test.s.resource(test.kind, test.id), "PolicyDocument", "Statement")), test.want)
	}
	for id, queue := range s.resources("AWS::SQS::Queue") {
		if queue["SqsManagedSseEnabled"] != "true" || queue["MessageRetentionPeriod"] != "1209600" {
			t.Errorf("%s: want it encrypted, and messages kept for SQS's longest, 14 days, got %v", id, queue)
		}
	}
	// Each queue has a policy.
	if queues, policies := s.resources("AWS::SQS::Queue"), s.resources("AWS::SQS::QueuePolicy"); len(queues) != 3 || len(policies) != len(queues) {
		t.Errorf("want a policy for each queue, got %q for %q", sortedKeys(policies), sortedKeys(queues))
	}
}

// Stream has one AWS account for all its customers, so that account is no proof
// of whose event a message is; a key that only our app's settings hold is.
func TestStreamWritesIntoItsQueueWithAKeyUnlessItsAccountIsNamed(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]struct{ user, account []string }{
		"true":           {[]string{"sqs:SendMessage StreamEventsQueue.Arn"}, nil},
		"shared-account": {nil, []string{"arn:aws:iam::185583345998:root"}},
	} {
		s := translate(t, "StreamQueue="+mode)
		var users, accounts []string
		for id, user := range s.resources("AWS::IAM::User") {
			for _, g := range roleGrants(t, id, user) {
				users = append(users, g.action+" "+g.resource)
			}
		}
		for _, statement := range dig(s.resource("AWS::SQS::QueuePolicy", "StreamEventsQueuePolicy"), "PolicyDocument", "Statement").(list) {
			if dig(statement, "Effect") == "Allow" {
				accounts = append(accounts, texts(dig(statement, "Principal", "AWS"))...)
			}
		}
		same(t, mode+": rights of users, wanted", users, want.user)
		same(t, mode+": accounts that the queue lets in, wanted", accounts, want.account)
		if keys := s.resources("AWS::IAM::AccessKey"); len(keys) != 0 {
			t.Errorf("want no key whose secret a template would hold, got %q", sortedKeys(keys))
		}
	}
	description := fmt.Sprint(dig(source(t), "Parameters", "StreamQueue", "Description"))
	if !strings.Contains(description, "one account for all its customers") {
		t.Errorf("want the risk of shared-account in its description, got %s", description)
	}
}

func TestStreamsQueueIsDrained(t *testing.T) {
	t.Parallel()
	s := translate(t, "StreamQueue=true")
	mapping := s.resource("AWS::Lambda::EventSourceMapping", "StreamEventsMapping")
	if got := fmt.Sprint(mapping["FunctionResponseTypes"]); got != "[ReportBatchItemFailures]" {
		t.Errorf("want one failure to bring one message again, got %s", got)
	}
	grants := roleGrants(t, "WebhookRole", s.resource("AWS::IAM::Role", "WebhookRole"))
	for _, action := range []string{"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"} {
		if !allowed(grants, action, "StreamEventsQueue.Arn") || !allowed(grants, action, "StreamDeadLetterQueue.Arn") || allowed(grants, action, "FallbackQueue.Arn") {
			t.Errorf("want %s on Stream's queues and no other", action)
		}
	}
	if queue := s.resource("AWS::SQS::Queue", "StreamEventsQueue"); dig(queue, "RedrivePolicy", "deadLetterTargetArn") != "StreamDeadLetterQueue.Arn" {
		t.Errorf("want a dead-letter queue, got %v", queue["RedrivePolicy"])
	}
	if mapping := s.resource("AWS::Lambda::EventSourceMapping", "StreamDeadLetterMapping"); mapping["Enabled"] != "false" {
		t.Errorf("want messages left in the dead-letter queue until somebody has looked, got %v", mapping)
	}
	if s.resources("AWS::CloudWatch::Alarm")["StreamDeadLetterAlarm"] == nil {
		t.Error("want an alarm on the dead-letter queue")
	}
}
