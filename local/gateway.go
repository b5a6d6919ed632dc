package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// What both gateways and Lambda allow.
const (
	maxRequestBody = 10 << 20  // bytes, at the gateway
	maxEvent       = 6_291_456 // bytes of JSON, at Lambda
	maxDrain       = 64 << 20  // bytes of a refused body that are still read, so that its sender sees the answer
)

// limits are the gateways' time limits, in which a buffered answer must come.
type limits struct {
	http, rest time.Duration
}

var awsLimits = limits{http: 30 * time.Second, rest: 29 * time.Second}

// gateway is what the two kinds of API have in common.
type gateway struct {
	name  string // in the request log
	pools map[string]*pool
	turns turns // of all gateways together
	log   *lineLog
	limit time.Duration
}

// serve runs handle with a panic kept to its request, and logs a line for it:
// the path without the query, and nothing that could be a secret.
func (g *gateway) serve(w http.ResponseWriter, r *http.Request, handle func(http.ResponseWriter, *http.Request)) {
	began := time.Now()
	sw := &statusWriter{ResponseWriter: w}
	defer func() {
		broken := recover()
		status := strconv.Itoa(sw.status)
		if broken != nil {
			status = "broken off"
			if err, ok := broken.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				g.log.printf("%s: panic: %v", g.name, broken)
			}
		}
		path := sentPath(r)
		if len(path) > 200 {
			path = path[:200] + "..."
		}
		g.log.printf("%s %s %s %s %dms", g.name, r.Method, path, status, time.Since(began).Milliseconds())
		if broken != nil {
			panic(http.ErrAbortHandler)
		}
	}()
	handle(sw, r)
}

// statusWriter remembers the status for the log.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// say writes one of the gateway's own answers.
func say(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"message":%q}`, message)
}

// errTooLarge is a request over one of the size limits.
var errTooLarge = errors.New("the request is too large")

// readBody reads a request's body whole, as API Gateway does.
func readBody(r *http.Request) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	var b bytes.Buffer
	if r.ContentLength > 0 && r.ContentLength <= maxRequestBody {
		b.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	n, err := b.ReadFrom(io.LimitReader(r.Body, maxRequestBody+1))
	if err != nil {
		return nil, err
	}
	if n > maxRequestBody {
		drain(r)
		return nil, errTooLarge
	}
	return b.Bytes(), nil
}

func drain(r *http.Request) { io.CopyN(io.Discard, r.Body, maxDrain) }

// encodeEvent is the event as Lambda gets it. JSON has no other way to say it:
// bytes that are not UTF-8 become U+FFFD.
func encodeEvent(event any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(event); err != nil {
		return nil, fmt.Errorf("event: %w", err)
	}
	if b.Len()-1 > maxEvent { // Encode adds a newline
		return nil, errTooLarge
	}
	return b.Bytes()[:b.Len()-1], nil
}

// invoke sends an event through the function that answers rt.
func (g *gateway) invoke(r *http.Request, rt *route, payload []byte, trace string) (*answer, error) {
	p := g.pools[rt.function]
	if p == nil {
		return nil, fmt.Errorf("function %s is not running", rt.function)
	}
	limit := g.limit
	if rt.limit > 0 && (rt.limit < limit || rt.stream) {
		limit = rt.limit
	}
	ctx := r.Context()
	if !rt.stream || rt.limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, errIntegrationLimit)
		defer cancel()
	}
	inv := &invocation{
		id:      newUUID(),
		trace:   trace + ";Parent=" + randomHex(8) + ";Sampled=0",
		payload: payload,
		stream:  rt.stream,
	}
	end, err := g.turns.take(ctx)
	var a *answer
	if err == nil {
		a, err = p.invoke(ctx, inv)
		end()
	}
	if err != nil && r.Context().Err() != nil {
		if rt.stream {
			p.abandon(inv)
		}
		return nil, errCallerGone
	}
	return a, err
}

// complain logs why there is no answer from rt's function. It does not return
// when there is nobody to tell.
func (g *gateway) complain(rt *route, err error) {
	if errors.Is(err, errCallerGone) {
		panic(http.ErrAbortHandler)
	}
	g.log.printf("%s: %s: %v", g.name, rt.function, err)
}

// proxyAnswer is what a function returns to a gateway, payload 1.0 and 2.0.
type proxyAnswer struct {
	StatusCode        json.Number         `json:"statusCode"`
	Headers           map[string]scalar   `json:"headers"`
	MultiValueHeaders map[string][]scalar `json:"multiValueHeaders"`
	Cookies           []string            `json:"cookies"`
	Body              string              `json:"body"`
	IsBase64Encoded   bool                `json:"isBase64Encoded"`
}

// scalar is a header's value; gateways take numbers and booleans as text too.
type scalar string

func (s *scalar) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		return json.Unmarshal(b, (*string)(s))
	}
	if b[0] == '{' || b[0] == '[' {
		return errors.New("want text as a header's value")
	}
	if string(b) != "null" {
		*s = scalar(b)
	}
	return nil
}

// status is the answer's status, or an error for one that HTTP has not.
func (a *proxyAnswer) status() (int, error) {
	n, err := strconv.Atoi(a.StatusCode.String())
	if err != nil || n < 200 || n > 599 {
		return 0, fmt.Errorf("want a statusCode from 200 to 599, got %q", a.StatusCode)
	}
	return n, nil
}

func (a *proxyAnswer) body() ([]byte, error) {
	if !a.IsBase64Encoded {
		return []byte(a.Body), nil
	}
	body, err := base64.StdEncoding.DecodeString(a.Body)
	if err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	return body, nil
}

// parseAnswer reads a buffered answer of payload 1.0 or 2.0.
func parseAnswer(raw []byte, payload string) (got proxyAnswer, status int, body []byte, err error) {
	if err := json.Unmarshal(raw, &got); err != nil {
		return got, 0, nil, fmt.Errorf("the answer is not of payload %s", payload)
	}
	if status, err = got.status(); err != nil {
		return got, 0, nil, err
	}
	body, err = got.body()
	return got, status, body, err
}

// setHeaders puts the answer's headers on h. Of a name that stands in both
// maps the multi-valued one counts.
func (a *proxyAnswer) setHeaders(h http.Header) {
	for name, v := range a.Headers {
		h.Set(name, string(v))
	}
	for name, values := range a.MultiValueHeaders {
		h.Del(name)
		for _, v := range values {
			h.Add(name, string(v))
		}
	}
	// The connection is between the gateway and its caller.
	for _, name := range []string{"Connection", "Transfer-Encoding", "Keep-Alive", "Trailer", "Upgrade"} {
		h.Del(name)
	}
}

// writeBody writes a whole answer; headers must be set.
func writeBody(w http.ResponseWriter, status int, body []byte) {
	if status != http.StatusNoContent && status != http.StatusNotModified {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	} else {
		w.Header().Del("Content-Length")
		body = nil
	}
	w.WriteHeader(status)
	w.Write(body)
}

// queryPair is one name=value of a query, decoded.
type queryPair struct{ name, value string }

// parseQuery splits a query at & and decodes each part once; what is no
// percent-encoding stays as it is.
func parseQuery(raw string) []queryPair {
	var pairs []queryPair
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		pairs = append(pairs, queryPair{unescapeQuery(name), unescapeQuery(value)})
	}
	return pairs
}

func unescapeQuery(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

// edge is what a gateway knows of the connection a request came on.
type edge struct {
	sourceIP string
	port     string
	trace    string // for X-Amzn-Trace-Id
}

// newEdge sets the headers that AWS adds to a request: the peer at the end of
// X-Forwarded-For, the connection's own port and scheme, and a trace id unless
// the caller brought one.
func newEdge(r *http.Request) edge {
	e := edge{}
	e.sourceIP, _, _ = net.SplitHostPort(r.RemoteAddr)
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		_, e.port, _ = net.SplitHostPort(local.String())
	}
	root := "Root=1-" + fmt.Sprintf("%08x", time.Now().Unix()) + "-" + randomHex(12)
	e.trace = root
	if sent := r.Header.Get("X-Amzn-Trace-Id"); sent != "" {
		e.trace = sent
		if !strings.Contains(sent, "Root=") {
			e.trace = root + ";" + sent
		}
	}
	forwarded := e.sourceIP
	if before := strings.Join(r.Header.Values("X-Forwarded-For"), ", "); before != "" {
		forwarded = before + ", " + e.sourceIP
	}
	r.Header.Set("X-Forwarded-For", forwarded)
	r.Header.Set("X-Forwarded-Port", e.port)
	r.Header.Set("X-Forwarded-Proto", "http")
	r.Header.Set("X-Amzn-Trace-Id", e.trace)
	return e
}

// clock is a time as API Gateway writes it.
func clock(t time.Time) string { return t.UTC().Format("02/Jan/2006:15:04:05 +0000") }

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// copyBuffers are for streams: memory must not grow with what passes through.
var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// relay copies a stream to the caller, each chunk as it arrives. Before the last
// of length bytes goes out it calls last: a caller that knows the length may
// hang up as soon as it has them. A negative length is unknown.
func relay(w http.ResponseWriter, from io.Reader, length int64, last func()) error {
	buffer := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buffer)
	control := http.NewResponseController(w)
	for {
		n, err := from.Read(*buffer)
		if n > 0 {
			if length -= int64(n); length == 0 {
				last()
			}
			if _, err := w.Write((*buffer)[:n]); err != nil {
				return fmt.Errorf("%w: %w", errCallerGone, err)
			}
			if err := control.Flush(); err != nil {
				return fmt.Errorf("%w: %w", errCallerGone, err)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
