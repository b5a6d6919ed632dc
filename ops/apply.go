package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"reflect"
	"strings"
)

func setUpApply(o *ops, f *flag.FlagSet) func(context.Context) error {
	p := &planner{ops: o}
	p.flags(f)
	allowed := map[string]*bool{
		deletes: f.Bool("allow-delete", false, "apply changes that delete something"),
		lockout: f.Bool("allow-lockout", false, "apply changes after which somebody may do less than before"),
	}
	return func(ctx context.Context) error {
		steps, err := p.read(ctx)
		if err != nil {
			return err
		}
		if len(steps) == 0 {
			o.say("Stream has all that %s says: nothing to change.", p.fileName)
			return p.report(steps, 0, nil)
		}
		o.say("At Stream, app %s:", compact(p.state.app["name"]))
		o.show(steps)
		for _, s := range steps {
			for _, c := range s.Changes {
				if c.Risk != "" && !*allowed[c.Risk] {
					flag := map[string]string{deletes: "-allow-delete", lockout: "-allow-lockout"}[c.Risk]
					return p.report(steps, 0, fmt.Errorf("%s: want %s for that, and nothing was changed", c.What, flag))
				}
			}
		}
		if yes, err := o.confirm(ctx, "Apply this?"); err != nil || !yes {
			return p.report(steps, 0, errors.Join(err, errors.New("nothing was changed")))
		}
		done, err := p.apply(ctx, steps)
		return p.report(steps, done, err)
	}
}

var errInterrupted = errors.New("interrupted")

var errChanged = errors.New("the app was changed by somebody else meanwhile: plan again")

// apply takes the steps, provided that they still lead from what Stream has to
// what the file says, and returns how many were taken.
func (p *planner) apply(ctx context.Context, steps []step) (done int, err error) {
	again, err := p.read(ctx)
	if err == nil && !reflect.DeepEqual(steps, again) {
		err = errChanged
	}
	if err != nil {
		return 0, fmt.Errorf("%w; nothing was changed", err)
	}
	for i, s := range steps {
		if err = p.take(ctx, s); err != nil {
			if i > 0 || len(steps) > 1 {
				err = fmt.Errorf("%w\n%d of %d steps were applied; still to do: %s. Applying again goes on from here",
					err, i, len(steps), strings.Join(titles(steps[i:]), ", "))
			}
			return i, err
		}
		p.say("done: %s", strings.Join(titles(steps[i:i+1]), ", "))
	}
	return len(steps), nil
}

func titles(steps []step) (all []string) {
	for _, s := range steps {
		for _, c := range s.Changes {
			all = append(all, c.Action+" "+c.What)
		}
	}
	return all
}

func (p *planner) take(ctx context.Context, s step) error {
	if ctx.Err() != nil {
		return errInterrupted
	}
	title := strings.Join(titles([]step{s}), ", ")
	if s.Body["event_hooks"] != nil { // Stream replaces the whole list: look once more, right before
		now, err := readState(ctx, p.service, func(collection) bool { return false })
		if err == nil && !reflect.DeepEqual(now.app["event_hooks"], p.state.app["event_hooks"]) {
			err = errChanged
		}
		if err != nil {
			return fmt.Errorf("%s: %w", title, err)
		}
	}
	if _, err := p.service.stream(ctx, s.Method, s.Path, s.Body, nil); errors.Is(err, context.Canceled) {
		return errInterrupted
	} else if err != nil {
		return fmt.Errorf("%s: Stream or the proxy answered %w", title, err)
	}
	return nil
}
