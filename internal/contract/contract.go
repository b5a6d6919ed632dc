// Package contract compares what passes between a caller and the service with
// docs/openapi.yaml.
package contract

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// The tags of the document's operations: the API that has them.
const (
	ClientAPI  = "Client API"
	ServiceAPI = "Service API"
)

// A Contract is an OpenAPI document to check exchanges against.
type Contract struct {
	Document *openapi3.T

	mu   sync.Mutex
	seen map[string]bool // "/config 200"
}

// Load reads the document in the file.
func Load(file string) (*Contract, error) {
	document, err := openapi3.NewLoader().LoadFromFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &Contract{Document: document, seen: map[string]bool{}}, nil
}

// An Exchange is a request to one of the APIs and the answer to it.
type Exchange struct {
	API         string // ClientAPI or ServiceAPI
	Request     *http.Request
	Path        string // percent-encoded, as it was sent
	RequestBody []byte
	Response    *http.Response
	Body        []byte // of the answer
}

// Route finds the operation of an exchange. kin-openapi's own routers know no
// parameter of many segments, as {path} of the proxy is.
func (c *Contract) Route(e Exchange) (*routers.Route, map[string]string, error) {
	for _, template := range slices.Backward(slices.Sorted(maps.Keys(c.Document.Paths.Map()))) {
		item := c.Document.Paths.Value(template)
		literal, parameter, _ := strings.Cut(template, "{")
		value, ok := strings.CutPrefix(e.Path, literal)
		operation := item.GetOperation(e.Request.Method)
		switch {
		case !ok || operation == nil || !slices.Contains(operation.Tags, e.API):
			continue
		case parameter == "" && value != "":
			continue
		case parameter != "" && !manySegments(item) && (value == "" || strings.Contains(value, "/")):
			continue
		}
		route := &routers.Route{Spec: c.Document, Path: template, PathItem: item, Method: e.Request.Method, Operation: operation}
		parameters := map[string]string{}
		if parameter != "" {
			plain, err := url.PathUnescape(value)
			if err != nil {
				return nil, nil, err
			}
			parameters[strings.TrimSuffix(parameter, "}")] = plain
		}
		return route, parameters, nil
	}
	return nil, nil, fmt.Errorf("the document has no %s %s on the %s", e.Request.Method, e.Path, e.API)
}

func manySegments(item *openapi3.PathItem) bool {
	return slices.ContainsFunc(item.Parameters, func(p *openapi3.ParameterRef) bool {
		return p.Value.Extensions["x-multiple-segments"] == true
	})
}

// Unseen returns the statuses that the document gives a path by number, as
// "/config 200", and that no exchange had which agreed with it. A success counts
// only with a request that the document allows.
func (c *Contract) Unseen() (statuses []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for path, item := range c.Document.Paths.Map() {
		for _, operation := range item.Operations() {
			for status := range operation.Responses.Map() {
				key := path + " " + status
				if _, err := strconv.Atoi(status); err == nil && !c.seen[key] {
					statuses = append(statuses, key)
				}
			}
		}
	}
	slices.Sort(statuses)
	return slices.Compact(statuses)
}

// Check returns where the document contradicts the request, and where it
// contradicts the answer.
func (c *Contract) Check(ctx context.Context, e Exchange) (request, answer error) {
	route, parameters, err := c.Route(e)
	if err != nil {
		return err, err
	}
	r := e.Request.Clone(ctx)
	body := e.RequestBody
	// The document describes what is sent, whatever its encoding on the way.
	if r.Header.Get("Content-Encoding") == "gzip" {
		if body, err = gunzip(body); err != nil {
			request = err
		}
		r.Header.Del("Content-Encoding")
	}
	r.Body, r.GetBody = io.NopCloser(bytes.NewReader(body)), nil
	r.ContentLength = int64(len(body))
	input := &openapi3filter.RequestValidationInput{
		Request:    r,
		PathParams: parameters,
		Route:      route,
		Options: &openapi3filter.Options{
			IncludeResponseStatus: true,
			AuthenticationFunc: func(_ context.Context, in *openapi3filter.AuthenticationInput) error {
				return authenticates(e, in.SecuritySchemeName)
			},
		},
	}
	if request == nil {
		request = openapi3filter.ValidateRequest(ctx, input)
	}
	output := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input,
		Status:                 e.Response.StatusCode,
		Header:                 e.Response.Header,
		Options:                input.Options,
	}
	answer = openapi3filter.ValidateResponse(ctx, output.SetBodyBytes(e.Body))
	if answer == nil && (request == nil || e.Response.StatusCode >= 400) {
		c.mu.Lock()
		c.seen[fmt.Sprint(route.Path, " ", e.Response.StatusCode)] = true
		c.mu.Unlock()
	}
	return request, answer
}

// authenticates reports whether a request meets a security scheme. The development
// server counts every caller of the Service API as signed.
func authenticates(e Exchange, scheme string) error {
	met := map[string]bool{
		"bearer": e.API == ClientAPI && strings.HasPrefix(e.Request.Header.Get("Authorization"), "Bearer "),
		"sigv4":  e.API == ServiceAPI,
	}
	if !met[scheme] {
		return fmt.Errorf("the request has no %s", scheme)
	}
	return nil
}

func gunzip(body []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
