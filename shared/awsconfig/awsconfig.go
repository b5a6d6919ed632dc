// Package awsconfig configures the AWS SDK's clients from a function's environment.
//
// config.LoadDefaultConfig looks in places that Lambda does not have (files, a metadata
// service, single sign-on), and costs each cold start 2 MB and several milliseconds.
package awsconfig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"chat-service-backend/shared/keepalive"
)

const (
	maxAttempts = 3
	maxBackoff  = 200 * time.Millisecond
)

// New returns the configuration of clients whose region, credentials and endpoints
// are in the environment: AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
// AWS_SESSION_TOKEN, and AWS_ENDPOINT_URL_<service> or AWS_ENDPOINT_URL. Its clients
// share their connections; each makes up to 3 attempts, within a budget of its own.
func New(getenv func(string) string) aws.Config {
	cfg := aws.Config{
		Region:        getenv("AWS_REGION"),
		Credentials:   credentials(getenv),
		HTTPClient:    HTTPClient{keepalive.New()},
		Retryer:       func() aws.Retryer { return Retryer(maxAttempts) },
		ConfigSources: []any{endpoints{getenv}},
	}
	if url := getenv("AWS_ENDPOINT_URL"); url != "" {
		cfg.BaseEndpoint = &url
	}
	return cfg
}

// HTTPClient sends the requests of the SDK's clients, and follows no redirect.
type HTTPClient struct{ http.RoundTripper }

// Do reads the body first, so that [keepalive.Transport] can send it again, and so that
// the SDK, which closes it as soon as the response begins, does not end it too early.
func (c HTTPClient) Do(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		return c.RoundTrip(r)
	}
	var body bytes.Buffer
	body.Grow(int(max(r.ContentLength, 0)) + bytes.MinRead)
	if _, err := body.ReadFrom(r.Body); err != nil {
		return nil, err
	}
	again := *r
	again.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body.Bytes())), nil }
	again.Body, _ = again.GetBody()
	return c.RoundTrip(&again)
}

// Retryer returns the SDK's standard retryer with short pauses. The rules first count
// before the SDK's own.
func Retryer(attempts int, first ...retry.IsErrorRetryable) aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.MaxBackoff = attempts, maxBackoff
		o.Retryables = append(first, o.Retryables...)
	})
}

func credentials(getenv func(string) string) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		found := aws.Credentials{
			AccessKeyID:     getenv("AWS_ACCESS_KEY_ID"),
			SecretAccessKey: getenv("AWS_SECRET_ACCESS_KEY"),
			SessionToken:    getenv("AWS_SESSION_TOKEN"),
			Source:          "environment",
		}
		if !found.HasKeys() {
			return aws.Credentials{}, errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set; Lambda sets them from the function's role")
		}
		return found, nil
	})
}

// endpoints is a source of endpoints for the SDK, which otherwise reads them from the
// process's environment.
//
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
type endpoints struct{ getenv func(string) string }

func (e endpoints) GetServiceBaseEndpoint(_ context.Context, sdkID string) (string, bool, error) {
	url := e.getenv("AWS_ENDPOINT_URL_" + strings.ToUpper(sdkID))
	return url, url != "", nil
}

// An Error is a failure that AWS reports, without AWS's own text, which may quote what
// was sent.
type Error struct {
	Code   string // such as ValidationException; may be ""
	Status int    // of the HTTP response
}

func (e *Error) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("status %d", e.Status)
	}
	return e.Code
}

// Brief returns an error of the SDK's without what AWS says about it: an [*Error] if
// AWS reported one. It returns any other error unchanged.
func Brief(err error) error {
	var response *smithyhttp.ResponseError
	if !errors.As(err, &response) || response.HTTPStatusCode() < http.StatusMultipleChoices {
		return err // AWS reported nothing
	}
	brief := &Error{Status: response.HTTPStatusCode()}
	if reported := smithy.APIError(nil); errors.As(err, &reported) && reported.ErrorCode() != "UnknownError" {
		brief.Code = reported.ErrorCode()
	}
	return brief
}
