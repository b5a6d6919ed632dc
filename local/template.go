package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"chat-service-backend/internal/cfn"
)

// Where this stack seems to be deployed.
const (
	accountID     = "000000000000"
	stackName     = "chat-service-local"
	defaultRegion = "us-east-1"
)

// stack is what the server takes from a template with given parameters.
type stack struct {
	functions []function // those with a route, in order of their logical ids
	http      httpAPI
	rest      restAPI
	prefix    string // the ParameterPrefix
	streamURL string // the StreamBaseUrl
}

// function is a function of the template with the folder of its code.
type function struct {
	cfn.Function
	name string // the folder below functions/
}

type httpAPI struct {
	id     string
	routes []route
	cors   *cors // nil without a CorsConfiguration
}

type restAPI struct {
	cfn.API
	routes []route
}

// cors plays the CORS of an HTTP API.
type cors cfn.CORS

// route is one HttpApi or Api event.
type route struct {
	function string // its name
	method   string // upper case, or ANY
	path     string // as the template writes it
	segments []segment
	iam      bool          // callers are signed
	stream   bool          // the answer is streamed
	limit    time.Duration // 0 means the gateway's own limit
}

// newStack deploys the template here.
func newStack(t *cfn.Template, region string, parameters map[string]string) (*stack, error) {
	deployed, err := t.Stack(cfn.Options{Region: region, Account: accountID, StackName: stackName, Parameters: parameters})
	if err != nil {
		return nil, err
	}
	s := &stack{prefix: deployed.Parameter("ParameterPrefix"), streamURL: deployed.Parameter("StreamBaseUrl")}
	apis, err := deployed.APIs()
	if err != nil {
		return nil, err
	}
	for _, api := range apis {
		switch {
		case !api.REST && s.http.id == "":
			s.http.id, s.http.cors = api.ID, (*cors)(api.CORS)
		case api.REST && s.rest.ID == "":
			s.rest.API = api
		default:
			return nil, fmt.Errorf("want one HTTP API and one REST API, got %s too", api.ID)
		}
	}
	functions, err := deployed.Functions()
	if err != nil {
		return nil, err
	}
	for _, f := range functions {
		if len(f.Routes) == 0 {
			continue
		}
		name := strings.ToLower(strings.TrimSuffix(f.ID, "Function"))
		for _, r := range f.Routes {
			if err := s.add(name, r); err != nil {
				return nil, fmt.Errorf("%s: Events: %w", f.ID, err)
			}
		}
		s.functions = append(s.functions, function{f, name})
	}
	if len(s.functions) == 0 {
		return nil, errors.New("want a function with an HttpApi or Api event, got none")
	}
	return s, nil
}

// add puts a function's route on its API.
func (s *stack) add(function string, r cfn.Route) error {
	rt, err := newRoute(r.Method, r.Path)
	if err != nil {
		return err
	}
	rt.function, rt.iam, rt.stream, rt.limit = function, r.IAM, r.Stream, r.Timeout
	id, routes := s.http.id, &s.http.routes
	if r.REST {
		id, routes = s.rest.ID, &s.rest.routes
	}
	if r.API != id {
		return fmt.Errorf("want the API %q, got %q", id, r.API)
	}
	*routes = append(*routes, rt)
	return nil
}
