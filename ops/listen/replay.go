package listen

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"chat-service-backend/ops/console"
	"chat-service-backend/ops/stack"
)

// replay prints what the archive of a stack's bus has since a time. The replay goes to a
// rule of its own, so that no consumer gets an event twice.
func replay(ctx context.Context, c *console.Console, at *stack.Target, since time.Time) (err error) {
	cfg, s, err := at.Stack(ctx)
	if err != nil {
		return err
	}
	caller, err := identity(ctx, cfg)
	if err != nil {
		return err
	}
	events := eventbridge.NewFromConfig(cfg)
	bus, err := events.DescribeEventBus(ctx, &eventbridge.DescribeEventBusInput{Name: aws.String(s.Outputs["EventBusName"])})
	if err != nil {
		return fmt.Errorf("the bus %s: %w", s.Outputs["EventBusName"], stack.Reason(err))
	}
	archives, err := events.ListArchives(ctx, &eventbridge.ListArchivesInput{EventSourceArn: bus.Arn})
	if err != nil {
		return fmt.Errorf("the bus's archive: %w", stack.Reason(err))
	}
	if len(archives.Archives) == 0 {
		return fmt.Errorf("the bus %s has no archive: deploy again (%s)", aws.ToString(bus.Name), at.CommandLine("deploy"))
	}
	archive, err := events.DescribeArchive(ctx, &eventbridge.DescribeArchiveInput{ArchiveName: archives.Archives[0].ArchiveName})
	if err != nil {
		return fmt.Errorf("the bus's archive: %w", stack.Reason(err))
	}
	tap := NewTap(cfg, caller, s, "listen")
	l := &listener{Console: c, feed: tapFeed{tap}}
	defer func() { err = errors.Join(err, l.close(ctx)) }()
	name := "ops-" + rand.Text()[:12]
	rule, err := tap.open(ctx, map[string]any{"replay-name": []string{name}})
	if err != nil {
		return fmt.Errorf("cannot listen, which takes the rights to make a rule and a queue: %w", stack.Reason(err))
	}
	c.Progress("Replaying from the archive, which takes minutes. It may lack events of the last 10 minutes.")
	if _, err := events.StartReplay(ctx, &eventbridge.StartReplayInput{
		ReplayName: &name, EventSourceArn: archive.ArchiveArn, EventStartTime: &since, EventEndTime: aws.Time(time.Now()),
		Destination: &types.ReplayDestination{Arn: bus.Arn, FilterArns: []string{rule}},
	}); err != nil {
		return fmt.Errorf("start a replay: %w", stack.Reason(err))
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_, _ = events.CancelReplay(ctx, &eventbridge.CancelReplayInput{ReplayName: &name}) // which may be done
	}()
	for ctx.Err() == nil {
		state, err := events.DescribeReplay(ctx, &eventbridge.DescribeReplayInput{ReplayName: &name})
		if err != nil {
			return fmt.Errorf("the replay: %w", stack.Reason(err))
		}
		got, err := tap.Receive(ctx, 2*time.Second)
		show(c, got)
		l.shown += len(got)
		switch {
		case err != nil && ctx.Err() == nil:
			return stack.Reason(err)
		case state.State == types.ReplayStateFailed:
			return fmt.Errorf("the replay failed: %s", aws.ToString(state.StateReason))
		case len(got) == 0 && (state.State == types.ReplayStateCompleted || state.State == types.ReplayStateCancelled):
			return nil
		}
	}
	return nil
}

// tapFeed is a tap that a listener closes.
type tapFeed struct{ *Tap }

func (tapFeed) Open(context.Context) error                { return nil }
func (tapFeed) Receive(context.Context) ([]string, error) { return nil, nil }
