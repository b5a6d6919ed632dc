// Package doctor examines a deployment from outside.
package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/urfave/cli/v3"

	"chat-service-backend/ops/console"
	"chat-service-backend/ops/stack"
	"chat-service-backend/ops/streamfile"
)

// A document is a JSON object.
type document = streamfile.Document

// A finding is the result of one check.
type finding struct {
	Check  string `json:"check"`
	Status string `json:"status"` // ok, warn, bad or skip
	Found  string `json:"found"`
	Do     string `json:"do,omitempty"` // how to mend it
}

// A doctor examines a deployment.
type doctor struct {
	*console.Console
	at       *stack.Target
	wait     time.Duration
	findings []finding

	cfg         aws.Config
	caller      arn.ARN
	stack       *stack.Stack
	service     *stack.Service
	key         string // the app's API key, "" if it is missing
	app         document
	newMessages bool // a hook sends message.new to this stack
}

func (d *doctor) find(status, check, do, format string, args ...any) {
	f := finding{check, status, fmt.Sprintf(format, args...), do}
	d.findings = append(d.findings, f)
	if status == "bad" {
		status = "BAD"
	}
	d.Say("%-4s  %-15s %s", status, f.Check, f.Found)
	if do != "" {
		d.Say("%-21s -> %s", "", do)
	}
}

func (d *doctor) ok(check, format string, args ...any) { d.find("ok", check, "", format, args...) }
func (d *doctor) bad(check, do, format string, args ...any) {
	d.find("bad", check, do, format, args...)
}
func (d *doctor) warn(check, do, format string, args ...any) {
	d.find("warn", check, do, format, args...)
}
func (d *doctor) skip(check, format string, args ...any) { d.find("skip", check, "", format, args...) }

// make returns the make command for a target and this environment.
func (d *doctor) make(target string) string { return "make " + target + " ENV=" + d.at.Environment }

// Command is the command that examines a deployment.
func Command(c *console.Console, at *stack.Target) *cli.Command {
	return &cli.Command{
		Name:        "doctor",
		Usage:       "examines a deployment from outside and says what to do",
		Description: "ops doctor -env prod\nops doctor -env prod -token token.txt\nops doctor -service-url http://127.0.0.1:3001 -output WebhookUrl=http://127.0.0.1:3000/webhook",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "before-connect", Usage: "skip the checks that need Stream to be connected"},
			&cli.StringFlag{Name: "token", Usage: "`FILE` with a bearer token, - for standard input: only print its claims and whether the functions accept it"},
			&cli.DurationFlag{Name: "wait", Value: time.Minute, Usage: "how long to wait for an event on the bus"},
		},
		Action: func(ctx context.Context, flags *cli.Command) error {
			d := &doctor{Console: c, at: at, wait: flags.Duration("wait")}
			if token := flags.String("token"); token != "" {
				return d.token(ctx, token)
			}
			return d.run(ctx, flags.Bool("before-connect"))
		},
	}
}

func (d *doctor) run(ctx context.Context, half bool) error {
	d.examine(ctx, half)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	count := map[string]int{}
	for _, f := range d.findings {
		count[f.Status]++
	}
	d.Say("\n%d ok, %d bad, %d warnings, %d skipped.", count["ok"], count["bad"], count["warn"], count["skip"])
	if d.JSON {
		if err := d.PrintJSON(document{"ok": count["bad"] == 0, "findings": d.findings}); err != nil {
			return err
		}
	}
	if count["bad"] > 0 {
		return console.ErrReported
	}
	return nil
}

func (d *doctor) examine(ctx context.Context, half bool) {
	local := d.at.Local()
	if local {
		d.stack = &stack.Stack{Outputs: d.at.Outputs}
		d.service = d.at.ServiceOf(d.stack, nil)
	} else if d.credentials(ctx) && d.deployment(ctx) {
		d.values(ctx)
		d.quotas(ctx)
		d.issuers(ctx)
		d.clientAPI(ctx)
	} else {
		return
	}
	if !d.serviceAPI(ctx) || !d.streamApp(ctx) || half {
		return
	}
	d.hooks(ctx)
	d.hookTime()
	if !local {
		d.fallbackQueue(ctx)
		d.event(ctx)
	}
}
