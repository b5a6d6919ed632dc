// Package values writes the values in Parameter Store that the functions read.
package values

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/urfave/cli/v3"

	"chat-service-backend/ops/cfn"
	"chat-service-backend/ops/console"
	"chat-service-backend/ops/stack"
)

// Names below the stack's prefix in Parameter Store.
const (
	Key            = "/stream/api-key"
	Secret         = "/stream/api-secret"
	PreviousKey    = "/stream/api-key-previous"
	PreviousSecret = "/stream/api-secret-previous"
	ClientConfig   = "/client-config"
)

// Command is the command that asks for the values and writes them.
func Command(c *console.Console, at *stack.Target) *cli.Command {
	return &cli.Command{
		Name:        "params",
		Usage:       "asks for the values in Parameter Store and writes them",
		Description: "ops params -env prod\nprintf '%s\\n' \"$KEY\" \"$SECRET\" '' | ops params -prefix /chat-service-prod",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "prefix", Value: at.Getenv("PREFIX"), Usage: "`PATH` of the values; default: $PREFIX, else the stack's, else ops asks"},
			&cli.StringFlag{Name: "kms-key-id", Value: at.Getenv("KMS_KEY_ID"), Usage: "customer-managed `KEY` that encrypts the secret; default: $KMS_KEY_ID, else the stack's, else that in deploy/ENV.env, else the AWS-managed key aws/ssm"},
			&cli.BoolFlag{Name: "unchecked", Usage: "write a key and a secret even if Stream refuses them"},
		},
		Action: func(ctx context.Context, flags *cli.Command) error {
			return params(ctx, c, at, flags.String("prefix"), flags.String("kms-key-id"), flags.Bool("unchecked"))
		},
	}
}

func params(ctx context.Context, c *console.Console, at *stack.Target, prefix, key string, unchecked bool) error {
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
	settings, err := at.Settings(template)
	if err != nil {
		return err
	}
	choices := settings.Parameters
	base := choices["StreamBaseUrl"]
	switch s, err := at.Describe(ctx, cfg); {
	case err == nil:
		prefix, key, base = cmp.Or(prefix, s.Prefix()), cmp.Or(key, s.Parameters["KmsKeyArn"]), s.Parameters["StreamBaseUrl"]
	case errors.Is(err, stack.ErrNoStack): // this is for the first deployment
		key = cmp.Or(key, choices["KmsKeyArn"])
	default:
		c.Progress("The stack's own path and KMS key are unknown: %v", err)
	}
	c.Progress("Account %s, region %s", aws.ToString(who.Account), cfg.Region)
	if prefix == "" {
		standard := cmp.Or(choices["ParameterPrefix"], "/"+at.Name())
		prefix, err = c.Ask(ctx, fmt.Sprintf("Path of the values [%s]: ", standard), false, func(s string) error { return isPrefix(cmp.Or(s, standard)) })
		prefix = cmp.Or(prefix, standard)
	} else if err = isPrefix(prefix); err != nil {
		err = console.Usage("-prefix: %w", err)
	}
	if err != nil {
		return err
	}
	c.Progress("The values go below %s", prefix)
	client := ssm.NewFromConfig(cfg)
	return ask(ctx, c, client, prefix, key, func(key, secret string) error {
		if unchecked {
			return nil
		}
		if found, err := Stored(ctx, client, true, prefix+Secret, prefix+PreviousSecret); err == nil {
			previous, exists := found[prefix+PreviousSecret]
			if current := found[prefix+Secret]; exists && aws.ToString(previous.Value) != aws.ToString(current.Value) {
				return fmt.Errorf("a rotation is under way (%s exists): finish it with rotate, or add -unchecked", prefix+PreviousSecret)
			}
		}
		return Accepted(ctx, c, base, key, secret)
	})
}

var clientType = regexp.MustCompile(`^[A-Za-z0-9_.-]*$`)

// ask asks for all values, then writes them.
func ask(ctx context.Context, c *console.Console, client *ssm.Client, prefix, kmsKey string, accepted func(key, secret string) error) error {
	key, err := c.Ask(ctx, "API key: ", false, CheckKey)
	if err != nil {
		return err
	}
	secret, err := c.Ask(ctx, "API secret (not shown): ", true, func(s string) error { return CheckSecret(key, s) })
	if err != nil {
		return err
	}
	if err := accepted(key, secret); err != nil {
		return fmt.Errorf("%w; nothing was written", err)
	}
	all := []*ssm.PutParameterInput{
		Put(prefix+Secret, secret, types.ParameterTypeSecureString, kmsKey),
		Put(prefix+Key, key, types.ParameterTypeString, ""),
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
		object, err := c.Ask(ctx, "Configuration of "+name+", a JSON object on one line: ", false, CheckConfig)
		if err != nil {
			return err
		}
		all = append(all, Put(prefix+ClientConfig+"/"+name, object, types.ParameterTypeString, ""))
	}
	return write(ctx, c, client, all)
}

// write writes all values, or none: after a failure it restores those it has replaced, if
// it may read them.
func write(ctx context.Context, c *console.Console, client *ssm.Client, all []*ssm.PutParameterInput) error {
	read := func() (map[string]types.Parameter, error) {
		have, unread := map[string]types.Parameter{}, error(nil)
		for some := range slices.Chunk(all, 10) { // as many as a call takes
			var names []string
			for _, in := range some {
				names = append(names, *in.Name)
			}
			found, err := Stored(ctx, client, true, names...)
			unread = cmp.Or(unread, err)
			maps.Copy(have, found)
		}
		return have, unread
	}
	before, unread := read()
	versions := map[string]int64{} // that were written here
	for i, in := range all {
		out, err := client.PutParameter(ctx, in)
		if err == nil {
			versions[*in.Name] = out.Version
			if last := before[*in.Name].Version; unread == nil && out.Version > last+1 {
				return another(*in.Name)
			}
			c.Say("wrote %s", *in.Name)
			continue
		}
		undone := unread == nil
		for _, done := range all[:i] {
			undone = undone && restore(context.WithoutCancel(ctx), client, done, before, versions[*done.Name]) == nil
		}
		if undone {
			return fmt.Errorf("could not write %s, and all values are as they were: %w", *in.Name, stack.Reason(err))
		}
		return fmt.Errorf("could not write %s (%d of %d were written: run params again): %w", *in.Name, i, len(all), stack.Reason(err))
	}
	if after, err := read(); err == nil { // for it takes both to make a pair
		for _, in := range all {
			if version := versions[*in.Name]; version != 0 && after[*in.Name].Version != version {
				return another(*in.Name)
			}
		}
	}
	return nil
}

func another(name string) error {
	return fmt.Errorf("somebody else has written %s at the same moment: ask who, see aws ssm get-parameter-history --name %s, and let one of you run params again", name, name)
}

// restore undoes the write of a version, unless somebody else has written since.
func restore(ctx context.Context, client *ssm.Client, done *ssm.PutParameterInput, before map[string]types.Parameter, version int64) error {
	now, err := Stored(ctx, client, false, *done.Name)
	if err == nil && now[*done.Name].Version != version {
		err = errors.New("somebody else has written it")
	}
	if err != nil {
		return err
	}
	if p, ok := before[*done.Name]; ok {
		_, err = client.PutParameter(ctx, Put(*done.Name, *p.Value, p.Type, aws.ToString(done.KeyId)))
	} else {
		_, err = client.DeleteParameter(ctx, &ssm.DeleteParameterInput{Name: done.Name})
	}
	return err
}

// Put returns the request that writes a value.
func Put(name, text string, kind types.ParameterType, kmsKey string) *ssm.PutParameterInput {
	in := &ssm.PutParameterInput{Name: &name, Value: &text, Type: kind, Overwrite: new(true)}
	if kmsKey != "" {
		in.KeyId = &kmsKey
	}
	return in
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
