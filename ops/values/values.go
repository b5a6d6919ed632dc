// Package values writes the values in Parameter Store that the functions read.
package values

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/urfave/cli/v3"

	"chat-service-backend/internal/cfn"
	"chat-service-backend/ops/console"
	"chat-service-backend/ops/stack"
)

// Names below the stack's prefix in Parameter Store.
const (
	Key            = "/stream/api-key"
	Secret         = "/stream/api-secret"
	PreviousSecret = "/stream/api-secret-previous"
	ClientConfig   = "/client-config"
)

// Command is the command that asks for the values and writes them.
func Command(c *console.Console, at *stack.Target) *cli.Command {
	return &cli.Command{
		Name:        "params",
		Usage:       "asks for the values in Parameter Store and writes them",
		Description: "ops params -env prod\nprintf '%s\\n' \"$KEY\" \"$SECRET\" '' | ops params -prefix /chat-service/prod",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "prefix", Value: at.Getenv("PREFIX"), Usage: "`PATH` of the values; default: $PREFIX, else the stack's, else ops asks"},
			&cli.StringFlag{Name: "kms-key-id", Value: at.Getenv("KMS_KEY_ID"), Usage: "customer-managed `KEY` that encrypts the secret; default: $KMS_KEY_ID, else the stack's, else that in deploy/ENV.env, else the AWS-managed key aws/ssm"},
		},
		Action: func(ctx context.Context, flags *cli.Command) error {
			return params(ctx, c, at, flags.String("prefix"), flags.String("kms-key-id"))
		},
	}
}

func params(ctx context.Context, c *console.Console, at *stack.Target, prefix, key string) error {
	cfg, who, err := at.AWS(ctx)
	if err != nil {
		return err
	}
	template, err := cfn.Find(at.Dir)
	if err != nil {
		return err
	}
	isPrefix := func(s string) error {
		_, err := template.Stack(cfn.Options{Parameters: map[string]string{"ParameterPrefix": s}})
		return err
	}
	_, choices := at.Choices(template)
	switch s, err := at.Describe(ctx, cfg); {
	case err == nil:
		prefix, key = cmp.Or(prefix, s.Prefix()), cmp.Or(key, s.Parameters["KmsKeyArn"])
	case errors.Is(err, stack.ErrNoStack): // this is for the first deployment
		key = cmp.Or(key, choices["KmsKeyArn"])
	default:
		c.Progress("The stack's own path and KMS key are unknown: %v", err)
	}
	c.Progress("Account %s, region %s", aws.ToString(who.Account), cfg.Region)
	if prefix == "" {
		standard := cmp.Or(choices["ParameterPrefix"], "/chat-service/"+at.Environment) // as make deploy sets it
		prefix, err = c.Ask(ctx, fmt.Sprintf("Path of the values [%s]: ", standard), false, func(s string) error { return isPrefix(cmp.Or(s, standard)) })
		prefix = cmp.Or(prefix, standard)
	} else if err = isPrefix(prefix); err != nil {
		err = console.Usage("-prefix: %w", err)
	}
	if err != nil {
		return err
	}
	c.Progress("The values go below %s", prefix)
	return write(ctx, c, ssm.NewFromConfig(cfg), prefix, key)
}

// maxStandard is the size limit of parameters in the standard tier, in bytes.
const maxStandard = 4096

var clientType = regexp.MustCompile(`^[A-Za-z0-9_.-]*$`)

// write asks for all values and then writes them.
func write(ctx context.Context, c *console.Console, client *ssm.Client, prefix, kmsKey string) error {
	key, err := c.Ask(ctx, "API key: ", false, NotEmpty("the API key"))
	if err != nil {
		return err
	}
	secret, err := c.Ask(ctx, "API secret (not shown): ", true, NotEmpty("the API secret"))
	if err != nil {
		return err
	}
	all := []*ssm.PutParameterInput{
		Put(prefix+Key, key, types.ParameterTypeString, ""),
		Put(prefix+Secret, secret, types.ParameterTypeSecureString, kmsKey),
	}
	for {
		name, err := c.Ask(ctx, "Client type to configure (Enter for no more): ", false, func(s string) error {
			if !clientType.MatchString(s) {
				return fmt.Errorf("%s is not a client type: use letters, digits, _ . and -", s)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if name == "" {
			break
		}
		object, err := c.Ask(ctx, "Configuration of "+name+", a JSON object on one line: ", false, func(s string) error {
			if !IsObject(s) {
				return errors.New(`that is not a JSON object: give one such as {"theme":"dark"}`)
			}
			if len(s) > maxStandard {
				return fmt.Errorf("the configuration has %d bytes: Parameter Store takes %d", len(s), maxStandard)
			}
			return nil
		})
		if err != nil {
			return err
		}
		all = append(all, Put(prefix+ClientConfig+"/"+name, object, types.ParameterTypeString, ""))
	}
	for i, in := range all {
		if _, err := client.PutParameter(ctx, in); err != nil {
			return fmt.Errorf("could not write %s (%d of %d were written): %w", *in.Name, i, len(all), stack.Reason(err))
		}
		c.Say("wrote %s", *in.Name)
	}
	return nil
}

// Put returns the request that writes a value.
func Put(name, text string, kind types.ParameterType, kmsKey string) *ssm.PutParameterInput {
	in := &ssm.PutParameterInput{Name: &name, Value: &text, Type: kind, Overwrite: new(true)}
	if kmsKey != "" {
		in.KeyId = &kmsKey
	}
	return in
}

// NotEmpty returns a check that an answer is not empty.
func NotEmpty(what string) func(string) error {
	return func(s string) error {
		if s == "" {
			return fmt.Errorf("%s must not be empty", what)
		}
		return nil
	}
}

// IsObject reports whether a text is a JSON object.
func IsObject(s string) bool {
	var object map[string]json.RawMessage
	return json.Unmarshal([]byte(s), &object) == nil && object != nil
}

// Stored returns the parameters that exist, by name.
func Stored(ctx context.Context, client *ssm.Client, decrypt bool, names ...string) (map[string]types.Parameter, error) {
	out, err := client.GetParameters(ctx, &ssm.GetParametersInput{Names: names, WithDecryption: &decrypt})
	if err != nil {
		return nil, stack.Reason(err)
	}
	found := map[string]types.Parameter{}
	for _, p := range out.Parameters {
		found[aws.ToString(p.Name)] = p
	}
	return found, nil
}
