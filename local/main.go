// Command local is the development server: it builds the functions that
// template.yaml names, runs the same binaries under a Lambda Runtime API of its
// own, and plays both gateways, Parameter Store and Stream on loopback.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal the default disposition is back, so a second Ctrl-C exits at once.
	context.AfterFunc(ctx, stop)
	ctx = endWithGoRun(ctx)
	os.Exit(mainImpl(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// mainImpl runs the server until ctx ends and returns the exit status: 0 after
// a clean stop, 1 for a start that failed (one line on stderr says why), 2 for
// arguments that are wrong.
func mainImpl(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	opts, err := parseFlags(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "local: %v (-h explains the flags)\n", err)
		return 2
	}
	opts.getenv = getenv
	opts.log = &lineLog{w: stderr}
	return run(ctx, opts, stdout)
}

// run is mainImpl behind the flags.
func run(ctx context.Context, opts options, stdout io.Writer) int {
	fmt.Fprintln(stdout, warning)
	s, err := start(ctx, opts)
	switch {
	case ctx.Err() != nil:
		if s != nil {
			s.close()
		}
		return 0
	case err != nil:
		opts.log.printf("local: %v", err)
		return 1
	}
	defer s.close()
	s.greet(stdout)
	<-ctx.Done()
	return 0
}

// options is what the flags say, and what a test replaces.
type options struct {
	clientAddr  string
	serviceAddr string
	parameters  string            // file of SSM values; "" means the built-in ones
	streamURL   string            // "" means the stand-in
	overrides   map[string]string // template parameters
	moderation  bool              // examples/moderation answers Stream's hooks
	basePath    string            // in front of every path of both APIs, "/chat"

	dir    string // where the search for template.yaml begins
	build  func(ctx context.Context, root, out string, names []string) (binaries map[string]string, err error)
	getenv func(string) string
	log    *lineLog
	limits limits
}

const usage = `local runs the whole service on this machine, for development only.

Usage: go run ./local [flags]

  -client-addr ADDR       where the Client API listens (default 127.0.0.1:3000; port 0 takes a free one)
  -service-addr ADDR      where the Service API listens (default 127.0.0.1:3001)
  -parameters FILE        a JSON object, SSM parameter name to value, in place of the built-in values;
                          it is read on every call, so editing it is a rotation
  -stream-url URL         where Stream is (default: a stand-in that keeps everything in memory)
  -parameter-overrides S  template parameters: "Name=Value Name2='a b'"
                          or "ParameterKey=Name,ParameterValue=Value"
  -moderation             runs examples/moderation on the hooks that come to /webhook; its word lists
                          are the parameters /chat-moderation/refuse and /chat-moderation/mask
  -base-path PATH         serves both APIs below a path, as /chat, like a custom domain with a base path mapping
  -h                      this text

With AWS_ENDPOINT_URL_SSM set, the functions use that endpoint and your AWS_* credentials
instead of the stand-in for Parameter Store.

Examples:

  go run ./local
  go run ./local -parameters values.json -parameter-overrides "ParameterTtl=5 UserIdClaim=email"
`

// basePaths matches what an API mapping may put in front of a path.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/rest-api-mappings.html
var basePaths = regexp.MustCompile(`^(/[A-Za-z0-9$._-]+)*$`)

// parseFlags reads the command line. It prints the usage to stdout and returns
// flag.ErrHelp when asked for it.
func parseFlags(args []string, stdout io.Writer) (options, error) {
	opts := options{dir: ".", build: buildFunctions, limits: awsLimits}
	var overrides string
	flags := flag.NewFlagSet("local", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	flags.StringVar(&opts.clientAddr, "client-addr", "127.0.0.1:3000", "")
	flags.StringVar(&opts.serviceAddr, "service-addr", "127.0.0.1:3001", "")
	flags.StringVar(&opts.parameters, "parameters", "", "")
	flags.StringVar(&opts.streamURL, "stream-url", "", "")
	flags.StringVar(&opts.basePath, "base-path", "", "")
	flags.BoolVar(&opts.moderation, "moderation", false, "")
	flags.StringVar(&overrides, "parameter-overrides", "", "")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			io.WriteString(stdout, usage)
		}
		return opts, err
	}
	if flags.NArg() > 0 {
		return opts, fmt.Errorf("want flags only, got %q", flags.Arg(0))
	}
	if !basePaths.MatchString(opts.basePath) {
		return opts, fmt.Errorf("-base-path: want a path like /chat, got %q", opts.basePath)
	}
	var err error
	if opts.overrides, err = parseOverrides(overrides); err != nil {
		return opts, fmt.Errorf("-parameter-overrides: %w", err)
	}
	return opts, nil
}

// endWithGoRun returns a context that also ends when `go run`, which started
// this process, is gone: go run passes no SIGTERM on, and a server that
// outlives it would keep the ports.
func endWithGoRun(ctx context.Context) context.Context {
	parent := os.Getppid()
	exe, _ := os.Executable()
	name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", parent))
	if !strings.Contains(filepath.ToSlash(exe), "/go-build") && string(name) != "go\n" {
		return ctx
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		for os.Getppid() == parent {
			time.Sleep(500 * time.Millisecond)
		}
		cancel()
	}()
	return ctx
}
