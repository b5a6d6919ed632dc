package listen

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/urfave/cli/v3"

	"chat-service-backend/ops/console"
	"chat-service-backend/ops/stack"
)

// Command is the command that shows events and hands them on.
func Command(c *console.Console, at *stack.Target) *cli.Command {
	return &cli.Command{
		Name:        "listen",
		Usage:       "shows events as they happen, and hands them to an address of yours",
		Description: "ops listen -env dev\nops listen -env dev -forward http://127.0.0.1:4000/stream -types message.new,member.*\nops listen -service-url http://127.0.0.1:3001",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "forward", Usage: "`URL` that gets each event by POST, as a target of the bus gets it", Validator: isURL},
			&cli.StringFlag{Name: "types", Usage: "`TYPES` of events, separated by commas; member.* are all that begin with member. (default: all)"},
		},
		Action: func(ctx context.Context, flags *cli.Command) error {
			var types []string
			for t := range strings.SplitSeq(flags.String("types"), ",") {
				if t = strings.TrimSpace(t); t != "" {
					types = append(types, t)
				}
			}
			feed, err := open(ctx, c, at, types)
			if err != nil {
				return err
			}
			l := &listener{Console: c, feed: feed, forward: flags.String("forward")}
			return l.run(ctx)
		},
	}
}

func isURL(s string) error {
	if !strings.HasPrefix(s, "http://") && !strings.HasPrefix(s, "https://") {
		return errors.New("not a URL: give one like http://127.0.0.1:4000/stream")
	}
	return nil
}

// A feed is where events come from. Open may be called again after it has broken.
type feed interface {
	Open(ctx context.Context) error
	Receive(ctx context.Context) (events []string, err error)
	Close(ctx context.Context) error
}

// open returns the feed of a stack, or of make run.
func open(ctx context.Context, c *console.Console, at *stack.Target, types []string) (feed, error) {
	if at.Local() {
		return newDevelopment(ctx, at, "now", types)
	}
	cfg, s, err := at.Stack(ctx)
	if err != nil {
		return nil, err
	}
	caller, err := identity(ctx, cfg)
	if err != nil {
		return nil, err
	}
	pattern := map[string]any{"source": []any{map[string]string{"prefix": stack.EventSource}}}
	if len(types) > 0 {
		var wanted []any
		for _, t := range types {
			if prefix, ok := strings.CutSuffix(t, "*"); ok {
				wanted = append(wanted, map[string]string{"prefix": prefix})
			} else {
				wanted = append(wanted, t)
			}
		}
		pattern["detail-type"] = wanted
	}
	if s.Outputs["EventBusName"] == "" {
		return nil, fmt.Errorf("stack %s has no output EventBusName: deploy it again (%s)", s.Name, at.CommandLine("deploy"))
	}
	if err := sweep(ctx, cfg, caller, s); err != nil {
		c.Progress("What an earlier listener has left could not be removed: %v", stack.Reason(err))
	}
	return &deployed{cfg: cfg, caller: caller, stack: s, pattern: pattern}, nil
}

func identity(ctx context.Context, cfg aws.Config) (arn.ARN, error) {
	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
	if err != nil {
		return arn.ARN{}, stack.Reason(err)
	}
	return arn.Parse(aws.ToString(who.Arn))
}

// A listener shows the events of a feed.
type listener struct {
	*console.Console
	feed    feed
	forward string // "": nowhere
	shown   int
}

// How long the listener waits before it tries again, and how long it tries to remove what
// it has made.
const (
	firstPause = 500 * time.Millisecond
	maxPause   = 10 * time.Second
	closing    = 5 * time.Minute
)

func (l *listener) run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, l.close(ctx)) }()
	if err := l.feed.Open(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("cannot listen, which takes the rights to make a rule and a queue: %w", stack.Reason(err))
	}
	l.Progress("Ready. Ctrl-C ends it.")
	pause := firstPause
	for ctx.Err() == nil {
		events, err := l.feed.Receive(ctx)
		for _, e := range events {
			l.event(ctx, e)
		}
		if err == nil {
			pause = firstPause
			continue
		}
		if ctx.Err() != nil {
			break
		}
		l.Progress("No events can be had, trying again: %v", stack.Reason(err))
		_ = stack.Wait(ctx, pause)
		pause = min(2*pause, maxPause)
		if stack.Missing(err) { // removed while this machine was asleep
			_ = l.feed.Close(ctx)
			_ = l.feed.Open(ctx)
		}
	}
	return nil
}

// close removes what the feed has made, also if the network comes back only later.
func (l *listener) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing)
	defer cancel()
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		attempt, done := context.WithTimeout(ctx, 15*time.Second)
		err := l.feed.Close(attempt)
		done()
		if err == nil {
			l.Progress("%d events. Nothing is left behind.", l.shown)
			return nil
		}
		if stack.Denied(err) || stack.Wait(ctx, pause) != nil {
			return fmt.Errorf("remove it by hand, or listen again in an hour, which removes it: %w", err)
		}
		l.Progress("What was made for this cannot be removed yet, trying again: %v", err)
	}
}

// event shows an event, and hands it on.
func (l *listener) event(ctx context.Context, text string) {
	l.shown++
	e, line := describe(text)
	if l.JSON {
		_ = l.PrintJSON(json.RawMessage(text))
	} else {
		l.Say("%s   --> %s", now(), line)
	}
	if l.forward == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	a, err := stack.Fetch(ctx, http.MethodPost, l.forward, http.Header{"Content-Type": {"application/json"}}, []byte(text))
	if err != nil {
		l.Say("%s  <-- [ERROR] POST %s: %v", now(), l.forward, err)
		return
	}
	l.Say("%s  <-- [%d] POST %s [%s]", now(), a.Status, l.forward, e.Detail.Metadata.WebhookID)
}

func now() string { return time.Now().Format(time.TimeOnly) }

// An envelope is what every event has.
type envelope struct {
	ID         string
	Time       time.Time
	DetailType string `json:"detail-type"`
	Detail     struct {
		Metadata struct {
			WebhookID string `json:"webhookId"`
		}
		Event struct{ CID string }
	}
}

// describe returns an event's line.
func describe(text string) (e envelope, line string) {
	_ = json.Unmarshal([]byte(text), &e) // what it lacks is not shown
	line = cmp.Or(e.DetailType, "an event without a type")
	if e.Detail.Event.CID != "" {
		line += " " + e.Detail.Event.CID
	}
	return e, line + " [" + cmp.Or(e.Detail.Metadata.WebhookID, e.ID) + "]"
}

// deployed is the feed of a stack.
type deployed struct {
	cfg     aws.Config
	caller  arn.ARN
	stack   *stack.Stack
	pattern any
	tap     *Tap
	renewed time.Time
}

// A rule says until when its listener is alive; the next listener removes those past it. A
// listener says so again after a quarter.
const lease = time.Hour

func (d *deployed) Open(ctx context.Context) error {
	d.tap = NewTap(d.cfg, d.caller, d.stack, "listen")
	d.renewed = time.Now()
	return d.tap.Open(ctx, d.pattern)
}

func (d *deployed) Receive(ctx context.Context) ([]string, error) {
	if time.Since(d.renewed) > lease/4 {
		if _, err := d.tap.putRule(ctx); err != nil {
			return nil, err
		}
		d.renewed = time.Now()
	}
	return d.tap.Receive(ctx, 20*time.Second)
}

func (d *deployed) Close(ctx context.Context) error {
	if d.tap == nil {
		return nil
	}
	return d.tap.Close(ctx)
}

// development is the feed of make run.
type development struct {
	base, since string
	types       []string
}

// newDevelopment finds out that somebody answers, and says what to do if not.
func newDevelopment(ctx context.Context, at *stack.Target, since string, types []string) (*development, error) {
	service, _, err := at.Service(ctx)
	if err != nil {
		return nil, err
	}
	return &development{base: service.Base, since: since, types: types}, nil
}

func (d *development) Open(ctx context.Context) error {
	if d.since != "now" {
		return nil
	}
	d.since = time.Now().UTC().Format(time.RFC3339Nano)
	_, err := d.ask(ctx, "0")
	return err
}

func (d *development) Receive(ctx context.Context) ([]string, error) {
	return d.ask(ctx, "20")
}

func (d *development) ask(ctx context.Context, wait string) (events []string, err error) {
	a, err := stack.Fetch(ctx, http.MethodGet, d.base+"/.local/events?since="+d.since+"&wait="+wait, nil, nil)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Events []json.RawMessage
		Next   string
	}
	if err := a.Decode(&answer); err != nil {
		return nil, err
	}
	for _, text := range answer.Events {
		var compact bytes.Buffer
		_ = json.Compact(&compact, text)
		e, _ := describe(compact.String())
		if len(d.types) == 0 || slices.ContainsFunc(d.types, func(t string) bool {
			prefix, all := strings.CutSuffix(t, "*")
			return t == e.DetailType || all && strings.HasPrefix(e.DetailType, prefix)
		}) {
			events = append(events, compact.String())
		}
	}
	d.since = answer.Next
	return events, nil
}

func (d *development) Close(context.Context) error { return nil }
