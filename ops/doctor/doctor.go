// Package doctor examines a deployment from outside.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/smithy-go"
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

// A need is what a check must have to run, as a set.
type need int

const (
	nothing  need = 0
	account  need = 1 << iota // credentials for AWS
	deployed                  // a stack
	service                   // a Service API that answers
	app                       // a Stream app that answers
)

// A check examines one part of a deployment and notes what it finds. Every bad finding says
// how to mend it. What does not exist is bad; what the operator may not see is skipped.
type check struct {
	part  string
	needs need // without it, an earlier check has said why
	late  bool // makes sense only once Stream is connected
	run   func(*doctor, context.Context)
}

// checks are in the order in which they build on each other.
var checks = []check{
	{"credentials and clock", nothing, false, (*doctor).credentials},
	{"stack", account, false, (*doctor).deployment},
	{"parameters", deployed, false, (*doctor).drift},
	{"values", deployed, false, (*doctor).values},
	{"key", deployed, false, (*doctor).kmsKey},
	{"quotas", account, false, (*doctor).quotas},
	{"issuer", deployed, false, (*doctor).issuers},
	{"tokens", deployed, false, (*doctor).tokens},
	{"functions", deployed, false, (*doctor).functions},
	{"alarms", deployed, false, (*doctor).alarms},
	{"logs", deployed, false, (*doctor).logs},
	{"client API and CORS", nothing, false, (*doctor).clientAPI},
	{"service API", nothing, false, (*doctor).serviceAPI},
	{"Stream", service, false, (*doctor).streamApp},
	{"app", app, false, (*doctor).appSettings},
	{"users", app, false, (*doctor).users},
	{"bus", deployed, false, (*doctor).bus},
	{"queues", deployed, false, (*doctor).queues},
	{"bucket", deployed, false, (*doctor).bucket},
	{"webhook and hook", app, true, (*doctor).hooks},
	{"event", deployed | app, true, (*doctor).event},
}

// A doctor examines a deployment.
type doctor struct {
	*console.Console
	at       *stack.Target
	wait     time.Duration
	findings []finding

	has         need
	cfg         aws.Config
	caller      arn.ARN
	stack       *stack.Stack
	resources   map[string]string // of the stack: their physical ids by their names in the template
	service     *stack.Service
	key         string // the app's API key, "" if it is missing
	app         document
	header      http.Header // of Stream's answer
	newMessages bool        // a hook sends message.new to this stack
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

// asked reports whether AWS has answered about something. If not, it notes why.
func (d *doctor) asked(check, what, right string, err error) bool {
	switch {
	case err == nil:
		return true
	case stack.Missing(err):
		d.bad(check, "find out who removed it (CloudTrail), then make it again under the same name, or deploy a new stack", "%s does not exist", what)
	case stack.Denied(err):
		d.skip(check, "%s: you have no right to %s", what, right)
	case stack.Throttled(err):
		d.skip(check, "%s: AWS limits the calls: %v", what, stack.Reason(err))
	default:
		d.bad(check, advice(err), "%s: %v", what, stack.Reason(err))
	}
	return false
}

// advice returns what to do about an error of AWS's that says nothing of a right.
func advice(err error) string {
	switch {
	case stack.Throttled(err):
		return "wait a minute, then run the doctor again"
	case stack.Expired(err):
		return "sign in (aws sso login), then run the doctor again"
	case errors.As(err, new(smithy.APIError)):
		return "look up what AWS says, mend it, then run the doctor again"
	}
	return "check the network, HTTPS_PROXY and AWS_ENDPOINT_URL, then run the doctor again"
}

// again returns how to run a command on the deployment.
func (d *doctor) again(command string) string {
	switch {
	case !d.at.Local():
		return d.at.CommandLine(command)
	case command == "apply":
		return d.at.CommandLine("apply -service-url " + d.at.ServiceURL)
	}
	return "change it on the development server's page"
}

// Command is the command that examines a deployment.
func Command(c *console.Console, at *stack.Target) *cli.Command {
	return &cli.Command{
		Name:        "doctor",
		Usage:       "examines a deployment from outside and says what to do",
		Description: "ops doctor -env prod\nops doctor -env prod -token token.txt\nops doctor -service-url http://127.0.0.1:3001",
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
	d.stack = &stack.Stack{Outputs: d.at.Outputs, Parameters: map[string]string{}}
	d.service = d.at.ServiceOf(d.stack, nil)
	if d.at.Local() {
		if service, s, err := d.at.Service(ctx); err == nil { // or the check of the Service API says why
			d.service, d.stack = service, s
		}
	}
	for _, c := range checks {
		if ctx.Err() == nil && d.has&c.needs == c.needs && !(half && c.late) {
			c.run(d, ctx)
		}
	}
}
