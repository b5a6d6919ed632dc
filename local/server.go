package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"chat-service-backend/internal/cfn"
	"chat-service-backend/internal/streamapi"
)

// server is the whole service on loopback.
type server struct {
	clientURL  string
	serviceURL string
	ssmURL     string
	streamURL  string
	standIns   struct{ ssm, stream, bus bool }
	issuer     *issuer // nil when the template names one

	pools   map[string]*pool
	servers []*http.Server
	dir     string // the binaries
	once    sync.Once
}

// start reads the template, builds the functions and serves. It returns once
// every function waits for its first event; on error nothing is left behind.
func start(ctx context.Context, opts options) (s *server, err error) {
	s = &server{pools: map[string]*pool{}}
	defer func() {
		if err != nil {
			s.close()
			s = nil
		}
	}()
	tmpl, err := cfn.Find(opts.dir)
	if err != nil {
		return s, err
	}
	overrides := opts.overrides
	if opts.streamURL != "" {
		if overrides["StreamBaseUrl"] != "" {
			return s, errors.New("want -stream-url or StreamBaseUrl in -parameter-overrides, got both")
		}
		if u, err := url.Parse(opts.streamURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return s, fmt.Errorf("-stream-url: want http://... or https://..., got %q", opts.streamURL)
		}
	}
	if opts.parameters != "" {
		if _, err := fileValues(opts.parameters)(); err != nil {
			return s, fmt.Errorf("-parameters: %w", err)
		}
	}
	client, err := s.listen(opts.clientAddr)
	if err != nil {
		return s, fmt.Errorf("-client-addr: %w", err)
	}
	defer closeOnError(client, &err)
	service, err := s.listen(opts.serviceAddr)
	if err != nil {
		return s, fmt.Errorf("-service-addr: %w", err)
	}
	defer closeOnError(service, &err)
	s.clientURL, s.serviceURL = loopbackURL(client), loopbackURL(service)

	region := opts.getenv("AWS_REGION")
	if region == "" {
		region = opts.getenv("AWS_DEFAULT_REGION")
	}
	if region == "" {
		region = defaultRegion
	}

	// The stand-ins need a value of the template, the template their addresses:
	// a listener has its address before it has a handler.
	parameters, err := s.parameters(tmpl, opts)
	if err != nil {
		return s, err
	}
	var stream net.Listener
	if declares(tmpl, "StreamBaseUrl") && parameters["StreamBaseUrl"] == "" {
		if stream, err = s.listen("127.0.0.1:0"); err != nil {
			return s, fmt.Errorf("stand-in for Stream: %w", err)
		}
		defer closeOnError(stream, &err)
		parameters["StreamBaseUrl"] = loopbackURL(stream)
		s.standIns.stream = true
	}
	st, err := newStack(tmpl, region, parameters)
	if err != nil {
		return s, fmt.Errorf("template.yaml: %w", err)
	}
	s.streamURL = st.streamURL

	s.ssmURL = opts.getenv("AWS_ENDPOINT_URL_SSM")
	current := builtInValues(st.prefix)
	switch {
	case s.ssmURL != "":
		if opts.parameters != "" {
			opts.log.printf("local: AWS_ENDPOINT_URL_SSM is set, so -parameters is not used")
		}
		current = endpointValues(s.ssmURL, region, st.prefix, opts.getenv)
	case opts.parameters != "":
		current = fileValues(opts.parameters)
	}
	if stream != nil {
		s.serve(stream, streamapi.New(current.credentials(st.prefix)))
	}
	extra := passedOn(opts.getenv)
	if s.ssmURL == "" {
		listener, err := s.listen("127.0.0.1:0")
		if err != nil {
			return s, fmt.Errorf("stand-in for SSM: %w", err)
		}
		s.serve(listener, &ssm{region: region, values: current, log: opts.log})
		s.ssmURL = loopbackURL(listener)
		s.standIns.ssm = true
		extra["AWS_ENDPOINT_URL_SSM"] = s.ssmURL
	}

	if missing := missingBusEndpoints(opts.getenv); len(missing) > 0 {
		listener, err := s.listen("127.0.0.1:0")
		if err != nil {
			return s, fmt.Errorf("stand-in for EventBridge: %w", err)
		}
		s.serve(listener, &bus{opts.log})
		for _, name := range missing {
			extra[name] = loopbackURL(listener)
		}
		s.standIns.bus = true
	}

	if err := s.startFunctions(ctx, opts, tmpl.Dir, region, st.functions, extra); err != nil {
		return s, err
	}
	turns := newTurns()
	s.serve(client, s.withIssuer(&clientAPI{
		gateway: gateway{name: "client", pools: s.pools, turns: turns, log: opts.log, limit: opts.limits.http},
		api:     st.http,
	}))
	s.serve(service, &serviceAPI{
		gateway: gateway{name: "service", pools: s.pools, turns: turns, log: opts.log, limit: opts.limits.rest},
		api:     st.rest,
	})
	return s, nil
}

// parameters are the template parameters that are given, by the caller or by
// -stream-url, and an issuer of the server's own where none is configured. An
// override with an empty OidcIssuer asks for none at all, so that nobody is
// known on the Client API.
func (s *server) parameters(tmpl *cfn.Template, opts options) (parameters map[string]string, err error) {
	parameters = map[string]string{}
	maps.Copy(parameters, opts.overrides)
	if opts.streamURL != "" {
		parameters["StreamBaseUrl"] = opts.streamURL
	}
	issuer, _ := tmpl.Section("Parameters")["OidcIssuer"].(map[string]any)
	configured, _ := issuer["Default"].(string)
	if _, overridden := parameters["OidcIssuer"]; overridden || issuer == nil || configured != "" {
		return parameters, nil
	}
	if parameters["OidcAudience"] == "" {
		parameters["OidcAudience"] = "local"
	}
	parameters["OidcIssuer"] = s.clientURL + issuerPath
	s.issuer, err = newIssuer(parameters["OidcIssuer"], parameters["OidcAudience"])
	return parameters, err
}

func declares(tmpl *cfn.Template, parameter string) bool {
	_, ok := tmpl.Section("Parameters")[parameter]
	return ok
}

// passedOn is what functions see of the developer's environment, where it is set.
func passedOn(getenv func(string) string) map[string]string {
	extra := map[string]string{}
	for _, name := range []string{
		"SSL_CERT_FILE", "SSL_CERT_DIR",
		"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SSM", "AWS_ENDPOINT_URL_EVENTBRIDGE", "AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_S3",
	} {
		if v := getenv(name); v != "" {
			extra[name] = v
		}
	}
	return extra
}

// startFunctions builds the functions and starts one process of each, so that
// what is wrong with one shows now and not at its first request.
func (s *server) startFunctions(ctx context.Context, opts options, root, region string, functions []function, extra map[string]string) error {
	var err error
	if s.dir, err = os.MkdirTemp("", "chat-service-local-"); err != nil {
		return err
	}
	var names []string
	for _, f := range functions {
		names = append(names, f.name)
	}
	opts.log.printf("local: building %s (the first time takes a while)", strings.Join(names, ", "))
	binaries, err := opts.build(ctx, root, s.dir, names)
	if err != nil {
		return err
	}
	type starting struct {
		pool *pool
		proc *process
	}
	var first []starting
	for _, f := range functions {
		env := environment(f, root, region, opts.getenv, extra)
		p := &pool{
			fn:    f,
			arn:   "arn:aws:lambda:" + region + ":" + accountID + ":function:" + f.Name,
			log:   opts.log,
			alive: map[*process]bool{},
			start: func(p *pool) (*process, error) { return startProcess(p, binaries[p.fn.name], env) },
		}
		s.pools[f.name] = p
		p.mu.Lock()
		proc, err := p.add()
		p.mu.Unlock()
		if err != nil {
			return fmt.Errorf("function %s: %w", f.name, err)
		}
		first = append(first, starting{p, proc})
	}
	for _, f := range first {
		select {
		case <-f.proc.ready:
		case <-f.proc.done:
			return fmt.Errorf("function %s did not start: %s, its last words stand above", f.pool.fn.name, f.proc.state())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// withIssuer puts the issuer's paths in front of the Client API.
func (s *server) withIssuer(next http.Handler) http.Handler {
	if s.issuer == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == bearerPath || strings.HasPrefix(r.URL.Path, issuerPath+"/") {
			s.issuer.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *server) listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("want a free address: %w", err)
	}
	return l, nil
}

func closeOnError(l net.Listener, err *error) {
	if *err != nil {
		l.Close()
	}
}

func (s *server) serve(l net.Listener, h http.Handler) {
	srv := &http.Server{Handler: h, ErrorLog: discardLog, ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 5 * time.Minute}
	s.servers = append(s.servers, srv)
	go srv.Serve(l)
}

// loopbackURL is where a client on this machine finds the listener, whatever
// address it is bound to.
func loopbackURL(l net.Listener) string {
	host, port, _ := net.SplitHostPort(l.Addr().String())
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// close ends the server: no listener, no process and no file is left.
func (s *server) close() {
	s.once.Do(func() {
		for _, srv := range s.servers {
			srv.Close()
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
	role := func(standIn bool, url string) string {
		if standIn {
			return url + " (stand-in, in memory)"
		}
		return url
	}
	fmt.Fprintln(w)
	fmt.Fprintf(w, "Client API   %s\n", s.clientURL)
	fmt.Fprintf(w, "Service API  %s\n", s.serviceURL)
	if s.issuer != nil {
		fmt.Fprintf(w, "issuer       %s (stand-in; %s%s?user=NAME gives a bearer token)\n", s.issuer.url, s.clientURL, bearerPath)
	} else {
		fmt.Fprintln(w, "issuer       what template.yaml or -parameter-overrides say")
	}
	fmt.Fprintf(w, "SSM          %s\n", role(s.standIns.ssm, s.ssmURL))
	fmt.Fprintf(w, "Stream       %s\n", role(s.standIns.stream, s.streamURL))
	if s.standIns.bus {
		fmt.Fprintln(w, "events       shown here as they pass (stand-in for EventBridge)")
	}
	fmt.Fprintln(w)
	if s.issuer != nil {
		if token, err := s.issuer.bearer("alice", nil); err == nil {
			fmt.Fprintf(w, "A bearer token for alice, good for %d hours:\n%s\n\n", bearerLife/time.Hour, token)
		}
	}
	fmt.Fprintln(w, "Try:")
	if s.issuer != nil {
		bearer := fmt.Sprintf(`-H "Authorization: Bearer $(curl -s '%s%s?user=alice')"`, s.clientURL, bearerPath)
		fmt.Fprintf(w, "  curl -s %s %s/token/alice\n", bearer, s.clientURL)
		fmt.Fprintf(w, "  curl -s %s '%s/config?clientType=web'\n", bearer, s.clientURL)
	} else {
		fmt.Fprintf(w, "  curl -s %s/token/alice\n", s.serviceURL)
		fmt.Fprintf(w, "  curl -s '%s/config?clientType=web'\n", s.clientURL)
	}
	fmt.Fprintf(w, "  curl -s -H 'Content-Type: application/json' -d '{\"users\":{\"alice\":{\"id\":\"alice\",\"name\":\"Alice\"}}}' %s/proxy/users\n", s.serviceURL)
	fmt.Fprintln(w)
	fmt.Fprintln(w, "ready")
}
