package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"chat-service-backend/internal/cfn"
)

// A stack is a deployment as CloudFormation describes it.
type stack struct {
	name, status string
	parameters   map[string]string
	outputs      outputs
}

// prefix is where the stack's values lie in Parameter Store.
func (s *stack) prefix() string { return s.parameters["ParameterPrefix"] }

var wordEnd = regexp.MustCompile(`([a-z0-9])([A-Z])`)

// getenv is the functions' environment, as far as it is made of parameters:
// OIDC_ISSUER is OidcIssuer.
func (s *stack) getenv(name string) string {
	for parameter, value := range s.parameters {
		if strings.ToUpper(wordEnd.ReplaceAllString(parameter, "${1}_$2")) == name {
			return value
		}
	}
	return ""
}

// name is the stack's: what -stack says, else that of the environment.
func (o *ops) name() string {
	if o.stackName != "" {
		return o.stackName
	}
	return "chat-service-" + o.environment
}

// choices are the template parameters in deploy/<env>.env, which a deployment
// gives the stack. The file may be missing.
func (o *ops) choices(t *cfn.Template) (file string, choices map[string]string) {
	file = filepath.Join("deploy", o.environment+".env")
	choices = map[string]string{}
	text, _ := os.ReadFile(filepath.Join(t.Dir, file))
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), "="); ok && !strings.HasPrefix(line, "#") {
			choices[name] = value
		}
	}
	return file, choices
}

// aws finds credentials and a region as the AWS CLI does, and checks that the
// credentials are good.
func (o *ops) aws(ctx context.Context) (aws.Config, *sts.GetCallerIdentityOutput, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return cfg, nil, fmt.Errorf("AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return cfg, nil, errors.New("want an AWS region, found none: set AWS_REGION, or region in the profile")
	}
	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
	if err != nil {
		return cfg, nil, fmt.Errorf("AWS does not accept the credentials: %w", reason(err))
	}
	return cfg, who, nil
}

// stack finds credentials, and the stack with them.
func (o *ops) stack(ctx context.Context) (aws.Config, *stack, error) {
	cfg, _, err := o.aws(ctx)
	if err != nil {
		return cfg, nil, err
	}
	s, err := o.describe(ctx, cfg)
	return cfg, s, err
}

func (o *ops) describe(ctx context.Context, cfg aws.Config) (*stack, error) {
	name := o.name()
	out, err := cloudformation.NewFromConfig(cfg).DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &name})
	if err != nil {
		if strings.Contains(err.Error(), "does not exist") {
			err = fmt.Errorf("there is no stack %s in %s: want -env or -stack to name one, or make deploy first", name, cfg.Region)
		}
		return nil, reason(err)
	}
	if len(out.Stacks) != 1 {
		return nil, fmt.Errorf("want one stack %s, got %d", name, len(out.Stacks))
	}
	s := &stack{name: name, status: string(out.Stacks[0].StackStatus), parameters: map[string]string{}, outputs: outputs{}}
	for _, p := range out.Stacks[0].Parameters {
		s.parameters[aws.ToString(p.ParameterKey)] = aws.ToString(p.ParameterValue)
	}
	for _, v := range out.Stacks[0].Outputs {
		s.outputs[aws.ToString(v.OutputKey)] = aws.ToString(v.OutputValue)
	}
	for name, value := range o.outputs {
		s.outputs[name] = value
	}
	return s, nil
}

// reason shortens an AWS error to what it says.
func reason(err error) error {
	var api smithy.APIError
	if errors.As(err, &api) {
		return fmt.Errorf("%s: %s", api.ErrorCode(), api.ErrorMessage())
	}
	return err
}

// hasCode reports whether AWS has answered with one of these error codes.
func hasCode(err error, codes ...string) bool {
	var api smithy.APIError
	if errors.As(err, &api) {
		for _, code := range codes {
			if strings.Contains(api.ErrorCode(), code) {
				return true
			}
		}
	}
	return false
}
