// Package signin asks a Lambda function of the team's own whether a user may use the
// chat, and as whom.
package signin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"chat-service-backend/shared/identity"
	"chat-service-backend/shared/lambdahttp"
	"chat-service-backend/shared/lambdainvoke"
	"chat-service-backend/shared/settings"
	"chat-service-backend/shared/userid"
	"chat-service-backend/shared/users"
)

const (
	// timeout bounds an invocation. It leaves time for a cold start of the function.
	timeout = 2 * time.Second

	// keptFor is how long an answer is remembered with its token, and failedFor how long
	// a failure is (negative caching).
	keptFor   = time.Minute
	failedFor = 2 * time.Second

	// maxKept and maxKeptBytes bound the answers that are remembered.
	maxKept      = 1000
	maxKeptBytes = 4 << 20

	// maxMessage is the greatest length of a message for the user, in characters.
	maxMessage = 500
)

// ErrNoAnswer means that the function gave no usable answer, and that nobody gets in then.
var ErrNoAnswer = errors.New("the sign-in function gave no usable answer")

// A Refusal is the function's answer that a user may not use the chat. It matches
// [identity.ErrNotAllowed].
type Refusal struct {
	Message string // for the user; "" if the function has none
}

func (*Refusal) Error() string { return "the sign-in function does not allow the user" }

// Is reports whether target is [identity.ErrNotAllowed].
func (*Refusal) Is(target error) bool { return target == identity.ErrNotAllowed }

// A Rule is a team's own rule for users who sign in.
type Rule struct {
	function interface {
		Invoke(ctx context.Context, payload []byte) ([]byte, error)
	}
	failClosed bool

	mu   sync.Mutex
	kept map[string]*answer // by the caller's token
	size int                // of kept, in bytes
}

// An answer is what the function said about a token.
type answer struct {
	ready chan struct{} // closed when the invocation ends
	until time.Time
	size  int
	reply reply
	err   error
}

// FromEnv returns the rule of the function in SIGN_IN_FUNCTION_ARN, or nil if that is
// unset or empty. SIGN_IN_FAIL_CLOSED (default true) says whether users are refused while
// the function gives no usable answer.
func FromEnv(getenv func(string) string) (*Rule, error) {
	failClosed, err := settings.Bool(getenv, "SIGN_IN_FAIL_CLOSED", true)
	if err != nil {
		return nil, err
	}
	function, err := lambdainvoke.New(getenv, "SIGN_IN_FUNCTION_ARN")
	if err != nil || function == nil {
		return nil, err
	}
	return &Rule{function: function, failClosed: failClosed, kept: map[string]*answer{}}, nil
}

// Apply returns the caller as the function decides, with a bearer token only; a nil rule
// decides nothing. The function is invoked once for a token, and its answer counts for a
// minute. The errors are a [*Refusal] and [ErrNoAnswer].
func (r *Rule) Apply(ctx context.Context, caller identity.Caller, clientType, route string) (identity.Caller, error) {
	if r == nil || caller.Kind != identity.User {
		return caller, nil
	}
	reply, err := r.ask(ctx, caller, clientType, route)
	switch {
	case err != nil && r.failClosed:
		return identity.Caller{}, ErrNoAnswer
	case err != nil:
		return caller, nil
	case reply.Allow != nil && !*reply.Allow:
		return identity.Caller{}, &Refusal{reply.Message}
	}
	if reply.UserID != "" {
		caller.UserID = reply.UserID
	}
	caller.Set, caller.Life = reply.set(), time.Duration(reply.ExpiresIn)*time.Second
	return caller, nil
}

// ask returns the function's reply, from memory if it is not older than a minute.
func (r *Rule) ask(ctx context.Context, caller identity.Caller, clientType, route string) (reply, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		a := r.kept[caller.Token]
		if a == nil || a.ready == nil && !now().Before(a.until) {
			break
		}
		if a.ready == nil {
			return a.reply, a.err
		}
		ready := a.ready
		r.mu.Unlock()
		<-ready // for as long as timeout
		r.mu.Lock()
	}
	ready := make(chan struct{})
	a := &answer{ready: ready}
	r.keep(caller.Token, a)
	r.mu.Unlock()
	reply, size, err := r.invoke(ctx, caller, clientType, route)
	r.mu.Lock()
	close(ready)
	a.ready, a.reply, a.err, a.size = nil, reply, err, size
	r.size += size
	a.until = now().Add(keptFor)
	if err != nil {
		a.until = now().Add(failedFor)
	}
	r.keep(caller.Token, a)
	return reply, err
}

// keep remembers an answer, and forgets others. r.mu is held.
func (r *Rule) keep(token string, a *answer) {
	if old := r.kept[token]; old != nil && old != a {
		r.size -= old.size
	}
	r.kept[token] = a
	for other, old := range r.kept {
		if len(r.kept) <= maxKept && r.size <= maxKeptBytes {
			return
		}
		if other != token && old.ready == nil {
			r.size -= old.size
			delete(r.kept, other)
		}
	}
}

// invoke asks the function. It counts and logs a failure.
func (r *Rule) invoke(ctx context.Context, caller identity.Caller, clientType, route string) (answer reply, size int, err error) {
	// Other requests wait for this answer: it must outlive this one.
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil { // whose value may be about the user
			err = fmt.Errorf("ask the sign-in function: panic: a %T", p)
		}
		if err != nil {
			reason := lambdainvoke.Reason(err)
			if within.Err() != nil {
				reason = "Late"
			}
			lambdahttp.CountBy(ctx, "SignInFunctionFailed", "Reason", reason)
			lambdahttp.Annotate(ctx, slog.String("signInFunctionFailed", err.Error()))
		}
	}()
	payload, err := json.Marshal(struct {
		Claims     identity.Claims `json:"claims"`
		Issuer     string          `json:"issuer"`
		ClientType string          `json:"clientType"`
		Route      string          `json:"route"`
	}{caller.Claims, caller.Issuer, clientType, route})
	if err != nil {
		return answer, 0, err
	}
	body, err := r.function.Invoke(within, payload)
	if err != nil {
		return answer, 0, err
	}
	answer, err = newReply(body)
	return answer, len(body), err
}

// A reply is the function's answer. The zero reply, {}, allows the user and changes
// nothing.
type reply struct {
	Allow     *bool                      `json:"allow"`
	Message   string                     `json:"message"`
	UserID    string                     `json:"userId"`
	Name      string                     `json:"name"`
	Image     string                     `json:"image"`
	Teams     []string                   `json:"teams"`
	Role      string                     `json:"role"`
	Custom    map[string]json.RawMessage `json:"custom"`
	ExpiresIn int64                      `json:"expiresIn"`
}

// newReply returns the reply in an answer: {} or nothing, or an object whose members are
// right. One wrong member makes the answer useless. Other members are ignored.
func newReply(body []byte) (reply, error) {
	broken := func(wrong string) (reply, error) {
		return reply{}, &lambdainvoke.Error{Reason: lambdainvoke.Broken, Text: "the sign-in function's answer: " + wrong}
	}
	var r reply
	if text := bytes.TrimSpace(body); len(text) == 0 || string(text) == "null" {
		return r, nil
	}
	// By their exact names; a struct takes any case.
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil {
		return broken("it is not a JSON object")
	}
	for name, v := range map[string]any{
		"allow": &r.Allow, "message": &r.Message, "userId": &r.UserID, "name": &r.Name, "image": &r.Image,
		"teams": &r.Teams, "role": &r.Role, "custom": &r.Custom, "expiresIn": &r.ExpiresIn,
	} {
		if raw, ok := members[name]; ok && json.Unmarshal(raw, v) != nil {
			return broken(name + " is of the wrong type")
		}
	}
	set := func(name string) bool { return len(members[name]) > 0 && string(members[name]) != "null" }
	switch {
	case set("userId") && !userid.Valid(r.UserID):
		return broken("userId is not " + userid.Rule)
	case set("role") && !users.ValidRole(r.Role):
		return broken("role is not one that a sign-in may give")
	case set("expiresIn") && (r.ExpiresIn <= 0 || r.ExpiresIn > 1<<31):
		return broken("expiresIn is not a positive whole number of seconds")
	case utf8.RuneCountInString(r.Message) > maxMessage || strings.ContainsFunc(r.Message, unicode.IsControl):
		return broken(fmt.Sprintf("message is not one line of at most %d characters", maxMessage))
	}
	for _, team := range r.Teams {
		if team == "" {
			return broken("a team has no name")
		}
	}
	for name := range r.Custom {
		if !users.MaySet(name) {
			return broken("custom has a field that a sign-in may not set")
		}
	}
	return r, nil
}

// set returns the fields at Stream that the reply decides.
func (r reply) set() map[string]any {
	all := map[string]any{}
	for name, raw := range r.Custom {
		var v any
		if json.Unmarshal(raw, &v) == nil && v != nil {
			all[name] = v
		}
	}
	for name, text := range map[string]string{"name": r.Name, "image": r.Image, "role": r.Role} {
		if text != "" {
			all[name] = text
		}
	}
	if r.Teams != nil {
		teams := []any{}
		for _, team := range r.Teams {
			teams = append(teams, team)
		}
		all["teams"] = teams
	}
	return all
}

// now returns the time by the wall clock. The monotonic clock may stand still
// while Lambda has the process stopped.
func now() time.Time { return time.Now().Round(0) }
