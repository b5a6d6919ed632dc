package streamfile

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"chat-service-backend/ops/console"
	"chat-service-backend/ops/stack"
	"chat-service-backend/shared/streamrest"
)

// A planner compares the file with the app at Stream.
type planner struct {
	*console.Console
	at        *stack.Target
	fileName  string
	writeOnly bool
	service   *stack.Service
	file      *file
	state     *state
	taken     map[string]Document // the last body that Stream took, by path
	patience  time.Duration       // how long a refusal may be that of a server which does not know yet what was created
}

func newPlanner(c *console.Console, at *stack.Target) (*planner, []cli.Flag) {
	p := &planner{Console: c, at: at}
	return p, []cli.Flag{
		&cli.StringFlag{Name: "file", Value: "stream.yaml", Usage: "`FILE` that describes Stream's side", Destination: &p.fileName},
		&cli.BoolFlag{Name: "write-only", Usage: "send what cannot be read back from Stream even if nothing else changes", Destination: &p.writeOnly},
	}
}

// Plan is the command that shows the difference.
func Plan(c *console.Console, at *stack.Target) *cli.Command {
	p, flags := newPlanner(c, at)
	return &cli.Command{
		Name:        "plan",
		Usage:       "shows what apply would change at Stream",
		Description: "ops plan -env prod\nops plan -file other.yaml -json",
		Flags:       flags,
		Action: func(ctx context.Context, _ *cli.Command) error {
			steps, err := p.plan(ctx)
			if err != nil {
				return err
			}
			return p.report(steps, 0, nil)
		},
	}
}

// Apply is the command that makes Stream match the file.
func Apply(c *console.Console, at *stack.Target) *cli.Command {
	p, flags := newPlanner(c, at)
	return &cli.Command{
		Name:        "apply",
		Usage:       "changes Stream to match the file",
		Description: "ops apply -env prod\nops apply -env prod -yes -allow-delete",
		Flags: append(flags,
			&cli.BoolFlag{Name: "allow-delete", Usage: "apply changes that delete something"},
			&cli.BoolFlag{Name: "allow-lockout", Usage: "apply changes after which somebody may do less than before"},
		),
		Action: func(ctx context.Context, flags *cli.Command) error {
			steps, err := p.plan(ctx)
			if err != nil {
				return err
			}
			done := 0
			if len(steps) > 0 {
				done, err = p.apply(ctx, steps, map[string]bool{"": true, deletes: flags.Bool("allow-delete"), lockout: flags.Bool("allow-lockout")})
			}
			return p.report(steps, done, err)
		},
	}
}

// read reads the file and the app and returns the plan between them.
func (p *planner) read(ctx context.Context) (*plan, error) {
	if p.service == nil {
		service, s, err := p.at.Service(ctx)
		if err != nil {
			return nil, err
		}
		if p.file, err = readFile(p.fileName, s.Outputs, p.at.Getenv); err != nil {
			return nil, err
		}
		p.service = service
	}
	st, err := readState(ctx, p.service, p.file.wants)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(append(p.file.hooks, p.file.oldHook()), func(h Document) bool { return len(Events(h)) > 0 }) {
		st.events = EventTypes(ctx, p.service)
	}
	p.state = st
	return compare(p.file, st, map[bool]blindness{true: always}[p.writeOnly])
}

// plan reads the steps and prints them.
func (p *planner) plan(ctx context.Context) ([]step, error) {
	plan, err := p.read(ctx)
	if err != nil {
		return nil, err
	}
	if len(changes(plan.steps)) == 0 {
		p.Say("Stream matches %s: nothing to change.", p.fileName)
	} else {
		p.Say("At Stream, app %s:", Show(p.state.app["name"]))
	}
	p.show(plan.steps, plan.notes)
	return plan.steps, nil
}

// report prints the JSON of plan and apply.
func (p *planner) report(steps []step, done int, err error) error {
	if !p.JSON {
		return err
	}
	certain := changes(steps)
	tries := slices.DeleteFunc(steps, func(s step) bool { return s.Why == "" })
	r := Document{"app": p.state.app["name"], "steps": slices.Concat([]step{}, certain), "tries": slices.Concat([]step{}, tries), "done": done}
	if err != nil {
		r["error"] = err.Error()
	}
	text, _ := json.Marshal(r)
	var plain any
	_ = json.Unmarshal(text, &plain)
	return errors.Join(err, p.PrintJSON(conceal("", plain)))
}

var errChanged = errors.New("somebody else has changed the app meanwhile: plan again")

// apply asks, carries the steps out, and returns how many were done. It changes nothing
// if the steps no longer lead from Stream's side to the file. After the steps of a stage
// it waits until Stream knows of them, because those of the next may need that.
func (p *planner) apply(ctx context.Context, steps []step, allowed map[string]bool) (done int, err error) {
	for _, s := range changes(steps) {
		for _, c := range s.Changes {
			if !allowed[c.Risk] {
				return 0, fmt.Errorf("%s needs %s; nothing was changed", c.What, allow[c.Risk])
			}
		}
	}
	yes, err := p.Confirm(ctx, "Apply this?")
	if err == nil && !yes {
		return 0, errors.New("nothing was changed")
	}
	if err == nil {
		var again *plan
		if again, err = p.read(ctx); err == nil && !reflect.DeepEqual(steps, again.steps) {
			err = errChanged
		}
	}
	if err != nil {
		return 0, fmt.Errorf("%w; nothing was changed", err)
	}
	var late, refused []string
	var taken, before []step // of this stage, and of those before
	for i, s := range steps {
		if s.Why == "" || allowed[s.Changes[0].Risk] {
			now, left, err := p.take(ctx, s)
			if err != nil {
				return done, fmt.Errorf("%w\n%d of %d steps were applied; still to do: %s. Run apply again to go on", err, done, len(steps), titles(steps[i:]...))
			}
			taken = append(taken, now...)
			if slices.ContainsFunc(now, func(s step) bool { return s.Method == http.MethodPost }) {
				p.patience = Patience
			}
			if done++; s.Why == "" {
				refused = append(refused, left...)
			}
		}
		if len(taken) == 0 || i+1 < len(steps) && steps[i+1].stage == s.stage {
			continue
		}
		again, err := p.agree(ctx, taken)
		if err != nil {
			return done, fmt.Errorf("%w\n%d of %d steps were applied; still to do: %s. Run apply again to go on", err, done, len(steps), cmp.Or(titles(steps[i+1:]...), "nothing"))
		}
		before, taken = append(before, taken...), nil
		late = repeated(changes(before), again)
	}
	switch {
	case len(refused) > 0:
		return done, fmt.Errorf("Stream refused this, for the reasons above, and took all else: %s. Run plan: what it no longer shows, somebody else has made meanwhile; mend the rest in the file, or remove it", strings.Join(refused, ", "))
	case len(late) > 0:
		return done, fmt.Errorf("Stream took all of it, but %s later still answers otherwise: %s. Run plan in a minute: what it shows then, Stream keeps otherwise than it was written, or somebody else has changed meanwhile",
			Patience, strings.Join(late, ", "))
	}
	return done, nil
}

// Patience is how long Stream may take to agree with itself, which it does within 5 s.
const Patience = 10 * time.Second

// agree waits until Stream answers three times in a row what the steps have written, since
// its servers learn of it one by one. It returns the steps of a plan on what Stream answers
// then, or why it answers nothing.
func (p *planner) agree(ctx context.Context, steps []step) ([]step, error) {
	for waited, agreed := time.Duration(0), 0; ; {
		var again *plan
		st, err := readState(context.WithoutCancel(ctx), p.service, p.file.wants)
		if err == nil {
			again, err = compare(p.file, st, never)
		}
		if agreed++; err != nil || len(repeated(steps, again.steps)) > 0 {
			agreed = 0
		}
		switch {
		case waited >= Patience && err != nil:
			return nil, err
		case agreed == 3 || waited >= Patience:
			return again.steps, nil
		case agreed == 1 && waited == 0:
			continue
		case waited == 0 && agreed == 0:
			p.Progress("waiting for Stream to agree, up to %s: %s", Patience, titles(steps...))
		}
		if err := p.at.Wait(ctx, time.Second); err != nil {
			return nil, err
		}
		waited += time.Second
	}
}

// repeated returns the changes of steps that a later plan would make again, in whole or in
// part. A change that is left as a try is done; a try may be left as a change, once Stream
// has such a field.
func repeated(steps, again []step) (late []string) {
	for _, s := range steps {
		left := map[string][]string{} // fields by title
		for _, a := range again {
			if a.Why != "" && s.Why == "" {
				continue
			}
			for _, c := range a.Changes {
				title, fields := c.Action+" "+c.What, slices.Sorted(maps.Keys(c.Fields))
				left[title] = append(left[title], fields...)
				for _, field := range fields { // a part
					left[title+": "+field] = []string{field}
				}
			}
		}
		for _, c := range s.Changes {
			title := c.Action + " " + c.What
			_, whole := left[title]
			fields := slices.DeleteFunc(slices.Clone(left["update "+c.What]), func(field string) bool { _, ours := c.Fields[field]; return !ours })
			switch {
			case len(fields) > 0 && len(c.Fields) > 1:
				late = append(late, title+" ("+strings.Join(fields, ", ")+")")
			case len(fields) > 0, whole && c.Action != "update":
				late = append(late, title)
			}
		}
	}
	return late
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

// take carries a step out, and returns what of it Stream took and refused. If Stream
// refuses it as a whole, take tries its parts. Other failures are an error.
func (p *planner) take(ctx context.Context, s step) (done []step, refused []string, err error) {
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	refusal := func() bool {
		r, _ := errors.AsType[*streamrest.Error](err)
		return r != nil && r.Code != 0 && r.Status < 500 && r.Status != http.StatusUnauthorized && r.Status != http.StatusTooManyRequests
	}
	for err = p.send(ctx, s); refusal() && s.Why == "" && p.patience > 0; err = p.send(ctx, s) {
		if p.patience == Patience {
			p.Progress("waiting for Stream to agree, up to %s: it refuses to %s", Patience, titles(s))
		}
		if err := p.at.Wait(ctx, time.Second); err != nil {
			return nil, nil, err
		}
		p.patience -= time.Second
	}
	switch {
	case err == nil:
		p.Say("done: %s", titles(s))
		return []step{s}, nil, nil
	case !refusal():
		return nil, nil, err
	case len(s.parts) < 2:
		p.Say("left out, because Stream refused it: %v. Set it in Stream's dashboard, or remove it from the file", err)
		return nil, []string{titles(s)}, nil
	}
	for _, part := range s.parts {
		now, left, err := p.take(ctx, part)
		if err == nil && len(now) > 0 && (part.Method == http.MethodPost || part.hook != nil) { // the next needs it
			_, err = p.agree(ctx, now)
		}
		if part.Why != "" { // a try: it may be left out
			left = nil
		}
		if done, refused = append(done, now...), append(refused, left...); err != nil {
			return done, refused, err
		}
	}
	return done, refused, nil
}

func (p *planner) send(ctx context.Context, s step) error {
	body := s.Body
	if body["event_hooks"] != nil { // Stream replaces the whole list: check again right before
		now, err := readState(ctx, p.service, func(kind) bool { return false })
		switch {
		case err != nil:
		case s.hook != nil:
			body = Document{"event_hooks": withHook(Hooks(now.app), s.hook, s.as)}
		case !reflect.DeepEqual(now.app["event_hooks"], p.state.app["event_hooks"]):
			err = errChanged
		}
		if err != nil {
			return fmt.Errorf("%s: %w", titles(s), err)
		}
	}
	taken := p.taken[s.Path]
	if s.Method == http.MethodPut { // with the present values of what only goes along
		body = maps.Clone(body)
		for field := range body {
			if v, ok := taken[field]; ok && !s.sets(field) {
				body[field] = v
			}
		}
	}
	if _, err := p.service.Stream(ctx, s.Method, s.Path, body, nil); err != nil {
		return fmt.Errorf("%s: Stream or the proxy answered %w", titles(s), err)
	}
	if s.Method == http.MethodPut {
		if p.taken == nil {
			p.taken = map[string]Document{}
		}
		p.taken[s.Path] = body
	}
	return nil
}

// sets reports whether a field of its body is one that the step changes.
func (s step) sets(field string) bool {
	_, sets := s.Changes[0].Fields[field]
	return sets || field == "grants"
}

// withHook returns a list of hooks with one in the place of that with its id, or of that
// which is like as, or at the end.
func withHook(hooks []Document, one, as Document) (list []any) {
	if as != nil {
		for i := range match([]Document{as}, hooks, nil) {
			has := maps.Clone(Writable(hooks[i]))
			maps.Copy(has, one)
			one = has
		}
	}
	for _, h := range hooks {
		if h = Writable(h); one["id"] != nil && h["id"] == one["id"] {
			h, one = one, nil
		}
		list = append(list, h)
	}
	if one != nil {
		list = append(list, one)
	}
	return list
}
