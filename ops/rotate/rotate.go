// Package rotate replaces Stream's API secret without losing a webhook.
package rotate

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/urfave/cli/v3"

	"chat-service-backend/ops/console"
	"chat-service-backend/ops/stack"
	"chat-service-backend/ops/values"
)

// A rotation replaces the API secret. The functions still accept webhooks signed with
// the previous one, until it is removed.
type rotation struct {
	*console.Console
	ssm     *ssm.Client
	service *stack.Service
	stack   *stack.Stack
}

// Command is the command that guides through a rotation.
func Command(c *console.Console, at *stack.Target) *cli.Command {
	return &cli.Command{
		Name:        "rotate",
		Usage:       "guides you through a rotation of Stream's API secret",
		Description: "ops rotate -env prod",
		Action: func(ctx context.Context, _ *cli.Command) error {
			cfg, s, err := at.Stack(ctx)
			if err != nil {
				return err
			}
			r := &rotation{c, ssm.NewFromConfig(cfg), at.ServiceOf(s, &cfg), s}
			return r.run(ctx)
		},
	}
}

func (r *rotation) run(ctx context.Context) error {
	prefix := r.stack.Prefix()
	have, err := values.Stored(ctx, r.ssm, true, prefix+values.Key, prefix+values.Secret, prefix+values.PreviousSecret)
	if err != nil {
		return fmt.Errorf("read the current secret: %w", err)
	}
	current, previous := aws.ToString(have[prefix+values.Secret].Value), aws.ToString(have[prefix+values.PreviousSecret].Value)
	if current == "" {
		return fmt.Errorf("%s is missing or empty: write it with make params", prefix+values.Secret)
	}
	// Equal ones are a rotation that ended before the new secret was written.
	if previous != "" && previous != current {
		r.Say("A rotation is under way: %s exists. Going on with it.", prefix+values.PreviousSecret)
		return r.finish(ctx, current, previous)
	}
	if err := r.check(ctx, current); err != nil {
		return fmt.Errorf("the current secret does not work, and nothing was changed: %w", err)
	}
	r.Say("Tokens and webhooks work with the current secret.")
	next, err := r.Ask(ctx, "The new API secret, which Stream must already accept (not shown): ", true, func(s string) error {
		if s == current {
			return errors.New("that is the current secret")
		}
		return values.NotEmpty("the API secret")(s)
	})
	if err != nil {
		return err
	}
	// The old one first: a webhook whose signature fits neither would be lost.
	if err := r.put(ctx, values.PreviousSecret, current); err != nil {
		return err
	}
	if err := r.put(ctx, values.Secret, next); err != nil {
		return fmt.Errorf("%w; the old secret is still in use, run rotate again", err)
	}
	return r.finish(ctx, next, current)
}

// finish waits until every function has the new secret, checks it, and removes the
// previous one after asking. It offers to restore the previous one if the new one
// does not work.
func (r *rotation) finish(ctx context.Context, current, previous string) error {
	ttl, err := strconv.Atoi(r.stack.Parameters["ParameterTtl"])
	if err != nil {
		return fmt.Errorf("the stack's ParameterTtl is %q and not a number of seconds: deploy again (make deploy)", r.stack.Parameters["ParameterTtl"])
	}
	for left := ttl + 1; left > 0; left -= 15 {
		r.Progress("Waiting %d s until every function has fetched the new secret", left)
		if err := stack.Wait(ctx, time.Duration(min(left, 15))*time.Second); err != nil {
			return fmt.Errorf("%w; both secrets are in place, run rotate again to go on", err)
		}
	}
	if err := r.check(ctx, current, previous); err != nil {
		var refused *stack.Refusal
		if !errors.As(err, &refused) || refused.Status != http.StatusUnauthorized {
			return fmt.Errorf("%w; both secrets are in place, run rotate again to repeat the check", err)
		}
		r.Progress("The new secret does not work: %v", err)
		if back, _ := r.Confirm(ctx, "Restore the previous secret?"); !back {
			return errors.New("both secrets are still in place; run rotate again to repeat the check")
		}
		if err := r.put(ctx, values.Secret, previous); err != nil {
			return err
		}
		return errors.Join(r.remove(ctx), errors.New("the previous secret is restored; functions use it within ParameterTtl"))
	}
	r.Say("Tokens work with the new secret, webhooks with both.")
	if yes, err := r.Confirm(ctx, "Remove the previous secret? Stream retries webhooks signed with it for 15 s."); err != nil || !yes {
		r.Say("Both secrets are in place. Run rotate again to remove the previous one.")
		return nil
	}
	return r.remove(ctx)
}

// check returns what does not work: a call to Stream, which the proxy signs; a user's
// token, which must be signed with the first of the secrets; or webhooks signed with
// each of them.
func (r *rotation) check(ctx context.Context, secrets ...string) error {
	if _, err := r.service.Stream(ctx, http.MethodGet, "/app", nil, nil); err != nil {
		return fmt.Errorf("a call to Stream through the proxy: %w", err)
	}
	var user struct{ Token string }
	if err := r.service.Call(ctx, http.MethodGet, "/token/chat-service-doctor", nil, &user); err != nil {
		return fmt.Errorf("a user's token: %w", err)
	}
	last := strings.LastIndex(user.Token, ".")
	if last < 0 || base64.RawURLEncoding.EncodeToString(MAC(secrets[0], user.Token[:last])) != user.Token[last+1:] {
		return errors.New("a user's token is not signed with the secret that is in Parameter Store")
	}
	for _, secret := range secrets {
		const body = `{"type":"health.check"}`
		var verified struct{ IsValid bool }
		in := map[string]string{"rawBody": body, "signature": hex.EncodeToString(MAC(secret, body))}
		if err := r.service.Call(ctx, http.MethodPost, "/webhook/verify", in, &verified); err != nil {
			return fmt.Errorf("a webhook's signature: %w", err)
		}
		if !verified.IsValid {
			return errors.New("the functions do not accept a webhook with a good signature")
		}
	}
	return nil
}

// MAC signs as Stream does: webhooks in hexadecimal, tokens in base64.
func MAC(secret, text string) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(text))
	return h.Sum(nil)
}

func (r *rotation) put(ctx context.Context, name, secret string) error {
	name = r.stack.Prefix() + name
	if _, err := r.ssm.PutParameter(ctx, values.Put(name, secret, types.ParameterTypeSecureString, r.stack.Parameters["KmsKeyArn"])); err != nil {
		return fmt.Errorf("could not write %s: %w", name, stack.Reason(err))
	}
	r.Say("wrote %s", name)
	return nil
}

func (r *rotation) remove(ctx context.Context) error {
	name := r.stack.Prefix() + values.PreviousSecret
	if _, err := r.ssm.DeleteParameter(ctx, &ssm.DeleteParameterInput{Name: &name}); err != nil {
		return fmt.Errorf("could not remove %s: %w", name, stack.Reason(err))
	}
	r.Say("removed %s; functions stop accepting it within ParameterTtl", name)
	return nil
}
