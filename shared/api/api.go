// Package api connects the functions' HTTP handlers with the packages that do not know
// HTTP: it identifies callers, and turns errors into responses.
package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"chat-service-backend/shared/httpjson"
	"chat-service-backend/shared/identity"
	"chat-service-backend/shared/lambdahttp"
	"chat-service-backend/shared/settings"
	"chat-service-backend/shared/signin"
	"chat-service-backend/shared/streamchat"
	"chat-service-backend/shared/users"
)

// errNotSignedIn is the error for an anonymous caller on a route for known ones.
var errNotSignedIn = errors.New("the request has no bearer token")

// answers are the responses to errors of the shared packages.
var answers = []struct {
	err     error
	status  int
	message string
}{
	{errNotSignedIn, http.StatusUnauthorized, "Sign in first: send an Authorization header with a bearer token of your identity provider."},
	// What exactly is wrong with a token only the log says: it would help an
	// attacker.
	{identity.ErrBadToken, http.StatusUnauthorized, "The bearer token is not valid (any more); sign in again."},
	{identity.ErrUnavailable, http.StatusServiceUnavailable, "Your sign-in cannot be checked right now; try again in a moment."},
	{signin.ErrNoAnswer, http.StatusServiceUnavailable, "Your sign-in cannot be checked right now; try again in a moment."},
	{identity.ErrNotAllowed, http.StatusForbidden, "Your account may not use the chat of this app."},
	{users.ErrRevoked, http.StatusUnauthorized, "You have been signed out everywhere; sign in again."},
	{users.ErrDeactivated, http.StatusForbidden, "Your chat account is deactivated; ask the support of this app to activate it again."},
	{users.ErrBanned, http.StatusForbidden, "You are banned from the chat of this app."},
	{users.ErrDeleted, http.StatusForbidden, "Your chat account was deleted and cannot come back; ask the support of this app for another."},
	{ErrTooMany, http.StatusTooManyRequests, "You ask for tokens too often; wait for as long as Retry-After says."},
	{users.ErrUnknown, http.StatusForbidden, "You have no chat account in this app; ask its support for one."},
	{settings.ErrUnavailable, http.StatusServiceUnavailable, "The chat credentials cannot be read right now; try again in a moment."},
}

// lacks are what a failed request lacked, by the error that says so; the first match
// counts. A limit is another's rate limit, which a deployment of ours neither causes nor
// fixes.
var lacks = []struct {
	err            error
	lacking, limit string
}{
	{settings.ErrThrottled, "ParameterStoreLimit", "ParameterStore"},
	{identity.ErrThrottled, "IssuerLimit", "Issuer"},
	{identity.ErrTooSoon, "IssuerKeys", "Issuer"},
	{signin.ErrNoAnswer, "SignInFunction", "SignInFunction"},
	{settings.ErrUnavailable, "Settings", ""},
	{identity.ErrUnavailable, "Issuer", ""},
}

// unavailable records in the log and the metrics what a request lacked, if that is why it
// failed. The log's field limit keeps such a failure from rolling back a deployment.
func unavailable(ctx context.Context, err error) {
	for _, l := range lacks {
		if errors.Is(err, l.err) {
			if l.limit != "" {
				lambdahttp.Annotate(ctx, slog.String("limit", l.limit))
			}
			lambdahttp.CountBy(ctx, "Unavailable", "Lacking", l.lacking)
			return
		}
	}
	if e := (*httpjson.Error)(nil); errors.As(err, &e) && e.Status == http.StatusServiceUnavailable {
		lambdahttp.CountBy(ctx, "Unavailable", "Lacking", "Other")
	}
}

// Error returns the [httpjson.Error] for an error of the shared packages. It returns any
// other error unchanged.
func Error(err error) error {
	if e := (*httpjson.Error)(nil); errors.As(err, &e) {
		return err
	}
	refusal, _ := errors.AsType[*signin.Refusal](err)
	for _, a := range answers {
		if errors.Is(err, a.err) {
			if refusal != nil && refusal.Message != "" {
				a.message = refusal.Message
			}
			return &httpjson.Error{Status: a.status, Message: a.message, Cause: err}
		}
	}
	return err
}

// A HandlerFunc is an [http.Handler] that either answers or returns an error.
type HandlerFunc func(http.ResponseWriter, *http.Request) error

// ServeHTTP calls f and answers with the error it returns, if any.
func (f HandlerFunc) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	err := f(w, r)
	if err == nil {
		return
	}
	if errors.Is(err, errNotSignedIn) || errors.Is(err, identity.ErrBadToken) || errors.Is(err, users.ErrRevoked) {
		// RFC 6750 section 3.
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	unavailable(r.Context(), err)
	httpjson.WriteError(w, r, Error(err))
}

// Caller returns the sender of r, who may be anonymous, and records it in the log and
// the metrics. The errors are those of [identity.Callers.Identify] and
// [signin.Rule.Apply].
func Caller(r *http.Request, callers *identity.Callers, rule *signin.Rule) (identity.Caller, error) {
	ctx := r.Context()
	caller, err := callers.Identify(ctx, lambdahttp.CallerARN(ctx), r.Header.Values("Authorization"))
	if err == nil {
		caller, err = rule.Apply(ctx, caller, r.URL.Query().Get("clientType"), route(r))
	}
	if err != nil {
		reason := "NotChecked"
		switch {
		case errors.Is(err, identity.ErrBadToken):
			reason = "BadToken"
		case errors.Is(err, identity.ErrNotAllowed):
			reason = "NotAllowed"
		}
		lambdahttp.CountBy(ctx, "CallersRefused", "Reason", reason)
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

// KnownCaller is [Caller] for a request that must not be anonymous.
func KnownCaller(r *http.Request, callers *identity.Callers, rule *signin.Rule) (identity.Caller, error) {
	caller, err := Caller(r, callers, rule)
	if err == nil && caller.Kind == identity.Anonymous {
		lambdahttp.CountBy(r.Context(), "CallersRefused", "Reason", "NoToken")
		err = errNotSignedIn
	}
	return caller, err
}

// SignIn is [users.Directory.SignIn], for users only and unless directory is nil. It
// records in the log and the metrics [users.ErrNotSynced], which it does not return, and the
// claims that USER_FIELDS names and nobody has.
func SignIn(r *http.Request, callers *identity.Callers, directory *users.Directory, credentials *streamchat.Credentials, caller identity.Caller) (users.User, error) {
	if directory == nil || caller.Kind != identity.User {
		name, _ := caller.Set["name"].(string)
		image, _ := caller.Set["image"].(string)
		return users.User{Name: name, Image: image}, nil
	}
	ctx := r.Context()
	if missing := directory.Missing(caller.Claims); len(missing) > 0 {
		caller = callers.Complete(ctx, caller, missing)
		if missing = directory.Missing(caller.Claims); len(missing) > 0 {
			lambdahttp.Count(ctx, "FieldsMissing")
			lambdahttp.Annotate(ctx, slog.String("claimsMissing", strings.Join(missing, ",")))
		}
	}
	user, err := directory.SignIn(ctx, credentials, caller)
	switch {
	case errors.Is(err, users.ErrNotSynced):
		lambdahttp.Count(ctx, "UsersNotSynced")
		lambdahttp.Annotate(ctx, slog.String("notSynced", err.Error()))
		err = nil
	case err != nil:
		lambdahttp.CountBy(ctx, "CallersRefused", "Reason", users.Reason(err))
		lambdahttp.Annotate(ctx, slog.String("refused", err.Error()))
	}
	return user, err
}

// OpenStore is [settings.Open] for a store that counts refreshes that fail, in a metric
// of the function.
func OpenStore(getenv func(string) string) (*settings.Store, error) {
	store, err := settings.Open(getenv)
	if err != nil {
		return nil, err
	}
	store.OnStale = func(ctx context.Context) { lambdahttp.Count(ctx, "SettingsServedStale") }
	return store, nil
}
