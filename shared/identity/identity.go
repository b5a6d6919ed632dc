// Package identity finds out who calls.
//
// A caller is known by what AWS has verified (an IAM signature) or by what this
// package verifies (a bearer token of the configured OpenID Connect issuer),
// and by nothing else that a request carries. The zero configuration knows
// nobody.
package identity

import (
	"context"
	"errors"
	"strings"
)

// A Kind tells callers apart by how they are known.
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
	// UserID is a User's own id: a claim that the issuer vouches for, which
	// Stream may not take as a user id.
	UserID string
}

// The errors of [Callers.Identify], matched by [errors.Is]. Their texts say what
// happened and quote nothing of a token.
var (
	// ErrBadToken is a bearer token that is no good.
	ErrBadToken = errors.New("bad bearer token")
	// ErrUnavailable is a bearer token that cannot be checked now, because the
	// issuer's keys cannot be fetched.
	ErrUnavailable = errors.New("the issuer's keys are unavailable")
)

// failed is an error of one of the kinds above. Its text is the cause's.
type failed struct{ kind, cause error }

func (e failed) Error() string   { return e.cause.Error() }
func (e failed) Unwrap() []error { return []error{e.kind, e.cause} }

// Callers identifies the callers of one function.
type Callers struct {
	tokens *tokenVerifier // nil: bearer tokens make nobody known
}

// FromEnv returns the Callers that the environment configures: OIDC_ISSUER and
// OIDC_AUDIENCE (both or neither; several audiences are separated by commas)
// say whose bearer tokens count, USER_ID_CLAIM (default sub) which claim is the
// user id.
func FromEnv(getenv func(string) string) (*Callers, error) {
	tokens, err := newTokenVerifier(getenv)
	if err != nil {
		return nil, err
	}
	return &Callers{tokens}, nil
}

// Identify returns who sent a request: the IAM principal callerARN, as AWS has
// verified it, or whoever the request's Authorization fields make known. A bad
// bearer token does not make the caller anonymous: it is an error, [ErrBadToken],
// as is one that cannot be checked, [ErrUnavailable].
func (c *Callers) Identify(ctx context.Context, callerARN string, authorization []string) (Caller, error) {
	if callerARN != "" {
		return Caller{Kind: Service}, nil
	}
	token, ok := bearerToken(authorization)
	if !ok || c.tokens == nil {
		return Caller{Kind: Anonymous}, nil
	}
	id, err := c.tokens.userID(ctx, token)
	if err != nil {
		return Caller{}, err
	}
	return Caller{Kind: User, UserID: id}, nil
}

// bearerToken returns the token of the first Authorization field of the scheme
// Bearer (RFC 6750 section 2.1), and whether there is one.
func bearerToken(authorization []string) (token string, ok bool) {
	for _, field := range authorization {
		scheme, token, _ := strings.Cut(field, " ")
		if strings.EqualFold(scheme, "Bearer") {
			return strings.TrimSpace(token), true
		}
	}
	return "", false
}
