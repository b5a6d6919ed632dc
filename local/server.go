package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"chat-service-backend/internal/apigateway"
	"chat-service-backend/internal/build"
	"chat-service-backend/internal/cfn"
	"chat-service-backend/internal/eventbus"
	"chat-service-backend/internal/issuer"
	"chat-service-backend/internal/parameterstore"
	"chat-service-backend/internal/runtimeapi"
	"chat-service-backend/internal/standin"
	"chat-service-backend/internal/streamapi"
)

// server is the whole service on loopback.
type server struct {
	options
	template *cfn.Template
	stack    *cfn.Stack
	region   string
	extra    map[string]string // environment of the functions, over the template's

	credentials map[string]string // for AWS, in that environment

	client, service    net.Listener
	clientURL          string
	serviceURL         string
	ssmURL             string
	streamURL          string
	ssm, stream, bus   net.Listener   // of the stand-ins; nil where something else is given
	lambda             net.Listener   // of what invokes examples/moderation; nil without -moderation
	issuer             *issuer.Issuer // nil when the template names one
	clientAPI, restAPI *gateway

	values parameterstore.Values  // what the functions find in Parameter Store
	memory *parameterstore.Memory // where they are the server's own; else nil
	faults struct{ ssm, stream, issuer standin.Switch }
	events *eventbus.Bus // nil where something else is given
	feed   feed

	pools     map[string]*pool
	binaries  map[string]string // of the functions
	listeners []net.Listener
	servers   []*http.Server
	dir       string // the binaries
	once      sync.Once
}

// issuerPath is where the Client API has the issuer.
const issuerPath = "/.local/issuer"

// start serves the template's stack. It returns once every function waits for
// its first event; on error nothing is left behind.
func start(ctx context.Context, opts options) (*server, error) {
	s := &server{
		options: opts,
		region:  cmp.Or(opts.getenv("AWS_REGION"), opts.getenv("AWS_DEFAULT_REGION"), "us-east-1"),
		pools:   map[string]*pool{},

		credentials: credentials(opts.getenv),
	}
	for _, step := range []func(context.Context) error{
		s.read,      // the template and the flags
		s.listen,    // so that all addresses are known
		s.deploy,    // the template, with those addresses
		s.route,     // its events to its functions
		s.play,      // what stands in for AWS and Stream
		s.startEach, // function
		s.startModeration,
		s.openGateways, // to callers
	} {
		if err := step(ctx); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

func (s *server) read(context.Context) (err error) {
	if s.template, err = cfn.Find(s.options.dir); err != nil {
		return err
	}
	if s.options.streamURL != "" {
		if s.overrides["StreamBaseUrl"] != "" {
			return errors.New("want -stream-url or StreamBaseUrl in -parameter-overrides, got both")
		}
		if u, err := url.Parse(s.options.streamURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return fmt.Errorf("-stream-url: want http://... or https://..., got %q", s.options.streamURL)
		}
	}
	if s.moderation && s.overrides["HookFunctionArn"] != "" {
		return errors.New("want -moderation or HookFunctionArn in -parameter-overrides, got both")
	}
	if s.parameters != "" {
		if _, err := parameterstore.File(s.parameters)(); err != nil {
			return fmt.Errorf("-parameters: %w", err)
		}
	}
	return nil
}

func (s *server) listen(context.Context) error {
	s.extra = map[string]string{}
	for _, name := range append([]string{"SSL_CERT_FILE", "SSL_CERT_DIR"}, awsEndpoints...) {
		if v := s.getenv(name); v != "" {
			s.extra[name] = v
		}
	}
	s.ssmURL = s.extra["AWS_ENDPOINT_URL_SSM"]
	missing := missingBusEndpoints(s.getenv)
	_, streamed := s.template.Section("Parameters")["StreamBaseUrl"]
	for _, l := range []struct {
		what, addr string
		needed     bool
		listener   *net.Listener
	}{
		{"-client-addr", s.clientAddr, true, &s.client},
		{"-service-addr", s.serviceAddr, true, &s.service},
		{"stand-in for Stream", "127.0.0.1:0", streamed && s.options.streamURL == "" && s.overrides["StreamBaseUrl"] == "", &s.stream},
		{"stand-in for SSM", "127.0.0.1:0", s.ssmURL == "", &s.ssm},
		{"stand-in for EventBridge", "127.0.0.1:0", len(missing) > 0, &s.bus},
		{"stand-in for Lambda", "127.0.0.1:0", s.moderation, &s.lambda},
	} {
		if !l.needed {
			continue
		}
		err := checkLoopback(l.addr)
		if err != nil {
			return fmt.Errorf("%s: %w", l.what, err)
		}
		if *l.listener, err = net.Listen("tcp", l.addr); err != nil {
			return fmt.Errorf("%s: want a free address: %w", l.what, err)
		}
		s.listeners = append(s.listeners, *l.listener)
	}
	s.clientURL, s.serviceURL = loopbackURL(s.client), loopbackURL(s.service)
	if s.ssm != nil {
		s.ssmURL = loopbackURL(s.ssm)
		s.extra["AWS_ENDPOINT_URL_SSM"] = s.ssmURL
	}
	for _, name := range missing {
		s.extra[name] = loopbackURL(s.bus)
	}
	if s.lambda != nil {
		s.extra["AWS_ENDPOINT_URL_LAMBDA"] = loopbackURL(s.lambda)
	}
	return nil
}

// missingBusEndpoints are the variables that say where the bus and its helpers
// are, as far as the developer has not set them: nothing may go to AWS itself
// because one was forgotten.
func missingBusEndpoints(getenv func(string) string) []string {
	names := []string{"AWS_ENDPOINT_URL_EVENTBRIDGE", "AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_LAMBDA"}
	return slices.DeleteFunc(names, func(name string) bool { return getenv("AWS_ENDPOINT_URL")+getenv(name) != "" })
}

// deploy gives the template the parameters that are given, the address of the
// stand-in for Stream, and an issuer of the server's own where none is
// configured. An override with an empty OidcIssuer asks for none at all, so that
// nobody is known on the Client API.
func (s *server) deploy(context.Context) error {
	parameters := maps.Clone(s.overrides)
	if _, declared := s.template.Section("Parameters")["ParameterTtl"]; declared && parameters["ParameterTtl"] == "" {
		parameters["ParameterTtl"] = "5" // seconds: who changes a value here waits for it
	}
	if s.options.streamURL != "" {
		parameters["StreamBaseUrl"] = s.options.streamURL
	}
	if s.stream != nil {
		parameters["StreamBaseUrl"] = loopbackURL(s.stream)
	}
	declared, _ := s.template.Section("Parameters")["OidcIssuer"].(map[string]any)
	if _, overridden := parameters["OidcIssuer"]; !overridden && declared["Default"] == "" {
		if s.issuer == nil {
			s.issuer = &issuer.Issuer{URL: s.clientURL + issuerPath, Audience: cmp.Or(parameters["OidcAudience"], "local")}
		}
		parameters["OidcIssuer"], parameters["OidcAudience"] = s.issuer.URL, s.issuer.Audience
	}
	if s.moderation {
		parameters["HookFunctionArn"] = s.moderationARN()
	}
	stack, err := s.template.Stack(cfn.Options{
		Region: s.region, Account: apigateway.AccountID, StackName: "chat-service-local", Parameters: parameters,
	})
	if err != nil {
		return fmt.Errorf("template.yaml: %w", err)
	}
	s.stack = stack
	s.streamURL = s.stack.Parameter("StreamBaseUrl")
	return nil
}

// play serves the stand-ins. They have the values that the functions have,
// wherever those come from.
func (s *server) play(context.Context) error {
	switch {
	case s.ssm == nil:
		if s.parameters != "" {
			s.log.printf("local: AWS_ENDPOINT_URL_SSM is set, so -parameters is not used")
		}
		s.values = s.endpointValues
	case s.parameters != "":
		s.values = parameterstore.File(s.parameters)
	default:
		s.memory = builtInValues(s.stack.Parameter("ParameterPrefix"))
		s.values = s.memory.Values
	}
	if s.ssm != nil {
		s.serve(s.ssm, s.faults.ssm.Handler(&parameterstore.Store{Values: s.values, Credentials: s.signedBy(), Log: s.log.printf}))
	}
	if s.stream != nil {
		s.serve(s.stream, s.faults.stream.Handler(streamapi.New(credentialsOf(s.values, s.stack.Parameter("ParameterPrefix")))))
	}
	if s.bus != nil {
		s.events = &eventbus.Bus{Credentials: s.signedBy(), Log: s.log.printf, Took: s.feed.sendEvent}
		s.serve(s.bus, s.events)
	}
	return nil
}

// startEach builds the functions and starts one process of each, so that what is
// wrong with one shows now and not at its first request.
func (s *server) startEach(ctx context.Context) (err error) {
	if s.dir, err = os.MkdirTemp("", "chat-service-local-"); err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(s.pools))
	if built := s.getenv("LOCAL_FUNCTIONS"); built != "" { // tests that start many servers build once
		s.binaries = map[string]string{}
		for _, name := range names {
			s.binaries[name] = filepath.Join(built, name)
		}
		return s.startFunctions(ctx)
	}
	s.log.printf("local: building %s (the first time takes a while)", strings.Join(names, ", "))
	if s.binaries, err = s.build(ctx, s.template.Dir, s.dir, names); err != nil {
		return err
	}
	return s.startFunctions(ctx)
}

// startFunctions gives each pool a process, with the environment that the stack
// has now, in place of those that it has.
func (s *server) startFunctions(ctx context.Context) error {
	functions, err := s.stack.Functions()
	if err != nil {
		return err
	}
	first := map[string]*runtimeapi.Process{}
	for _, f := range functions {
		name := folder(f)
		p := s.pools[name]
		if p == nil {
			continue
		}
		env := maps.Clone(s.credentials)
		maps.Copy(env, f.Environment)
		maps.Copy(env, s.extra)
		first[name], err = p.replace(func() (*runtimeapi.Process, error) {
			return runtimeapi.Start(runtimeapi.Config{
				Binary: s.binaries[name], Name: f.Name, Account: apigateway.AccountID, Region: s.region,
				Memory: f.MemorySize, Timeout: f.Timeout, LogLevel: f.LogLevel,
				Env: env, Output: s.log.prefixed(name, s.feed.sendLog),
			})
		})
		if err != nil {
			return fmt.Errorf("function %s: %w", name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(first)) {
		if err := first[name].Idle(ctx); errors.Is(err, runtimeapi.ErrEnded) {
			return fmt.Errorf("function %s did not start: %s (see its output above)", name, first[name].State())
		} else if err != nil {
			return err
		}
	}
	return nil
}

// buildFunctions builds ./functions/<name> below root as it is deployed, but for
// this machine.
func buildFunctions(ctx context.Context, root, out string, names []string) (map[string]string, error) {
	binaries := map[string]string{}
	packages := make([]string, len(names))
	for i, name := range names {
		packages[i] = "./functions/" + name
	}
	built, err := build.Commands(ctx, root, out, build.Host, packages...)
	for i, name := range names {
		binaries[name] = built[packages[i]]
	}
	return binaries, err
}

func (s *server) openGateways(context.Context) error {
	s.serve(s.service, guard(s.restAPI, func(*http.Request) bool { return true }))
	page := newPage(s).handler()
	private := func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, pagePath) }
	s.serve(s.client, guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case s.issuer != nil && (r.URL.Path == issuer.BearerPath || strings.HasPrefix(r.URL.Path, issuerPath+"/")):
			s.faults.issuer.Handler(s.issuer).ServeHTTP(w, r)
		case strings.HasPrefix(r.URL.Path, pagePath):
			page.ServeHTTP(w, r)
		default:
			s.clientAPI.ServeHTTP(w, r)
		}
	}), private))
	return nil
}

func (s *server) serve(l net.Listener, h http.Handler) {
	srv := &http.Server{Handler: h, ErrorLog: discardLog, ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 5 * time.Minute}
	s.servers = append(s.servers, srv)
	go srv.Serve(l)
}

// loopbackURL is where a client on this machine finds the listener.
func loopbackURL(l net.Listener) string { return "http://" + l.Addr().String() }

// close ends the server: no listener, no process and no file is left.
func (s *server) close() {
	s.once.Do(func() {
		for _, srv := range s.servers {
			srv.Close()
		}
		for _, l := range s.listeners {
			l.Close()
		}
		for _, p := range s.pools {
			p.close()
		}
		if s.dir != "" {
			os.RemoveAll(s.dir)
		}
	})
}

// warning is the first line of all.
const warning = "For development only: no secret is kept here, and every caller of the Service API counts as signed."

// greet prints where everything is and what to try. No parameter's value is shown.
func (s *server) greet(w io.Writer) {
	role := func(standIn net.Listener, url string) string {
		if standIn != nil {
			return url + " (stand-in, in memory)"
		}
		return url
	}
	client, service := s.clientURL+s.basePath, s.serviceURL+s.basePath
	fmt.Fprintf(w, "\nSee it       %s%s\n\nClient API   %s\nService API  %s\n", s.clientURL, pagePath, client, service)
	if s.issuer != nil {
		fmt.Fprintf(w, "issuer       %s (stand-in; %s%s?user=NAME gives a bearer token)\n", s.issuer.URL, s.clientURL, issuer.BearerPath)
	} else {
		fmt.Fprintln(w, "issuer       as template.yaml or -parameter-overrides say")
	}
	fmt.Fprintf(w, "SSM          %s\nStream       %s\n", role(s.ssm, s.ssmURL), role(s.stream, s.streamURL))
	if s.bus != nil {
		fmt.Fprintln(w, "events       shown here as they pass (stand-in for EventBridge)")
	}
	tokenURL, bearer := service, ""
	if s.issuer != nil {
		if token, err := s.issuer.Bearer("alice", nil); err == nil {
			fmt.Fprintf(w, "\nA bearer token for alice, good for %d hours:\n%s\n", issuer.Life/time.Hour, token)
		}
		tokenURL, bearer = client, fmt.Sprintf(` -H "Authorization: Bearer $(curl -s '%s%s?user=alice')"`, s.clientURL, issuer.BearerPath)
	}
	fmt.Fprintf(w, "\nTry:\n  curl -s%s %s/token/alice\n", bearer, tokenURL)
	fmt.Fprintf(w, "  curl -s%s '%s/config?clientType=web'\n", bearer, client)
	fmt.Fprintf(w, "  curl -s -H 'Content-Type: application/json' -d '{\"users\":{\"alice\":{\"id\":\"alice\",\"name\":\"Alice\"}}}' %s/proxy/users\n\nready\n", service)
}
