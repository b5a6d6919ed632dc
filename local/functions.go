package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"chat-service-backend/functions/apikey"
	"chat-service-backend/functions/config"
	"chat-service-backend/functions/proxy"
	"chat-service-backend/functions/token"
	"chat-service-backend/functions/webhook"
	"chat-service-backend/ops/cfn"
	"chat-service-backend/shared/lambdahttp"
)

// An invoker answers the JSON of an event: with JSON, or with a prelude and a body. The
// caller must close the answer.
type invoker func(ctx context.Context, payload []byte) (io.ReadCloser, error)

// A starter starts a function in its host.
type starter func(ctx context.Context, host *lambdahttp.Host, getenv func(string) string) (invoker, error)

// starters has every function, by the name of its folder.
var starters = map[string]starter{
	"apikey":       served(apikey.Build, false),
	"config":       served(config.Build, false),
	"proxy":        served(proxy.Build, true),
	"token":        served(token.Build, false),
	"webhook":      served(webhook.Build, false),
	moderationName: startModeration,
}

func served(build lambdahttp.Build, streamed bool) starter {
	return func(ctx context.Context, host *lambdahttp.Host, getenv func(string) string) (invoker, error) {
		return host.Invoke, host.Start(ctx, build, getenv, streamed)
	}
}

// A function is one of the stack's, with the environment it was started with.
type function struct {
	cfn.Function
	environment map[string]string
	host        *lambdahttp.Host
	invoke      invoker
}

// startFunctions starts all functions, or only those whose environment is not what it was.
// If one cannot start, all stay as they were.
func (s *server) startFunctions(ctx context.Context, all bool) error {
	functions, err := s.stack.Functions()
	if err != nil {
		return err
	}
	if s.moderation {
		functions = append(functions, moderationFunction)
	}
	var starting sync.WaitGroup
	started, failures := map[string]*function{}, make([]error, len(functions))
	for i, f := range functions {
		name, environment := folder(f), maps.Clone(f.Environment)
		maps.Copy(environment, s.env)
		if s.issuer != nil && environment["OIDC_ISSUER"] == s.issuer.URL {
			environment["OIDC_ISSUER"] = s.issuerNames()
			environment["OIDC_DISCOVERY_URL"] = cmp.Or(environment["OIDC_DISCOVERY_URL"], s.issuer.URL)
		}
		running := s.functions[name]
		if running == nil {
			continue // no route leads to it
		}
		if now := running.Load(); !all && now != nil && maps.Equal(now.environment, environment) && now.LogLevel == f.LogLevel {
			continue
		}
		start := s.starters[name]
		if start == nil {
			return fmt.Errorf("template.yaml has the function %s, which this server does not know: add it to local/functions.go", name)
		}
		host := lambdahttp.NewHost(f.Name, f.LogLevel, writerFunc(func(line []byte) (int, error) {
			s.log.Printf("%s | %s", name, bytes.TrimSuffix(line, []byte("\n")))
			s.feed.sendLog(name, line)
			return len(line), nil
		}))
		fresh := &function{Function: f, environment: environment, host: host}
		started[name] = fresh
		starting.Go(func() {
			var err error
			if fresh.invoke, err = start(ctx, host, func(variable string) string { return environment[variable] }); err != nil {
				failures[i] = fmt.Errorf("function %s cannot start: %w", name, err)
			}
		})
	}
	starting.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	for name, fresh := range started {
		s.functions[name].Store(fresh)
	}
	return nil
}

// issuerNames returns the issuer's names: a device knows this machine by another one.
func (s *server) issuerNames() string {
	_, port, _ := net.SplitHostPort(s.client.Addr().String())
	names := []string{s.issuer.URL}
	for _, host := range append([]string{"localhost", "127.0.0.1"}, s.allowHosts...) {
		if name := "http://" + net.JoinHostPort(host, port) + issuerPath; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, "|")
}

// running is the edition of a function that gets the next request.
type running = atomic.Pointer[function]
