// Command ops is the operator's tool: it sets a deployment up, connects it to
// Stream, and examines it. See docs/ops.md.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"
	"github.com/urfave/cli/v3"

	"chat-service-backend/ops/console"
	deploycmd "chat-service-backend/ops/deploy"
	"chat-service-backend/ops/doctor"
	"chat-service-backend/ops/listen"
	"chat-service-backend/ops/redrive"
	"chat-service-backend/ops/rotate"
	"chat-service-backend/ops/stack"
	"chat-service-backend/ops/streamfile"
	"chat-service-backend/ops/users"
	"chat-service-backend/ops/values"
	"chat-service-backend/shared/lambdahttp"
)

func main() {
	// It waits for the network: handing work from one processor to another would take a quarter of an import's time.
	runtime.GOMAXPROCS(1)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// Stop catching signals after the first, so that a second Ctrl-C exits at once.
	context.AfterFunc(ctx, stop)
	e := environment{
		getenv: os.Getenv,
		loadAWS: func(ctx context.Context) (aws.Config, error) {
			return config.LoadDefaultConfig(ctx, config.WithLogger(logging.Nop{})) // or a line about IMDSv1 precedes every error
		},
		dir:     ".",
		program: os.Args[0],
		wait:    stack.Wait,
		stdin:   os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
	}
	os.Exit(e.run(ctx, os.Args[1:]))
}

// An environment is what the program runs in.
type environment struct {
	getenv         func(string) string
	loadAWS        func(context.Context) (aws.Config, error)
	dir            string // template.yaml is here or in a folder above
	program        string // how it was started
	wait           func(context.Context, time.Duration) error
	stdin          io.Reader
	stdout, stderr io.Writer
}

func commands(c *console.Console, at *stack.Target) []*cli.Command {
	return []*cli.Command{
		doctor.Command(c, at), streamfile.Plan(c, at), streamfile.Apply(c, at), streamfile.Pull(c, at),
		values.Command(c, at), deploycmd.Command(c, at), rotate.Command(c, at), redrive.Command(c, at), users.Commands(c, at),
		listen.Command(c, at), listen.Trigger(c, at), listen.Events(c, at),
	}
}

// run runs a command and returns the exit status: 0, 1 if something is wrong, 2 if
// the command line is.
func (e environment) run(ctx context.Context, args []string) int {
	c := &console.Console{In: e.stdin, Out: e.stdout, Err: e.stderr}
	at := &stack.Target{Getenv: e.getenv, LoadAWS: e.loadAWS, Dir: e.dir, Program: e.program, Progress: c.Progress, Wait: e.wait}
	told := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(told)
		c.Progress("Interrupted: finishing the current step. Press Ctrl-C again to exit at once.")
	})
	defer func() {
		if !stop() {
			<-told
		}
	}()
	root := &cli.Command{
		Name: "ops", Usage: "the operator's tool",
		Version:     lambdahttp.Version(),
		UsageText:   "ops <command> [flags]",
		Description: "ops <command> -h explains a command. Credentials and region are found as by the AWS CLI.",
		Commands:    commands(c, at),
		Writer:      e.stdout, ErrWriter: e.stderr,
		ExitErrHandler: func(context.Context, *cli.Command, error) {},
	}
	name := "ops"
	complete(root, func(full string) { name = full }, append(at.Flags(), c.Flags()...))
	err := root.Run(ctx, append([]string{"ops"}, args...))
	c.End(err)
	switch {
	case err == nil:
		return 0
	case err == console.ErrReported:
		return 1
	}
	c.Progress("%s: %v", name, err)
	if errors.As(err, new(console.UsageError)) {
		return 2
	}
	return 1
}

// complete gives commands what they share: flags, and the checks of the command line.
func complete(c *cli.Command, running func(name string), shared []cli.Flag) {
	c.HideHelpCommand = len(c.Commands) == 0
	c.OnUsageError = func(_ context.Context, c *cli.Command, err error, _ bool) error {
		running(c.FullName())
		return console.Usage("%w (%s -h explains the flags)", err, c.FullName())
	}
	if len(c.Commands) > 0 {
		var names []string
		for _, sub := range c.Commands {
			complete(sub, running, shared)
			names = append(names, sub.Name)
		}
		c.Action = func(_ context.Context, c *cli.Command) error {
			running(c.FullName())
			all := strings.Join(names, ", ")
			if c.Args().Present() {
				return console.Usage("there is no command %q: it is one of %s", c.Args().First(), all)
			}
			return console.Usage("no command is given: add one of %s", all)
		}
		return
	}
	c.Description = "Examples:\n  " + strings.ReplaceAll(c.Description, "\n", "\n  ")
	c.Flags = append(c.Flags, shared...)
	c.DisableSliceFlagSeparator = true
	action := c.Action
	c.Action = func(ctx context.Context, c *cli.Command) error {
		running(c.FullName())
		if got, want := c.Args().Slice(), strings.Fields(c.ArgsUsage); len(got) < len(want) {
			return console.Usage("%s is missing: %s %s", want[len(got)], c.FullName(), c.ArgsUsage)
		} else if len(got) > len(want) {
			return console.Usage("%q is too much after %s", got[len(want)], strings.TrimSpace(c.FullName()+" "+c.ArgsUsage))
		}
		return action(ctx, c)
	}
}
