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

// A HandlerFunc is an [http.Handler] that either answers or returns an error.
type HandlerFunc func(http.ResponseWriter, *http.Request) error

// ServeHTTP calls f and answers with the error it returns, if any.
func (f HandlerFunc) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	err := f(w, r)
	if err == nil {
		return
	}
	if known, _ := failureOf(err); known.status == http.StatusUnauthorized {
		// RFC 6750 section 3.
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	countUnavailable(r.Context(), err)
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

// KnownCaller is [Caller] for a request that must not be anonymous.
func KnownCaller(r *http.Request, callers *identity.Callers, rule *signin.Rule) (identity.Caller, error) {
	caller, err := Caller(r, callers, rule)
	if err == nil && caller.Kind == identity.Anonymous {
		err = errNotSignedIn
		countRefused(r.Context(), err)
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
		countRefused(ctx, err)
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
