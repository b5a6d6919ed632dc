// Package identity says who calls.
//
// A caller is known by what AWS has verified (an IAM signature) or by what this
// package verifies (a bearer token of the configured OpenID Connect issuer),
// and by nothing else that a request carries. The zero configuration knows
// nobody.
package identity

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"chat-service-backend/shared/httpjson"
	"chat-service-backend/shared/lambdahttp"
)

// A Kind tells apart callers by how they are known.
type Kind string

// The kinds of callers.
const (
	Anonymous Kind = "anonymous" // not known
	User      Kind = "user"      // known by a bearer token
	Service   Kind = "service"   // known by an IAM signature
)

// A Caller is who sent a request.
type Caller struct {
	Kind Kind
	// UserID is the caller's own Stream user id, for a User. It comes from a
	// claim that the issuer vouches for, but may not be one that Stream takes.
	UserID string
}

// Callers identifies the callers of one function.
type Callers struct {
	tokens *tokenVerifier // nil: bearer tokens make nobody known
}

// FromEnv returns the Callers that the environment configures: OIDC_ISSUER and
// OIDC_AUDIENCE (both or neither; several audiences are separated by commas)
// say whose bearer tokens count, USER_ID_CLAIM (default sub) which claim is the
// Stream user id.
func FromEnv(getenv func(string) string) (*Callers, error) {
	tokens, err := newTokenVerifier(getenv)
	if err != nil {
		return nil, err
	}
	return &Callers{tokens}, nil
}

// Identify returns who sent r. A bearer token that is no good is an error (401)
// and does not make the caller anonymous; so is one that cannot be checked
// because the issuer does not answer (503).
func (c *Callers) Identify(r *http.Request) (Caller, error) {
	caller, err := c.identify(r)
	if err != nil {
		reason := "BadToken"
		if e := (*httpjson.Error)(nil); errors.As(err, &e) && e.Status >= http.StatusInternalServerError {
			reason = "NotChecked"
		}
		lambdahttp.CountBy(r.Context(), "CallersRefused", "Reason", reason)
		lambdahttp.Annotate(r.Context(), slog.String("refused", err.Error()))
		return caller, err
	}
	lambdahttp.SetCaller(r.Context(), string(caller.Kind))
	return caller, nil
}

func (c *Callers) identify(r *http.Request) (Caller, error) {
	if lambdahttp.CallerARN(r.Context()) != "" {
		return Caller{Kind: Service}, nil
	}
	token, ok := bearerToken(r)
	if !ok || c.tokens == nil {
		return Caller{Kind: Anonymous}, nil
	}
	id, err := c.tokens.userID(r.Context(), token)
	if err != nil {
		return Caller{}, err
	}
	return Caller{Kind: User, UserID: id}, nil
}

// bearerToken returns the token of an Authorization field of the scheme Bearer
// (RFC 6750 section 2.1), and whether there is one.
func bearerToken(r *http.Request) (token string, ok bool) {
	for _, field := range r.Header.Values("Authorization") {
		scheme, token, _ := strings.Cut(field, " ")
		if strings.EqualFold(scheme, "Bearer") {
			return strings.TrimSpace(token), true
		}
	}
	return "", false
}

// Unknown is the error for an anonymous caller who must be known: a 401 that
// asks for a bearer token.
func Unknown(w http.ResponseWriter, r *http.Request) error {
	lambdahttp.CountBy(r.Context(), "CallersRefused", "Reason", "NoToken")
	return Challenge(w, httpjson.Errorf(http.StatusUnauthorized,
		"Sign in first: send an Authorization header with a bearer token of your identity provider."))
}

// Challenge returns err, an error of [Callers.Identify], after adding the field
// that RFC 6750 section 3 wants on a 401.
func Challenge(w http.ResponseWriter, err error) error {
	var e *httpjson.Error
	if errors.As(err, &e) && e.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	return err
}
