// Package identity finds out who calls.
//
// A caller is known by what AWS has verified (an IAM signature) or by what this
// package verifies (a bearer token of a configured OpenID Connect issuer),
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
	// UserID is a User's own id at Stream. With USER_ID_MAPPING=none, Stream may
	// not take it.
	UserID string
	// Claim is what a User's issuer calls them.
	Claim string
	// Claims are all that the issuer says of a User.
	Claims Claims
}

// The errors of [Callers.Identify], matched by [errors.Is]. Their texts say what
// happened and quote nothing of a token.
var (
	// ErrBadToken is a bearer token that is no good.
	ErrBadToken = errors.New("bad bearer token")
	// ErrUnavailable is a bearer token that cannot be checked now, because the
	// issuer's keys cannot be fetched.
	ErrUnavailable = errors.New("the issuer's keys are unavailable")
	// ErrThrottled is an ErrUnavailable for which the issuer answered that it
	// has had too many requests.
	ErrThrottled = errors.New("the issuer has too many requests")
)

// failed is an error of one of the kinds above. Its text is the cause's.
type failed struct{ kind, cause error }

func (e failed) Error() string   { return e.cause.Error() }
func (e failed) Unwrap() []error { return []error{e.kind, e.cause} }

// Callers identifies the callers of one function.
type Callers struct {
	issuers issuers // none: bearer tokens make nobody known
}

// FromEnv returns the Callers that the environment configures. OIDC_ISSUER names
// the issuers whose bearer tokens count, separated by commas: one as it is, others
// as prefix=issuer, and the ids of their users at Stream have that prefix. In the
// other lists, prefix=item is about such an issuer: OIDC_AUDIENCE (at least one for
// each issuer; azp:party accepts the tokens made for a party, whatever their
// audience), OIDC_DISCOVERY_URL (where the issuer's metadata lies, if not below the
// issuer's own address) and USER_ID_CLAIM (which claim says who the user is; default
// sub). USER_ID_MAPPING says what becomes of that claim: an id by [userid.Map]
// (escape, the default) or the id (none).
func FromEnv(getenv func(string) string) (*Callers, error) {
	issuers, err := issuersFromEnv(getenv)
	if err != nil {
		return nil, err
	}
	return &Callers{issuers}, nil
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
	if !ok || len(c.issuers) == 0 {
		return Caller{Kind: Anonymous}, nil
	}
	return c.issuers.user(ctx, token)
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
