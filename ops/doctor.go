package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
)

// A finding is the result of one check.
type finding struct {
	Check  string `json:"check"`
	Status string `json:"status"` // ok, warn, bad or skip
	Found  string `json:"found"`
	Do     string `json:"do,omitempty"` // how to mend it
}

// A doctor examines a deployment.
type doctor struct {
	*ops
	wait     time.Duration
	findings []finding

	cfg         aws.Config
	caller      arn.ARN
	stack       *stack
	service     *service
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
	d.say("%-4s  %-15s %s", status, f.Check, f.Found)
	if do != "" {
		d.say("%-21s -> %s", "", do)
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
func (d *doctor) make(target string) string { return "make " + target + " ENV=" + d.environment }

func setUpDoctor(o *ops, f *flag.FlagSet) func(context.Context) error {
	d := &doctor{ops: o}
	half := f.Bool("before-connect", false, "skip the checks that need Stream to be connected")
	token := f.String("token", "", "`FILE` with a bearer token, - for standard input: only print its claims and whether the functions accept it")
	f.DurationVar(&d.wait, "wait", time.Minute, "how long to wait for an event on the bus")
	return func(ctx context.Context) error {
		if *token != "" {
			return d.token(ctx, *token)
		}
		d.examine(ctx, *half)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		count := map[string]int{}
		for _, f := range d.findings {
			count[f.Status]++
		}
		d.say("\n%d ok, %d bad, %d warnings, %d skipped.", count["ok"], count["bad"], count["warn"], count["skip"])
		if d.json {
			if err := d.printJSON(document{"ok": count["bad"] == 0, "findings": d.findings}); err != nil {
				return err
			}
		}
		if count["bad"] > 0 {
			return errReported
		}
		return nil
	}
}

func (d *doctor) examine(ctx context.Context, half bool) {
	local := d.local()
	if local {
		d.stack = &stack{outputs: d.outputs}
		d.service = d.serviceOf(d.stack, nil)
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
	d.hooks()
	if !local {
		d.fallbackQueue(ctx)
		d.event(ctx)
	}
}
