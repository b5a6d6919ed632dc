package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"chat-service-backend/internal/parameterstore"
	"chat-service-backend/internal/streamapi"
	"chat-service-backend/ops/cfn"
	"chat-service-backend/shared/settings"
)

// routeRequests makes the gateways of the stack's two APIs, and a place for each
// function to which one of their routes leads.
func (s *server) routeRequests(context.Context) error {
	apis, err := s.stack.APIs()
	if err != nil {
		return fmt.Errorf("template.yaml: %w", err)
	}
	functions, err := s.stack.Functions()
	if err != nil {
		return fmt.Errorf("template.yaml: %w", err)
	}
	s.clientAPI, s.serviceAPI = &gateway{server: s, name: "client"}, &gateway{server: s, name: "service"}
	gateways := map[bool]*gateway{false: s.clientAPI, true: s.serviceAPI} // by whether it is a REST API
	for _, api := range apis {
		g := gateways[api.REST]
		if g.api.ID != "" {
			return fmt.Errorf("template.yaml: %s is one API too many; the server plays one HTTP API and one REST API", api.ID)
		}
		g.api = api
	}
	for _, f := range functions {
		for _, r := range f.Routes {
			g := gateways[r.REST]
			if r.API != g.api.ID && r.API != "WebhookApi" { // which has no port of its own here
				return fmt.Errorf("template.yaml: %s: Events: %q is not the API %q", f.ID, r.API, g.api.ID)
			}
			g.routes = append(g.routes, newRoute(folder(f), r))
			s.functions[folder(f)] = &running{}
		}
	}
	sortRoutes(s.clientAPI.routes)
	sortRoutes(s.serviceAPI.routes)
	if len(s.functions) == 0 {
		return errors.New("template.yaml: no function has an HttpApi or Api event")
	}
	if s.moderation {
		s.functions[moderationName] = &running{}
	}
	return nil
}

// folder returns the name of a function's folder below functions/: apikey for
// ApiKeyFunction.
func folder(f cfn.Function) string { return strings.ToLower(strings.TrimSuffix(f.ID, "Function")) }

// awsEnvironment returns the variables with which the functions reach AWS: the
// stand-ins at a URL, or what the developer's environment names instead.
func awsEnvironment(getenv func(string) string, standIns string) map[string]string {
	env, own := map[string]string{}, false
	for _, service := range []string{"SSM", "EVENTBRIDGE", "SQS", "S3", "LAMBDA"} {
		name := "AWS_ENDPOINT_URL_" + service
		env[name] = cmp.Or(getenv(name), standIns) // or the function would call AWS itself
		own = own || getenv(name) != ""
	}
	// The stand-ins accept no credentials but those of this run, because others may
	// use this machine. An endpoint of the developer's needs theirs.
	env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"] = rand.Text(), rand.Text()
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		if own && getenv(name) != "" {
			env[name] = getenv(name)
		}
	}
	return env
}

// developmentSecret is the API secret if there is no file of parameters. The
// README of examples/moderation quotes it; it protects nothing.
const developmentSecret = "local-secret-for-development-only"

// builtInValues are the parameters of a server without -parameters.
func builtInValues(prefix string) map[string]string {
	return map[string]string{
		prefix + "/stream/api-key":    "local-key",
		prefix + "/stream/api-secret": developmentSecret,
		prefix + "/client-config/web": `{"theme":{"name":"light","accent":"#005fff"},` +
			`"features":{"reactions":true,"threads":true,"fileUpload":true},"maxMessageLength":5000}`,
		prefix + "/client-config/mobile": `{"theme":{"name":"system","accent":"#005fff"},` +
			`"features":{"reactions":true,"threads":false,"fileUpload":true},"pushProvider":"firebase","maxMessageLength":2000}`,
		moderationPrefix + "/refuse": "scam",
		moderationPrefix + "/mask":   "darn",
	}
}

// endpointValues returns what the stand-in for Stream needs of the values at the
// SSM endpoint that the functions use.
func (s *server) endpointValues(prefix string) (parameterstore.Values, error) {
	variables := map[string]string{"PARAMETER_PREFIX": prefix}
	store, err := settings.Open(func(name string) string { return variables[name] + s.env[name] })
	if err != nil {
		return nil, err
	}
	return func() (map[string]string, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		found, err := store.Parameters(ctx, "stream/api-key", "stream/api-secret", "stream/api-secret-previous")
		if err != nil {
			return nil, fmt.Errorf("SSM at %s: %w", s.ssmURL, err)
		}
		values := map[string]string{}
		for name, value := range found {
			values[store.Name(name)] = value
		}
		return values, nil
	}, nil
}

// credentialsOf returns the app's credentials at Stream. During a rotation both
// secrets are valid.
func credentialsOf(values parameterstore.Values, prefix string) streamapi.Credentials {
	return func() (key string, secrets []string, err error) {
		all, err := values()
		if err != nil {
			return "", nil, err
		}
		key = all[prefix+"/stream/api-key"]
		secrets = []string{all[prefix+"/stream/api-secret"], all[prefix+"/stream/api-secret-previous"]}
		secrets = slices.DeleteFunc(secrets, func(secret string) bool { return secret == "" })
		if key == "" || len(secrets) == 0 {
			return "", nil, errors.New("stream/api-key or stream/api-secret is missing in Parameter Store; put both there")
		}
		return key, secrets, nil
	}
}
