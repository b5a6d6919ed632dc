// Package rotate replaces Stream's API secret without losing a webhook.
package rotate

import (
	"cmp"
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
	"chat-service-backend/shared/streamrest"
)

// A rotation replaces the API secret, and with it the key if Stream gives a new pair. The
// functions still accept webhooks of the previous pair, until it is removed.
//
// Parameter Store has no transactions. So the rotation reads everything again before each
// write, and stops if somebody else has changed it; and the order of the writes is one that
// the functions understand at every step: previous secret, previous key, secret, key.
type rotation struct {
	*console.Console
	at      *stack.Target
	ssm     *ssm.Client
	service *stack.Service
	stack   *stack.Stack
	known   map[string]types.Parameter // by full name, as last read or written
}

// Command is the command that guides through a rotation.
func Command(c *console.Console, at *stack.Target) *cli.Command {
	return &cli.Command{
		Name:        "rotate",
		Usage:       "guides you through a rotation of Stream's API secret, or of key and secret",
		Description: "ops rotate -env prod\nops rotate -env prod -webhook",
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "webhook", Usage: "replace the address that Stream calls instead"}, &cli.BoolFlag{Name: "unchecked", Usage: "go on even if Stream refuses the new key and secret"}},
		Action: func(ctx context.Context, flags *cli.Command) error {
			if flags.Bool("webhook") {
				return webhook(ctx, c, at)
			}
			cfg, s, err := at.Stack(ctx)
			if err != nil {
				return err
			}
			r := &rotation{Console: c, at: at, ssm: ssm.NewFromConfig(cfg), service: at.ServiceOf(s, &cfg), stack: s}
			return r.run(ctx, flags.Bool("unchecked"))
		},
	}
}

func (r *rotation) run(ctx context.Context, unchecked bool) error {
	var err error
	if r.known, err = r.read(ctx); err != nil {
		return fmt.Errorf("read the current key and secret: %w", err)
	}
	key, secret := r.value(values.Key), r.value(values.Secret)
	if key == "" || secret == "" {
		return fmt.Errorf("%s or %s is missing or empty: write both (%s)", r.name(values.Key), r.name(values.Secret), r.at.CommandLine("params"))
	}
	if r.value(values.PreviousSecret) == "" && r.value(values.PreviousKey) != "" {
		r.Say("The last rotation ended before it had removed everything. Run rotate again for another one.")
		return r.remove(ctx, values.PreviousKey)
	}
	// Equal ones are a rotation that ended before the new secret was written.
	if previous := r.value(values.PreviousSecret); previous != "" && previous != secret {
		r.Say("A rotation is under way: %s exists. Going on with it.", r.name(values.PreviousSecret))
		if key == r.value(values.PreviousKey) { // it ended before the new key was written
			next, err := r.Ask(ctx, "The new API key, of the secret that is written already: ", false, func(s string) error {
				if s == key {
					return errors.New("that is the previous key")
				}
				return values.CheckKey(s)
			})
			if err == nil {
				err = r.put(ctx, values.Key, next)
			}
			if err != nil {
				return err
			}
		}
		return r.finish(ctx)
	}
	if err := r.check(ctx, secret); err != nil {
		return fmt.Errorf("the current secret does not work, and nothing was changed: %w", err)
	}
	r.Say("Tokens and webhooks work with the current secret.")
	nextKey, next, err := r.pair(ctx, key, secret, unchecked)
	if err != nil {
		return fmt.Errorf("%w; nothing was changed", err)
	}
	if nextKey == key || r.value(values.PreviousKey) != key { // of a rotation that ended early
		if err := r.remove(ctx, values.PreviousKey); err != nil {
			return err
		}
	}
	// The old pair first: a webhook that fits neither would be lost.
	if err := r.put(ctx, values.PreviousSecret, secret); err != nil {
		return err
	}
	if nextKey != key {
		err = r.put(ctx, values.PreviousKey, key)
	}
	if err == nil {
		err = r.put(ctx, values.Secret, next)
	}
	if err != nil {
		return fmt.Errorf("%w; the old secret is still in use, run rotate again", err)
	}
	if nextKey != key {
		if err := r.put(ctx, values.Key, nextKey); err != nil {
			return fmt.Errorf("%w; the old key and secret are still in use, run rotate again", err)
		}
	}
	return r.finish(ctx)
}

// pair asks for the new key and secret.
func (r *rotation) pair(ctx context.Context, key, secret string, unchecked bool) (nextKey, next string, err error) {
	nextKey, err = r.Ask(ctx, fmt.Sprintf("The new API key (Enter: %s stays): ", key), false, func(s string) error {
		if s == "" {
			return nil
		}
		return values.CheckKey(s)
	})
	if err != nil {
		return "", "", err
	}
	nextKey = cmp.Or(nextKey, key)
	next, err = r.Ask(ctx, "The new API secret, which Stream must already accept (not shown): ", true, func(s string) error {
		if s == secret {
			return errors.New("that is the current secret: create a new one in Stream's dashboard")
		}
		return values.CheckSecret(nextKey, s)
	})
	if err == nil && !unchecked {
		err = values.Accepted(ctx, r.Console, r.stack.Parameters["StreamBaseUrl"], nextKey, next)
	}
	return nextKey, next, err
}

// finish waits until every function has the new values, checks them, and removes the
// previous ones after asking. It offers to restore these if the new ones do not work.
func (r *rotation) finish(ctx context.Context) error {
	ttl, err := strconv.Atoi(r.stack.Parameters["ParameterTtl"])
	if err != nil {
		return fmt.Errorf("the stack's ParameterTtl is %q and not a number of seconds: deploy again (%s)", r.stack.Parameters["ParameterTtl"], r.at.CommandLine("deploy"))
	}
	for left := ttl + 1; left > 0; left -= 15 {
		r.Progress("Waiting %d s until every function has fetched the new secret", left)
		if err := stack.Wait(ctx, time.Duration(min(left, 15))*time.Second); err != nil {
			return fmt.Errorf("%w; both secrets are in place, run rotate again to go on", err)
		}
	}
	previous := r.value(values.PreviousSecret)
	if err := r.check(ctx, r.value(values.Secret), previous); err != nil {
		var refused *streamrest.Error
		if !errors.As(err, &refused) || refused.Status != http.StatusUnauthorized {
			return fmt.Errorf("%w; both secrets are in place, run rotate again to repeat the check", err)
		}
		r.Progress("The new secret does not work: %v", err)
		if back, _ := r.Confirm(ctx, "Restore the previous secret?"); !back {
			return errors.New("both secrets are still in place; run rotate again to repeat the check")
		}
		err := r.put(ctx, values.Key, cmp.Or(r.value(values.PreviousKey), r.value(values.Key)))
		if err == nil {
			err = r.put(ctx, values.Secret, previous)
		}
		if err == nil {
			err = r.remove(ctx, values.PreviousKey, values.PreviousSecret)
		}
		if err == nil {
			err = errors.New("the previous secret is restored; functions use it within ParameterTtl")
		}
		return err
	}
	r.Say("Tokens work with the new secret, webhooks with both.")
	if yes, err := r.Confirm(ctx, "Remove the previous secret? Stream retries webhooks signed with it for 15 s."); err != nil || !yes {
		r.Say("Both secrets are in place. Run rotate again to remove the previous one.")
		return nil
	}
	// The secret first: alone, it would count for the new key.
	return r.remove(ctx, values.PreviousSecret, values.PreviousKey)
}

// check returns what does not work: a call to Stream, which the proxy signs; a user's
// token, which must be signed with the first of the secrets; or webhooks signed with
// each of them.
func (r *rotation) check(ctx context.Context, secrets ...string) error {
	if _, err := r.service.Stream(ctx, http.MethodGet, "/app", nil, nil); err != nil {
		return fmt.Errorf("a call to Stream through the proxy: %w", err)
	}
	var app struct {
		Key string `json:"api_key"`
	}
	if err := r.service.Call(ctx, http.MethodGet, "/api-key", nil, &app); err != nil {
		return fmt.Errorf("the API key: %w", err)
	}
	if app.Key != r.value(values.Key) {
		return fmt.Errorf("/api-key does not return the key in Parameter Store, %s", r.value(values.Key))
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

func (r *rotation) name(name string) string { return r.stack.Prefix() + name }

// value returns a value as the functions read it, "" if there is none.
func (r *rotation) value(name string) string {
	return strings.TrimSpace(aws.ToString(r.known[r.name(name)].Value))
}

func (r *rotation) read(ctx context.Context) (map[string]types.Parameter, error) {
	return values.Stored(ctx, r.ssm, true, r.name(values.Key), r.name(values.Secret), r.name(values.PreviousKey), r.name(values.PreviousSecret))
}

// unchanged returns an error if somebody else has changed a value.
func (r *rotation) unchanged(ctx context.Context) error {
	now, err := r.read(ctx)
	if err != nil {
		return fmt.Errorf("read again before writing: %w", err)
	}
	for _, name := range []string{values.Key, values.Secret, values.PreviousKey, values.PreviousSecret} {
		name = r.name(name)
		before, after := r.known[name], now[name]
		if before.Version != after.Version || aws.ToString(before.Value) != aws.ToString(after.Value) {
			return fmt.Errorf("somebody else has changed %s meanwhile, so nothing more is written: ask who rotates, then run rotate again", name)
		}
	}
	return nil
}

func (r *rotation) put(ctx context.Context, name, text string) error {
	if r.value(name) == text {
		return nil
	}
	if err := r.unchanged(ctx); err != nil {
		return err
	}
	kind, kmsKey := types.ParameterTypeSecureString, r.stack.Parameters["KmsKeyArn"]
	if name == values.Key || name == values.PreviousKey {
		kind, kmsKey = types.ParameterTypeString, ""
	}
	name = r.name(name)
	in := values.Put(name, text, kind, kmsKey)
	before, exists := r.known[name]
	in.Overwrite = &exists
	out, err := r.ssm.PutParameter(context.WithoutCancel(ctx), in) // so that the outcome is known
	if err != nil {
		return fmt.Errorf("could not write %s: %w", name, stack.Reason(err))
	}
	r.known[name] = types.Parameter{Name: &name, Value: &text, Version: out.Version}
	if out.Version != before.Version+1 && out.Version != 0 {
		return fmt.Errorf("somebody else has written %s at the same moment: ask who rotates, and see aws ssm get-parameter-history --name %s", name, name)
	}
	r.Say("wrote %s", name)
	return nil
}

// remove removes those of the values that exist.
func (r *rotation) remove(ctx context.Context, names ...string) error {
	for _, name := range names {
		name = r.name(name)
		if _, exists := r.known[name]; !exists {
			continue
		}
		if err := r.unchanged(ctx); err != nil {
			return err
		}
		if _, err := r.ssm.DeleteParameter(context.WithoutCancel(ctx), &ssm.DeleteParameterInput{Name: &name}); err != nil {
			return fmt.Errorf("could not remove %s: %w", name, stack.Reason(err))
		}
		delete(r.known, name)
		r.Say("removed %s; functions stop accepting it within ParameterTtl", name)
	}
	return nil
}
