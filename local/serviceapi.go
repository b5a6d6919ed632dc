package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// serviceAPI plays a REST API with payload format 1.0:
// https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
type serviceAPI struct {
	gateway
	api restAPI
}

// restEvent is a request, payload 1.0. A nil map is null, as at AWS.
type restEvent struct {
	Resource          string              `json:"resource"`
	Path              string              `json:"path"`
	HTTPMethod        string              `json:"httpMethod"`
	Headers           map[string]string   `json:"headers"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders"`
	Query             map[string]string   `json:"queryStringParameters"`
	MultiValueQuery   map[string][]string `json:"multiValueQueryStringParameters"`
	PathParameters    map[string]string   `json:"pathParameters"`
	StageVariables    map[string]string   `json:"stageVariables"`
	RequestContext    restContext         `json:"requestContext"`
	Body              *string             `json:"body"`
	IsBase64Encoded   bool                `json:"isBase64Encoded"`
}

type restContext struct {
	AccountID         string       `json:"accountId"`
	APIID             string       `json:"apiId"`
	DomainName        string       `json:"domainName"`
	DomainPrefix      string       `json:"domainPrefix"`
	ExtendedRequestID string       `json:"extendedRequestId"`
	HTTPMethod        string       `json:"httpMethod"`
	Identity          restIdentity `json:"identity"`
	Path              string       `json:"path"`
	Protocol          string       `json:"protocol"`
	RequestID         string       `json:"requestId"`
	RequestTime       string       `json:"requestTime"`
	RequestTimeEpoch  int64        `json:"requestTimeEpoch"`
	ResourceID        string       `json:"resourceId"`
	ResourcePath      string       `json:"resourcePath"`
	Stage             string       `json:"stage"`
}

// restIdentity names the caller where the route takes signed ones only.
type restIdentity struct {
	AccessKey *string `json:"accessKey"`
	AccountID *string `json:"accountId"`
	Caller    *string `json:"caller"`
	SourceIP  string  `json:"sourceIp"`
	User      *string `json:"user"`
	UserAgent string  `json:"userAgent"`
	UserArn   *string `json:"userArn"`
}

func (s *serviceAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.serve(w, r, s.handle)
}

func (s *serviceAPI) handle(w http.ResponseWriter, r *http.Request) {
	requestID := newUUID()
	w.Header().Set("X-Amzn-Requestid", requestID)
	path := sentPath(r)
	rt, params := findRoute(s.api.routes, r.Method, path, true)
	if rt == nil {
		w.Header().Set("X-Amzn-Errortype", "MissingAuthenticationTokenException")
		say(w, http.StatusForbidden, "Missing Authentication Token")
		return
	}
	body, err := readBody(r)
	if errors.Is(err, errTooLarge) {
		w.Header().Set("X-Amzn-Errortype", "RequestTooLargeException")
		say(w, http.StatusRequestEntityTooLarge, "Request Too Long")
		return
	}
	if err != nil {
		say(w, http.StatusBadRequest, "Bad Request")
		return
	}
	event, trace := s.event(r, rt, path, params, body, requestID)
	payload, err := encodeEvent(event)
	if err != nil {
		w.Header().Set("X-Amzn-Errortype", "RequestTooLargeException")
		say(w, http.StatusRequestEntityTooLarge, "Request Too Long")
		return
	}
	a, err := s.invoke(r, rt, payload, trace)
	if errors.Is(err, errIntegrationLimit) {
		s.complain(rt, err)
		say(w, http.StatusGatewayTimeout, "Endpoint request timed out")
		return
	}
	if err == nil && rt.stream {
		err = s.stream(w, r, rt, a)
	} else if err == nil {
		err = s.write(w, a)
	}
	if err != nil {
		s.complain(rt, err)
		w.Header().Del("Content-Length")
		w.Header().Set("X-Amzn-Errortype", "InternalServerErrorException")
		say(w, http.StatusBadGateway, "Internal server error")
	}
}

func (s *serviceAPI) event(r *http.Request, rt *route, path string, params map[string]string, body []byte, requestID string) (*restEvent, string) {
	at := newEdge(r)
	now := time.Now()
	event := &restEvent{
		Resource:          rt.path,
		Path:              path,
		HTTPMethod:        r.Method,
		Headers:           make(map[string]string, len(r.Header)+1),
		MultiValueHeaders: make(map[string][]string, len(r.Header)+1),
		PathParameters:    params,
		RequestContext: restContext{
			AccountID:         accountID,
			APIID:             "local",
			DomainName:        r.Host,
			DomainPrefix:      firstLabel(r.Host),
			ExtendedRequestID: base64.StdEncoding.EncodeToString([]byte(randomHex(6)[:11])),
			HTTPMethod:        r.Method,
			Path:              "/" + s.api.Stage + path,
			Protocol:          r.Proto,
			RequestID:         requestID,
			RequestTime:       clock(now),
			RequestTimeEpoch:  now.UnixMilli(),
			ResourceID:        "local",
			ResourcePath:      rt.path,
			Stage:             s.api.Stage,
			Identity:          restIdentity{SourceIP: at.sourceIP, UserAgent: r.UserAgent()},
		},
	}
	if rt.iam {
		event.RequestContext.Identity.AccessKey = new("local")
		event.RequestContext.Identity.AccountID = new(accountID)
		event.RequestContext.Identity.Caller = new("local")
		event.RequestContext.Identity.User = new("local")
		event.RequestContext.Identity.UserArn = new("arn:aws:iam::" + accountID + ":user/local")
	}
	for name, values := range r.Header {
		if name == "Content-Length" {
			continue // a REST API does not pass it on
		}
		event.Headers[name] = values[len(values)-1]
		event.MultiValueHeaders[name] = values
	}
	event.Headers["Host"] = r.Host
	event.MultiValueHeaders["Host"] = []string{r.Host}
	for _, q := range parseQuery(r.URL.RawQuery) {
		if event.Query == nil {
			event.Query = map[string]string{}
			event.MultiValueQuery = map[string][]string{}
		}
		event.Query[q.name] = q.value
		event.MultiValueQuery[q.name] = append(event.MultiValueQuery[q.name], q.value)
	}
	if len(body) > 0 {
		text := string(body)
		if s.isBinary(r.Header.Get("Content-Type")) {
			text = base64.StdEncoding.EncodeToString(body)
			event.IsBase64Encoded = true
		}
		event.Body = &text
	}
	return event, at.trace
}

// isBinary tells whether the API's BinaryMediaTypes name the content type.
func (s *serviceAPI) isBinary(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		kind = ""
	}
	for _, binary := range s.api.BinaryMediaTypes {
		prefix, wildcard := strings.CutSuffix(binary, "*")
		if binary == "*/*" || kind != "" && (binary == kind || wildcard && strings.HasPrefix(kind, prefix)) {
			return true
		}
	}
	return false
}

// write turns a buffered answer into the gateway's. Nothing is written when it
// returns an error.
func (s *serviceAPI) write(w http.ResponseWriter, a *answer) error {
	if strings.HasPrefix(a.contentType, streamingContentType) {
		return errors.New("the function streams, but the route is buffered (its event wants ResponseTransferMode: RESPONSE_STREAM)")
	}
	got, status, body, err := parseAnswer(a.body, "1.0")
	if err != nil {
		return err
	}
	got.setHeaders(w.Header())
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	writeBody(w, status, body)
	return nil
}

// stream passes a streamed answer on: the prelude as status and headers, then
// each chunk as it arrives. It returns an error only while nothing is written;
// later it breaks the caller's connection, so that half an answer never looks
// whole.
func (s *serviceAPI) stream(w http.ResponseWriter, r *http.Request, rt *route, a *answer) error {
	// A caller that goes away stops the reading below, and so the function.
	stop := context.AfterFunc(r.Context(), a.abort)
	defer stop()
	broken := errCallerGone // what the function is told, even after a panic
	defer func() { a.finish(broken) }()
	if !strings.HasPrefix(a.contentType, streamingContentType) {
		io.Copy(io.Discard, a.stream)
		broken = nil
		return fmt.Errorf("the route streams, but the function answered with %s", a.contentType)
	}
	got, status, rest, err := readPrelude(a.stream)
	if err != nil {
		io.Copy(io.Discard, a.stream)
		if failed := trailerError(a.trailer()); failed != nil {
			err = failed
		}
		broken = nil
		return err
	}
	got.setHeaders(w.Header())
	for _, cookie := range got.Cookies {
		w.Header().Add("Set-Cookie", cookie)
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(status)
	if status == http.StatusNoContent || status == http.StatusNotModified {
		_, err = io.Copy(io.Discard, rest)
	} else {
		length, unknown := strconv.ParseInt(w.Header().Get("Content-Length"), 10, 64)
		if unknown != nil {
			length = -1
		}
		if length == 0 {
			stop()
		}
		// The caller may wait for the status alone, long before the first byte.
		http.NewResponseController(w).Flush()
		err = relay(w, rest, length, func() { stop() })
	}
	if broken = err; err == nil {
		if err = trailerError(a.trailer()); err == nil {
			return nil
		}
	}
	if r.Context().Err() == nil && !errors.Is(err, errCallerGone) {
		s.log.printf("%s: %s: the answer broke off: %v", s.name, rt.function, err)
	}
	panic(http.ErrAbortHandler)
}

// maxPrelude is in bytes; headers of 10 KB are the most that API Gateway takes.
const maxPrelude = 128 << 10

// preludeEnd stands between the prelude and the body.
var preludeEnd = make([]byte, 8)

// readPrelude reads the JSON object with status and headers in front of a
// streamed body, and returns the body.
func readPrelude(stream io.Reader) (*proxyAnswer, int, io.Reader, error) {
	var head []byte
	chunk := make([]byte, 4<<10)
	for {
		n, err := stream.Read(chunk)
		// The end may be cut by a chunk's edge.
		from := max(0, len(head)-len(preludeEnd)+1)
		head = append(head, chunk[:n]...)
		if i := bytes.Index(head[from:], preludeEnd); i >= 0 {
			i += from
			var got proxyAnswer
			if err := json.Unmarshal(head[:i], &got); err != nil {
				return nil, 0, nil, errors.New("prelude: want a JSON object with statusCode and headers")
			}
			status, err := got.status()
			if err != nil {
				return nil, 0, nil, fmt.Errorf("prelude: %w", err)
			}
			body := io.Reader(bytes.NewReader(head[i+len(preludeEnd):]))
			return &got, status, io.MultiReader(body, stream), nil
		}
		if len(head) > maxPrelude {
			return nil, 0, nil, fmt.Errorf("prelude: want at most %d bytes, got more", maxPrelude)
		}
		if err != nil {
			return nil, 0, nil, fmt.Errorf("prelude: want 8 zero bytes at its end, got %w", err)
		}
	}
}
