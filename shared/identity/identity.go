// Package identity identifies the caller of a request.
//
// A caller is identified by what AWS has verified (an IAM signature) or by what
// this package verifies (a bearer token from a configured OpenID Connect issuer),
// and by nothing else in a request. The zero configuration identifies nobody.
package identity

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"chat-service-backend/shared/settings"
)

// A Kind says how a caller was identified.
type Kind string

// The kinds of callers.
const (
	Anonymous Kind = "anonymous" // not identified
	User      Kind = "user"      // by a bearer token
	Service   Kind = "service"   // by an IAM signature
)

// A Caller is the sender of a request.
type Caller struct {
	Kind Kind
	// UserID is a User's own id at Stream, made from Claim by [userid.Map].
	UserID string
	// Claim is the claim that UserID is made from.
	Claim string
	// Claims are all the claims of a User's token, and Issuer its iss.
	Claims Claims
	Issuer string
	// Set are fields of the user at Stream that the team's own function has decided.
	Set map[string]any
	// Life is how long the team's own function lets the user's token at Stream live, or 0.
	Life time.Duration
	// Token is a hash of the bearer token.
	Token string

	token   string // itself
	expires time.Time
	refused error // why the user is, though the token is good
}

// The errors of [Callers.Identify]. Their texts say what happened and quote
// nothing from a token.
var (
	// ErrBadToken matches every reason to refuse a bearer token.
	ErrBadToken = errors.New("bad bearer token")
	// ErrNotAllowed matches every reason why a user whose token is good is refused.
	ErrNotAllowed = errors.New("the user is not allowed")
	// ErrUnavailable means that a bearer token cannot be verified now, because
	// the issuer's keys cannot be fetched.
	ErrUnavailable = errors.New("the issuer's keys are unavailable")
	// ErrThrottled is an ErrUnavailable caused by the issuer's rate limit.
	ErrThrottled = errors.New("the issuer limits requests")
)

// Callers identifies the callers of one function.
type Callers struct {
	issuers  issuers // if empty, bearer tokens are ignored
	userInfo bool    // [Callers.Complete] asks the issuer
}

// FromEnv returns the Callers that the environment configures.
//
// OIDC_ISSUER lists the trusted issuers, separated by commas, as in their tokens' iss: at
// most one as it is, the others as prefix=issuer. The prefix becomes part of their users'
// ids. An issuer with several names has them joined with |.
// In the other lists, prefix=item applies to the issuer with that prefix, and any
// other item to the one without:
//
//   - OIDC_AUDIENCE: the accepted audiences, at least one per issuer. azp:client
//     accepts tokens issued to that client, whatever their audience;
//     audience+azp:client those that also have that audience. machine:client accepts
//     tokens that a client got for itself, and that are nobody's otherwise.
//   - OIDC_DISCOVERY_URL: where the issuer's metadata is, if not below its own URL.
//   - OIDC_JWKS_URL: where its keys are, if it has no metadata.
//   - USER_ID_CLAIM: the claim that identifies the user; default sub.
//   - REQUIRED_CLAIMS: claim=value|value, each of which a user's token must have.
//
// MAX_TOKEN_LIFETIME is how long a token may be valid, in seconds; default 48 hours.
// OIDC_KEY_MAX_AGE is how old keys may get while the issuer answers, in seconds; default
// one hour. USER_INFO=true lets [Callers.Complete] ask the issuer.
func FromEnv(getenv func(string) string) (*Callers, error) {
	issuers, err := issuersFromEnv(getenv)
	if err != nil {
		return nil, err
	}
	userInfo, err := settings.Bool(getenv, "USER_INFO", false)
	if err != nil {
		return nil, err
	}
	return &Callers{issuers: issuers, userInfo: userInfo}, nil
}

// Load fetches the issuers' keys in Lambda's init phase. The channel is closed when they
// are there, but after 0.5 s at the latest: the fetch then goes on, and the first token
// waits for it. Failures are logged, and left to the first token.
func (c *Callers) Load(ctx context.Context) <-chan struct{} {
	loaded := make(chan struct{})
	var all sync.WaitGroup
	started := map[*keySet]bool{}
	for _, i := range c.issuers {
		if keys := i.keys; !started[keys] {
			started[keys] = true
			all.Go(func() { keys.load(context.WithoutCancel(ctx)) })
		}
	}
	if len(started) == 0 {
		close(loaded)
		return loaded
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	go func() {
		defer close(loaded)
		select {
		case <-done:
		case <-time.After(startDelay):
		}
	}()
	return loaded
}

// Identify returns the sender of a request: the IAM principal callerARN, which AWS
// has verified, or the user whose bearer token is in the request's Authorization
// fields. A bad token does not make the caller anonymous: it is an error,
// [ErrBadToken], as is a token that cannot be verified now, [ErrUnavailable].
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

// bearerToken returns the token of the first Authorization field with the scheme
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
