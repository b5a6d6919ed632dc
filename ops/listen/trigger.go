package listen

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/urfave/cli/v3"

	"chat-service-backend/ops/console"
	"chat-service-backend/ops/rotate"
	"chat-service-backend/ops/stack"
	"chat-service-backend/ops/streamfile"
	"chat-service-backend/ops/values"
)

// Trigger is the command that sends a sample event.
func Trigger(c *console.Console, at *stack.Target) *cli.Command {
	return &cli.Command{
		Name:        "trigger",
		ArgsUsage:   "TYPE",
		Usage:       "sends a sample event through the webhook, signed as Stream signs",
		Description: "ops trigger -env dev message.new\nops trigger -env dev -data '{\"text\":\"hello\"}' my.event\nops trigger -service-url http://127.0.0.1:3001 member.added",
		Flags:       []cli.Flag{&cli.StringFlag{Name: "data", Usage: "`JSON` object whose fields are added to the sample"}},
		Action: func(ctx context.Context, flags *cli.Command) error {
			sample := Sample(flags.Args().First(), time.Now())
			if data := flags.String("data"); data != "" {
				if err := json.Unmarshal([]byte(data), &sample); err != nil {
					return console.Usage("-data is not a JSON object: %w", err)
				}
			}
			body, err := json.Marshal(sample)
			if err != nil {
				return err
			}
			return trigger(ctx, c, at, flags.Args().First(), body)
		},
	}
}

func trigger(ctx context.Context, c *console.Console, at *stack.Target, eventType string, body []byte) error {
	service, s, err := at.Service(ctx)
	if err != nil {
		return err
	}
	if known := streamfile.EventTypes(ctx, service); len(known) > 0 && console.Nearest(eventType, known...) != eventType {
		hint := "it is sent as a custom event"
		if near := console.Nearest(eventType, known...); near != "" {
			hint = "did you mean " + near + "? " + hint
		}
		c.Progress("Stream has no event %s: %s", eventType, hint)
	}
	id := strings.ToLower(rand.Text())
	if at.Local() {
		a, err := stack.Fetch(ctx, http.MethodPost, service.Base+"/.local/trigger", http.Header{"Content-Type": {"application/json"}}, body)
		var answer struct{ Status int }
		if err == nil {
			err = a.Decode(&answer)
		}
		if err != nil {
			return fmt.Errorf("the development server does not take it: %w", err)
		}
		return sent(c, eventType, "the development server's webhook", "", answer.Status, nil)
	}
	cfg, err := at.LoadAWS(ctx)
	if err != nil {
		return err
	}
	prefix := s.Prefix()
	have, err := values.Stored(ctx, ssm.NewFromConfig(cfg), true, prefix+values.Key, prefix+values.Secret)
	if err != nil {
		return fmt.Errorf("the secret that signs the event cannot be read: %w", err)
	}
	text := func(name string) string { return strings.TrimSpace(aws.ToString(have[prefix+name].Value)) } // as the functions read it
	if text(values.Secret) == "" {
		return fmt.Errorf("%s is missing or empty: write it (%s)", prefix+values.Secret, at.CommandLine("params"))
	}
	to := s.Outputs["WebhookUrl"]
	header := http.Header{
		"Content-Type": {"application/json"}, "X-Api-Key": {text(values.Key)}, "X-Signature": {hex.EncodeToString(rotate.MAC(text(values.Secret), string(body)))},
		"X-Webhook-Id": {id}, "X-Webhook-Attempt": {"1"},
	}
	if len(body) >= 256 { // as new apps do by default
		var zipped bytes.Buffer
		z := gzip.NewWriter(&zipped)
		_, _ = z.Write(body)
		_ = z.Close()
		body = zipped.Bytes()
		header.Set("Content-Encoding", "gzip")
	}
	a, err := stack.Fetch(ctx, http.MethodPost, to, header, body)
	if err != nil {
		return err
	}
	return sent(c, eventType, to, id, a.Status, a.Decode(nil))
}

func sent(c *console.Console, eventType, to, id string, status int, err error) error {
	c.Say("%s   --> %s %s", now(), eventType, id)
	c.Say("%s  <-- [%d] POST %s", now(), status, to)
	if err == nil && status > 299 {
		err = errors.New("the webhook does not take it: see its log")
	}
	return err
}

// Sample returns an event as Stream sends it, of any type.
func Sample(eventType string, at time.Time) map[string]any {
	type object = map[string]any
	when := at.UTC().Format("2006-01-02T15:04:05.000000Z")
	user := object{"id": "sample-user", "name": "Sample User", "role": "user", "created_at": when, "updated_at": when, "banned": false, "online": true}
	channel := object{"id": "sample", "type": "messaging", "cid": "messaging:sample", "created_at": when, "updated_at": when, "frozen": false, "disabled": false, "member_count": 1}
	message := object{"id": "sample-" + strings.ToLower(rand.Text()[:8]), "text": "Hello from ops trigger", "html": "<p>Hello from ops trigger</p>\n", "type": "regular", "user": user, "cid": channel["cid"],
		"created_at": when, "updated_at": when, "attachments": []any{}, "mentioned_users": []any{}, "silent": false}
	event := object{"type": eventType, "created_at": when}
	add := func(fields object) {
		for name, v := range fields {
			event[name] = v
		}
	}
	subject, _, _ := strings.Cut(eventType, ".")
	switch subject {
	case "user", "feeds", "moderation":
		add(object{"user": user})
	case "call":
		add(object{"user": user, "call_cid": "default:sample"})
	default:
		add(object{"user": user, "cid": channel["cid"], "channel_id": channel["id"], "channel_type": channel["type"], "channel": channel})
	}
	switch subject {
	case "message", "notification":
		add(object{"message": message, "message_id": message["id"]})
	case "reaction":
		add(object{"message": message, "message_id": message["id"], "reaction": object{"type": "love", "score": 1, "message_id": message["id"], "user_id": user["id"], "user": user, "created_at": when, "updated_at": when}})
	case "member":
		add(object{"member": object{"user_id": user["id"], "user": user, "channel_role": "channel_member", "created_at": when, "updated_at": when}})
	case "poll":
		add(object{"message": message, "poll": object{"id": "sample", "name": "Tea or coffee?", "options": []any{object{"id": "1", "text": "Tea"}}}})
	case "thread":
		add(object{"thread": object{"parent_message_id": message["id"], "channel_cid": channel["cid"], "title": "Sample"}})
	}
	return event
}

// Events is the command that prints past events.
func Events(c *console.Console, at *stack.Target) *cli.Command {
	return &cli.Command{
		Name:        "events",
		Usage:       "prints the events of the last hours from the bus's archive",
		Description: "ops events -env dev -since 1h\nops events -env dev -since 24h -json\nops events -service-url http://127.0.0.1:3001",
		Flags:       []cli.Flag{&cli.DurationFlag{Name: "since", Value: time.Hour, Usage: "how far back, as in 90m or 72h"}},
		Action: func(ctx context.Context, flags *cli.Command) error {
			began := time.Now().Add(-flags.Duration("since"))
			if at.Local() {
				d, err := newDevelopment(ctx, at, began.UTC().Format(time.RFC3339Nano), nil)
				if err != nil {
					return err
				}
				events, err := d.ask(ctx, "0")
				show(c, events)
				return err
			}
			return replay(ctx, c, at, began)
		},
	}
}

func show(c *console.Console, events []string) {
	for _, text := range events {
		if c.JSON {
			_ = c.PrintJSON(json.RawMessage(bytes.TrimSpace([]byte(text))))
			continue
		}
		e, line := describe(text)
		c.Say("%s   --> %s", e.Time.Local().Format(time.DateTime), line)
	}
}
