package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"chat-service-backend/shared/lambdahttp"
	"chat-service-backend/shared/lambdainvoke"
	"chat-service-backend/shared/settings"
)

// The kinds of hooks. Stream holds a user's message until the hook is answered.
// It asks once; if the hook fails or is late, the message passes.
//
// https://getstream.io/chat/docs/go-golang/before_message_send_webhook/
// https://getstream.io/chat/docs/go-golang/custom_commands_webhook/
const (
	beforeMessageSend = "before_message_send"
	customCommand     = "custom_command"
)

const (
	// ownTime is how much of the time that Stream waits we use ourselves.
	ownTime = 200 * time.Millisecond

	defaultHookTimeout = 1200 * time.Millisecond
	// maxHookTimeout is the longest that Stream can be configured to wait.
	maxHookTimeout = 5 * time.Second
)

// hookKind returns the kind of hook whose body has these members, or "" if it is
// an ordinary event. Hooks have a message, and no member that only events have. The
// two kinds are told apart by what Stream documents: a custom command has form_data,
// or a message with a command; a message that is about to be sent has a channel.
func hookKind(members map[string]json.RawMessage) string {
	var message map[string]json.RawMessage
	if _ = json.Unmarshal(members["message"], &message); message == nil {
		return ""
	}
	for _, name := range eventsOnly {
		if !empty(members[name]) {
			return ""
		}
	}
	if !empty(members["form_data"]) || members["channel"] == nil && !empty(message["command"]) {
		return customCommand
	}
	return beforeMessageSend
}

// eventsOnly are members of events and not of hooks. Each published event of every product
// has the first two; the others are of the products whose events may have a message.
var eventsOnly = []string{"type", "created_at", "call_cid", "fid", "review_queue_item", "item"}

// empty reports whether a member is absent, null or "".
func empty(member json.RawMessage) bool {
	text := string(member)
	return text == "" || text == "null" || text == `""`
}

// A hookFunction replies to hooks: it invokes the team's own Lambda function.
type hookFunction struct {
	invoke     func(context.Context, []byte) ([]byte, error) // see [lambdainvoke.Function]
	timeout    time.Duration                                 // from when the hook arrived
	failClosed bool
}

// newHookFunction returns the function that HOOK_FUNCTION_ARN, HOOK_TIMEOUT_MS and
// HOOK_FAIL_CLOSED configure, or nil if they name no function: every hook is then
// answered with {}.
func newHookFunction(getenv func(string) string) (*hookFunction, error) {
	timeout := defaultHookTimeout
	if text := getenv("HOOK_TIMEOUT_MS"); text != "" {
		ms, err := strconv.ParseUint(text, 10, 16)
		timeout = time.Duration(ms) * time.Millisecond
		if err != nil || ms == 0 || timeout > maxHookTimeout {
			return nil, fmt.Errorf("HOOK_TIMEOUT_MS: %q is not a number of milliseconds from 1 to %d", text, maxHookTimeout.Milliseconds())
		}
	}
	failClosed, err := settings.Bool(getenv, "HOOK_FAIL_CLOSED", false)
	if err != nil {
		return nil, err
	}
	function, err := lambdainvoke.New(getenv, "HOOK_FUNCTION_ARN")
	if err != nil {
		return nil, err
	}
	if function == nil {
		if failClosed {
			return nil, errors.New("HOOK_FUNCTION_ARN: not set, though HOOK_FAIL_CLOSED is true; set it to the function that checks messages")
		}
		return nil, nil
	}
	return &hookFunction{invoke: function.Invoke, timeout: timeout, failClosed: failClosed}, nil
}

// A reply is the response to a hook. The zero reply, {}, lets the message pass
// unchanged.
type reply struct {
	// Message is an explicit null to cancel a command.
	Message any `json:"message,omitempty"`
}

// notChecked makes Stream reject the message and show the text to its sender.
var notChecked = reply{map[string]string{"type": "error", "text": "This message cannot be checked right now. Try again in a moment."}}

// reply returns the reply to a hook that arrived at start. If the function gives
// no usable answer in time, it counts and logs that and lets the message pass
// or, with failClosed, refuses it.
func (f *hookFunction) reply(ctx context.Context, e event, start time.Time) reply {
	if f == nil {
		return reply{}
	}
	ctx, cancel := context.WithDeadline(ctx, start.Add(f.timeout))
	defer cancel()
	// {"kind": …, "metadata": …, "event": …}: what the bus gets, and the kind.
	body, err := f.invoke(ctx, []byte(`{"kind":"`+e.hook+`",`+e.detail()[1:]))
	r := reply{}
	if err == nil {
		r, err = newReply(e.hook, body)
	}
	if err == nil {
		return r
	}
	reason := lambdainvoke.Reason(err)
	if ctx.Err() != nil {
		reason = "Late"
	}
	lambdahttp.CountBy(ctx, "HooksFailed", "Reason", reason)
	lambdahttp.Annotate(ctx, slog.String("hookFailed", err.Error()))
	if f.failClosed {
		return notChecked
	}
	return reply{}
}

// newReply returns the reply in a function's answer. The answer must be one that
// Stream accepts: nothing, or an object with a message. Anything else in it is
// dropped.
func newReply(kind string, body []byte) (reply, error) {
	broken := func(wrong string) (reply, error) {
		return reply{}, &lambdainvoke.Error{Reason: lambdainvoke.Broken, Text: "the hook function's answer " + wrong}
	}
	if empty(bytes.TrimSpace(body)) {
		return reply{}, nil
	}
	var answer map[string]json.RawMessage
	if json.Unmarshal(body, &answer) != nil {
		return broken("is not a JSON object")
	}
	if len(answer) == 0 {
		return reply{}, nil
	}
	raw := answer["message"]
	if kind == customCommand && string(raw) == "null" {
		return reply{raw}, nil
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil || fields == nil {
		return broken("has no message that is an object")
	}
	if json.Unmarshal(raw, new(rewritable)) != nil {
		return broken("has a message whose fields are not of Stream's types")
	}
	if len(fields) == 0 {
		return reply{}, nil // changes nothing
	}
	return reply{fields}, nil
}

// A rewritable has the message fields that Stream lets a hook change. A message may
// also have custom fields; Stream ignores all others.
//
// https://getstream.io/chat/docs/go-golang/before_message_send_webhook/#rewritable-message-fields
type rewritable struct {
	Text          string                       `json:"text"`
	Type          string                       `json:"type"`
	MML           string                       `json:"mml"`
	I18n          map[string]string            `json:"i18n"`
	ShowInChannel bool                         `json:"show_in_channel"`
	Silent        bool                         `json:"silent"`
	Attachments   []map[string]json.RawMessage `json:"attachments"`
}
