package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"chat-service-backend/shared/lambdahttp"
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

	// maxHookAnswer exceeds any message that Stream stores, and a whole hook with
	// its channel and user, which a function may echo.
	maxHookAnswer = 64 << 10

	// idleTime is how long an idle connection to Lambda is trusted. There is no
	// time for a second attempt.
	idleTime = 5 * time.Second
)

// hookKind returns the kind of hook whose body has these members, or "" if it is
// an ordinary event. Only hooks have no type. The two kinds are told apart by what
// Stream documents: a custom command has form_data, or a message with a command; a
// message that is about to be sent has a channel.
func hookKind(members map[string]json.RawMessage) string {
	if members == nil || !empty(members["type"]) {
		return ""
	}
	var message map[string]json.RawMessage
	_ = json.Unmarshal(members["message"], &message)
	if !empty(members["form_data"]) || members["channel"] == nil && !empty(message["command"]) {
		return customCommand
	}
	return beforeMessageSend
}

// empty reports whether a member is absent, null or "".
func empty(member json.RawMessage) bool {
	text := string(member)
	return text == "" || text == "null" || text == `""`
}

// An answerer answers hooks by invoking the team's own Lambda function.
type answerer struct {
	*service
	arn        string
	timeout    time.Duration // from when the hook arrived
	failClosed bool
	used       atomic.Int64 // when a connection was last used, in Unix nanoseconds
}

// newAnswerer returns the answerer that HOOK_FUNCTION_ARN, HOOK_TIMEOUT_MS and
// HOOK_FAIL_CLOSED configure, or nil if they name no function: every hook is then
// answered with {}.
func newAnswerer(getenv func(string) string) (*answerer, error) {
	timeout := defaultHookTimeout
	if text := getenv("HOOK_TIMEOUT_MS"); text != "" {
		ms, err := strconv.ParseUint(text, 10, 16)
		timeout = time.Duration(ms) * time.Millisecond
		if err != nil || ms == 0 || timeout > maxHookTimeout {
			return nil, fmt.Errorf("HOOK_TIMEOUT_MS: want milliseconds from 1 to %d, got %q", maxHookTimeout.Milliseconds(), text)
		}
	}
	failClosed, err := settings.Bool(getenv, "HOOK_FAIL_CLOSED", false)
	if err != nil {
		return nil, err
	}
	arn := getenv("HOOK_FUNCTION_ARN")
	if arn == "" {
		if failClosed {
			return nil, errors.New("HOOK_FUNCTION_ARN: want the function that HOOK_FAIL_CLOSED applies to, got nothing")
		}
		return nil, nil
	}
	// arn:partition:lambda:region:account:function:name, optionally with a version or alias.
	fields := strings.Split(arn, ":")
	if (len(fields) != 7 && len(fields) != 8) || fields[0] != "arn" || fields[2] != "lambda" || fields[3] == "" || fields[5] != "function" {
		return nil, fmt.Errorf("HOOK_FUNCTION_ARN: want the ARN of a Lambda function, got %q", arn)
	}
	return &answerer{
		service:    newService(getenv, "lambda", fields[3], "LAMBDA", &http.Client{Transport: new(http.Transport)}),
		arn:        arn,
		timeout:    timeout,
		failClosed: failClosed,
	}, nil
}

// A reply is the response to a hook. The zero reply, {}, lets the message pass
// unchanged.
type reply struct {
	// Message is an explicit null to cancel a command.
	Message any `json:"message,omitempty"`
}

// refusal makes Stream reject the message and show the text to its sender.
var refusal = reply{map[string]string{"type": "error", "text": "This message cannot be checked right now. Try again in a moment."}}

// answer returns the reply to a hook that arrived at start. If the function gives
// no usable answer in time, answer counts and logs that and lets the message pass
// or, with failClosed, refuses it.
func (a *answerer) answer(ctx context.Context, e event, start time.Time) reply {
	if a == nil {
		return reply{}
	}
	ctx, cancel := context.WithDeadline(ctx, start.Add(a.timeout))
	defer cancel()
	r, err := a.invoke(ctx, e)
	if err == nil {
		return r
	}
	reason := "NotInvoked"
	if failed, ok := errors.AsType[*hookError](err); ok {
		reason = failed.reason
	}
	if ctx.Err() != nil {
		reason = "Late"
	}
	lambdahttp.CountBy(ctx, "HooksFailed", "Reason", reason)
	lambdahttp.Annotate(ctx, slog.String("hookFailed", err.Error()))
	if a.failClosed {
		return refusal
	}
	return reply{}
}

// A hookError is an answer that cannot be passed on to Stream. Its text quotes
// nothing from the answer, which may contain the message.
type hookError struct{ reason, text string }

func (e *hookError) Error() string { return e.text }

// invoke calls the function with a hook and returns its reply.
//
// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
func (a *answerer) invoke(ctx context.Context, e event) (reply, error) {
	// {"kind": …, "metadata": …, "event": …}: what the bus gets, and the kind.
	payload := []byte(`{"kind":"` + e.hook + `",` + e.detail()[1:])
	header := http.Header{"Content-Type": {"application/json"}}
	if trace := lambdahttp.TraceHeader(ctx); trace != "" {
		header.Set("X-Amzn-Trace-Id", trace)
	}
	path := "/2015-03-31/functions/" + strings.ReplaceAll(url.PathEscape(a.arn), ":", "%3A") + "/invocations"
	r, err := a.request(ctx, http.MethodPost, path, header, payload)
	if err != nil {
		return reply{}, err
	}
	// By the wall clock, which keeps going while Lambda has the process frozen.
	now := time.Now().UnixNano()
	if time.Duration(now-a.used.Swap(now)) > idleTime {
		a.client.CloseIdleConnections()
	}
	response, err := a.client.Do(r)
	if err != nil {
		return reply{}, fmt.Errorf("invoke %s: %w", a.arn, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxHookAnswer+1))
	switch {
	case err != nil:
		return reply{}, fmt.Errorf("invoke %s: %w", a.arn, err)
	case response.StatusCode == http.StatusTooManyRequests:
		return reply{}, &hookError{"Throttled", "the hook function is throttled"}
	case response.StatusCode != http.StatusOK:
		return reply{}, fmt.Errorf("invoke %s: want status 200, got %d", a.arn, response.StatusCode)
	case response.Header.Get("X-Amz-Function-Error") != "":
		return reply{}, &hookError{"Broken", "the hook function ended with an error"}
	case len(body) > maxHookAnswer:
		return reply{}, &hookError{"TooLarge", fmt.Sprintf("the hook function's answer is over %d bytes", maxHookAnswer)}
	}
	return read(e.hook, body)
}

// read returns the reply in a function's answer. The answer must be one that
// Stream accepts: nothing, or an object with a message. Anything else in it is
// dropped.
func read(kind string, body []byte) (reply, error) {
	broken := func(want string) (reply, error) {
		return reply{}, &hookError{"Broken", "the hook function's answer: want " + want + ", got something else"}
	}
	if empty(bytes.TrimSpace(body)) {
		return reply{}, nil
	}
	var answer map[string]json.RawMessage
	if json.Unmarshal(body, &answer) != nil {
		return broken("a JSON object")
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
		return broken("an object as its message")
	}
	if json.Unmarshal(raw, new(rewritable)) != nil {
		return broken("a message with the types of Stream's fields")
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
