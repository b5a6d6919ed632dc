// Package lambdainvoke calls a Lambda function of the team's own and waits for its
// answer.
package lambdainvoke

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"chat-service-backend/shared/awsconfig"
	"chat-service-backend/shared/lambdahttp"
)

// MaxAnswer exceeds any message that Stream stores, and a whole hook with its channel
// and user, which a function may echo. In bytes.
const MaxAnswer = 64 << 10

// The reasons why a function did not give an answer, for a metric.
const (
	Throttled  = "Throttled"
	Broken     = "Broken"     // it ended with an error, or its answer is of no use
	TooLarge   = "TooLarge"   // its answer is
	NotInvoked = "NotInvoked" // or nobody knows
)

// An Error is a failure of the function. Its text quotes nothing from an answer.
type Error struct{ Reason, Text string }

func (e *Error) Error() string { return e.Text }

// Reason returns the reason in an error of [Function.Invoke].
func Reason(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return NotInvoked
}

// A Function is a Lambda function, in any region.
type Function struct {
	client *lambda.Client
	arn    string
}

// New returns the function whose ARN is in an environment variable, or nil if that is
// unset or empty. The ARN may end with a version or an alias.
func New(getenv func(string) string, variable string) (*Function, error) {
	arn := getenv(variable)
	if arn == "" {
		return nil, nil
	}
	// arn:partition:lambda:region:account:function:name, optionally with a version or alias.
	fields := strings.Split(arn, ":")
	if (len(fields) != 7 && len(fields) != 8) || fields[0] != "arn" || fields[2] != "lambda" || fields[3] == "" || fields[5] != "function" {
		return nil, fmt.Errorf("%s: %q is not the ARN of a Lambda function; use one like arn:aws:lambda:eu-central-1:123456789012:function:name:alias", variable, arn)
	}
	return &Function{arn: arn, client: lambda.NewFromConfig(awsconfig.New(getenv), func(o *lambda.Options) {
		o.Region = fields[3]
		// A second call could have a second effect, and there is no time for it.
		o.Retryer = aws.NopRetryer{}
	})}, nil
}

// Invoke calls the function with a payload, JSON, and returns its answer.
//
// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
func (f *Function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	out, err := f.client.Invoke(ctx, &lambda.InvokeInput{FunctionName: &f.arn, Payload: payload}, func(o *lambda.Options) {
		if trace := lambdahttp.TraceHeader(ctx); trace != "" {
			o.APIOptions = append(o.APIOptions, smithyhttp.SetHeaderValue("X-Amzn-Trace-Id", trace))
		}
	})
	if err != nil {
		err = awsconfig.Brief(err)
		if reported, ok := errors.AsType[*awsconfig.Error](err); ok && reported.Status == http.StatusTooManyRequests {
			return nil, &Error{Throttled, "the function is throttled"}
		}
		return nil, fmt.Errorf("invoke %s: %w", f.arn, err)
	}
	switch {
	case out.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("invoke %s: status %d instead of 200", f.arn, out.StatusCode)
	case out.FunctionError != nil:
		return nil, &Error{Broken, "the function ended with an error"}
	case len(out.Payload) > MaxAnswer:
		return nil, &Error{TooLarge, fmt.Sprintf("the function's answer is over %d bytes", MaxAnswer)}
	}
	return out.Payload, nil
}
