package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
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
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// A service calls the Service API, and Stream through it.
type service struct {
	*ops
	base string
	cfg  *aws.Config // signs the requests; nil for make run, which needs no signature
}

// local reports whether -service-url is on this machine: make run, which belongs
// to no stack.
func (o *ops) local() bool {
	u, err := url.Parse(o.serviceURL)
	return err == nil && (u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback())
}

// service returns the stack and its Service API. For make run the stack has only
// the outputs on the command line.
func (o *ops) service(ctx context.Context) (*service, *stack, error) {
	if o.local() {
		return o.serviceOf(nil, nil), &stack{outputs: o.outputs}, nil
	}
	cfg, s, err := o.stack(ctx)
	if err != nil {
		return nil, nil, err
	}
	if o.serviceURL == "" && s.outputs["ServiceApiUrl"] == "" {
		return nil, nil, fmt.Errorf("stack %s has no output ServiceApiUrl: check -env and -stack, or deploy again (make deploy)", s.name)
	}
	return o.serviceOf(s, &cfg), s, nil
}

func (o *ops) serviceOf(s *stack, cfg *aws.Config) *service {
	base := o.serviceURL
	if base == "" {
		base = s.outputs["ServiceApiUrl"]
	}
	return &service{o, strings.TrimSuffix(base, "/"), cfg}
}

// An answer is a response that has been read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

const maxAnswer = 16 << 20 // bytes

var httpClient = &http.Client{
	// Its own, because the tests' servers end idle connections of the default one.
	Transport:     http.DefaultTransport.(*http.Transport).Clone(),
	Timeout:       time.Minute,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// fetch sends an unsigned request.
func fetch(ctx context.Context, method, url string, header http.Header, body []byte) (*answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header = header
	return do(r)
}

func do(r *http.Request) (*answer, error) {
	resp, err := httpClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return &answer{resp.StatusCode, resp.Header, body}, err
}

// A refusal is a response other than a success.
type refusal struct {
	status, code int // code is Stream's
	message      string
}

func (e *refusal) Error() string { return fmt.Sprintf("%d: %s", e.status, e.message) }

// decode stores a successful response in out, unless that is nil, and returns a
// [refusal] for any other. Its message is Stream's, the service's or API Gateway's,
// never the raw body, which could hold anything.
func (a *answer) decode(out any) error {
	if a.status >= 300 {
		var e struct {
			Code     int
			Message  string
			ErrorMsg string `json:"errorMsg"`
		}
		_ = json.Unmarshal(a.body, &e)
		return &refusal{a.status, e.Code, cmp.Or(e.Message, e.ErrorMsg, http.StatusText(a.status))}
	}
	if out == nil {
		return nil
	}
	if err := unmarshal(a.body, out); err != nil {
		return fmt.Errorf("want JSON with status %d, got something else: %w", a.status, err)
	}
	return nil
}

// unmarshal decodes exactly one JSON value and keeps its numbers as they are written.
func unmarshal(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more text after the JSON value")
	}
	return nil
}

// send sends one request, signed unless it is for make run.
func (s *service) send(ctx context.Context, method, path string, in any) (*answer, error) {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return nil, err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, s.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if s.cfg != nil {
		credentials, err := s.cfg.Credentials.Retrieve(ctx)
		if err != nil {
			return nil, err
		}
		hash := sha256.Sum256(body)
		if err := v4.NewSigner().SignHTTP(ctx, credentials, r, hex.EncodeToString(hash[:]), "execute-api", s.cfg.Region, time.Now()); err != nil {
			return nil, err
		}
	}
	return do(r)
}

// call calls one of the service's own routes.
func (s *service) call(ctx context.Context, method, path string, in, out any) error {
	a, err := s.send(ctx, method, path, in)
	if err != nil {
		return err
	}
	return a.decode(out)
}

// How often a call to Stream is made at most.
const (
	maxThrottled = 5 // while Stream answers 429
	maxFailed    = 3 // for a GET that fails
)

// stream calls Stream through the proxy. While Stream answers 429 it waits and
// repeats the call, and it repeats a GET that fails. It repeats no other call: Stream
// may have carried it out.
func (s *service) stream(ctx context.Context, method, path string, in, out any) (http.Header, error) {
	for attempt := 1; ; attempt++ {
		call := ctx
		if method != http.MethodGet {
			call = context.WithoutCancel(ctx) // so that the outcome is known
		}
		a, err := s.send(call, method, "/proxy"+path, in)
		if err == nil {
			if err = a.decode(out); err == nil {
				return a.header, nil
			}
		}
		var r *refusal
		errors.As(err, &r)
		pause := time.Duration(attempt) * 500 * time.Millisecond
		switch {
		case ctx.Err() != nil:
			return nil, err
		case r != nil && r.status == http.StatusTooManyRequests && attempt < maxThrottled:
			pause = retryAfter(a.header, time.Now())
			s.progress("Stream limits the calls: waiting %s", pause.Round(time.Second))
		case method != http.MethodGet || r != nil && r.status < 500 || attempt >= maxFailed:
			return nil, err
		}
		if err := wait(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// retryAfter returns how long a response asks the caller to wait, from one second to
// two minutes.
func retryAfter(h http.Header, now time.Time) time.Duration {
	pause := time.Second
	if seconds, err := strconv.Atoi(h.Get("Retry-After")); err == nil {
		pause = time.Duration(seconds) * time.Second
	} else if reset, err := strconv.ParseInt(h.Get("X-Ratelimit-Reset"), 10, 64); err == nil {
		pause = time.Unix(reset, 0).Sub(now)
	}
	return min(max(pause, time.Second), 2*time.Minute)
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
