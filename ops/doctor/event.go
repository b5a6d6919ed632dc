package doctor

import (
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

	"chat-service-backend/ops/listen"
	"chat-service-backend/ops/rotate"
	"chat-service-backend/ops/stack"
	"chat-service-backend/ops/values"
	"chat-service-backend/shared/streamrest"
)

// resendAfter is the time between two events. A new rule takes a while to match.
const resendAfter = 15 * time.Second

// event makes an event and waits for it on the bus, with a queue and a rule of its own.
// It always removes what it has made.
func (d *doctor) event(ctx context.Context) {
	bus := d.stack.Outputs["EventBusName"]
	if bus == "" {
		d.skip("event", "the stack has no output EventBusName")
		return
	}
	id := "chat-service-doctor-" + strings.ToLower(rand.Text()[:10])
	source, err := d.eventSource(ctx, id)
	if err != nil {
		d.skip("event", "Stream sends no message.new here, and no webhook can be signed: %v", err)
		return
	}
	tap := listen.NewTap(d.cfg, d.caller, d.stack, "doctor")
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
		defer cancel()
		if err := errors.Join(source.clean(ctx), tap.Close(ctx)); err != nil {
			d.warn("event", "remove it by hand", "something that the doctor made could not be removed: %v", err)
		}
	}()
	if err := tap.Open(ctx, document{"source": []any{document{"prefix": stack.EventSource}}, "detail": document{"event": document{"channel_id": []string{id}}}}); err != nil {
		d.asked("event", "the bus "+bus+" cannot be listened to", "make a queue and a rule", err)
		return
	}
	d.Progress("Waiting up to %s for %s to arrive on the bus", d.wait, source.what)
	began := time.Now()
	for next := began; time.Since(began) < d.wait && ctx.Err() == nil; {
		if !time.Now().Before(next) {
			next = next.Add(resendAfter)
			err := source.send(ctx)
			if refused := (*streamrest.Error)(nil); d.newMessages && errors.As(err, &refused) && refused.Code != 0 {
				d.warn("event", "the user "+user+" must be neither banned nor deactivated, and the channel type messaging must exist", "Stream refuses the doctor's own message: %v", err)
				d.newMessages = false
				var signed *eventSource
				if signed, err = d.eventSource(ctx, id); err == nil {
					source.what, source.send = signed.what, signed.send
					err = source.send(ctx)
				}
			}
			if err != nil {
				d.bad("event", "see the checks above", "%s: %v", source.what, err)
				return
			}
		}
		arrived, err := tap.Receive(ctx, 2*time.Second)
		if err != nil && ctx.Err() == nil {
			d.bad("event", "run the doctor again", "listening on the bus: %v", stack.Reason(err))
			return
		}
		if len(arrived) > 0 {
			d.ok("event", "%s arrived on the bus %s within %s", source.what, bus, time.Since(began).Round(time.Second))
			return
		}
	}
	if ctx.Err() == nil {
		d.bad("event", "see the log of the webhook function, the metric WebhooksRejected, and failed webhooks in Stream's dashboard",
			"%s did not arrive on the bus %s within %s", source.what, bus, d.wait)
	}
}

// An eventSource makes events with a certain channel id.
type eventSource struct {
	what        string
	send, clean func(context.Context) error
}

// eventSource returns a message in a channel of the doctor's own if Stream sends those to
// this stack, otherwise a webhook that the doctor signs.
func (d *doctor) eventSource(ctx context.Context, id string) (*eventSource, error) {
	if d.newMessages {
		return d.message(id), nil
	}
	name := d.stack.Prefix() + values.Secret
	have, err := values.Stored(ctx, ssm.NewFromConfig(d.cfg), true, name)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", name, err)
	}
	secret := strings.TrimSpace(aws.ToString(have[name].Value)) // as the functions read it
	if secret == "" {
		return nil, fmt.Errorf("%s is missing or empty", name)
	}
	body, err := json.Marshal(document{"type": "health.check", "channel_id": id})
	header := http.Header{"Content-Type": {"application/json"}, "X-Signature": {hex.EncodeToString(rotate.MAC(secret, string(body)))}, "X-Api-Key": {d.key}, "X-Webhook-Id": {id}, "X-Webhook-Attempt": {"1"}}
	send := func(ctx context.Context) error {
		a, err := stack.Fetch(ctx, http.MethodPost, d.stack.Outputs["WebhookUrl"], header, body)
		if err != nil {
			return err
		}
		return a.Decode(nil)
	}
	return &eventSource{"a webhook from the doctor (Stream sends no message.new)", send, func(context.Context) error { return nil }}, err
}

// user sends the doctor's messages. It stays at Stream, which never reuses a deleted user's
// id, and keeps what was deleted.
const user = "chat-service-doctor"

func (d *doctor) message(id string) *eventSource {
	channel, made := "/channels/messaging/"+id, false
	send := func(ctx context.Context) (err error) {
		if !made {
			made = true // even after an error: Stream may have made it
			_, err = d.service.Stream(ctx, http.MethodPost, channel+"/query", document{"data": document{"created_by": document{"id": user}}}, nil)
		}
		if err == nil {
			_, err = d.service.Stream(ctx, http.MethodPost, channel+"/message", document{"message": document{"text": "from the doctor", "user_id": user}}, nil)
		}
		return err
	}
	clean := func(ctx context.Context) (err error) {
		if !made {
			return nil
		}
		_, err = d.service.Stream(ctx, http.MethodDelete, channel+"?hard_delete=true", nil, nil)
		var r *streamrest.Error
		if err == nil || errors.As(err, &r) && r.Status == http.StatusNotFound {
			return nil
		}
		return fmt.Errorf("channel messaging:%s at Stream: %w", id, err)
	}
	return &eventSource{"a message sent in Stream", send, clean}
}
