package doctor

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	alarmtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
)

// called returns the logical names of the stack's resources that end with suffix, sorted.
func (d *doctor) called(suffix string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(d.resources)), func(name string) bool { return !strings.HasSuffix(name, suffix) })
}

// alarms examines which alarms there are, which have gone off, and who is told.
func (d *doctor) alarms(ctx context.Context) {
	all := map[string]string{} // logical names by those of the alarms
	for _, name := range d.called("Alarm") {
		all[d.resources[name]] = name
	}
	if len(all) == 0 {
		return
	}
	topics := slices.DeleteFunc(strings.Split(d.stack.Parameters["AlarmTarget"], ","), func(s string) bool { return !strings.HasPrefix(s, "arn:") })
	for _, name := range d.called("Topic") {
		topics = append(topics, d.resources[name])
	}
	const again = "deploy once with Monitoring=false and once as before"
	missing, fine := maps.Clone(all), true
	for some := range slices.Chunk(slices.Sorted(maps.Keys(all)), 100) { // as many as a call takes
		out, err := cloudwatch.NewFromConfig(d.cfg).DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: some, MaxRecords: aws.Int32(100)})
		if !d.asked("alarms", "the alarms", "cloudwatch:DescribeAlarms", err) {
			return
		}
		for _, a := range out.MetricAlarms {
			name := aws.ToString(a.AlarmName)
			delete(missing, name)
			if a.StateValue == alarmtypes.StateValueAlarm {
				fine = false
				d.warn("alarms", "docs/runbook.md#"+strings.ToLower(all[name]), "%s has been on since %s: %s", name, aws.ToTime(a.StateUpdatedTimestamp).UTC().Format(time.DateTime), aws.ToString(a.StateReason))
			}
			if a.ActionsEnabled != nil && !*a.ActionsEnabled {
				fine = false
				d.warn("alarms", "aws cloudwatch enable-alarm-actions --alarm-names "+name, "%s tells nobody: its actions are off", name)
			} else if len(a.AlarmActions) == 0 && len(topics) > 0 {
				fine = false
				d.warn("alarms", again, "%s tells nobody: somebody has removed its actions", name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		fine = false
		d.bad("alarms", again, "the alarm %s does not exist", name)
	}
	if len(topics) == 0 {
		d.warn("alarms", "set AlarmTarget, then "+d.again("deploy"), "none of %d tells anybody: AlarmTarget is empty", len(all))
	}
	for _, topic := range topics {
		fine = d.heard(ctx, topic) && fine
	}
	if fine && len(topics) > 0 {
		d.ok("alarms", "none of %d is on, and somebody is told", len(all))
	}
}

// heard reports whether somebody gets what is published to a topic.
func (d *doctor) heard(ctx context.Context, topic string) bool {
	out, err := sns.NewFromConfig(d.cfg).ListSubscriptionsByTopic(ctx, &sns.ListSubscriptionsByTopicInput{TopicArn: &topic})
	if !d.asked("alarms", "the topic "+topic, "sns:ListSubscriptionsByTopic", err) {
		return false
	}
	pending, confirmed := []string{}, 0
	for _, s := range out.Subscriptions {
		if strings.HasPrefix(aws.ToString(s.SubscriptionArn), "arn:") {
			confirmed++
		} else if aws.ToString(s.SubscriptionArn) != "Deleted" { // by a link in a mail
			pending = append(pending, aws.ToString(s.Endpoint))
		}
	}
	switch {
	case confirmed > 0:
		return true
	case len(pending) > 0:
		d.bad("alarms", "follow the link in AWS's mail; to have it sent again: aws sns subscribe --protocol email --topic-arn "+topic+" --notification-endpoint "+pending[0],
			"%s has not confirmed, so nobody gets the alarms of %s", strings.Join(pending, ", "), topic)
	default:
		d.bad("alarms", "aws sns subscribe --protocol email --topic-arn "+topic+" --notification-endpoint ADDRESS", "nobody gets the alarms of %s", topic)
	}
	return false
}

// logs looks for log groups that somebody has deleted, which CloudFormation does not notice.
func (d *doctor) logs(ctx context.Context) {
	client, fine := cloudformation.NewFromConfig(d.cfg), 0
	for _, name := range d.called("LogGroup") {
		out, err := client.DetectStackResourceDrift(ctx, &cloudformation.DetectStackResourceDriftInput{StackName: &d.stack.Name, LogicalResourceId: &name})
		if !d.asked("logs", "the log group "+d.resources[name], "cloudformation:DetectStackResourceDrift and logs:DescribeLogGroups", err) {
			return
		}
		if out.StackResourceDrift == nil || out.StackResourceDrift.StackResourceDriftStatus != cfntypes.StackResourceDriftStatusDeleted {
			fine++
			continue
		}
		d.bad("logs", "aws logs create-log-group --log-group-name "+d.resources[name]+"; then, for its metric filters, deploy once with Monitoring=false and once as before",
			"the log group %s does not exist: alarms do not see what was in it", d.resources[name])
	}
	if fine > 0 {
		d.ok("logs", "%d log groups exist", fine)
	}
}
