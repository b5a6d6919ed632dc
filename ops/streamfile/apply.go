package streamfile

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/urfave/cli/v3"

	"chat-service-backend/ops/console"
	"chat-service-backend/ops/stack"
)

// Apply is the command that makes Stream match the file.
func Apply(c *console.Console, at *stack.Target) *cli.Command {
	p, file := newPlanner(c, at)
	return &cli.Command{
		Name:        "apply",
		Usage:       "changes Stream to match the file",
		Description: "ops apply -env prod\nops apply -env prod -yes -allow-delete",
		Flags: []cli.Flag{
			file,
			&cli.BoolFlag{Name: "allow-delete", Usage: "apply changes that delete something"},
			&cli.BoolFlag{Name: "allow-lockout", Usage: "apply changes after which somebody may do less than before"},
		},
		Action: func(ctx context.Context, flags *cli.Command) error {
			steps, err := p.plan(ctx)
			if err != nil {
				return err
			}
			done := 0
			if len(steps) > 0 {
				done, err = p.apply(ctx, steps, map[string]bool{deletes: flags.Bool("allow-delete"), lockout: flags.Bool("allow-lockout")})
			}
			return p.report(steps, done, err)
		},
	}
}

var errChanged = errors.New("somebody else has changed the app meanwhile: plan again")

// apply asks, carries the steps out, and returns how many were done. It changes nothing
// if the steps no longer lead from Stream's side to the file.
func (p *planner) apply(ctx context.Context, steps []step, allowed map[string]bool) (done int, err error) {
	for _, s := range steps {
		for _, c := range s.Changes {
			if c.Risk != "" && !allowed[c.Risk] {
				return 0, fmt.Errorf("%s needs %s; nothing was changed", c.What, allow[c.Risk])
			}
		}
	}
	yes, err := p.Confirm(ctx, "Apply this?")
	if err == nil && !yes {
		return 0, errors.New("nothing was changed")
	}
	if err == nil {
		var again []step
		if again, err = p.read(ctx); err == nil && !reflect.DeepEqual(steps, again) {
			err = errChanged
		}
	}
	if err != nil {
		return 0, fmt.Errorf("%w; nothing was changed", err)
	}
	for i, s := range steps {
		if err := p.take(ctx, s); err != nil {
			return i, fmt.Errorf("%w\n%d of %d steps were applied; still to do: %s. Run apply again to go on",
				err, i, len(steps), titles(steps[i:]...))
		}
		p.Say("done: %s", titles(s))
	}
	return len(steps), nil
}

func titles(steps ...step) string {
	var all []string
	for _, s := range steps {
		for _, c := range s.Changes {
			all = append(all, c.Action+" "+c.What)
		}
	}
	return strings.Join(all, ", ")
}

func (p *planner) take(ctx context.Context, s step) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if s.Body["event_hooks"] != nil { // Stream replaces the whole list: check again right before
		now, err := readState(ctx, p.service, func(collection) bool { return false })
		if err == nil && !reflect.DeepEqual(now.app["event_hooks"], p.state.app["event_hooks"]) {
			err = errChanged
		}
		if err != nil {
			return fmt.Errorf("%s: %w", titles(s), err)
		}
	}
	if _, err := p.service.Stream(ctx, s.Method, s.Path, s.Body, nil); err != nil {
		return fmt.Errorf("%s: Stream or the proxy answered %w", titles(s), err)
	}
	return nil
}
