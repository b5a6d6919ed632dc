// Command local is the development server. It runs the functions in its own process, as
// template.yaml sets them up, and stands in for API Gateway, Parameter Store, EventBridge
// and Stream on loopback.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	project "chat-service-backend"
	"chat-service-backend/shared/lambdahttp"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// Restore the default after the first signal, so that a second Ctrl-C exits at once.
	context.AfterFunc(ctx, stop)
	ctx = endWithGoRun(ctx)
	debug.SetMemoryLimit(36 << 20) // a small program beside others: above this, it collects garbage more often
	slog.SetDefault(slog.New(lambdahttp.LogHandler(slog.NewTextHandler(os.Stderr, nil))))
	os.Exit(mainImpl(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// mainImpl runs the server until ctx ends and returns the exit status: 0 after a
// clean stop, 1 if the server cannot start, 2 for wrong arguments. One line on
// stderr explains a failure.
func mainImpl(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	opts, err := parseFlags(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "local: %v (-h lists the flags)\n", err)
		return 2
	}
	opts.getenv, opts.log = getenv, log.New(stderr, "", 0)
	return run(ctx, opts, stdout)
}

// run starts the server, says where it is, and waits for ctx to end.
func run(ctx context.Context, opts options, stdout io.Writer) int {
	if !opts.json {
		fmt.Fprintln(stdout, warning)
	}
	s, err := start(ctx, opts)
	switch {
	case err != nil && ctx.Err() != nil: // interrupted
		return 0
	case err != nil:
		opts.log.Printf("local: %v", err)
		return 1
	}
	defer s.close()
	if err := s.ready(stdout); err != nil {
		opts.log.Printf("local: %v", err)
		return 1
	}
	<-ctx.Done()
	return 0
}

// options are the flags, and what tests replace.
type options struct {
	addr       string            // of the Client API; the others have the next ports
	own        [3]string         // addresses of the Client API, the Service API and the stand-in for Stream in place of those
	valuesFile string            // with values of Parameter Store; "" for the built-in ones
	overrides  map[string]string // template parameters
	moderation bool              // run examples/moderation for Stream's hooks
	basePath   string            // in front of every path of both APIs, "/chat"
	allowHosts []string          // names of this machine that others use
	readyFile  string            // gets the addresses as JSON
	json       bool              // print them as JSON

	templateText []byte
	starters     map[string]starter
	getenv       func(string) string
	log          *log.Logger
}

const usage = `local runs the whole service on this machine, for development only.

Usage: go run ./local [flags]

The program needs neither Go nor the checkout: go build -o local ./local makes one file.

`

const examples = `
With AWS_ENDPOINT_URL_SSM set, the functions use that endpoint and your AWS_* credentials
instead of the stand-in for Parameter Store. The same goes for _EVENTBRIDGE, _SQS, _S3 and _LAMBDA.

Examples:

  go run ./local
  go run ./local -parameters values.json -parameter-overrides "ParameterTtl=5 UserIdClaim=email"
`

// basePaths matches what an API mapping may put in front of a path.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/rest-api-mappings.html
var basePaths = regexp.MustCompile(`^(/[A-Za-z0-9$._-]+)*$`)

// parseFlags reads the command line. Asked for help, it prints the usage to
// stdout and returns flag.ErrHelp.
func parseFlags(args []string, stdout io.Writer) (opts options, err error) {
	opts.templateText, opts.starters = project.Template, starters
	flags := flag.NewFlagSet("local", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&opts.addr, "addr", "127.0.0.1:3000", "`address` of the Client API; the Service API and the stand-in for Stream get the next two ports.\n:0 picks free ports on this machine")
	for i, name := range []string{"client", "service", "stream"} {
		flags.StringVar(&opts.own[i], name+"-addr", "", "`address` in place of the one that -addr gives")
	}
	allow := flags.String("allow-host", "", "`names` by which others reach this machine, separated by commas: 10.0.2.2,192.168.1.20.\n"+
		"With it, -addr 0.0.0.0:3000 serves other machines. They need the printed access key for\nthe Service API and "+pagePath)
	flags.StringVar(&opts.readyFile, "ready-file", "", "`file` that gets every address as JSON once the server is ready")
	flags.BoolVar(&opts.json, "json", false, "print one line of JSON with every address, and nothing else, on standard output")
	flags.StringVar(&opts.valuesFile, "parameters", "", "JSON `file` of SSM parameter names and values, in place of the built-in ones.\n"+
		"It is read on every call, so editing it rotates values")
	streamURL := flags.String("stream-url", "", "`URL` of Stream (default: a stand-in that keeps everything in memory)")
	overrides := flags.String("parameter-overrides", "", "template `parameters`: \"Name=Value Name2='a b'\"\nor \"ParameterKey=Name,ParameterValue=Value\"")
	flags.BoolVar(&opts.moderation, "moderation", false, "run examples/moderation for the hooks that reach /webhook; its word lists\n"+
		"are the parameters /chat-moderation/refuse and /chat-moderation/mask")
	flags.StringVar(&opts.basePath, "base-path", "", "`path` in front of both APIs, such as /chat, like a custom domain's base path mapping")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(stdout, usage)
			flags.SetOutput(stdout)
			flags.PrintDefaults()
			fmt.Fprint(stdout, examples)
		}
		return opts, err
	}
	// Not a flag.Value, whose errors quote the whole text: it may hold a secret.
	if opts.overrides, err = parseOverrides(*overrides); err != nil {
		return opts, fmt.Errorf("-parameter-overrides: %w", err)
	}
	for host := range strings.SplitSeq(*allow, ",") {
		if host = strings.Trim(host, "[]. "); strings.ContainsAny(host, "/:* ") && net.ParseIP(host) == nil {
			return opts, fmt.Errorf("-allow-host: %q is not a host name or an IP address; leave out scheme, port and *, and write commas between names", host)
		} else if host != "" {
			opts.allowHosts = append(opts.allowHosts, host)
		}
	}
	u, err := url.Parse(*streamURL)
	switch {
	case flags.NArg() > 0:
		return opts, fmt.Errorf("%q is not a flag; flags begin with a minus", flags.Arg(0))
	case !basePaths.MatchString(opts.basePath):
		return opts, fmt.Errorf("-base-path: %q is not a path like /chat", opts.basePath)
	case opts.moderation && opts.overrides["HookFunctionArn"] != "":
		return opts, errors.New("-moderation and HookFunctionArn in -parameter-overrides exclude each other; leave out one")
	case *streamURL == "":
		return opts, nil
	case opts.overrides["StreamBaseUrl"] != "":
		return opts, errors.New("-stream-url and StreamBaseUrl in -parameter-overrides exclude each other; leave out one")
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return opts, fmt.Errorf("-stream-url: %q is not an address; write https://chat.stream-io-api.com", *streamURL)
	}
	opts.overrides["StreamBaseUrl"] = *streamURL
	return opts, nil
}

// endWithGoRun returns a context that also ends when `go run`, which started
// this process, ends: go run does not pass SIGTERM on, and a server that
// outlives it would keep the ports.
func endWithGoRun(ctx context.Context) context.Context {
	exe, _ := os.Executable()
	// Where go run keeps what it builds: $WORK/b001/exe, or a folder of its cache.
	if folder := filepath.Base(filepath.Dir(exe)); folder != "exe" && !strings.HasSuffix(folder, "-d") {
		return ctx
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		for parent := os.Getppid(); os.Getppid() == parent; {
			time.Sleep(500 * time.Millisecond)
		}
		cancel()
	}()
	return ctx
}
