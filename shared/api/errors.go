package api

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"

	"chat-service-backend/shared/httpjson"
	"chat-service-backend/shared/identity"
	"chat-service-backend/shared/lambdahttp"
	"chat-service-backend/shared/settings"
	"chat-service-backend/shared/signin"
	"chat-service-backend/shared/users"
)

// errNotSignedIn is the error for an anonymous caller on a route for known ones.
var errNotSignedIn = errors.New("the request has no bearer token")

const (
	noCheck       = "Your sign-in cannot be checked right now; try again in a moment."
	noCredentials = "The chat credentials cannot be read right now; try again in a moment."
)

// A failure is what becomes of an error of the shared packages.
type failure struct {
	err     error
	status  int
	message string
	refused string // the reason in the metric CallersRefused
	lacking string // what the request lacked, in the metric Unavailable
	limit   string // whose rate limit it was, which a deployment of ours neither causes nor fixes
}

// failures are all of them; the first match counts.
var failures = []failure{
	{err: errNotSignedIn, status: http.StatusUnauthorized, refused: "NoToken",
		message: "Sign in first: send the header Authorization: Bearer TOKEN with a token of your identity provider."},
	// What exactly is wrong with a token only the log says: it would help an attacker.
	{err: identity.ErrBadToken, status: http.StatusUnauthorized, refused: "BadToken",
		message: "The bearer token is not valid (any more); sign in again."},
	{err: identity.ErrThrottled, status: http.StatusServiceUnavailable, message: noCheck, refused: "NotChecked", lacking: "IssuerLimit", limit: "Issuer"},
	{err: identity.ErrTooSoon, status: http.StatusServiceUnavailable, message: noCheck, refused: "NotChecked", lacking: "IssuerKeys", limit: "Issuer"},
	{err: identity.ErrUnavailable, status: http.StatusServiceUnavailable, message: noCheck, refused: "NotChecked", lacking: "Issuer"},
	{err: signin.ErrNoAnswer, status: http.StatusServiceUnavailable, message: noCheck, refused: "NotChecked", lacking: "SignInFunction", limit: "SignInFunction"},
	{err: identity.ErrNotAllowed, status: http.StatusForbidden, refused: "NotAllowed",
		message: "Your account may not use the chat of this app."},
	{err: users.ErrRevoked, status: http.StatusUnauthorized, refused: "SignedOut",
		message: "You have been signed out everywhere; sign in again."},
	{err: users.ErrDeactivated, status: http.StatusForbidden, refused: "Deactivated",
		message: "This app gives no chat token while your account is deactivated; ask its support to activate it again."},
	{err: users.ErrBanned, status: http.StatusForbidden, refused: "Banned",
		message: "This app gives no chat token to users who are banned; ask its support about your ban."},
	{err: users.ErrDeleted, status: http.StatusForbidden, refused: "Deleted",
		message: "This app gives no chat token once your account was deleted; ask its support about it."},
	{err: users.ErrUnknown, status: http.StatusForbidden, refused: "Unknown",
		message: "This app gives a chat token only to users who have an account; ask its support for one."},
	{err: ErrTooMany, status: http.StatusTooManyRequests, refused: "TooMany",
		message: "You ask for tokens too often; wait for as long as Retry-After says."},
	{err: settings.ErrThrottled, status: http.StatusServiceUnavailable, message: noCredentials, lacking: "ParameterStoreLimit", limit: "ParameterStore"},
	{err: settings.ErrUnavailable, status: http.StatusServiceUnavailable, message: noCredentials, lacking: "Settings"},
}

// failureOf returns what becomes of err, and false if no failure matches it.
func failureOf(err error) (failure, bool) {
	for _, f := range failures {
		if errors.Is(err, f.err) {
			return f, true
		}
	}
	return failure{}, false
}

// Error returns the [httpjson.Error] for an error of the shared packages. It returns any
// other error unchanged.
func Error(err error) error {
	if e := (*httpjson.Error)(nil); errors.As(err, &e) {
		return err
	}
	f, ok := failureOf(err)
	if !ok {
		return err
	}
	if refusal, ok := errors.AsType[*signin.Refusal](err); ok && refusal.Message != "" {
		f.message = refusal.Message
	}
	return &httpjson.Error{Status: f.status, Message: f.message, Cause: err}
}

// countRefused counts a caller who is refused.
func countRefused(ctx context.Context, err error) {
	f, _ := failureOf(err)
	lambdahttp.CountBy(ctx, "CallersRefused", "Reason", cmp.Or(f.refused, "NotChecked"))
}

// countUnavailable records in the log and the metrics what a request lacked, if that is
// why it failed. The log's field limit keeps such a failure from rolling back a
// deployment.
func countUnavailable(ctx context.Context, err error) {
	f, _ := failureOf(err)
	if f.limit != "" {
		lambdahttp.Annotate(ctx, slog.String("limit", f.limit))
	}
	if e := (*httpjson.Error)(nil); f.lacking == "" && errors.As(err, &e) && e.Status == http.StatusServiceUnavailable {
		f.lacking = "Other"
	}
	if f.lacking != "" {
		lambdahttp.CountBy(ctx, "Unavailable", "Lacking", f.lacking)
	}
}
