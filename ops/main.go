// Command ops is the operator's tool: it sets a deployment up, connects it to
// Stream, and examines it. docs/ops.md describes it.
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
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal the default disposition is back, so a second Ctrl-C exits at once.
	context.AfterFunc(ctx, stop)
	os.Exit(mainImpl(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr))
}

// A command is one of ops' commands. It adds its own flags to those that all
// share, and returns what runs once they are parsed.
type command struct {
	name    string
	args    string // what follows the flags
	summary string
	setUp   func(*ops, *flag.FlagSet) func(context.Context) error
}

var commands = []command{
	{"doctor", "", "examines a deployment from outside and says what to do", setUpDoctor},
	{"plan", "", "shows what apply would change at Stream", setUpPlan},
	{"apply", "", "changes Stream's side to what the file says", setUpApply},
	{"pull", "", "writes the file from what Stream has", setUpPull},
	{"params", "", "asks for the values in Parameter Store and writes them", setUpParams},
	{"rotate", "", "leads through a rotation of Stream's API secret", setUpRotate},
	{"redrive", "", "brings events from the fallback queue to the bus", setUpRedrive},
	{"users import", "FILE", "creates users at Stream, or updates those that exist", setUpUsers},
}

// mainImpl runs a command and returns the exit status: 0, 1 where something is
// wrong, 2 where the command line is.
func mainImpl(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) int {
	o := &ops{getenv: getenv, stdin: stdin, lines: bufio.NewReader(stdin), stdout: stdout, stderr: stderr}
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	if slices.Contains([]string{"-h", "-help", "--help", "help"}, name) {
		fmt.Fprint(stdout, usage())
		return 0
	}
	defer context.AfterFunc(ctx, func() { o.progress("Interrupted: ending what is under way. Ctrl-C again ends at once.") })()
	i := slices.IndexFunc(commands, func(c command) bool { return strings.HasPrefix(strings.Join(args, " ")+" ", c.name+" ") })
	if i < 0 {
		fmt.Fprintf(stderr, "ops: want a command, got %q\n\n%s", name, usage())
		return 2
	}
	c := commands[i]
	args = args[len(strings.Fields(c.name)):]
	flags := flag.NewFlagSet("ops "+c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	o.flags(flags)
	run := c.setUp(o, flags)
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		flags.SetOutput(stdout)
		fmt.Fprintf(stdout, "ops %s %s\n\n%s.\n\n", c.name, strings.TrimSpace("[flags] "+c.args), c.summary)
		flags.PrintDefaults()
		return 0
	}
	o.args = flags.Args()
	if err == nil && len(o.args) != len(strings.Fields(c.args)) {
		err = fmt.Errorf("want %q after the flags, got %q", c.args, strings.Join(o.args, " "))
	}
	if err != nil {
		fmt.Fprintf(stderr, "ops %s: %v (-h explains the flags)\n", c.name, err)
		return 2
	}
	err = run(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = errInterrupted
	}
	if o.json && o.said != nil {
		_ = o.printJSON(map[string]any{"ok": err == nil, "said": o.said})
	}
	if err != nil && err != errReported {
		fmt.Fprintf(stderr, "ops %s: %v\n", c.name, err)
	}
	switch {
	case err == nil:
		return 0
	case errors.As(err, new(usageError)):
		return 2
	}
	return 1
}

func usage() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: go run ./ops <command> [flags]\n\n")
	for _, c := range commands {
		fmt.Fprintf(&b, "  %-12s  %s\n", c.name, c.summary)
	}
	fmt.Fprintf(&b, "\nops <command> -h explains a command's flags. AWS credentials and region are found as by the AWS CLI.\n")
	return b.String()
}

// A usageError is a command line that cannot be right.
type usageError struct{ error }

// errReported is a failure of which all has been said.
var errReported = errors.New("reported")

// ops is what the commands share.
type ops struct {
	getenv         func(string) string
	stdin          io.Reader
	lines          *bufio.Reader
	stdout, stderr io.Writer
	args           []string

	environment, stackName, serviceURL string
	outputs                            outputs
	json, yes                          bool
	said                               []string
}

func (o *ops) flags(f *flag.FlagSet) {
	f.StringVar(&o.environment, "env", "dev", "environment, which names the stack: chat-service-`ENV`")
	f.StringVar(&o.stackName, "stack", "", "the stack's `NAME`, where it is another")
	f.Func("service-url", "`URL` of the Service API, in place of the stack's: a domain of your own, or http://127.0.0.1:3001 for make run", func(s string) error {
		o.serviceURL = s
		if u, err := url.Parse(s); err != nil || u.Host == "" {
			return errors.New("want a URL")
		}
		return nil
	})
	f.Var(&o.outputs, "output", "`NAME=VALUE` in place of an output of the stack; may be repeated")
	f.BoolVar(&o.json, "json", false, "print JSON, for machines")
	f.BoolVar(&o.yes, "yes", false, "do not ask")
}

// outputs are those of a stack, or given in their place.
type outputs map[string]string

func (v *outputs) String() string { return "" }

func (v *outputs) Set(s string) error {
	name, value, ok := strings.Cut(s, "=")
	if !ok || name == "" {
		return fmt.Errorf("want NAME=VALUE, got %q", s)
	}
	if *v == nil {
		*v = outputs{}
	}
	(*v)[name] = value
	return nil
}

// say prints a line for people. Machines get all of them at the end, from a
// command that has nothing better for them.
func (o *ops) say(format string, args ...any) {
	o.said = append(o.said, fmt.Sprintf(format, args...))
	if !o.json {
		fmt.Fprintln(o.stdout, o.said[len(o.said)-1])
	}
}

// progress prints a line that says what is being waited for.
func (o *ops) progress(format string, args ...any) { fmt.Fprintf(o.stderr, format+"\n", args...) }

func (o *ops) printJSON(v any) error {
	o.said = nil
	e := json.NewEncoder(o.stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
