// Command ops is the operator's tool: it sets a deployment up, connects it to
// Stream, and examines it. See docs/ops.md.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// Stop catching signals after the first, so that a second Ctrl-C exits at once.
	context.AfterFunc(ctx, stop)
	o := &ops{
		getenv:  os.Getenv,
		loadAWS: func(ctx context.Context) (aws.Config, error) { return config.LoadDefaultConfig(ctx) },
		dir:     ".",
		stdin:   os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
	}
	os.Exit(o.main(ctx, os.Args[1:]))
}

// A command adds its own flags to the shared ones and returns the function to run
// once they are parsed.
type command struct {
	name    string
	args    string // the arguments after the flags
	summary string
	setUp   func(*ops, *flag.FlagSet) func(context.Context) error
}

var commands = []command{
	{"doctor", "", "examines a deployment from outside and says what to do", setUpDoctor},
	{"plan", "", "shows what apply would change at Stream", setUpPlan},
	{"apply", "", "changes Stream to match the file", setUpApply},
	{"pull", "", "writes the file from Stream's current settings", setUpPull},
	{"params", "", "asks for the values in Parameter Store and writes them", setUpParams},
	{"rotate", "", "guides you through a rotation of Stream's API secret", setUpRotate},
	{"redrive", "", "moves events from the fallback queue to the bus", setUpRedrive},
	{"users import", "FILE", "creates users at Stream, or updates those that exist", setUpUsers},
}

// ops is what the commands share.
type ops struct {
	getenv         func(string) string
	loadAWS        func(context.Context) (aws.Config, error)
	dir            string // template.yaml is here or in a folder above
	stdin          io.Reader
	stdout, stderr io.Writer

	lines *bufio.Reader // of stdin
	args  []string
	said  []string

	environment, stackName, serviceURL string
	outputs                            map[string]string // that replace the stack's
	json, yes                          bool
}

// main runs a command and returns the exit status: 0, 1 if something is wrong, 2 if
// the command line is.
func (o *ops) main(ctx context.Context, args []string) int {
	o.lines, o.outputs = bufio.NewReader(o.stdin), map[string]string{}
	if len(args) > 0 && slices.Contains([]string{"-h", "-help", "--help", "help"}, args[0]) {
		fmt.Fprint(o.stdout, usage())
		return 0
	}
	told := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(told)
		o.progress("Interrupted: finishing the current step. Press Ctrl-C again to exit at once.")
	})
	defer func() {
		if !stop() {
			<-told
		}
	}()
	i := slices.IndexFunc(commands, func(c command) bool { return strings.HasPrefix(strings.Join(args, " ")+" ", c.name+" ") })
	if i < 0 {
		fmt.Fprintf(o.stderr, "ops: want a command, got %q\n\n%s", strings.Join(args[:min(1, len(args))], ""), usage())
		return 2
	}
	c := commands[i]
	flags := flag.NewFlagSet("ops "+c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	o.flags(flags)
	run := c.setUp(o, flags)
	err := flags.Parse(args[len(strings.Fields(c.name)):])
	if errors.Is(err, flag.ErrHelp) {
		flags.SetOutput(o.stdout)
		fmt.Fprintf(o.stdout, "ops %s %s\n\n%s.\n\n", c.name, strings.TrimSpace("[flags] "+c.args), c.summary)
		flags.PrintDefaults()
		return 0
	}
	o.args = flags.Args()
	if err == nil && len(o.args) != len(strings.Fields(c.args)) {
		err = fmt.Errorf("want %q after the flags, got %q", c.args, strings.Join(o.args, " "))
	}
	if err != nil {
		fmt.Fprintf(o.stderr, "ops %s: %v (-h explains the flags)\n", c.name, err)
		return 2
	}
	err = run(ctx)
	if o.json && o.said != nil {
		_ = o.printJSON(map[string]any{"ok": err == nil, "said": o.said})
	}
	switch {
	case err == nil:
		return 0
	case err == errReported:
	case errors.As(err, new(usageError)):
		fmt.Fprintf(o.stderr, "ops %s: %v\n", c.name, err)
		return 2
	default:
		fmt.Fprintf(o.stderr, "ops %s: %v\n", c.name, err)
	}
	return 1
}

func usage() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: go run ./ops <command> [flags]\n\n")
	for _, c := range commands {
		fmt.Fprintf(&b, "  %-12s  %s\n", c.name, c.summary)
	}
	fmt.Fprintf(&b, "\nops <command> -h explains a command's flags. Credentials and region are found as by the AWS CLI.\n")
	return b.String()
}

// A usageError is a bad value on the command line.
type usageError struct{ error }

// errReported is a failure that has already been printed.
var errReported = errors.New("reported")

func (o *ops) flags(f *flag.FlagSet) {
	f.StringVar(&o.environment, "env", "dev", "environment; the stack is chat-service-`ENV`")
	f.StringVar(&o.stackName, "stack", "", "the stack's `NAME`, if it is not chat-service-ENV")
	f.Func("service-url", "`URL` of the Service API instead of the stack's: a custom domain, or http://127.0.0.1:3001 for make run", func(s string) error {
		o.serviceURL = s
		if u, err := url.Parse(s); err != nil || u.Host == "" {
			return errors.New("want a URL")
		}
		return nil
	})
	f.Func("output", "`NAME=VALUE` instead of an output of the stack; may be repeated", func(s string) error {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return errors.New("want NAME=VALUE")
		}
		o.outputs[name] = value
		return nil
	})
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.BoolVar(&o.yes, "yes", false, "answer yes to every question")
}

// say prints a line for people. With -json, a command that prints no JSON of its own
// prints all these lines at the end.
func (o *ops) say(format string, args ...any) {
	o.said = append(o.said, fmt.Sprintf(format, args...))
	if !o.json {
		fmt.Fprintln(o.stdout, o.said[len(o.said)-1])
	}
}

// progress prints a line about what is going on.
func (o *ops) progress(format string, args ...any) { fmt.Fprintf(o.stderr, format+"\n", args...) }

func (o *ops) printJSON(v any) error {
	o.said = nil
	e := json.NewEncoder(o.stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
