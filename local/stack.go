package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"

	"chat-service-backend/internal/cfn"
	"chat-service-backend/internal/parameterstore"
	"chat-service-backend/internal/standin"
	"chat-service-backend/internal/streamapi"
)

// limits are the gateways' time limits, in which a buffered answer must come.
type limits struct{ http, rest time.Duration }

var awsLimits = limits{http: 30 * time.Second, rest: 29 * time.Second}

// route makes the gateways of the stack's APIs, and a pool for each function
// that has a route on one.
func (s *server) route(context.Context) error {
	apis, err := s.stack.APIs()
	if err != nil {
		return fmt.Errorf("template.yaml: %w", err)
	}
	s.clientAPI = &gateway{name: "client", basePath: s.basePath, pools: s.pools, log: s.log, feed: &s.feed, limit: s.limits.http, refusals: clientRefusals}
	s.restAPI = &gateway{name: "service", basePath: s.basePath, pools: s.pools, log: s.log, feed: &s.feed, limit: s.limits.rest, refusals: serviceRefusals}
	for _, api := range apis {
		g := s.clientAPI
		if api.REST {
			g = s.restAPI
		}
		if g.api.ID != "" {
			return fmt.Errorf("template.yaml: want one HTTP API and one REST API, got %s too", api.ID)
		}
		g.api = api
	}
	functions, err := s.stack.Functions()
	if err != nil {
		return fmt.Errorf("template.yaml: %w", err)
	}
	for _, f := range functions {
		for _, r := range f.Routes {
			g := s.clientAPI
			if r.REST {
				g = s.restAPI
			}
			if r.API != g.api.ID {
				return fmt.Errorf("template.yaml: %s: Events: want the API %q, got %q", f.ID, g.api.ID, r.API)
			}
			rt, err := newRoute(folder(f), r)
			if err != nil {
				return fmt.Errorf("template.yaml: %s: Events: %w", f.ID, err)
			}
			g.routes = append(g.routes, rt)
			s.pools[folder(f)] = newPool()
		}
	}
	sortRoutes(s.clientAPI.routes)
	sortRoutes(s.restAPI.routes)
	if len(s.pools) == 0 {
		return errors.New("template.yaml: want a function with an HttpApi or Api event, got none")
	}
	return nil
}

// folder returns the name of a function's folder below functions/:
// ApiKeyFunction's is apikey.
func folder(f cfn.Function) string { return strings.ToLower(strings.TrimSuffix(f.ID, "Function")) }

// developmentSecret is the API secret that the stand-ins share when no file of
// parameters is given. README names it; it protects nothing.
const developmentSecret = "local-secret-for-development-only"

// builtInValues are the parameters of a server without -parameters.
func builtInValues(prefix string) *parameterstore.Memory {
	return parameterstore.NewMemory(map[string]string{
		prefix + "/stream/api-key":    "local-key",
		prefix + "/stream/api-secret": developmentSecret,
		prefix + "/client-config/web": `{"theme":{"name":"light","accent":"#005fff"},` +
			`"features":{"reactions":true,"threads":true,"fileUpload":true},"maxMessageLength":5000}`,
		prefix + "/client-config/mobile": `{"theme":{"name":"system","accent":"#005fff"},` +
			`"features":{"reactions":true,"threads":false,"fileUpload":true},"pushProvider":"firebase","maxMessageLength":2000}`,
		moderationPrefix + "/refuse": "scam",
		moderationPrefix + "/mask":   "darn",
	})
}

// endpointValues asks the SSM endpoint that the functions use for the values
// which the stand-in for Stream needs.
func (s *server) endpointValues() (map[string]string, error) {
	client := awsssm.New(awsssm.Options{
		BaseEndpoint: &s.ssmURL,
		Region:       s.region,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			c := s.credentials
			return aws.Credentials{AccessKeyID: c["AWS_ACCESS_KEY_ID"], SecretAccessKey: c["AWS_SECRET_ACCESS_KEY"], SessionToken: c["AWS_SESSION_TOKEN"]}, nil
		}),
	})
	prefix := s.stack.Parameter("ParameterPrefix") + "/stream/"
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, err := client.GetParameters(ctx, &awsssm.GetParametersInput{
		Names: []string{prefix + "api-key", prefix + "api-secret", prefix + "api-secret-previous"}, WithDecryption: new(true),
	})
	if err != nil {
		return nil, fmt.Errorf("SSM at %s: %w", s.ssmURL, err)
	}
	found := map[string]string{}
	for _, p := range out.Parameters {
		found[aws.ToString(p.Name)] = aws.ToString(p.Value)
	}
	return found, nil
}

// credentialsOf returns the credentials of the app at Stream. During a rotation
// both secrets count.
func credentialsOf(values parameterstore.Values, prefix string) streamapi.Credentials {
	return func() (key string, secrets []string, err error) {
		all, err := values()
		if err != nil {
			return "", nil, err
		}
		for _, name := range []string{"api-secret", "api-secret-previous"} {
			if secret := all[prefix+"/stream/"+name]; secret != "" {
				secrets = append(secrets, secret)
			}
		}
		if key = all[prefix+"/stream/api-key"]; key == "" || len(secrets) == 0 {
			return "", nil, errors.New("want stream/api-key and stream/api-secret in Parameter Store, one is missing")
		}
		return key, secrets, nil
	}
}

// awsEndpoints are the variables that say where AWS is, if it is not played here.
var awsEndpoints = []string{
	"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SSM", "AWS_ENDPOINT_URL_EVENTBRIDGE", "AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_LAMBDA",
}

// credentials returns the AWS_* ones with which functions call AWS and its
// stand-ins, which answer nobody else: others may work on this machine, too. They
// are made for this run, or the developer's where any AWS is the developer's.
func credentials(getenv func(string) string) map[string]string {
	c := map[string]string{}
	if slices.ContainsFunc(awsEndpoints, func(name string) bool { return getenv(name) != "" }) && getenv("AWS_ACCESS_KEY_ID") != "" {
		for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
			if v := getenv(name); v != "" {
				c[name] = v
			}
		}
		return c
	}
	c["AWS_ACCESS_KEY_ID"], c["AWS_SECRET_ACCESS_KEY"] = rand.Text(), rand.Text()
	return c
}

// signedBy returns what a stand-in wants its calls signed with.
func (s *server) signedBy() *standin.Credentials {
	return &standin.Credentials{AccessKeyID: s.credentials["AWS_ACCESS_KEY_ID"], SecretAccessKey: s.credentials["AWS_SECRET_ACCESS_KEY"], Region: s.region}
}
