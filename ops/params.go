package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"chat-service-backend/internal/cfn"
)

// Names below the stack's prefix in Parameter Store.
const (
	apiKey         = "/stream/api-key"
	apiSecret      = "/stream/api-secret"
	previousSecret = "/stream/api-secret-previous"
	clientConfig   = "/client-config"
)

func setUpParams(o *ops, f *flag.FlagSet) func(context.Context) error {
	prefix := f.String("prefix", o.getenv("PREFIX"), "`PATH` of the values; default: $PREFIX, else the stack's, else ops asks")
	key := f.String("kms-key-id", o.getenv("KMS_KEY_ID"), "customer-managed `KEY` that encrypts the secret; default: $KMS_KEY_ID, else the stack's, else that in deploy/ENV.env, else the AWS-managed key aws/ssm")
	return func(ctx context.Context) error {
		cfg, who, err := o.aws(ctx)
		if err != nil {
			return err
		}
		template, err := cfn.Find(o.dir)
		if err != nil {
			return err
		}
		isPrefix := func(s string) error {
			_, err := template.Stack(cfn.Options{Parameters: map[string]string{"ParameterPrefix": s}})
			return err
		}
		_, choices := o.choices(template)
		switch s, err := o.describe(ctx, cfg); {
		case err == nil:
			*prefix, *key = cmp.Or(*prefix, s.prefix()), cmp.Or(*key, s.parameters["KmsKeyArn"])
		case errors.Is(err, errNoStack): // this is for the first deployment
			*key = cmp.Or(*key, choices["KmsKeyArn"])
		default:
			o.progress("The stack's own path and KMS key are unknown: %v", err)
		}
		o.progress("Account %s, region %s", aws.ToString(who.Account), cfg.Region)
		if *prefix == "" {
			standard := cmp.Or(choices["ParameterPrefix"], "/chat-service/"+o.environment) // as make deploy sets it
			*prefix, err = o.ask(ctx, fmt.Sprintf("Path of the values [%s]: ", standard), false, func(s string) error { return isPrefix(cmp.Or(s, standard)) })
			*prefix = cmp.Or(*prefix, standard)
		} else if err = isPrefix(*prefix); err != nil {
			err = usageError{err}
		}
		if err != nil {
			return err
		}
		o.progress("The values go below %s", *prefix)
		return o.params(ctx, ssm.NewFromConfig(cfg), *prefix, *key)
	}
}

// maxStandard is the size limit of parameters in the standard tier, in bytes.
const maxStandard = 4096

var clientType = regexp.MustCompile(`^[A-Za-z0-9_.-]*$`)

// params asks for all values and then writes them.
func (o *ops) params(ctx context.Context, client *ssm.Client, prefix, kmsKey string) error {
	key, err := o.ask(ctx, "API key: ", false, notEmpty("the API key"))
	if err != nil {
		return err
	}
	secret, err := o.ask(ctx, "API secret (not shown): ", true, notEmpty("the API secret"))
	if err != nil {
		return err
	}
	all := []*ssm.PutParameterInput{
		value(prefix+apiKey, key, types.ParameterTypeString, ""),
		value(prefix+apiSecret, secret, types.ParameterTypeSecureString, kmsKey),
	}
	for {
		name, err := o.ask(ctx, "Client type to configure (Enter for no more): ", false, func(s string) error {
			if !clientType.MatchString(s) {
				return fmt.Errorf("want letters, digits, _ . and - in a client type, got %s", s)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if name == "" {
			break
		}
		object, err := o.ask(ctx, "Configuration of "+name+", a JSON object on one line: ", false, func(s string) error {
			if !isObject(s) {
				return errors.New(`want a JSON object such as {"theme":"dark"}`)
			}
			if len(s) > maxStandard {
				return fmt.Errorf("want at most %d bytes, got %d", maxStandard, len(s))
			}
			return nil
		})
		if err != nil {
			return err
		}
		all = append(all, value(prefix+clientConfig+"/"+name, object, types.ParameterTypeString, ""))
	}
	for i, in := range all {
		if _, err := client.PutParameter(ctx, in); err != nil {
			return fmt.Errorf("could not write %s (%d of %d were written): %w", *in.Name, i, len(all), reason(err))
		}
		o.say("wrote %s", *in.Name)
	}
	return nil
}

func value(name, text string, kind types.ParameterType, kmsKey string) *ssm.PutParameterInput {
	in := &ssm.PutParameterInput{Name: &name, Value: &text, Type: kind, Overwrite: new(true)}
	if kmsKey != "" {
		in.KeyId = &kmsKey
	}
	return in
}

func notEmpty(what string) func(string) error {
	return func(s string) error {
		if s == "" {
			return fmt.Errorf("%s must not be empty", what)
		}
		return nil
	}
}

func isObject(s string) bool {
	var object map[string]json.RawMessage
	return json.Unmarshal([]byte(s), &object) == nil && object != nil
}

// stored returns the parameters that exist, by name.
func stored(ctx context.Context, client *ssm.Client, decrypt bool, names ...string) (map[string]types.Parameter, error) {
	out, err := client.GetParameters(ctx, &ssm.GetParametersInput{Names: names, WithDecryption: &decrypt})
	if err != nil {
		return nil, reason(err)
	}
	found := map[string]types.Parameter{}
	for _, p := range out.Parameters {
		found[aws.ToString(p.Name)] = p
	}
	return found, nil
}
