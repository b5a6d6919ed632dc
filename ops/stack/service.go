package stack

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

	"chat-service-backend/ops/console"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// A Service calls the Service API, and Stream through it.
type Service struct {
	Base     string
	AWS      *aws.Config // signs the requests; nil for make run, which needs no signature
	progress func(format string, args ...any)
}

// Local reports whether -service-url is on this machine: make run, which belongs
// to no stack.
func (t *Target) Local() bool {
	u, err := url.Parse(t.ServiceURL)
	return err == nil && (u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback())
}

// Service returns the stack and its Service API. For make run the stack has only
// the outputs on the command line.
func (t *Target) Service(ctx context.Context) (*Service, *Stack, error) {
	if t.Local() {
		return t.ServiceOf(nil, nil), &Stack{Outputs: t.Outputs}, nil
	}
	cfg, s, err := t.Stack(ctx)
	if err != nil {
		return nil, nil, err
	}
	if t.ServiceURL == "" && s.Outputs["ServiceApiUrl"] == "" {
		return nil, nil, fmt.Errorf("stack %s has no output ServiceApiUrl: check -env and -stack, or deploy again (make deploy)", s.Name)
	}
	return t.ServiceOf(s, &cfg), s, nil
}

func (t *Target) ServiceOf(s *Stack, cfg *aws.Config) *Service {
	base := t.ServiceURL
	if base == "" {
		base = s.Outputs["ServiceApiUrl"]
	}
	return &Service{strings.TrimSuffix(base, "/"), cfg, t.Progress}
}

// An Answer is a response that has been read whole.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

const maxAnswer = 16 << 20 // bytes

var client = &http.Client{
	// Its own, because the tests' servers end idle connections of the default one.
	Transport:     http.DefaultTransport.(*http.Transport).Clone(),
	Timeout:       time.Minute,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// Fetch sends an unsigned request.
func Fetch(ctx context.Context, method, url string, header http.Header, body []byte) (*Answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header = header
	return do(r)
}

func do(r *http.Request) (*Answer, error) {
	resp, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return &Answer{resp.StatusCode, resp.Header, body}, err
}

// A Refusal is a response other than a success.
type Refusal struct {
	Status, Code int // Code is Stream's
	Message      string
}

func (e *Refusal) Error() string { return fmt.Sprintf("%d: %s", e.Status, e.Message) }

// Decode stores a successful response in out, unless that is nil, and returns a
// [Refusal] for any other. Its message is Stream's, the service's or API Gateway's,
// never the raw body, which could hold anything.
func (a *Answer) Decode(out any) error {
	if a.Status >= 300 {
		var e struct {
			Code     int
			Message  string
			ErrorMsg string `json:"errorMsg"`
		}
		_ = json.Unmarshal(a.Body, &e)
		return &Refusal{a.Status, e.Code, console.Safe(cmp.Or(e.Message, e.ErrorMsg, http.StatusText(a.Status)))}
	}
	if out == nil {
		return nil
	}
	if err := Unmarshal(a.Body, out); err != nil {
		return fmt.Errorf("the answer with status %d is not the JSON expected: %w", a.Status, err)
	}
	return nil
}

// Unmarshal decodes exactly one JSON value and keeps its numbers as they are written.
func Unmarshal(text []byte, v any) error {
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

// Send sends one request, signed unless it is for make run.
func (s *Service) Send(ctx context.Context, method, path string, in any) (*Answer, error) {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return nil, err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, s.Base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if s.AWS != nil {
		credentials, err := s.AWS.Credentials.Retrieve(ctx)
		if err != nil {
			return nil, err
		}
		hash := sha256.Sum256(body)
		if err := v4.NewSigner().SignHTTP(ctx, credentials, r, hex.EncodeToString(hash[:]), "execute-api", s.AWS.Region, time.Now()); err != nil {
			return nil, err
		}
	}
	return do(r)
}

// Call calls one of the service's own routes.
func (s *Service) Call(ctx context.Context, method, path string, in, out any) error {
	a, err := s.Send(ctx, method, path, in)
	if err != nil {
		return err
	}
	return a.Decode(out)
}

// How often a call to Stream is made at most.
const (
	maxThrottled = 5 // while Stream answers 429
	maxFailed    = 3 // for a GET that fails
)

// Stream calls Stream through the proxy. While Stream answers 429 it waits and
// repeats the call, and it repeats a GET that fails. It repeats no other call: Stream
// may have carried it out.
func (s *Service) Stream(ctx context.Context, method, path string, in, out any) (http.Header, error) {
	for attempt := 1; ; attempt++ {
		call := ctx
		if method != http.MethodGet {
			call = context.WithoutCancel(ctx) // so that the outcome is known
		}
		a, err := s.Send(call, method, "/proxy"+path, in)
		if err == nil {
			if err = a.Decode(out); err == nil {
				return a.Header, nil
			}
		}
		var r *Refusal
		errors.As(err, &r)
		pause := time.Duration(attempt) * 500 * time.Millisecond
		switch {
		case ctx.Err() != nil:
			return nil, err
		case r != nil && r.Status == http.StatusTooManyRequests && attempt < maxThrottled:
			pause = RetryAfter(a.Header, time.Now())
			s.progress("Stream limits the calls: waiting %s", pause.Round(time.Second))
		case method != http.MethodGet || r != nil && r.Status < 500 || attempt >= maxFailed:
			return nil, err
		}
		if err := Wait(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// RetryAfter returns how long a response asks the caller to wait, from one second to
// two minutes.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	pause := time.Second
	if seconds, err := strconv.Atoi(h.Get("Retry-After")); err == nil {
		pause = time.Duration(seconds) * time.Second
	} else if reset, err := strconv.ParseInt(h.Get("X-Ratelimit-Reset"), 10, 64); err == nil {
		pause = time.Unix(reset, 0).Sub(now)
	}
	return min(max(pause, time.Second), 2*time.Minute)
}

// Wait waits, until ctx is done.
func Wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
