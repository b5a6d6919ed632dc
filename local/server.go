package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"chat-service-backend/internal/apigateway"
	"chat-service-backend/internal/eventbus"
	"chat-service-backend/internal/issuer"
	"chat-service-backend/internal/parameterstore"
	"chat-service-backend/internal/standin"
	"chat-service-backend/internal/streamapi"
	"chat-service-backend/ops/cfn"
	"chat-service-backend/shared/settings"
)

// server is the whole service on loopback.
type server struct {
	options
	mu       sync.Mutex        // guards chosen and what deploy sets, once the server runs
	chosen   map[string]string // template parameters: overrides, and what the page has changed
	template *cfn.Template
	stack    *cfn.Stack
	region   string
	env      map[string]string // of every function: AWS credentials and endpoints

	client, service, aws, stream net.Listener // of both APIs and of the stand-ins
	clientURL, serviceURL        string
	ssmURL, streamURL            string // what the functions use: the stand-ins or others

	clientAPI, serviceAPI *gateway
	issuer                *issuer.Issuer         // nil if the template names another
	values                parameterstore.Values  // what the functions find in Parameter Store
	memory                *parameterstore.Memory // holds these values; nil if they come from elsewhere
	events                *eventbus.Bus
	switches              struct{ stream, issuer standin.Switch }
	standIns              map[string]*standin.Switch // those that the functions use, by name
	feed                  feed
	chat                  *streamapi.API
	key                   string // that others need for what is dangerous

	clock     func() time.Time    // of the routes' limits
	functions map[string]*running // by name of the folder
	listeners []net.Listener
	servers   []*http.Server
}

// start serves the template's stack. If it fails, it leaves nothing behind.
func start(ctx context.Context, opts options) (*server, error) {
	template, err := cfn.Parse(opts.templateText)
	if err != nil {
		return nil, fmt.Errorf("template.yaml: %w", err)
	}
	s := &server{options: opts, chosen: maps.Clone(opts.overrides), template: template, functions: map[string]*running{}, clock: time.Now, feed: feed{pages: map[chan string]bool{}}}
	for _, step := range []func(context.Context) error{
		s.listen, // before anything needs an address
		s.deploy,
		s.routeRequests,
		s.serveStandIns,
		func(ctx context.Context) error { return s.startFunctions(ctx, true) }, // before their first requests, so that a broken one shows
		s.serveAPIs,
	} {
		if err := step(ctx); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

func (s *server) listen(context.Context) (err error) {
	if s.own[0] != "" && s.own[2] == "" { // not beside a port that it has nothing to do with
		s.own[2] = ":0"
	}
	for i, l := range []struct {
		what     string
		listener *net.Listener
	}{
		{"Client API", &s.client}, {"Service API", &s.service}, {"stand-in for Stream", &s.stream},
	} {
		host, port, err := parseAddress(cmp.Or(s.own[i], s.addr), s.allowHosts)
		if err != nil {
			return fmt.Errorf("%s: %w", l.what, err)
		}
		if s.own[i] == "" {
			port += i * min(port, 1)
		}
		addr := net.JoinHostPort(host, strconv.Itoa(port))
		if *l.listener, err = net.Listen("tcp", addr); err != nil {
			return fmt.Errorf("%s: %s cannot be used (%w); stop what uses it, or start with -addr :0 (make run ARGS=\"-addr :0\")", l.what, addr, errors.Unwrap(err))
		}
		s.listeners = append(s.listeners, *l.listener)
	}
	if s.aws, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return fmt.Errorf("stand-in for AWS: %w", err)
	}
	s.listeners = append(s.listeners, s.aws)
	s.clientURL, s.serviceURL = loopbackURL(s.client), loopbackURL(s.service)
	s.region = cmp.Or(s.getenv("AWS_REGION"), s.getenv("AWS_DEFAULT_REGION"), "us-east-1")
	s.env = awsEnvironment(s.getenv, loopbackURL(s.aws))
	s.env["AWS_REGION"] = s.region
	s.ssmURL = s.env["AWS_ENDPOINT_URL_SSM"]
	s.key = rand.Text()
	if s.moderation {
		s.env["AWS_ENDPOINT_URL_LAMBDA"] = loopbackURL(s.aws)
	}
	return nil
}

// loopbackURL is where a client on this machine finds the listener.
func loopbackURL(l net.Listener) string {
	host, port, _ := net.SplitHostPort(l.Addr().String())
	if ip := net.ParseIP(host); ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// issuerPath is where the Client API's address has the issuer.
const issuerPath = "/.local/issuer"

// deploy gives the template its parameters. Those that are not overridden name
// the stand-in for Stream and, unless the template names an issuer, one of the
// server's own. An empty override of OidcIssuer means no issuer at all.
func (s *server) deploy(context.Context) error {
	parameters := maps.Clone(s.chosen)
	declared := s.template.Section("Parameters")
	otherwise := func(name, value string) {
		if declared[name] != nil && parameters[name] == "" {
			parameters[name] = value
		}
	}
	otherwise("ParameterPrefix", "/chat-service")
	otherwise("ParameterTtl", "5") // seconds: whoever changes a value here waits for it
	otherwise("Size", "large")     // or a busy test would meet limits
	otherwise("StreamBaseUrl", loopbackURL(s.stream))
	if _, overridden := parameters["OidcIssuer"]; !overridden && member(declared, "OidcIssuer", "Default") == "" {
		if s.issuer == nil {
			s.issuer = &issuer.Issuer{URL: s.clientURL + issuerPath, Audience: cmp.Or(parameters["OidcAudience"], "local"), Trusted: s.trusts}
		}
		otherwise("OidcIssuer", s.issuer.URL)
		otherwise("OidcAudience", s.issuer.Audience)
	}
	for _, name := range []string{"HookFunctionArn", "SignInFunctionArn"} {
		if parameters[name] != "" && s.env["AWS_ENDPOINT_URL_LAMBDA"] == loopbackURL(s.aws) {
			s.log.Printf("local: %s: that function does not run here, so calls of it fail; set AWS_ENDPOINT_URL_LAMBDA to where it does (sam local start-lambda), without -moderation", name)
		}
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
	s.stack, s.streamURL = stack, stack.Parameter("StreamBaseUrl")
	return nil
}

// serveStandIns serves the stand-ins for AWS and Stream, which use the same values
// as the functions.
func (s *server) serveStandIns(context.Context) (err error) {
	prefix := s.stack.Parameter("ParameterPrefix")
	switch {
	case !s.plays("SSM"):
		if s.valuesFile != "" {
			s.log.Printf("local: AWS_ENDPOINT_URL_SSM is set, so -parameters is not used")
		}
		if s.values, err = s.endpointValues(prefix); err != nil {
			return err
		}
		if _, err := s.values(); err != nil && !errors.Is(err, settings.ErrMissing) {
			return fmt.Errorf("%w; start it, or unset AWS_ENDPOINT_URL_SSM", err)
		}
	case s.valuesFile != "":
		s.values = parameterstore.File(s.valuesFile)
		if _, err := s.values(); err != nil {
			return fmt.Errorf("-parameters: %w", err)
		}
	default:
		s.memory = parameterstore.NewMemory(builtInValues(prefix))
		s.values = s.memory.Values
	}
	signed := &standin.Credentials{AccessKeyID: s.env["AWS_ACCESS_KEY_ID"], SecretAccessKey: s.env["AWS_SECRET_ACCESS_KEY"], Region: s.region}
	store := &parameterstore.Store{Values: s.values, Credentials: signed, Log: s.log.Printf}
	lambda := s.moderationAPI(signed)
	s.events = &eventbus.Bus{Credentials: signed, Took: func(e eventbus.Entry, line string) {
		s.log.Print(line)
		s.feed.send("bus", map[string]any{"type": e.DetailType, "text": e.Detail})
	}}
	s.serve(s.aws, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.Header.Get("X-Amz-Target"), "AmazonSSM."):
			store.ServeHTTP(w, r)
		case s.moderation && strings.HasPrefix(r.URL.Path, "/2015-03-31/functions/"):
			lambda.ServeHTTP(w, r)
		default:
			s.events.ServeHTTP(w, r)
		}
	}))
	s.standIns = map[string]*standin.Switch{"SSM": &store.Fault, "Stream": &s.switches.stream, "event bus": &s.events.Fault[eventbus.EventBridge], "issuer": &s.switches.issuer}
	maps.DeleteFunc(s.standIns, func(name string, _ *standin.Switch) bool { return !s.plays(name) })
	s.chat = streamapi.New(credentialsOf(s.values, prefix))
	s.chat.Hooked = func(payload map[string]any, status int, answer []byte) {
		text, _ := json.Marshal(payload)
		s.feed.send("hook", map[string]any{"type": payload["type"], "text": string(text), "status": status, "answer": string(answer)})
	}
	s.connectChat()
	chat := s.switches.stream.Handler(s.chat)
	s.serve(s.stream, s.guard(func(*http.Request) (http.Handler, int) { return chat, friends }))
	return nil
}

// connectChat has the stand-in for Stream call the webhook, as make connect does.
func (s *server) connectChat() {
	url := s.clientURL + s.basePath + "/webhook"
	settings := map[string]any{"event_hooks": []any{map[string]any{"hook_type": "webhook", "enabled": true, "event_types": []any{}, "webhook_url": url}}}
	if s.stack.Parameter("HookFunctionArn") != "" {
		settings["before_message_send_hook_url"] = url
	}
	_ = s.chat.Configure(settings) // which fails for roles that do not exist
}

// plays reports whether the functions use a stand-in of this server.
func (s *server) plays(standIn string) bool {
	switch standIn {
	case "SSM":
		return s.ssmURL == loopbackURL(s.aws)
	case "Stream":
		return s.streamURL == loopbackURL(s.stream)
	case "event bus":
		return s.env["AWS_ENDPOINT_URL_EVENTBRIDGE"] == loopbackURL(s.aws)
	}
	return s.issuer != nil
}

func (s *server) serveAPIs(ctx context.Context) error {
	page := s.page()
	_ = s.warn() // whether the values can be read was checked
	if s.valuesFile != "" && s.plays("SSM") {
		go s.watch(ctx, s.valuesFile)
	}
	s.serve(s.service, s.guard(func(r *http.Request) (http.Handler, int) {
		if strings.HasPrefix(r.URL.Path, pagePath) {
			return page, private
		}
		return s.serviceAPI, private
	}))
	s.serve(s.client, s.guard(func(r *http.Request) (http.Handler, int) {
		switch path := r.URL.Path; {
		case s.issuer != nil && (path == issuer.BearerPath || strings.HasPrefix(path, issuerPath+"/")):
			return s.switches.issuer.Handler(s.issuer), friends
		case strings.HasPrefix(path, pagePath):
			return page, private
		case r.Method == http.MethodGet && (path == "/" || path+"/" == pagePath):
			return http.RedirectHandler(pagePath, http.StatusFound), public
		}
		return s.clientAPI, public
	}))
	return nil
}

// quiet drops net/http's messages about callers and functions that left, which the
// server reports itself.
var quiet = log.New(io.Discard, "", 0)

func (s *server) serve(l net.Listener, h http.Handler) {
	srv := &http.Server{Handler: h, ErrorLog: quiet, ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 5 * time.Minute}
	s.servers = append(s.servers, srv)
	go srv.Serve(l)
}

// close ends the server, and may be called again.
func (s *server) close() {
	for _, srv := range s.servers {
		srv.Close()
	}
	for _, l := range s.listeners {
		l.Close()
	}
}

// warning is the first line that the server prints.
const warning = "For development only: secrets are not protected, and every caller of the Service API counts as signed."

// ready tells a person, or a program, where everything is.
func (s *server) ready(w io.Writer) error {
	addresses, _ := json.Marshal(s.health()) // texts always encode
	addresses = append(addresses, '\n')
	if s.readyFile != "" {
		// At once, so that nobody reads half of it.
		temporary := s.readyFile + ".new"
		err := os.WriteFile(temporary, addresses, 0o600)
		if err == nil {
			err = os.Rename(temporary, s.readyFile)
		}
		if err != nil {
			return fmt.Errorf("-ready-file: %w; name a file in a folder that exists and may be written to", err)
		}
	}
	if s.json {
		_, err := w.Write(addresses)
		return err
	}
	s.greet(w)
	return nil
}

// greet prints where everything is and what to try. It shows no parameter's value.
func (s *server) greet(w io.Writer) {
	standIn := func(name, url string) string {
		if s.plays(name) {
			return url + " (stand-in, in memory)"
		}
		return url
	}
	client, service := s.clientURL+s.basePath, s.serviceURL+s.basePath
	fmt.Fprintf(w, "\nSee it       %s%s\n\nClient API   %s\nService API  %s\n", s.clientURL, pagePath, client, service)
	tokenURL, bearer := service, ""
	if s.issuer != nil {
		bearerURL := s.clientURL + issuer.BearerPath
		tokenURL, bearer = client, fmt.Sprintf(` -H "Authorization: Bearer $(curl -s '%s?user=alice')"`, bearerURL)
		fmt.Fprintf(w, "issuer       %s (stand-in; %s?user=NAME gives a bearer token)\n", s.issuer.URL, bearerURL)
	} else {
		fmt.Fprintln(w, "issuer       as template.yaml or -parameter-overrides say")
	}
	fmt.Fprintf(w, "SSM          %s\nStream       %s\n", standIn("SSM", s.ssmURL), standIn("Stream", s.streamURL))
	if s.plays("event bus") {
		fmt.Fprintln(w, "events       shown here as they pass (stand-in for EventBridge)")
	}
	if len(s.allowHosts) > 0 {
		fmt.Fprintf(w, "\nOpen to       %s\naccess key   %s\n  Others need it for the Service API and the page: %s?key=KEY\n", strings.Join(s.allowHosts, ", "), s.key, pagePath)
	}
	if s.issuer != nil {
		fmt.Fprintf(w, "\nA bearer token for alice, valid for %d hours:\n%s\n", issuer.Life/time.Hour, s.issuer.Bearer("alice", nil))
	}
	fmt.Fprintf(w, "\nTry:\n  curl -s%s %s/token/alice\n", bearer, tokenURL)
	fmt.Fprintf(w, "  curl -s%s '%s/config?clientType=web'\n", bearer, client)
	fmt.Fprintf(w, "  curl -s -H 'Content-Type: application/json' -d '{\"users\":{\"alice\":{\"id\":\"alice\",\"name\":\"Alice\"}}}' %s/proxy/users\n\nready\n", service)
}
