package cfn

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A Function is an AWS::Serverless::Function with the defaults that SAM and
// Lambda give it.
type Function struct {
	ID          string // its logical id
	Name        string // as CloudFormation makes it up, but for its random end
	Environment map[string]string
	Timeout     time.Duration
	MemorySize  int    // MB
	LogLevel    string // of the application
	LogGroup    string
	Routes      []Route // in order of the events' names
}

// A Route is an event of type HttpApi or Api.
type Route struct {
	REST    bool          // Api: on a REST API rather than an HTTP API
	API     string        // logical id of the API, "" for SAM's implicit one
	Method  string        // as it is written, ANY when it is not
	Path    string        // as it is written, "" when it is not
	Timeout time.Duration // of the integration, 0 for the gateway's own
	IAM     bool          // on a REST API: callers are signed
	Stream  bool          // on a REST API: the answer is streamed
}

// An API is an AWS::Serverless::HttpApi or AWS::Serverless::Api.
type API struct {
	ID               string   // its logical id
	REST             bool     // an Api rather than an HttpApi
	CORS             *CORS    // of an HTTP API, nil for none
	Stage            string   // of a REST API
	BinaryMediaTypes []string // of a REST API, in lower case; may end in /*
	iam              bool     // DefaultAuthorizer is AWS_IAM
}

// A CORS is a CorsConfiguration.
type CORS struct {
	AllowOrigins, AllowMethods, AllowHeaders, ExposeHeaders []string
	MaxAge                                                  string // seconds, "" for none
	AllowCredentials                                        bool
}

// properties evaluates the named properties of a resource, merged over those of
// Globals: maps by key, for the rest the resource's own wins.
func (s *Stack) properties(global string, resource map[string]any, names ...string) (map[string]any, error) {
	all := map[string]any{}
	for _, name := range names {
		shared, err := s.Eval(object(s.Template.Section("Globals")[global])[name])
		if err != nil {
			return nil, fmt.Errorf("Globals %s %s: %w", global, name, err)
		}
		own, err := s.Eval(object(resource["Properties"])[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all[name] = merge(shared, own)
	}
	return all, nil
}

func merge(shared, own any) any {
	if own == nil {
		return shared
	}
	a, b := object(shared), object(own)
	if a == nil || b == nil {
		return own
	}
	both := maps.Clone(a)
	for key, v := range b {
		both[key] = merge(a[key], v)
	}
	return both
}

// each calls f with each resource of a type, in order of their ids.
func (s *Stack) each(kind string, f func(id string, resource map[string]any) error) error {
	resources, err := s.Resources(kind)
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(resources)) {
		if err := f(id, resources[id]); err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
	}
	return nil
}

// APIs returns the HTTP APIs and then the REST APIs, in order of their ids.
func (s *Stack) APIs() (apis []API, err error) {
	for _, kind := range []string{"HttpApi", "Api"} {
		err = errors.Join(err, s.each("AWS::Serverless::"+kind, func(id string, resource map[string]any) error {
			p, err := s.properties(kind, resource, "CorsConfiguration", "StageName", "BinaryMediaTypes", "Auth")
			api := API{
				ID:    id,
				REST:  kind == "Api",
				Stage: text(p["StageName"], "Prod"),
				iam:   object(p["Auth"])["DefaultAuthorizer"] == "AWS_IAM",
			}
			if c := object(p["CorsConfiguration"]); c != nil {
				api.CORS = &CORS{
					AllowOrigins:     texts(c["AllowOrigins"]),
					AllowMethods:     texts(c["AllowMethods"]),
					AllowHeaders:     texts(c["AllowHeaders"]),
					ExposeHeaders:    texts(c["ExposeHeaders"]),
					MaxAge:           text(c["MaxAge"], ""),
					AllowCredentials: c["AllowCredentials"] == "true",
				}
			}
			for _, binary := range texts(p["BinaryMediaTypes"]) {
				// SAM lets one write ~1 for the slash, as OpenAPI's pointers do.
				api.BinaryMediaTypes = append(api.BinaryMediaTypes, strings.ToLower(strings.ReplaceAll(binary, "~1", "/")))
			}
			apis = append(apis, api)
			return err
		}))
	}
	return apis, err
}

// Functions returns the functions, in order of their logical ids.
func (s *Stack) Functions() (functions []Function, err error) {
	apis, err := s.APIs()
	if err != nil {
		return nil, err
	}
	signed := map[string]bool{}
	for _, api := range apis {
		signed[api.ID] = api.iam
	}
	err = s.each("AWS::Serverless::Function", func(id string, resource map[string]any) error {
		p, err := s.properties("Function", resource, "Environment", "Timeout", "MemorySize", "LoggingConfig")
		if err != nil {
			return err
		}
		logging := object(p["LoggingConfig"])
		f := Function{
			ID:          id,
			Name:        s.name + "-" + id,
			Environment: map[string]string{},
			LogLevel:    text(logging["ApplicationLogLevel"], "INFO"),
			LogGroup:    text(logging["LogGroup"], ""),
		}
		for key, v := range object(object(p["Environment"])["Variables"]) {
			value, ok := v.(string)
			if !ok {
				return fmt.Errorf("Environment: %s: want text", key)
			}
			f.Environment[key] = value
		}
		seconds, ok := number(text(p["Timeout"], "3"))
		if !ok || seconds < 1 || seconds > 900 {
			return fmt.Errorf("Timeout: want 1 to 900 seconds, got %v", p["Timeout"])
		}
		f.Timeout = time.Duration(seconds * float64(time.Second))
		memory, ok := number(text(p["MemorySize"], "128"))
		if !ok {
			return fmt.Errorf("MemorySize: want a number of MB, got %v", p["MemorySize"])
		}
		f.MemorySize = int(memory)
		// A reference to a log group tells its logical id, not its name.
		if !strings.HasPrefix(f.LogGroup, "/") {
			f.LogGroup = "/aws/lambda/" + f.Name
		}
		f.Routes, err = s.routes(object(object(resource["Properties"])["Events"]), signed)
		functions = append(functions, f)
		return err
	})
	return functions, err
}

// routes reads a function's events. signed has the REST APIs whose routes are
// signed unless their event says otherwise.
func (s *Stack) routes(events map[string]any, signed map[string]bool) (routes []Route, err error) {
	for _, id := range slices.Sorted(maps.Keys(events)) {
		event := object(events[id])
		if event["Type"] != "HttpApi" && event["Type"] != "Api" {
			continue
		}
		v, err := s.Eval(event["Properties"])
		if err != nil {
			return nil, fmt.Errorf("Events: %s: %w", id, err)
		}
		p := object(v)
		milliseconds, _ := number(p["TimeoutInMillis"])
		route := Route{
			API:     text(p["ApiId"], ""),
			Method:  text(p["Method"], "ANY"),
			Path:    text(p["Path"], ""),
			Timeout: time.Duration(milliseconds) * time.Millisecond,
		}
		if event["Type"] == "Api" {
			route.REST = true
			route.API = text(p["RestApiId"], "")
			if authorizer := object(p["Auth"])["Authorizer"]; authorizer != nil {
				route.IAM = authorizer == "AWS_IAM"
			} else {
				route.IAM = signed[route.API]
			}
			// STREAM is the word of the API's own description; SAM passes it on from
			// an event without any effect, so only the right word streams.
			route.Stream = p["ResponseTransferMode"] == "RESPONSE_STREAM"
		}
		routes = append(routes, route)
	}
	return routes, nil
}
