package main

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
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// The APIs, by the tags of the document's operations.
const (
	contractClient  = "Client API"
	contractService = "Service API"
)

// A contract is an OpenAPI document that exchanges are checked against.
type contract struct {
	document *openapi3.T

	mu   sync.Mutex
	seen map[string]bool // "/config 200"
}

func loadContract(file string) (*contract, error) {
	document, err := openapi3.NewLoader().LoadFromFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &contract{document: document, seen: map[string]bool{}}, nil
}

// A contractExchange is a request to one of the APIs and the answer to it.
type contractExchange struct {
	API         string // contractClient or contractService
	Request     *http.Request
	Path        string // percent-encoded, as it was sent
	RequestBody []byte
	Response    *http.Response
	Body        []byte // of the answer
}

// route finds the operation of an exchange. kin-openapi's own routers do not support
// a parameter of several segments, such as the proxy's {path}.
func (c *contract) route(e contractExchange) (*routers.Route, map[string]string, error) {
	for _, template := range slices.Backward(slices.Sorted(maps.Keys(c.document.Paths.Map()))) {
		item := c.document.Paths.Value(template)
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
		route := &routers.Route{Spec: c.document, Path: template, PathItem: item, Method: e.Request.Method, Operation: operation}
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

// unseen returns the numeric statuses in the document, as "/config 200", that no
// valid exchange had. A success needs a valid request, too.
func (c *contract) unseen() (statuses []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for path, item := range c.document.Paths.Map() {
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

// check compares the request and the answer with the document.
func (c *contract) check(ctx context.Context, e contractExchange) (request, answer error) {
	route, parameters, err := c.route(e)
	if err != nil {
		return err, err
	}
	r := e.Request.Clone(ctx)
	body := e.RequestBody
	// The document describes the body before compression.
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
func authenticates(e contractExchange, scheme string) error {
	met := map[string]bool{
		"bearer": e.API == contractClient && strings.HasPrefix(e.Request.Header.Get("Authorization"), "Bearer "),
		"sigv4":  e.API == contractService,
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

// A checker that accepts everything would prove nothing.
func TestContractRefusesWhatTheDocumentDoesNotHave(t *testing.T) {
	t.Parallel()
	const image = "/proxy/channels/messaging/general/image"
	c, err := loadContract("../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]struct {
		api, method, path, sent string
		status                  int
		body                    string
		request, answer         bool // allowed
	}{
		"a right token":         {contractClient, "GET", "/token/alice", "", 201, `{"userId":"alice","token":"a.b.c"}`, true, true},
		"a right answer":        {contractClient, "GET", "/api-key", "", 200, `{"api_key":"k"}`, true, true},
		"no token":              {contractClient, "GET", "/token/alice", "", 201, `{"userId":"alice"}`, true, false},
		"a token to be kept":    {contractClient, "GET", "/token/keep", "", 201, `{"userId":"keep","token":"a.b.c"}`, true, false},
		"another field":         {contractClient, "GET", "/api-key", "", 200, `{"api_key":"k","secret":"s"}`, true, false},
		"another status":        {contractClient, "GET", "/api-key", "", 202, `{"api_key":"k"}`, true, false},
		"an error's spelling":   {contractClient, "GET", "/api-key", "", 503, `{"error":"x"}`, true, false},
		"both keys":             {contractClient, "GET", "/config?clientType=web", "", 200, `{"errors":{},"authentication":{"apiKey":"k","userId":"u","userToken":"a.b.c"}}`, true, false},
		"no client type":        {contractClient, "GET", "/config", "", 400, `{"errorMsg":"x"}`, false, true},
		"no signature":          {contractClient, "POST", "/webhook", `{}`, 401, `{"errorMsg":"x"}`, false, true},
		"half a verification":   {contractService, "POST", "/webhook/verify", `{"rawBody":"{}"}`, 400, `{"errorMsg":"x"}`, false, true},
		"any body to the proxy": {contractService, "POST", image, "\x89PNG", 201, `{}`, true, true},
	} {
		r, err := http.NewRequestWithContext(t.Context(), e.method, "http://127.0.0.1"+e.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer x"}}
		if e.path == image {
			r.Header.Set("Content-Type", "image/png")
		}
		exchange := contractExchange{
			API: e.api, Request: r, Path: r.URL.EscapedPath(), RequestBody: []byte(e.sent), Body: []byte(e.body),
			Response: &http.Response{StatusCode: e.status, Header: http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}}},
		}
		if e.path == "/token/keep" {
			exchange.Response.Header.Set("Cache-Control", "max-age=60")
		}
		request, answer := c.check(t.Context(), exchange)
		if (request == nil) != e.request || (answer == nil) != e.answer {
			t.Errorf("%s: want request and answer valid: %t, %t; got %v, %v", name, e.request, e.answer, request, answer)
		}
	}
}
