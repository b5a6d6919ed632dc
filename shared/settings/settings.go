// Package settings reads SSM parameters and keeps what is made of them fresh.
//
// A value is fetched again on the first access after its time to live, by one
// request at a time. When SSM does not answer, the last good value goes on
// being served: stale rather than absent. When SSM answers that a parameter is
// missing, that is believed. Nothing runs in the background, since Lambda stops
// the process between two requests.
package settings

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"strings"
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

	// OnStale, if set, is called each time a value could not be fetched again
	// and the last good one is served.
	OnStale func(context.Context)
}

// Open returns the store that the environment names: PARAMETER_PREFIX (default
// /chat-service), PARAMETER_TTL (whole seconds, at least 1; default 300), and
// AWS's own AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
// AWS_SESSION_TOKEN, AWS_ENDPOINT_URL_SSM and AWS_ENDPOINT_URL. It makes no call.
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

// validPrefix reports whether a parameter's name may begin with prefix and a slash.
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

// newClient makes the client by hand. config.LoadDefaultConfig looks in places
// that Lambda does not have (files, a metadata service, single sign-on) and
// costs each cold start 2 MB and several milliseconds.
func newClient(getenv func(string) string) *ssm.Client {
	return ssm.New(ssm.Options{
		Region:       getenv("AWS_REGION"),
		Credentials:  Credentials(getenv),
		BaseEndpoint: Endpoint(getenv, "SSM"),
		// Minutes pass between two calls, and Lambda stops the process
		// meanwhile: a kept connection would be dead.
		HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts = 3
			o.MaxBackoff = fetchTimeout / 4
		}),
	})
}

// Parameters returns the values of at most 10 parameters, named relative to the
// store's prefix, in one call. Parameters that do not exist are absent.
func (s *Store) Parameters(ctx context.Context, names ...string) (map[string]string, error) {
	if len(names) > maxNames {
		return nil, fmt.Errorf("get parameters: want at most %d names, got %d", maxNames, len(names))
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

// Name returns the full name of a parameter, for messages.
func (s *Store) Name(name string) string { return s.prefix + "/" + name }
