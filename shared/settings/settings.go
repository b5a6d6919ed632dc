// Package settings reads SSM parameters and keeps what is made of them fresh.
//
// A value is asked for again on the first access after its time to live, by one
// request at a time. When that fails, the last good value goes on being served:
// fresh where possible, stale rather than absent. Nothing runs in the
// background, since Lambda stops the process between two requests.
package settings

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

const (
	defaultPrefix = "/chat-service"
	defaultTTL    = 300 * time.Second

	// fetchTimeout bounds one fetch, its retries included.
	fetchTimeout = 2 * time.Second

	// retryAfter is how long a stale value is served, at most, before it is
	// asked for again. (A value that has never been had is asked for on each
	// access: there is nothing else to answer with.)
	retryAfter = 10 * time.Second

	// renewAfter is how old a value must be to be fetched before it is due.
	renewAfter = 10 * time.Second

	// maxNames is the number of names that GetParameters takes.
	//
	// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameters.html
	maxNames = 10
)

// A Store is the part of SSM Parameter Store below one prefix.
type Store struct {
	client *ssm.Client
	prefix string
	ttl    time.Duration

	// OnStale, where it is set, is called each time a value could not be
	// fetched again and the last good one is served.
	OnStale func(context.Context)
}

// Open returns the store that the environment names: PARAMETER_PREFIX (default
// /chat-service), PARAMETER_TTL (whole seconds, at least 1; default 300), and
// AWS's own AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
// AWS_SESSION_TOKEN, AWS_ENDPOINT_URL_SSM and AWS_ENDPOINT_URL. It calls nobody.
func Open(getenv func(string) string) (*Store, error) {
	prefix := getenv("PARAMETER_PREFIX")
	if prefix == "" {
		prefix = defaultPrefix
	}
	if !validPrefix(prefix) {
		return nil, fmt.Errorf("PARAMETER_PREFIX: want a path like %s that begins and does not end with a slash, of letters, digits and . - _, got %q", defaultPrefix, prefix)
	}
	ttl, err := Seconds(getenv, "PARAMETER_TTL", defaultTTL)
	if err != nil {
		return nil, err
	}
	return &Store{client: newClient(getenv), prefix: prefix, ttl: ttl}, nil
}

// validPrefix says whether a parameter's name may begin with prefix and a slash.
//
// https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-su-create.html#sysman-parameter-name-constraints
func validPrefix(prefix string) bool {
	if !strings.HasPrefix(prefix, "/") {
		return false
	}
	for level := range strings.SplitSeq(prefix[1:], "/") {
		if level == "" {
			return false
		}
		for _, c := range []byte(level) {
			switch {
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '-', c == '_':
			default:
				return false
			}
		}
	}
	return true
}

// newClient makes the client by hand: config.LoadDefaultConfig looks in places
// that Lambda does not have (files, a metadata service, single sign-on), at the
// price of 2 MB and several milliseconds of each cold start.
func newClient(getenv func(string) string) *ssm.Client {
	return ssm.New(ssm.Options{
		Region:       getenv("AWS_REGION"),
		Credentials:  Credentials(getenv),
		BaseEndpoint: Endpoint(getenv, "SSM"),
		// Minutes pass between two calls and the process is stopped meanwhile,
		// so a connection that is kept is a connection that has died unseen.
		HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts = 3
			o.MaxBackoff = fetchTimeout / 4
		}),
	})
}

// Parameters returns the values of the named parameters, names relative to the
// store's prefix, in one call. Those that do not exist are absent. At most 10
// names.
func (s *Store) Parameters(ctx context.Context, names ...string) (map[string]string, error) {
	if len(names) > maxNames {
		return nil, fmt.Errorf("ask for parameters: want at most %d names, got %d", maxNames, len(names))
	}
	full := make([]string, len(names))
	for i, name := range names {
		full[i] = s.Name(name)
	}
	out, err := s.client.GetParameters(ctx, &ssm.GetParametersInput{
		Names:          full,
		WithDecryption: aws.Bool(true),
	})
	if err != nil {
		return nil, fmt.Errorf("ask for parameters below %s: %w", s.prefix, err)
	}
	values := make(map[string]string, len(out.Parameters))
	for _, p := range out.Parameters {
		values[strings.TrimPrefix(aws.ToString(p.Name), s.prefix+"/")] = aws.ToString(p.Value)
	}
	return values, nil
}

// Folder returns the values of all parameters directly below a path relative to
// the store's prefix, by their last name.
func (s *Store) Folder(ctx context.Context, name string) (map[string]string, error) {
	values := make(map[string]string)
	pages := ssm.NewGetParametersByPathPaginator(s.client, &ssm.GetParametersByPathInput{
		Path:           aws.String(s.Name(name)),
		WithDecryption: aws.Bool(true),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("ask for the parameters in %s: %w", s.Name(name), err)
		}
		for _, p := range page.Parameters {
			values[path.Base(aws.ToString(p.Name))] = aws.ToString(p.Value)
		}
	}
	return values, nil
}

// Name is the full name of a parameter, for messages.
func (s *Store) Name(name string) string { return s.prefix + "/" + name }

// A Value is something made of parameters. Its methods may be called by many
// goroutines at once.
type Value[T any] struct {
	store *Store
	fetch func(context.Context) (T, error)

	mu      sync.Mutex
	known   bool // current has been fetched at least once
	current T
	fetched time.Time     // when current was asked for, or last in vain
	due     time.Time     // when to fetch again
	pending chan struct{} // closed when the fetch in flight has ended
	err     error         // of the last fetch
}

// Keep returns the value that fetch makes, kept for the store's time to live.
// It is fetched on first use; see [Value.Load] for doing that early.
func Keep[T any](s *Store, fetch func(context.Context) (T, error)) *Value[T] {
	return &Value[T]{store: s, fetch: fetch}
}

// Load fetches the value ahead of its first use, in Lambda's init phase. A
// failure is logged and not final: the value is asked for again when it is
// needed.
func (v *Value[T]) Load(ctx context.Context) {
	if _, err := v.Get(ctx); err != nil {
		slog.WarnContext(ctx, "settings not available at start, will ask again", "cause", err.Error())
	}
}

// Get returns the value, fetching it first where it is due. It waits for that
// at most 2 s, and returns an error only if the value has never been had.
func (v *Value[T]) Get(ctx context.Context) (T, error) {
	v.mu.Lock()
	if v.known && (v.pending != nil || now().Before(v.due)) {
		defer v.mu.Unlock()
		return v.current, nil
	}
	if pending := v.pending; pending != nil {
		v.mu.Unlock()
		return v.wait(ctx, pending)
	}
	pending := make(chan struct{})
	v.pending = pending
	v.mu.Unlock()

	// Others wait for this fetch, too: it must not end with this request.
	fetchCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	defer cancel()
	value, err := v.fetch(fetchCtx)

	v.mu.Lock()
	defer v.mu.Unlock()
	v.pending, v.err, v.fetched = nil, err, now()
	close(pending)
	switch {
	case err == nil:
		v.known, v.current = true, value
		// Jitter spreads the calls of functions that started together. It only
		// shortens: a new value is in use within the time to live.
		v.due = now().Add(v.store.ttl - rand.N(v.store.ttl/5+1))
	case v.known:
		v.due = now().Add(min(v.store.ttl, retryAfter))
		slog.WarnContext(ctx, "settings served stale", "cause", err.Error())
		if v.store.OnStale != nil {
			v.store.OnStale(ctx)
		}
		err = nil
	}
	return v.current, err
}

// Renew is [Value.Get] for somebody who has reason to believe that the value has
// changed: it is fetched although it is not due, unless that has been done less
// than renewAfter ago.
func (v *Value[T]) Renew(ctx context.Context) (T, error) {
	v.mu.Lock()
	if v.known && now().Sub(v.fetched) >= renewAfter {
		v.due = now()
	}
	v.mu.Unlock()
	return v.Get(ctx)
}

// wait returns what the fetch in flight yields.
func (v *Value[T]) wait(ctx context.Context, pending <-chan struct{}) (T, error) {
	select {
	case <-pending:
	case <-ctx.Done():
		var none T
		return none, fmt.Errorf("wait for settings: %w", context.Cause(ctx))
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.known {
		return v.current, nil
	}
	return v.current, v.err
}

// now is the time by the wall clock. The monotonic clock may stand still while
// Lambda has the process stopped.
func now() time.Time { return time.Now().Round(0) }
