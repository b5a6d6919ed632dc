package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"chat-service-backend/internal/cfn"
)

// A stack is a deployment as CloudFormation describes it.
type stack struct {
	name, status        string
	parameters, outputs map[string]string
}

// prefix is the path of the stack's values in Parameter Store.
func (s *stack) prefix() string { return s.parameters["ParameterPrefix"] }

// getenv returns the functions' variable that holds a parameter: OIDC_ISSUER for
// OidcIssuer.
func (s *stack) getenv(name string) string {
	parameter := ""
	for word := range strings.SplitSeq(name, "_") {
		parameter += word[:1] + strings.ToLower(word[1:])
	}
	return s.parameters[parameter]
}

// choices returns the template parameters in deploy/<env>.env, which make deploy
// passes to the stack. The file may be missing.
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

// aws loads the AWS configuration and checks the credentials.
func (o *ops) aws(ctx context.Context) (aws.Config, *sts.GetCallerIdentityOutput, error) {
	cfg, err := o.loadAWS(ctx)
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

func (o *ops) stack(ctx context.Context) (aws.Config, *stack, error) {
	cfg, _, err := o.aws(ctx)
	if err != nil {
		return cfg, nil, err
	}
	s, err := o.describe(ctx, cfg)
	return cfg, s, err
}

var errNoStack = errors.New("check -env and -stack, or deploy it first (make deploy)")

func (o *ops) describe(ctx context.Context, cfg aws.Config) (*stack, error) {
	name := o.stackName
	if name == "" {
		name = "chat-service-" + o.environment
	}
	out, err := cloudformation.NewFromConfig(cfg).DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &name})
	if err != nil && strings.Contains(err.Error(), "does not exist") || err == nil && len(out.Stacks) == 0 {
		return nil, fmt.Errorf("there is no stack %s in %s: %w", name, cfg.Region, errNoStack)
	}
	if err != nil {
		return nil, fmt.Errorf("stack %s: %w", name, reason(err))
	}
	s := &stack{name: name, status: string(out.Stacks[0].StackStatus), parameters: map[string]string{}, outputs: map[string]string{}}
	for _, p := range out.Stacks[0].Parameters {
		s.parameters[aws.ToString(p.ParameterKey)] = aws.ToString(p.ParameterValue)
	}
	for _, v := range out.Stacks[0].Outputs {
		s.outputs[aws.ToString(v.OutputKey)] = aws.ToString(v.OutputValue)
	}
	maps.Copy(s.outputs, o.outputs)
	return s, nil
}

// reason shortens an AWS error to its code and message.
func reason(err error) error {
	var api smithy.APIError
	if errors.As(err, &api) {
		return fmt.Errorf("%s: %s", api.ErrorCode(), api.ErrorMessage())
	}
	return err
}
