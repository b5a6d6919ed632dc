// Package settings reads SSM parameters, and keeps values made from them fresh.
//
// The first access after a value's time to live fetches it again, one request at a
// time. If SSM does not answer, the last good value stays in use: stale rather than
// absent. If SSM answers that a parameter is missing, that takes effect at once. If
// SSM throttles calls and there is no value to serve, the fetch waits its turn.
// Nothing runs in the background, since Lambda stops the process between requests.
package settings

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"chat-service-backend/shared/awsconfig"
)

const (
	defaultPrefix = "/chat-service"
	defaultTTL    = 300 * time.Second

	// callTimeout bounds a call to SSM, including the SDK's attempts.
	callTimeout = 2 * time.Second
	maxAttempts = 3

	// A throttled call is repeated after a random wait (full jitter) of up to
	// firstWait, then of up to twice as long each time, and of up to maxWait at
	// most. A thousand waiting processes then make a thousand calls a second, and
	// notice within maxWait that SSM has capacity again.
	//
	// https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
	firstWait = 500 * time.Millisecond
	maxWait   = 2 * time.Second

	// maxNames is the most names that a call of GetParameters may have.
	//
	// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameters.html
	maxNames = 10
)

// A Store is the part of SSM Parameter Store below one prefix.
type Store struct {
	client      *ssm.Client
	connections *http.Transport // the client's
	prefix      string
	ttl         time.Duration

	// OnStale, if set, is called each time a refresh fails and the last good value
	// stays in use.
	OnStale func(context.Context)
}

// Open returns the store that the environment configures: PARAMETER_PREFIX (default
// /chat-service), PARAMETER_TTL (whole seconds, at least 1; default 300), and
// AWS's own AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
// AWS_SESSION_TOKEN, AWS_ENDPOINT_URL_SSM and AWS_ENDPOINT_URL. It makes no call.
func Open(getenv func(string) string) (*Store, error) {
	prefix := getenv("PARAMETER_PREFIX")
	if prefix == "" {
		prefix = defaultPrefix
	}
	if !validPrefix(prefix) {
		return nil, fmt.Errorf("PARAMETER_PREFIX: %q is not a path like %s, of letters, digits and . - _, which begins with a slash and does not end with one", prefix, defaultPrefix)
	}
	ttl, err := Seconds(getenv, "PARAMETER_TTL", defaultTTL)
	if err != nil {
		return nil, err
	}
	// The next fetch is minutes away: no connection is kept for it.
	connections := new(http.Transport)
	return &Store{client: newClient(getenv, connections), connections: connections, prefix: prefix, ttl: ttl}, nil
}

// validPrefix reports whether parameter names may begin with prefix and a slash.
//
// https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-su-create.html#sysman-parameter-name-constraints
func validPrefix(prefix string) bool {
	if !strings.HasPrefix(prefix, "/") {
		return false
	}
	for level := range strings.SplitSeq(prefix[1:], "/") {
		if level == "" || strings.Trim(level, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") != "" {
			return false
		}
	}
	return true
}

// newClient returns a client that leaves throttled calls to ask: the SDK would give up
// after three.
func newClient(getenv func(string) string, transport http.RoundTripper) *ssm.Client {
	return ssm.NewFromConfig(awsconfig.New(getenv), func(o *ssm.Options) {
		o.HTTPClient = awsconfig.HTTPClient{RoundTripper: transport}
		o.Retryer = awsconfig.Retryer(maxAttempts, retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
			if throttled(err) {
				return aws.FalseTernary
			}
			return aws.UnknownTernary
		}))
	})
}

// throttled reports whether err is SSM's answer to too many calls.
func throttled(err error) bool {
	return retry.ThrottleErrorCode{Codes: retry.DefaultThrottleErrorCodes}.IsErrorThrottle(err).Bool()
}

var errSilent = fmt.Errorf("SSM did not answer within %v", callTimeout)

// ask calls f, and repeats it while SSM throttles it, until ctx ends. It does not repeat
// it if ctx leaves no more time than one call may take. If SSM does not answer within
// callTimeout, ask gives up, unless SSM has throttled f before.
func ask[T any](ctx context.Context, s *Store, f func(context.Context) (T, error)) (T, error) {
	defer s.connections.CloseIdleConnections()
	var busy error
	deadline, ok := ctx.Deadline()
	last := ok && time.Until(deadline) <= callTimeout
	for longest := firstWait; ; longest = min(2*longest, maxWait) {
		attempt, cancel := context.WithTimeoutCause(ctx, callTimeout, errSilent)
		// Not right after f, when net/http may drop the connection with it.
		defer cancel()
		out, err := f(attempt)
		cause := context.Cause(attempt)
		switch {
		case err == nil:
			return out, nil
		case throttled(err):
			busy = fmt.Errorf("%w: %w", ErrThrottled, err)
		case busy == nil && cause != nil:
			return out, fmt.Errorf("%w: %w", cause, err)
		case cause == nil:
			return out, err
		}
		if last {
			return out, busy
		}
		wait := rand.N(longest)
		if ok {
			left := time.Until(deadline)
			if last = left < wait; last {
				wait = rand.N(max(left, 1))
			}
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return out, busy
		}
	}
}

// Parameters returns the values of up to 10 parameters, by their names below the
// store's prefix, in one call. It leaves out parameters that do not exist.
func (s *Store) Parameters(ctx context.Context, names ...string) (map[string]string, error) {
	if len(names) > maxNames {
		return nil, fmt.Errorf("get parameters: %d names are more than the %d of one call", len(names), maxNames)
	}
	full := make([]string, len(names))
	for i, name := range names {
		full[i] = s.Name(name)
	}
	out, err := ask(ctx, s, func(ctx context.Context) (*ssm.GetParametersOutput, error) {
		return s.client.GetParameters(ctx, &ssm.GetParametersInput{Names: full, WithDecryption: aws.Bool(true)})
	})
	if err != nil {
		return nil, fmt.Errorf("get parameters below %s: %w", s.prefix, err)
	}
	values := make(map[string]string, len(out.Parameters))
	for _, p := range out.Parameters {
		values[strings.TrimPrefix(aws.ToString(p.Name), s.prefix+"/")] = aws.ToString(p.Value)
	}
	return values, nil
}

// Below returns the values of the parameters directly below a path, by their names
// below it, in one call for every ten.
func (s *Store) Below(ctx context.Context, path string) (map[string]string, error) {
	values := make(map[string]string)
	path = s.Name(path)
	pages := ssm.NewGetParametersByPathPaginator(s.client, &ssm.GetParametersByPathInput{
		Path:           &path,
		WithDecryption: aws.Bool(true),
	})
	for pages.HasMorePages() {
		page, err := ask(ctx, s, func(ctx context.Context) (*ssm.GetParametersByPathOutput, error) { return pages.NextPage(ctx) })
		if err != nil {
			return nil, fmt.Errorf("get all parameters below %s: %w", path, err)
		}
		for _, p := range page.Parameters {
			values[strings.TrimPrefix(aws.ToString(p.Name), path+"/")] = aws.ToString(p.Value)
		}
	}
	return values, nil
}

// Name returns the full name of the parameter name.
func (s *Store) Name(name string) string { return s.prefix + "/" + name }
