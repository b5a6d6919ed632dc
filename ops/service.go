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

// A service calls the Service API, and through it Stream.
type service struct {
	base     string
	cfg      *aws.Config // nil where nobody asks for a signature: make run
	client   *http.Client
	progress func(format string, args ...any)
}

// local reports whether -service-url is on this machine: make run, which belongs
// to no stack and asks for no signature.
func (o *ops) local() bool {
	u, err := url.Parse(o.serviceURL)
	return err == nil && (u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback())
}

// service returns the Service API of the stack, and the stack, which is nil for
// make run.
func (o *ops) service(ctx context.Context) (*service, *stack, error) {
	if o.local() {
		return o.serviceAt(o.serviceURL, nil), nil, nil
	}
	cfg, s, err := o.stack(ctx)
	if err != nil {
		return nil, nil, err
	}
	base := cmp.Or(o.serviceURL, s.outputs["ServiceApiUrl"])
	if base == "" {
		return nil, nil, fmt.Errorf("the stack %s has no output ServiceApiUrl: is it one of this project?", s.name)
	}
	return o.serviceAt(base, &cfg), s, nil
}

func (o *ops) serviceAt(base string, cfg *aws.Config) *service {
	return &service{
		base: strings.TrimSuffix(base, "/"), cfg: cfg, progress: o.progress,
		client: &http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
}

// An answer is one that has been read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

const maxAnswer = 16 << 20 // bytes

// send sends one request, signed if there are credentials.
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
	return receive(s.client, r)
}

// call is send for an answer of ours, which must be a success.
func (s *service) call(ctx context.Context, method, path string, in, out any) error {
	a, err := s.send(ctx, method, path, in)
	if err == nil {
		err = a.refusal()
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(a.body, out)
}

func receive(client *http.Client, r *http.Request) (*answer, error) {
	resp, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return &answer{resp.StatusCode, resp.Header, body}, err
}

// A refusal is an answer that is no success.
type refusal struct {
	status, code int // code is Stream's
	message      string
}

func (e *refusal) Error() string { return fmt.Sprintf("%d: %s", e.status, e.message) }

// refusal is nil for a success. The message is Stream's, the service's or API
// Gateway's; never the body as it is, which could hold anything.
func (a *answer) refusal() error {
	if a.status < 300 {
		return nil
	}
	var e struct {
		Code     int
		Message  string
		ErrorMsg string `json:"errorMsg"`
	}
	_ = json.Unmarshal(a.body, &e)
	if e.Message == "" {
		e.Message = e.ErrorMsg
	}
	if e.Message == "" {
		e.Message = http.StatusText(a.status)
	}
	return &refusal{a.status, e.Code, e.Message}
}

// How often a call is made: that Stream puts off, or that fails.
const (
	attemptsPutOff = 5
	attempts       = 3
)

// stream calls Stream through the proxy and reads its answer into out. It waits
// where Stream says that there were too many calls, and repeats a GET that failed.
// Nothing else is repeated: it may have been done.
func (s *service) stream(ctx context.Context, method, path string, in, out any) (http.Header, error) {
	for attempt := 1; ; attempt++ {
		call := ctx
		if method != http.MethodGet {
			call = context.WithoutCancel(ctx) // what has begun is finished, so that one knows what was done
		}
		a, err := s.send(call, method, "/proxy"+path, in)
		if err == nil {
			err = a.refusal()
		}
		if err == nil {
			if out != nil {
				d := json.NewDecoder(bytes.NewReader(a.body))
				d.UseNumber()
				err = d.Decode(out)
			}
			return a.header, err
		}
		var r *refusal
		errors.As(err, &r)
		pause := time.Duration(attempt) * 500 * time.Millisecond
		switch {
		case ctx.Err() != nil:
			return nil, err
		case r != nil && r.status == http.StatusTooManyRequests && attempt < attemptsPutOff:
			pause = retryAfter(a.header, time.Now())
			s.progress("Stream takes no more calls for now: waiting %s", pause.Round(time.Second))
		case method != http.MethodGet || r != nil && r.status < 500 || attempt >= attempts:
			return nil, err
		}
		if err := wait(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// retryAfter is how long an answer asks to wait, from one second to two minutes.
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
		return ctx.Err()
	}
}
