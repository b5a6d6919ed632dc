// Package stack finds a deployment: its stack at CloudFormation, and its Service API, through
// which Stream is called.
package stack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"chat-service-backend/ops/console"
)

// EventSource begins the source of the events that the webhook function publishes, such as
// stream.chat.
const EventSource = "stream."

// A Stack is a deployment as CloudFormation describes it.
type Stack struct {
	Name, Status        string
	Created             time.Time // zero for a development server
	Parameters, Outputs map[string]string
}

// Prefix is the path of the stack's values in Parameter Store.
func (s *Stack) Prefix() string {
	return cmp.Or(s.Parameters["ParameterPrefix"], s.Outputs["ParameterPath"], "/"+s.Name)
}

// Getenv returns the functions' variable that holds a parameter: OIDC_ISSUER for
// OidcIssuer.
func (s *Stack) Getenv(name string) string {
	parameter := ""
	for word := range strings.SplitSeq(name, "_") {
		parameter += word[:1] + strings.ToLower(word[1:])
	}
	lifetime, age, _ := strings.Cut(s.Parameters["MaxTokenLifetime"], ",")
	switch name {
	case "MAX_TOKEN_LIFETIME":
		return lifetime
	case "OIDC_KEY_MAX_AGE":
		return age
	}
	return s.Parameters[parameter]
}

// AWS reads deploy/<env>.env, loads the AWS configuration, and checks the credentials, also
// against the account and the region in that file.
func (t *Target) AWS(ctx context.Context) (aws.Config, *sts.GetCallerIdentityOutput, error) {
	if t.Local() {
		return aws.Config{}, nil, fmt.Errorf("-service-url %s is the development server, which has no stack and nothing at AWS: name the deployment with -env, or use its page", t.ServiceURL)
	}
	belongs, err := t.belongs()
	if err != nil {
		return aws.Config{}, nil, err
	}
	cfg, err := t.LoadAWS(ctx)
	if err != nil {
		return cfg, nil, fmt.Errorf("AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return cfg, nil, errors.New("no AWS region is set: set AWS_REGION, or region in the profile")
	}
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		return cfg, nil, fmt.Errorf("there are no valid AWS credentials (aws sso login, AWS_PROFILE): %w", err)
	}
	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
	if err != nil {
		if errors.As(err, new(*smithyhttp.RequestSendError)) {
			return cfg, nil, fmt.Errorf("%w: %w", ErrUnreachable, Reason(err))
		}
		return cfg, nil, fmt.Errorf("AWS does not accept the credentials, or this machine's clock is wrong: %w", Reason(err))
	}
	if err := belongs(aws.ToString(who.Account), cfg.Region); err != nil {
		return cfg, nil, err
	}
	return cfg, who, nil
}

// ErrUnreachable means that AWS has not answered.
var ErrUnreachable = errors.New("AWS cannot be reached: check the network, HTTPS_PROXY and AWS_REGION")

// Stack loads the AWS configuration and describes the stack.
func (t *Target) Stack(ctx context.Context) (aws.Config, *Stack, error) {
	cfg, _, err := t.AWS(ctx)
	if err != nil {
		return cfg, nil, err
	}
	s, err := t.Describe(ctx, cfg)
	return cfg, s, err
}

// ErrNoStack means that CloudFormation knows no such stack.
var ErrNoStack = errors.New("there is no stack")

// Name returns the name of the stack.
func (t *Target) Name() string { return cmp.Or(t.StackName, "chat-service-"+t.Environment) }

// Describe describes the stack.
func (t *Target) Describe(ctx context.Context, cfg aws.Config) (*Stack, error) {
	name := t.Name()
	out, err := cloudformation.NewFromConfig(cfg).DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &name})
	if err != nil && strings.Contains(err.Error(), "does not exist") || err == nil && len(out.Stacks) == 0 {
		return nil, fmt.Errorf("%w %s in %s: check -env and -stack, or deploy it first (%s)", ErrNoStack, name, cfg.Region, t.CommandLine("deploy"))
	}
	if err != nil {
		return nil, fmt.Errorf("stack %s: %w", name, Reason(err))
	}
	s := &Stack{Name: name, Status: string(out.Stacks[0].StackStatus), Created: aws.ToTime(out.Stacks[0].CreationTime), Parameters: map[string]string{}, Outputs: map[string]string{}}
	for _, p := range out.Stacks[0].Parameters {
		s.Parameters[aws.ToString(p.ParameterKey)] = aws.ToString(p.ParameterValue)
	}
	for _, v := range out.Stacks[0].Outputs {
		s.Outputs[aws.ToString(v.OutputKey)] = aws.ToString(v.OutputValue)
	}
	maps.Copy(s.Outputs, t.Outputs)
	return s, nil
}

// Reason shortens an AWS error to its code and message, or to what kept it from being sent.
func Reason(err error) error {
	var api smithy.APIError
	if errors.As(err, &api) {
		return &apiError{api}
	}
	var unsent *smithyhttp.RequestSendError
	if errors.As(err, &unsent) {
		return unsent.Err
	}
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) {
		return fmt.Errorf("status %d, and the answer is not one of AWS's", answer.HTTPStatusCode())
	}
	return err
}

type apiError struct{ smithy.APIError }

func (e *apiError) Error() string {
	return e.ErrorCode() + ": " + console.Safe(e.ErrorMessage())
}

// Missing reports whether AWS has answered that something does not exist.
func Missing(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && (strings.Contains(api.ErrorCode(), "NotFound") || strings.Contains(api.ErrorCode(), "NonExistent") || strings.Contains(api.ErrorCode(), "DoesNotExist"))
}

// Denied reports whether AWS has answered that the caller may not do something.
func Denied(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && (strings.Contains(api.ErrorCode(), "AccessDenied") || strings.Contains(api.ErrorCode(), "Unauthorized") || strings.Contains(api.ErrorCode(), "NotAuthorized") || api.ErrorCode() == "Forbidden")
}

// Expired reports whether AWS has answered that the credentials are no longer valid.
func Expired(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && (strings.HasPrefix(api.ErrorCode(), "ExpiredToken") || strings.HasPrefix(api.ErrorCode(), "UnrecognizedClient") || api.ErrorCode() == "InvalidClientTokenId")
}

// Throttled reports whether AWS has answered that there are too many calls.
func Throttled(err error) bool {
	return retry.ThrottleErrorCode{Codes: retry.DefaultThrottleErrorCodes}.IsErrorThrottle(err).Bool()
}
