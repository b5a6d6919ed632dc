package webhook

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
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"chat-service-backend/shared/settings"
)

// maxAnswer exceeds any response of a [service] that we read, in bytes.
const maxAnswer = 1 << 16

// A service is one of AWS's, called over net/http with the SDK's signer and retry
// policy. This function needs one operation of each of four services. The SDK's
// clients for them would add a megabyte to the binary and a millisecond to each
// cold start, mostly for tables of endpoints, and a quarter to an event's CPU time.
type service struct {
	name        string // in signatures
	region      string
	url         string // of the endpoint, without a trailing slash
	credentials aws.CredentialsProvider
	client      *http.Client
	signer      *v4.Signer
	retryer     aws.RetryerV2
}

// newService returns the service of a region whose host begins with name, unless
// the environment sets another endpoint: AWS_ENDPOINT_URL_<variable>.
func newService(getenv func(string) string, name, region, variable string, client *http.Client) *service {
	url := "https://" + name + "." + region + ".amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		url += ".cn"
	}
	if endpoint := settings.Endpoint(getenv, variable); endpoint != nil {
		url = strings.TrimRight(*endpoint, "/")
	}
	return &service{
		name:        name,
		region:      region,
		url:         url,
		credentials: settings.Credentials(getenv),
		client:      client,
		signer:      v4.NewSigner(),
		// A connection may have died while Lambda had the process frozen, which
		// costs an attempt. The policy limits the retries of all calls together,
		// so each service has its own: a failing bus must not use up the queue's.
		retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts = 3
			o.MaxBackoff = 200 * time.Millisecond
		}),
	}
}

// newBucket returns S3 as one bucket, whose paths are keys.
func newBucket(getenv func(string) string, name, region string, client *http.Client) *service {
	s3 := newService(getenv, "s3", region, "S3", client)
	if settings.Endpoint(getenv, "S3") == nil {
		s3.url = strings.Replace(s3.url, "//", "//"+name+".", 1)
	} else { // a stand-in has no host name for each bucket
		s3.url += "/" + name
	}
	return s3
}

// An awsError is a failure that AWS reports. Its text quotes nothing from the
// service's own message, which may contain the event.
type awsError struct {
	status int
	code   string // may be ""
}

func (e *awsError) Error() string       { return cmp.Or(e.code, fmt.Sprintf("status %d", e.status)) }
func (e *awsError) ErrorCode() string   { return e.code }   // for the retry policy
func (e *awsError) HTTPStatusCode() int { return e.status } // likewise

// request returns a signed request. path must begin with a slash and be escaped.
func (s *service) request(ctx context.Context, method, path string, header http.Header, payload []byte) (*http.Request, error) {
	credentials, err := s.credentials.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, bytes.NewReader(payload))
	if err != nil {
		return nil, err
	}
	maps.Copy(r.Header, header)
	sum := sha256.Sum256(payload)
	hash := hex.EncodeToString(sum[:])
	if s.name == "s3" { // the only service that requires it
		r.Header.Set("X-Amz-Content-Sha256", hash)
	}
	return r, s.signer.SignHTTP(ctx, credentials, r, hash, s.name, s.region, time.Now())
}

// do sends a request, with retries as the policy allows, and returns the body of a
// response with status 200.
func (s *service) do(ctx context.Context, method, path string, header http.Header, payload []byte) ([]byte, error) {
	// Retries draw on a budget, which successes refill.
	release, err := s.retryer.GetAttemptToken(ctx)
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		body, err := s.attempt(ctx, method, path, header, payload)
		_ = release(err)
		if err == nil || ctx.Err() != nil || attempt == s.retryer.MaxAttempts() || !s.retryer.IsErrorRetryable(err) {
			return body, err
		}
		var refused error
		if release, refused = s.retryer.GetRetryToken(ctx, err); refused != nil {
			return nil, err
		}
		wait, _ := s.retryer.RetryDelay(attempt, err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, err
		}
	}
}

func (s *service) attempt(ctx context.Context, method, path string, header http.Header, payload []byte) ([]byte, error) {
	r, err := s.request(ctx, method, path, header, payload)
	if err != nil {
		return nil, err
	}
	response, err := s.client.Do(r)
	if err != nil {
		return nil, &smithyhttp.RequestSendError{Err: err}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, &smithyhttp.RequestSendError{Err: err}
	}
	if response.StatusCode != http.StatusOK {
		return nil, &awsError{response.StatusCode, errorCode(response.Header, body)}
	}
	return body, nil
}

// errorCode returns the code of an error in AWS's JSON protocols, or "".
//
// https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html#operation-error-serialization
func errorCode(header http.Header, body []byte) string {
	code := header.Get("X-Amzn-Errortype")
	if code == "" {
		var e struct {
			Type string `json:"__type"`
		}
		_ = json.Unmarshal(body, &e)
		code = e.Type
	}
	code, _, _ = strings.Cut(code, ":")
	return code[strings.LastIndexByte(code, '#')+1:]
}

// errUnexpected is for a response with status 200 that does not confirm the
// operation: AWS cannot have sent it.
var errUnexpected = errors.New("want a response of the AWS API, got something else")

// call calls an operation in a version of AWS's JSON protocol and decodes the
// response into out.
func (s *service) call(ctx context.Context, version, operation string, in, out any) error {
	payload, err := json.Marshal(in)
	if err != nil {
		return err
	}
	header := http.Header{"Content-Type": {"application/x-amz-json-" + version}, "X-Amz-Target": {operation}}
	body, err := s.do(ctx, http.MethodPost, "/", header, payload)
	if err == nil && json.Unmarshal(body, out) != nil {
		err = errUnexpected
	}
	return err
}
