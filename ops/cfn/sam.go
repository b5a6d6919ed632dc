package cfn

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Function is an AWS::Serverless::Function with the defaults that SAM and
// Lambda give it.
type Function struct {
	ID          string // its logical id
	Name        string // as CloudFormation generates it, without the random end
	Environment map[string]string
	Timeout     time.Duration
	MemorySize  int     // MB
	LogLevel    string  // of the application
	Routes      []Route // in order of the events' names
}

// A Route is an event of type HttpApi or Api.
type Route struct {
	REST    bool          // Api: on a REST API rather than an HTTP API
	API     string        // logical id of the API, "" for SAM's implicit one
	Method  string        // as written, ANY by default
	Path    string        // as written, "" by default
	Timeout time.Duration // of the integration, 0 for the gateway's default
	IAM     bool          // on a REST API: callers must sign
	Stream  bool          // on a REST API: the answer is streamed
	Limit   Limit
}

// A Limit is what API Gateway lets through before it answers 429.
type Limit struct {
	Rate  float64 // requests a second, 0 for the account's limit only
	Burst int
}

// An API is an AWS::Serverless::HttpApi or AWS::Serverless::Api.
type API struct {
	ID               string           // its logical id
	REST             bool             // an Api rather than an HttpApi
	CORS             *CORS            // of an HTTP API, nil for none
	Stage            string           // of a REST API
	BinaryMediaTypes []string         // of a REST API, in lower case; may end in /*
	limits           map[string]Limit // by "GET /path"; "" for all other routes
	iam              bool             // DefaultAuthorizer is AWS_IAM
}

// A CORS is a CorsConfiguration.
type CORS struct {
	AllowOrigins, AllowMethods, AllowHeaders, ExposeHeaders []string
	MaxAge                                                  string // seconds
}

// APIs returns the HTTP APIs and then the REST APIs, in order of their ids.
func (s *Stack) APIs() (apis []API, err error) {
	for _, kind := range []string{"HttpApi", "Api"} {
		err = errors.Join(err, s.each(kind, func(id string, p map[string]any) error {
			api := API{
				ID:    id,
				REST:  kind == "Api",
				Stage: text(p["StageName"], "Prod"),
				iam:   object(p["Auth"])["DefaultAuthorizer"] == "AWS_IAM",
			}
			if c := object(p["CorsConfiguration"]); c != nil {
				api.CORS = &CORS{
					AllowOrigins:  texts(c["AllowOrigins"]),
					AllowMethods:  texts(c["AllowMethods"]),
					AllowHeaders:  texts(c["AllowHeaders"]),
					ExposeHeaders: texts(c["ExposeHeaders"]),
					MaxAge:        text(c["MaxAge"], ""),
				}
			}
			for _, binary := range texts(p["BinaryMediaTypes"]) {
				// SAM allows ~1 for the slash, as in OpenAPI's pointers.
				api.BinaryMediaTypes = append(api.BinaryMediaTypes, strings.ToLower(strings.ReplaceAll(binary, "~1", "/")))
			}
			api.limits = limits(p["DefaultRouteSettings"], p["RouteSettings"])
			for _, setting := range list(p["MethodSettings"]) {
				// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-apigateway-stage-methodsetting.html
				m := object(setting)
				key := text(m["HttpMethod"], "") + " " + strings.ReplaceAll(strings.TrimPrefix(text(m["ResourcePath"], ""), "/"), "~1", "/")
				if key == "* *" {
					key = ""
				}
				api.limits[key] = newLimit(m)
			}
			apis = append(apis, api)
			return nil
		}))
	}
	return apis, err
}

func limits(otherwise, routes any) map[string]Limit {
	all := map[string]Limit{"": newLimit(otherwise)}
	for key, settings := range object(routes) {
		all[key] = newLimit(settings)
	}
	return all
}

func newLimit(v any) (l Limit) {
	l.Rate, _ = strconv.ParseFloat(text(object(v)["ThrottlingRateLimit"], ""), 64)
	l.Burst, _ = strconv.Atoi(text(object(v)["ThrottlingBurstLimit"], ""))
	return l
}

// plainRoutes returns the routes of HTTP APIs that are written out instead of being
// events of a function, by the function's logical id.
func (s *Stack) plainRoutes() (map[string][]Route, error) {
	all := map[string]map[string]map[string]any{} // by type and logical id
	for _, kind := range []string{"Route", "Integration", "Stage"} {
		resources, err := s.Resources("AWS::ApiGatewayV2::" + kind)
		if err != nil {
			return nil, err
		}
		all[kind] = map[string]map[string]any{}
		for id, resource := range resources {
			properties, err := s.Eval(resource["Properties"])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", id, err)
			}
			all[kind][id] = object(properties)
		}
	}
	found := map[string][]Route{}
	for _, p := range all["Route"] {
		integration := all["Integration"][strings.TrimPrefix(text(p["Target"], ""), "integrations/")]
		function, _, _ := strings.Cut(text(integration["IntegrationUri"], ""), ".") // "WebhookFunction.Alias"
		r := Route{API: text(p["ApiId"], "")}
		r.Method, r.Path, _ = strings.Cut(text(p["RouteKey"], ""), " ")
		milliseconds, _ := strconv.Atoi(text(integration["TimeoutInMillis"], "0"))
		r.Timeout = time.Duration(milliseconds) * time.Millisecond
		for _, stage := range all["Stage"] {
			if stage["ApiId"] == r.API {
				r.Limit = newLimit(stage["DefaultRouteSettings"])
			}
		}
		found[function] = append(found[function], r)
	}
	return found, nil
}

// Functions returns the functions, in order of their logical ids.
func (s *Stack) Functions() (functions []Function, err error) {
	apis, err := s.APIs()
	if err != nil {
		return nil, err
	}
	plain, err := s.plainRoutes()
	if err != nil {
		return nil, err
	}
	err = s.each("Function", func(id string, p map[string]any) error {
		f := Function{
			ID:          id,
			Name:        s.values["AWS::StackName"] + "-" + id,
			Environment: map[string]string{},
			LogLevel:    text(object(p["LoggingConfig"])["ApplicationLogLevel"], "INFO"),
		}
		for key, v := range object(object(p["Environment"])["Variables"]) {
			value, ok := v.(string)
			if !ok {
				return fmt.Errorf("Environment: %s: it is not text", key)
			}
			f.Environment[key] = value
		}
		seconds, err := strconv.Atoi(text(p["Timeout"], "3"))
		if err != nil || seconds < 1 || seconds > 900 {
			return fmt.Errorf("Timeout: %v is not a number of seconds from 1 to 900", p["Timeout"])
		}
		f.Timeout = time.Duration(seconds) * time.Second
		if f.MemorySize, err = strconv.Atoi(text(p["MemorySize"], "128")); err != nil {
			return fmt.Errorf("MemorySize: %v is not a number of MB", p["MemorySize"])
		}
		events := object(p["Events"])
		for _, name := range slices.Sorted(maps.Keys(events)) {
			event := object(events[name])
			if kind := event["Type"]; kind == "HttpApi" || kind == "Api" {
				f.Routes = append(f.Routes, newRoute(kind == "Api", object(event["Properties"]), apis))
			}
		}
		f.Routes = append(f.Routes, plain[id]...)
		functions = append(functions, f)
		return nil
	})
	return functions, err
}

func newRoute(rest bool, p map[string]any, apis []API) Route {
	milliseconds, _ := strconv.Atoi(text(p["TimeoutInMillis"], "0"))
	r := Route{
		REST:    rest,
		API:     text(p["ApiId"], text(p["RestApiId"], "")),
		Method:  text(p["Method"], "ANY"),
		Path:    text(p["Path"], ""),
		Timeout: time.Duration(milliseconds) * time.Millisecond,
	}
	if rest {
		r.IAM = slices.ContainsFunc(apis, func(api API) bool { return api.ID == r.API && api.iam })
		if authorizer := object(p["Auth"])["Authorizer"]; authorizer != nil {
			r.IAM = authorizer == "AWS_IAM"
		}
		// SAM passes STREAM, the word of the API's own description, on from an event
		// without any effect. Only this one streams.
		r.Stream = p["ResponseTransferMode"] == "RESPONSE_STREAM"
	}
	for _, api := range apis {
		if limit, ok := api.limits[r.Method+" "+r.Path]; api.ID == r.API && ok {
			r.Limit = limit
		} else if api.ID == r.API {
			r.Limit = api.limits[""]
		}
	}
	return r
}

// each calls f with the properties of each AWS::Serverless::KIND, merged over
// those of Globals, in order of their ids.
func (s *Stack) each(kind string, f func(id string, p map[string]any) error) error {
	resources, err := s.Resources("AWS::Serverless::" + kind)
	if err != nil {
		return err
	}
	shared, err := s.Eval(s.Template.Section("Globals")[kind])
	if err != nil {
		return fmt.Errorf("Globals: %s: %w", kind, err)
	}
	for _, id := range slices.Sorted(maps.Keys(resources)) {
		own, err := s.Eval(resources[id]["Properties"])
		if err == nil {
			err = f(id, object(merge(shared, own)))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
	}
	return nil
}

// merge merges maps by key. Of other values, a resource's own wins.
func merge(shared, own any) any {
	a, b := object(shared), object(own)
	switch {
	case own == nil:
		return shared
	case a == nil || b == nil:
		return own
	}
	both := maps.Clone(a)
	for key, v := range b {
		both[key] = merge(a[key], v)
	}
	return both
}
