package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"chat-service-backend/shared/identity"
	"chat-service-backend/shared/lambdahttp"
	"chat-service-backend/shared/signin"
	"chat-service-backend/shared/streamchat"
	"chat-service-backend/shared/users"
)

// A Gate knows who callers are, and lets users in.
type Gate struct {
	callers   *identity.Callers
	rule      *signin.Rule
	directory *users.Directory // nil: users are not compared with Stream's
	limiter   *limiter
}

// OpenGate returns the gate that the environment configures. An error names the variable
// that is wrong.
func OpenGate(getenv func(string) string) (*Gate, error) {
	callers, err := identity.FromEnv(getenv)
	if err != nil {
		return nil, err
	}
	rule, err := signin.FromEnv(getenv)
	if err != nil {
		return nil, err
	}
	directory, err := users.FromEnv(getenv)
	if err != nil {
		return nil, err
	}
	limiter, err := limiterFromEnv(getenv)
	if err != nil {
		return nil, err
	}
	return &Gate{callers, rule, directory, limiter}, nil
}

// Load fetches the issuers' keys in Lambda's init phase while settings loads the settings.
func (g *Gate) Load(ctx context.Context, settings func(context.Context)) {
	keys := g.callers.Load(ctx)
	settings(ctx)
	<-keys
}

// Caller returns the sender of r, who may be anonymous, and records it in the log and
// the metrics. The errors are those of [identity.Callers.Identify] and
// [signin.Rule.Apply].
func (g *Gate) Caller(r *http.Request) (identity.Caller, error) {
	ctx := r.Context()
	caller, err := g.callers.Identify(ctx, lambdahttp.CallerARN(ctx), r.Header.Values("Authorization"))
	if err == nil {
		caller, err = g.rule.Apply(ctx, caller, r.URL.Query().Get("clientType"), route(r))
	}
	if err != nil {
		countRefused(ctx, err)
		lambdahttp.Annotate(ctx, slog.String("refused", err.Error()))
		return caller, err
	}
	lambdahttp.SetCaller(ctx, string(caller.Kind))
	return caller, nil
}

// route returns the route of a request, without the user in it.
func route(r *http.Request) string {
	first, _, more := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if more {
		first += "/{userId}"
	}
	return r.Method + " /" + first
}

// KnownCaller is [Gate.Caller] for a request that must not be anonymous.
func (g *Gate) KnownCaller(r *http.Request) (identity.Caller, error) {
	caller, err := g.Caller(r)
	if err == nil && caller.Kind == identity.Anonymous {
		err = errNotSignedIn
		countRefused(r.Context(), err)
	}
	return caller, err
}

// SignIn lets in a caller who is to get a token. It is [users.Directory.SignIn], for users
// only and if they are compared with Stream's. A user who asks for too many tokens gets
// [ErrTooMany], and w a Retry-After. SignIn records in the log and the metrics
// [users.ErrNotSynced], which it does not return, and the claims that USER_FIELDS names and
// nobody has.
func (g *Gate) SignIn(w http.ResponseWriter, r *http.Request, credentials *streamchat.Credentials, caller identity.Caller) (users.User, error) {
	if err := g.limiter.allow(w, r, caller); err != nil {
		return users.User{}, err
	}
	if g.directory == nil || caller.Kind != identity.User {
		name, _ := caller.Set["name"].(string)
		image, _ := caller.Set["image"].(string)
		return users.User{Name: name, Image: image}, nil
	}
	ctx := r.Context()
	if missing := g.directory.Missing(caller.Claims); len(missing) > 0 {
		caller = g.callers.Complete(ctx, caller, missing)
		if missing = g.directory.Missing(caller.Claims); len(missing) > 0 {
			lambdahttp.Count(ctx, "FieldsMissing")
			lambdahttp.Annotate(ctx, slog.String("claimsMissing", strings.Join(missing, ",")))
		}
	}
	user, err := g.directory.SignIn(ctx, credentials, caller)
	switch {
	case errors.Is(err, users.ErrNotSynced):
		lambdahttp.Count(ctx, "UsersNotSynced")
		lambdahttp.Annotate(ctx, slog.String("notSynced", err.Error()))
		err = nil
	case err != nil:
		countRefused(ctx, err)
		lambdahttp.Annotate(ctx, slog.String("refused", err.Error()))
	}
	return user, err
}
