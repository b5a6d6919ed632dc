package stack

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"chat-service-backend/shared/streamchat"
	"chat-service-backend/shared/streamrest"

	stream "github.com/GetStream/stream-chat-go/v6"
	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// A Service calls the Service API, and Stream through it.
type Service struct {
	Base     string
	AWS      *aws.Config // signs the requests; nil for make run, which needs no signature
	progress func(format string, args ...any)
	limits   *limits
}

// limits are those that Stream's answers tell of.
type limits struct {
	mu     sync.Mutex
	closed map[string]time.Time     // until when Stream wants no such calls
	every  map[string]time.Duration // between two such calls, once a second had too many
}

// Local reports whether -service-url is on this machine: make run, which belongs
// to no stack.
func (t *Target) Local() bool {
	u, err := url.Parse(t.ServiceURL)
	return err == nil && (u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback())
}

// Service returns the stack and its Service API.
func (t *Target) Service(ctx context.Context) (*Service, *Stack, error) {
	if t.Local() {
		return t.development(ctx)
	}
	cfg, s, err := t.Stack(ctx)
	if err != nil {
		return nil, nil, err
	}
	if t.ServiceURL == "" && s.Outputs["ServiceApiUrl"] == "" {
		return nil, nil, fmt.Errorf("stack %s has no output ServiceApiUrl: check -env and -stack, or deploy again (%s)", s.Name, t.CommandLine("deploy"))
	}
	return t.ServiceOf(s, &cfg), s, nil
}

// development asks make run for what a stack's outputs and parameters would say. What
// answers otherwise has none.
func (t *Target) development(ctx context.Context) (*Service, *Stack, error) {
	service, s := t.ServiceOf(nil, nil), &Stack{Parameters: map[string]string{}, Outputs: map[string]string{}}
	var health struct {
		ClientURL  string `json:"clientUrl"`
		Parameters map[string]string
	}
	a, err := Fetch(ctx, http.MethodGet, service.Base+"/.local/health", nil, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("no answer from %s (%w): start make run, or check -service-url", t.ServiceURL, err)
	}
	if a.Decode(&health) == nil && health.ClientURL != "" {
		maps.Copy(s.Parameters, health.Parameters)
		s.Outputs["ClientApiUrl"], s.Outputs["WebhookUrl"] = health.ClientURL, health.ClientURL+"/webhook"
	}
	maps.Copy(s.Outputs, t.Outputs)
	return service, s, nil
}

func (t *Target) ServiceOf(s *Stack, cfg *aws.Config) *Service {
	base := t.ServiceURL
	if base == "" {
		base = s.Outputs["ServiceApiUrl"]
	}
	return &Service{Base: strings.TrimSuffix(base, "/"), AWS: cfg, progress: t.Progress, limits: &limits{closed: map[string]time.Time{}, every: map[string]time.Duration{}}}
}

var client = &http.Client{
	// Its own, because the tests' servers end idle connections of the default one.
	Transport:     transport(),
	Timeout:       time.Minute,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func transport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 32                           // for parallel calls
	t.ReadBufferSize, t.WriteBufferSize = 64<<10, 64<<10 // a batch of users at once
	return t
}

// Fetch sends an unsigned request.
func Fetch(ctx context.Context, method, url string, header http.Header, body []byte) (*streamrest.Answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header = header
	return streamrest.Do(client, r)
}

// Accepts asks Stream, at base, whether it accepts credentials.
func Accepts(ctx context.Context, base string, credentials *streamchat.Credentials) error {
	a, err := credentials.Client(base, client).Send(ctx, http.MethodGet, "/app", nil)
	if err != nil {
		return err
	}
	return a.Err()
}

// Send sends one request, signed unless it is for make run.
func (s *Service) Send(ctx context.Context, method, path string, in any) (*streamrest.Answer, error) {
	return s.send(ctx, method, path, in, false)
}

func (s *Service) send(ctx context.Context, method, path string, in any, statusOnly bool) (*streamrest.Answer, error) {
	rest := streamrest.Client{Base: s.Base, HTTP: client, Authorize: s.sign, StatusOnly: statusOnly}
	return rest.Send(ctx, method, path, in)
}

func (s *Service) sign(r *http.Request, body []byte) error {
	if s.AWS == nil {
		return nil
	}
	credentials, err := s.AWS.Credentials.Retrieve(r.Context())
	if err != nil {
		return err
	}
	hash := sha256.Sum256(body)
	return v4.NewSigner().SignHTTP(r.Context(), credentials, r, hex.EncodeToString(hash[:]), "execute-api", s.AWS.Region, time.Now())
}

// Call calls one of the service's own routes.
func (s *Service) Call(ctx context.Context, method, path string, in, out any) error {
	a, err := s.Send(ctx, method, path, in)
	if err != nil {
		return err
	}
	return a.Decode(out)
}

const (
	maxFailed    = 3                // how often a GET is made that fails
	maxThrottled = 10 * time.Minute // how long a call waits in all while Stream answers 429
)

// Stream calls Stream through the proxy. While Stream answers 429 it waits and
// repeats the call, and it repeats a GET that fails. It repeats no other call: Stream
// may have carried it out. Parallel calls of one kind wait together.
func (s *Service) Stream(ctx context.Context, method, path string, in, out any) (http.Header, error) {
	kind, _, _ := strings.Cut(method+" "+path, "?")
	throttled := time.Duration(0)
	for failed := 0; ; {
		waited, err := s.enter(ctx, kind)
		if throttled += waited; err != nil {
			return nil, err
		}
		call := ctx
		if method != http.MethodGet {
			call = context.WithoutCancel(ctx) // so that the outcome is known
		}
		a, err := s.send(call, method, "/proxy"+path, in, out == nil)
		if err == nil {
			s.limit(kind, a)
			if err = a.Decode(out); err == nil {
				return a.Header, nil
			}
		}
		r, _ := errors.AsType[*streamrest.Error](err)
		switch {
		case ctx.Err() != nil:
			return nil, err
		case r != nil && r.Status == http.StatusTooManyRequests && throttled < maxThrottled:
			continue
		case method != http.MethodGet || r != nil && r.Status < 500 || failed+1 >= maxFailed:
			return nil, err
		}
		failed++
		if err := Wait(ctx, time.Duration(failed)*500*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// enter waits until Stream takes calls of a kind again, and returns how long that took.
func (s *Service) enter(ctx context.Context, kind string) (time.Duration, error) {
	began := time.Now()
	for {
		s.limits.mu.Lock()
		left := time.Until(s.limits.closed[kind])
		if every := s.limits.every[kind]; left <= 0 && every > 0 {
			s.limits.closed[kind] = time.Now().Add(every)
		}
		s.limits.mu.Unlock()
		if left <= 0 {
			return time.Since(began), nil
		}
		if err := Wait(ctx, left); err != nil {
			return 0, err
		}
	}
}

// limit takes note of a response after which Stream wants no such calls for a while, or
// fewer a second: a second takes a thirtieth of a minute's calls.
func (s *Service) limit(kind string, a *streamrest.Answer) {
	pause, every := time.Duration(0), time.Duration(0)
	l, ok := streamrest.Limit(a.Header)
	left := untilReset(l, time.Now())
	switch {
	case a.Status == http.StatusTooManyRequests:
		pause = RetryAfter(a.Header, time.Now())
		if left == 0 {
			every = 100 * time.Millisecond // Stream's usual limit
		} else if l.Remaining > 0 {
			every = min(31*time.Second/time.Duration(max(l.Limit, 30)), left/time.Duration(l.Remaining))
		}
	case ok && l.Remaining == 0:
		pause = left
	}
	s.limits.mu.Lock()
	defer s.limits.mu.Unlock()
	if until := time.Now().Add(pause); pause > 0 && until.After(s.limits.closed[kind].Add(50*time.Millisecond)) {
		s.limits.closed[kind], s.limits.every[kind] = until, cmp.Or(every, s.limits.every[kind])
		s.progress("Stream limits the calls: waiting %s", pause.Round(time.Second/10))
	}
}

// RetryAfter returns how long a 429 asks the caller to wait, at most two minutes: as long
// as it says, and a second if it does not. Calls that are left in the minute say that the
// second's limit was met.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	l, _ := streamrest.Limit(h)
	pause := untilReset(l, now)
	if seconds, err := strconv.Atoi(h.Get("Retry-After")); err == nil {
		pause = time.Duration(seconds) * time.Second
	} else if l.Remaining > 0 {
		pause = min(pause, time.Second)
	}
	if pause <= 0 {
		pause = time.Second
	}
	return min(pause, 2*time.Minute)
}

// untilReset returns the time until a limit starts anew, 0 if that is over or unknown.
func untilReset(l stream.RateLimitInfo, now time.Time) time.Duration {
	return min(max(l.ResetTime().Sub(now), 0), 2*time.Minute)
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
