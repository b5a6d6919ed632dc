package doctor

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	bustypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func (d *doctor) bus(ctx context.Context) {
	bus := d.stack.Outputs["EventBusName"]
	if bus == "" {
		d.skip("bus", "the stack has no output EventBusName")
		return
	}
	client := eventbridge.NewFromConfig(d.cfg)
	_, err := client.DescribeEventBus(ctx, &eventbridge.DescribeEventBusInput{Name: &bus})
	if !d.asked("bus", "the bus "+bus, "events:DescribeEventBus", err) {
		return
	}
	d.ok("bus", "%s exists", bus)
	for in := (&eventbridge.ListRulesInput{EventBusName: &bus}); ; {
		rules, err := client.ListRules(ctx, in)
		if !d.asked("bus", "its rules", "events:ListRules", err) {
			break
		}
		for _, rule := range rules.Rules {
			if rule.State == bustypes.RuleStateDisabled {
				name := aws.ToString(rule.Name)
				d.warn("bus", "aws events enable-rule --event-bus-name "+bus+" --name "+name, "the rule %s is disabled: its targets get no events", name)
			}
		}
		if in.NextToken = rules.NextToken; aws.ToString(in.NextToken) == "" {
			break
		}
	}
	archive := d.resources["ChatEventArchive"]
	if archive == "" {
		return
	}
	out, err := client.DescribeArchive(ctx, &eventbridge.DescribeArchiveInput{ArchiveName: &archive})
	if d.asked("bus", "the archive "+archive, "events:DescribeArchive", err) && out.State != "" && out.State != bustypes.ArchiveStateEnabled {
		d.bad("bus", "find out why: aws events describe-archive --archive-name "+archive, "the archive %s is %s, so events are not kept for a replay", archive, out.State)
	}
}

// bucket looks for the bucket of events that are too large for the bus.
func (d *doctor) bucket(ctx context.Context) {
	bucket := d.stack.Outputs["LargeEventsBucketName"]
	if bucket == "" {
		return
	}
	client := s3.NewFromConfig(d.cfg, func(o *s3.Options) { o.UsePathStyle = o.BaseEndpoint != nil })
	_, err := client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &bucket})
	if d.asked("bucket", bucket, "s3:ListBucket", err) {
		d.ok("bucket", "%s exists", bucket)
	}
}

// queues looks for events that wait where somebody has to see to them.
func (d *doctor) queues(ctx context.Context) {
	if url := d.stack.Outputs["FallbackQueueUrl"]; url != "" {
		d.queue(ctx, "fallback queue", url, d.again("redrive"), "events that the bus did not take are waiting")
	}
	url := d.stack.Outputs["StreamQueueUrl"]
	if url == "" {
		return
	}
	attributes := d.queue(ctx, "Stream's queue", url, "", "")
	d.mapping(ctx, "Stream's queue", "StreamEventsMapping")
	var policy struct{ DeadLetterTargetArn string }
	_ = json.Unmarshal([]byte(attributes["RedrivePolicy"]), &policy)
	const what = "Stream's dead-letter queue"
	dead, err := arn.Parse(policy.DeadLetterTargetArn)
	if err != nil {
		if attributes != nil {
			d.warn(what, "aws sqs set-queue-attributes --queue-url "+url+" with the RedrivePolicy of StreamEventsQueue in template.yaml", "somebody has removed it from Stream's queue: an event that cannot be handled is tried until it is too old, and then lost")
		}
		return
	}
	out, err := sqs.NewFromConfig(d.cfg).GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &dead.Resource, QueueOwnerAWSAccountId: &dead.AccountID})
	if d.asked(what, dead.Resource, "sqs:GetQueueUrl", err) {
		// Only Stream may write to its queue, so nobody can move them back.
		do := "see the log of the webhook function; once the cause is gone, let it read them: "
		if id := d.resources["StreamDeadLetterMapping"]; id != "" {
			do += enable(id)
		} else {
			do += "enable StreamDeadLetterMapping (docs/runbook.md#streamdeadletteralarm)"
		}
		d.queue(ctx, what, aws.ToString(out.QueueUrl), do, "events were tried ten times and are in no other place")
	}
}

// queue examines a queue that should be empty, unless what is "".
func (d *doctor) queue(ctx context.Context, part, url, do, what string) map[string]string {
	out, err := sqs.NewFromConfig(d.cfg).GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	if !d.asked(part, url, "sqs:GetQueueAttributes", err) {
		return nil
	}
	n, _ := strconv.Atoi(out.Attributes["ApproximateNumberOfMessages"])
	inFlight, _ := strconv.Atoi(out.Attributes["ApproximateNumberOfMessagesNotVisible"])
	switch {
	case what == "" && n+inFlight > 0:
		d.ok(part, "%d events are on their way", n+inFlight)
	case n > 0:
		d.bad(part, do, "%d %s", n, what)
	case inFlight > 0:
		d.warn(part, "run the doctor again in two minutes: those of one that was killed come back", "%d events are in the hands of a redrive", inFlight)
	default:
		d.ok(part, "empty")
	}
	return out.Attributes
}
