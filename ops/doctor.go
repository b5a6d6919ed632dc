package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// A finding is what the doctor has to say of one thing.
type finding struct {
	Check  string `json:"check"`
	Status string `json:"status"` // ok, warn, bad or skip
	Found  string `json:"found"`
	Do     string `json:"do,omitempty"` // what to do about it
}

// A doctor examines a deployment.
type doctor struct {
	*ops
	findings []finding

	cfg       aws.Config
	account   string
	stack     *stack
	service   *service
	client    *http.Client
	key       string // the app's, "" where it is missing
	app       document
	eventType bool // a hook sends message.new here
	id        string
	wait      time.Duration
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

// make is a command line of make for the environment that is examined.
func (d *doctor) make(target string) string { return "make " + target + " ENV=" + d.environment }

func setUpDoctor(o *ops, f *flag.FlagSet) func(context.Context) error {
	d := &doctor{ops: o}
	half := f.Bool("before-connect", false, "examine only what must be right before Stream is connected")
	token := f.String("token", "", "`FILE` with a bearer token, - for standard input: print its claims and why it is refused, and nothing else")
	f.DurationVar(&d.wait, "wait", time.Minute, "how long an event may take to come to the bus")
	return func(ctx context.Context) error {
		if *token != "" {
			return d.token(ctx, *token)
		}
		d.client = &http.Client{Timeout: 30 * time.Second}
		d.examine(ctx, *half)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		count := map[string]int{}
		for _, f := range d.findings {
			count[f.Status]++
		}
		d.say("\n%d good, %d bad, %d to look at, %d not examined.", count["ok"], count["bad"], count["warn"], count["skip"])
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
		d.service, d.stack = d.serviceAt(d.serviceURL, nil), &stack{parameters: map[string]string{}, outputs: d.outputs}
	} else if d.credentials(ctx) && d.deployment(ctx) {
		d.values(ctx)
		d.quotas(ctx)
		d.issuer(ctx)
		d.clientAPI(ctx)
	} else {
		return
	}
	if !d.serviceAPI(ctx) || !d.streamApp(ctx) || half {
		return
	}
	d.hooks()
	if !local {
		d.waiting(ctx)
		d.circle(ctx)
	}
}
