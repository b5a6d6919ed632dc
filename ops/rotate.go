package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

// A rotation replaces the API secret. The functions still accept webhooks signed with
// the previous one, until it is removed.
type rotation struct {
	*ops
	ssm     *ssm.Client
	service *service
	stack   *stack
}

func setUpRotate(o *ops, _ *flag.FlagSet) func(context.Context) error {
	return func(ctx context.Context) error {
		cfg, s, err := o.stack(ctx)
		if err != nil {
			return err
		}
		r := &rotation{o, ssm.NewFromConfig(cfg), o.serviceOf(s, &cfg), s}
		return r.run(ctx)
	}
}

func (r *rotation) run(ctx context.Context) error {
	prefix := r.stack.prefix()
	have, err := stored(ctx, r.ssm, true, prefix+apiKey, prefix+apiSecret, prefix+previousSecret)
	if err != nil {
		return fmt.Errorf("read the current secret: %w", err)
	}
	current, previous := aws.ToString(have[prefix+apiSecret].Value), aws.ToString(have[prefix+previousSecret].Value)
	if current == "" {
		return fmt.Errorf("%s is missing or empty: write it with make params", prefix+apiSecret)
	}
	// Equal ones are a rotation that ended before the new secret was written.
	if previous != "" && previous != current {
		r.say("A rotation is under way: %s exists. Going on with it.", prefix+previousSecret)
		return r.finish(ctx, current, previous)
	}
	if err := r.check(ctx, current); err != nil {
		return fmt.Errorf("the current secret does not work, and nothing was changed: %w", err)
	}
	r.say("Tokens and webhooks work with the current secret.")
	next, err := r.ask(ctx, "The new API secret, which Stream must already accept (not shown): ", true, func(s string) error {
		if s == current {
			return errors.New("that is the current secret")
		}
		return notEmpty("the API secret")(s)
	})
	if err != nil {
		return err
	}
	// The old one first: a webhook whose signature fits neither would be lost.
	if err := r.put(ctx, previousSecret, current); err != nil {
		return err
	}
	if err := r.put(ctx, apiSecret, next); err != nil {
		return fmt.Errorf("%w; the old secret is still in use, run rotate again", err)
	}
	return r.finish(ctx, next, current)
}

// finish waits until every function has the new secret, checks it, and removes the
// previous one after asking. It offers to restore the previous one if the new one
// does not work.
func (r *rotation) finish(ctx context.Context, current, previous string) error {
	ttl, err := strconv.Atoi(r.stack.parameters["ParameterTtl"])
	if err != nil {
		return fmt.Errorf("the stack's ParameterTtl: want seconds, got %q", r.stack.parameters["ParameterTtl"])
	}
	for left := ttl + 1; left > 0; left -= 15 {
		r.progress("Waiting %d s until every function has fetched the new secret", left)
		if err := wait(ctx, time.Duration(min(left, 15))*time.Second); err != nil {
			return fmt.Errorf("%w; both secrets are in place, run rotate again to go on", err)
		}
	}
	if err := r.check(ctx, current, previous); err != nil {
		var refused *refusal
		if !errors.As(err, &refused) || refused.status != http.StatusUnauthorized {
			return fmt.Errorf("%w; both secrets are in place, run rotate again to repeat the check", err)
		}
		r.progress("The new secret does not work: %v", err)
		if back, _ := r.confirm(ctx, "Restore the previous secret?"); !back {
			return errors.New("both secrets are still in place; run rotate again to repeat the check")
		}
		if err := r.put(ctx, apiSecret, previous); err != nil {
			return err
		}
		return errors.Join(r.remove(ctx), errors.New("the previous secret is restored; functions use it within ParameterTtl"))
	}
	r.say("Tokens work with the new secret, webhooks with both.")
	if yes, err := r.confirm(ctx, "Remove the previous secret? Stream retries webhooks signed with it for 15 s."); err != nil || !yes {
		r.say("Both secrets are in place. Run rotate again to remove the previous one.")
		return nil
	}
	return r.remove(ctx)
}

// check returns what does not work: a call to Stream, which the proxy signs; a user's
// token, which must be signed with the first of the secrets; or webhooks signed with
// each of them.
func (r *rotation) check(ctx context.Context, secrets ...string) error {
	if _, err := r.service.stream(ctx, http.MethodGet, "/app", nil, nil); err != nil {
		return fmt.Errorf("a call to Stream through the proxy: %w", err)
	}
	var user struct{ Token string }
	if err := r.service.call(ctx, http.MethodGet, "/token/chat-service-doctor", nil, &user); err != nil {
		return fmt.Errorf("a user's token: %w", err)
	}
	last := strings.LastIndex(user.Token, ".")
	if last < 0 || encode(mac(secrets[0], user.Token[:last])) != user.Token[last+1:] {
		return errors.New("a user's token is not signed with the secret that is in Parameter Store")
	}
	for _, secret := range secrets {
		const body = `{"type":"health.check"}`
		var verified struct{ IsValid bool }
		in := map[string]string{"rawBody": body, "signature": hex.EncodeToString(mac(secret, body))}
		if err := r.service.call(ctx, http.MethodPost, "/webhook/verify", in, &verified); err != nil {
			return fmt.Errorf("a webhook's signature: %w", err)
		}
		if !verified.IsValid {
			return errors.New("the functions do not accept a webhook with a good signature")
		}
	}
	return nil
}

// mac signs as Stream does: webhooks in hexadecimal, tokens in base64.
func mac(secret, text string) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(text))
	return h.Sum(nil)
}

func (r *rotation) put(ctx context.Context, name, secret string) error {
	name = r.stack.prefix() + name
	if _, err := r.ssm.PutParameter(ctx, value(name, secret, types.ParameterTypeSecureString, r.stack.parameters["KmsKeyArn"])); err != nil {
		return fmt.Errorf("could not write %s: %w", name, reason(err))
	}
	r.say("wrote %s", name)
	return nil
}

func (r *rotation) remove(ctx context.Context) error {
	name := r.stack.prefix() + previousSecret
	if _, err := r.ssm.DeleteParameter(ctx, &ssm.DeleteParameterInput{Name: &name}); err != nil {
		return fmt.Errorf("could not remove %s: %w", name, reason(err))
	}
	r.say("removed %s; functions stop accepting it within ParameterTtl", name)
	return nil
}
