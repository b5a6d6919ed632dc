package doctor

import (
	"context"
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func (d *doctor) bus(ctx context.Context) {
	bus := d.stack.Outputs["EventBusName"]
	if bus == "" {
		d.skip("bus", "the stack has no output EventBusName")
		return
	}
	_, err := eventbridge.NewFromConfig(d.cfg).DescribeEventBus(ctx, &eventbridge.DescribeEventBusInput{Name: &bus})
	if d.asked("bus", "the bus "+bus, "events:DescribeEventBus", err) {
		d.ok("bus", "%s exists", bus)
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
	var policy struct{ DeadLetterTargetArn string }
	_ = json.Unmarshal([]byte(attributes["RedrivePolicy"]), &policy)
	dead, err := arn.Parse(policy.DeadLetterTargetArn)
	if err != nil {
		return
	}
	const what = "Stream's dead-letter queue"
	out, err := sqs.NewFromConfig(d.cfg).GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &dead.Resource, QueueOwnerAWSAccountId: &dead.AccountID})
	if d.asked(what, dead.Resource, "sqs:GetQueueUrl", err) {
		d.queue(ctx, what, aws.ToString(out.QueueUrl), "see the log of the webhook function, then move them back: aws sqs start-message-move-task --source-arn "+dead.String(), "events were tried ten times and are in no other place")
	}
}

// queue examines a queue that should be empty, unless what is "".
func (d *doctor) queue(ctx context.Context, part, url, do, what string) map[string]string {
	out, err := sqs.NewFromConfig(d.cfg).GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	if !d.asked(part, url, "sqs:GetQueueAttributes", err) {
		return nil
	}
	switch n := out.Attributes["ApproximateNumberOfMessages"]; {
	case n == "0":
		d.ok(part, "empty")
	case what != "":
		d.bad(part, do, "%s %s", n, what)
	default:
		d.ok(part, "%s events are on their way", n)
	}
	return out.Attributes
}
