package rotate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"chat-service-backend/ops/console"
	"chat-service-backend/ops/stack"
	"chat-service-backend/ops/streamfile"
)

// maxUpdate is how long a stack may take to get another address.
const maxUpdate = 20 * time.Minute

// webhook replaces the address that Stream calls, which nobody else should know. Meanwhile
// Stream calls the one that every stack has, so that no event is lost, wherever this ends.
func webhook(ctx context.Context, c *console.Console, at *stack.Target) error {
	cfg, s, err := at.Stack(ctx)
	if err != nil {
		return err
	}
	old, plain := s.Outputs["WebhookUrl"], streamfile.PlainWebhookURL(s.Outputs)
	if _, ok := s.Parameters["WebhookPath"]; !ok || old == "" || s.Outputs["ClientApiUrl"] == "" {
		return fmt.Errorf("stack %s has no parameter WebhookPath: deploy it again (%s)", s.Name, at.CommandLine("deploy"))
	}
	if yes, err := c.Confirm(ctx, "Replace the address that Stream calls, "+old+"? It updates stack "+s.Name+"."); err != nil || !yes {
		return errors.Join(err, errors.New("nothing was changed"))
	}
	service := at.ServiceOf(s, &cfg)
	if err := point(ctx, service, plain, old); err != nil {
		return err
	}
	c.Say("Stream calls %s meanwhile", plain)
	if err := at.Wait(ctx, streamfile.Patience); err != nil {
		return fmt.Errorf("%w; run rotate -webhook again to go on", err)
	}
	client := cloudformation.NewFromConfig(cfg)
	in := &cloudformation.UpdateStackInput{StackName: &s.Name, UsePreviousTemplate: aws.Bool(true), Capabilities: []types.Capability{types.CapabilityCapabilityIam, types.CapabilityCapabilityAutoExpand}}
	for _, name := range slices.Sorted(maps.Keys(s.Parameters)) {
		p := types.Parameter{ParameterKey: &name, UsePreviousValue: aws.Bool(true)}
		if name == "WebhookPath" {
			p = types.Parameter{ParameterKey: &name, ParameterValue: aws.String("-" + rand.Text())}
		}
		in.Parameters = append(in.Parameters, p)
	}
	if _, err := client.UpdateStack(ctx, in); err != nil {
		return fmt.Errorf("the stack cannot be updated, and Stream calls %s: run rotate -webhook again: %w", plain, stack.Reason(err))
	}
	c.Progress("Updating stack %s, which takes a minute or two", s.Name)
	if err := cloudformation.NewStackUpdateCompleteWaiter(client).Wait(ctx, &cloudformation.DescribeStacksInput{StackName: &s.Name}, maxUpdate); err != nil {
		return fmt.Errorf("the update has not ended well, and Stream calls %s: see the stack's events, then run rotate -webhook again: %w", plain, stack.Reason(err))
	}
	if s, err = at.Describe(ctx, cfg); err != nil {
		return err
	}
	if err := point(ctx, service, s.Outputs["WebhookUrl"], plain); err != nil {
		return err
	}
	c.Say("Stream calls %s; the old address is gone. If deploy/%s.env has a line WebhookPath, correct it.", s.Outputs["WebhookUrl"], at.Environment)
	return nil
}

// point lets Stream call one address in place of another.
func point(ctx context.Context, service *stack.Service, to, from string) error {
	var answer struct{ App streamfile.Document }
	if _, err := service.Stream(ctx, http.MethodGet, "/app", nil, &answer); err != nil {
		return fmt.Errorf("read the app's settings: %w", err)
	}
	moved := func(v any) any {
		if rest, ok := strings.CutPrefix(streamfile.Text(v), from); ok && (rest == "" || rest[0] == '/' || rest[0] == '?') {
			return to + rest
		}
		return v
	}
	change, hooks, before := streamfile.Document{}, []any{}, []any{}
	for _, hook := range streamfile.Hooks(answer.App) {
		hook = streamfile.Writable(hook)
		before = append(before, hook)
		hook = maps.Clone(hook)
		if hook["webhook_url"] != nil {
			hook["webhook_url"] = moved(hook["webhook_url"])
		}
		if callback := streamfile.Object(hook["callback"]); callback["server_url"] != nil {
			callback = maps.Clone(callback)
			callback["server_url"] = moved(callback["server_url"])
			hook["callback"] = callback
		}
		hooks = append(hooks, hook)
	}
	if !reflect.DeepEqual(hooks, before) {
		change["event_hooks"] = hooks
	}
	for _, field := range []string{"before_message_send_hook_url", "custom_action_handler_url", "moderation_webhook_url", "webhook_url"} {
		if v := moved(answer.App[field]); v != answer.App[field] {
			change[field] = v
		}
	}
	if len(change) == 0 {
		return nil
	}
	if _, err := service.Stream(ctx, http.MethodPatch, "/app", change, nil); err != nil {
		return fmt.Errorf("tell Stream the address %s: %w", to, err)
	}
	return nil
}
