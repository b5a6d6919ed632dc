package identity

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v4"

	"chat-service-backend/shared/userid"
)

// notBeforeLeeway is how far a token's nbf may be in the future, since clocks
// differ.
const notBeforeLeeway = 5 * time.Second

// A badToken is the reason why a token is refused. It matches [ErrBadToken].
type badToken string

func (e badToken) Error() string      { return string(e) }
func (badToken) Is(target error) bool { return target == ErrBadToken }

const (
	errUnreadable badToken = "the token is not a JWT"
	errEncrypted  badToken = "the token is encrypted"
	errAlgorithm  badToken = "the token's algorithm is not accepted"
	errCritical   badToken = "the token's header has critical extensions"
	errPurpose    badToken = "the token is not for API calls"
	errRefresh    badToken = "the token is a refresh token"
	errBound      badToken = "the token is bound to a key of the client (DPoP or mutual TLS), which cannot be checked here"
	errMachine    badToken = "the token is a machine's, not a user's"
	errLifetime   badToken = "the token is valid for longer than MaxTokenLifetime"
	errNoIssuer   badToken = "the token has no issuer"
	errIssuer     badToken = "the token is another issuer's"
	errSignature  badToken = "no key of the issuer fits the token's signature"
	errWithdrawn  badToken = "the issuer has withdrawn the token's key"
	errNoExpiry   badToken = "the token has no expiry"
	errExpired    badToken = "the token has expired"
	errNotYet     badToken = "the token is not valid yet"
	errNoAudience badToken = "the token has no audience"
	errAudience   badToken = "the token is for another audience"
)

// notAllowed is the reason why a user is refused. It matches [ErrNotAllowed].
type notAllowed string

func (e notAllowed) Error() string      { return string(e) }
func (notAllowed) Is(target error) bool { return target == ErrNotAllowed }

// A parsedToken is a token in its compact form (RFC 7515 section 7.1); other forms can
// have several signatures.
type parsedToken struct {
	header            Claims
	algorithm, id     string
	claims            Claims
	signed, signature string
}

// parse reads a token. Its errors quote nothing from it.
func parse(token string) (*parsedToken, error) {
	parts := strings.Split(token, ".")
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	t := &parsedToken{}
	if err != nil || json.Unmarshal(header, &t.header) != nil || t.header == nil {
		return nil, errUnreadable
	}
	if len(parts) == 5 {
		return nil, errEncrypted // RFC 7516 section 7.1
	}
	if len(parts) != 3 {
		return nil, errUnreadable
	}
	t.algorithm, _ = t.header.Text("alg")
	if jwt.GetSigningMethod(method(t.algorithm)) == nil || strings.HasPrefix(t.algorithm, "HS") || strings.EqualFold(t.algorithm, "none") {
		return nil, errAlgorithm
	}
	if t.header["crit"] != nil {
		return nil, errCritical
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &t.claims) != nil || t.claims == nil {
		return nil, errUnreadable
	}
	if _, err := base64.RawURLEncoding.DecodeString(parts[2]); err != nil {
		return nil, errUnreadable
	}
	t.id, _ = t.header.Text("kid")
	t.signed, t.signature = parts[0]+"."+parts[1], parts[2]
	return t, nil
}

// method returns the name by which golang-jwt knows an algorithm.
func method(algorithm string) string {
	if algorithm == "Ed25519" {
		return "EdDSA"
	}
	return algorithm
}

// fits reports whether a key verifies the token's signature. A key without an id fits
// any token: the signature decides.
func (t *parsedToken) fits(k key) bool {
	return (t.id == "" || k.id == "" || t.id == k.id) && slices.Contains(k.algorithms, t.algorithm) &&
		jwt.GetSigningMethod(method(t.algorithm)).Verify(t.signed, t.signature, k.public) == nil
}

// user verifies a token and returns its user. Cheap checks come first: anybody can
// send tokens, and only one that names a trusted issuer and this app, and has not
// expired, is worth fetching the issuer's keys. The signature of a repeated token is
// verified once; what changes with time is checked every time.
func (all issuers) user(ctx context.Context, token string) (Caller, error) {
	h := hashOf(token)
	for _, i := range all {
		if caller, ok := i.keys.user(h); ok {
			return caller.admit()
		}
	}
	t, err := parse(token)
	if err != nil {
		return Caller{}, err
	}
	if err := forCalls(t.header, t.claims); err != nil {
		return Caller{}, err
	}
	name, ok := t.claims.Text("iss")
	i := all[name]
	switch {
	case !t.claims.has("iss"):
		return Caller{}, errNoIssuer
	case !ok:
		return Caller{}, t.claims.oddType("iss", "a text")
	case i == nil:
		return Caller{}, errIssuer
	}
	if err := i.check(t.claims); err != nil {
		return Caller{}, err
	}
	edition, err := i.keys.verify(ctx, t.fits)
	if err != nil {
		return Caller{}, err
	}
	claim, _ := t.claims.Text(i.claim) // check has required it
	caller := Caller{Kind: User, UserID: userid.Map(i.prefix, claim), Claim: claim, Claims: t.claims, Issuer: name, Token: string(h[:]), token: token, refused: i.judge(t.claims)}
	caller.expires, _ = t.claims.Time("exp")
	i.keys.remember(h, caller, 2*len(token), edition)
	return caller.admit()
}

// admit checks what changes with time, and returns what [trusted.judge] has found.
func (c Caller) admit() (Caller, error) {
	switch {
	case !time.Now().Before(c.expires):
		return Caller{}, errExpired
	case c.refused != nil:
		return Caller{}, c.refused
	}
	return c, nil
}

// judge returns why a user whose token is good is refused, or nil.
func (i *trusted) judge(c Claims) error {
	for _, r := range i.required {
		if !anyOf(c.values(r.claim), r.values) {
			return notAllowed(fmt.Sprintf("claim %s has none of the values in RequiredClaims", r.claim))
		}
	}
	return nil
}

// check checks everything about a token's claims but the issuer.
func (i *trusted) check(c Claims) error {
	now := time.Now()
	expiry, ok := c.Time("exp")
	switch {
	case !c.has("exp"):
		return errNoExpiry
	case !ok:
		return c.oddType("exp", "a time in seconds")
	case !now.Before(expiry):
		return errExpired
	}
	if c.has("nbf") {
		notBefore, ok := c.Time("nbf")
		switch {
		case !ok:
			return c.oddType("nbf", "a time in seconds")
		case notBefore.After(now.Add(notBeforeLeeway)):
			return errNotYet
		}
	}
	if err := i.forUs(c); err != nil {
		return err
	}
	if claim, ok := c.Text(i.claim); claim == "" {
		switch {
		case !c.has(i.claim):
			return badToken("the token has no claim " + i.claim)
		case ok:
			return badToken("claim " + i.claim + " is empty")
		}
		return c.oddType(i.claim, "a text")
	}
	since := now
	if issued, ok := c.Issued(); ok {
		since = issued
	}
	if expiry.Sub(since) > i.maxLifetime {
		return errLifetime
	}
	return nil
}

// forUs returns an error unless a token is for this app.
func (i *trusted) forUs(c Claims) error {
	name := "aud"
	if !c.has(name) || c.empty(name) {
		// Cognito's access tokens have a client_id and no aud, Ory's an empty one:
		// https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html
		// https://www.ory.com/docs/oauth2-oidc/jwt-access-token
		name = "client_id"
	}
	audiences, party, isMachine := c.list(name), c.party(), machine(c, i.claim)
	foreign := false // the token would be for us, were it a user's
	for _, a := range i.audiences {
		switch {
		case a.name != "" && !slices.Contains(audiences, a.name):
		case a.machine && isMachine && slices.Contains(c.clients(), a.party):
			return nil
		case !a.machine && (a.party == "" || a.party == party):
			if !isMachine {
				return nil
			}
			foreign = true
		}
	}
	switch {
	case foreign:
		return errMachine
	case !c.has(name) && (party == "" || !slices.ContainsFunc(i.audiences, func(a audience) bool { return a.name == "" })):
		return errNoAudience
	case audiences == nil && c.has(name) && party == "":
		return c.oddType(name, "a text or a list of texts")
	}
	return errAudience
}

// party returns the client that a token was issued to, or "": azp of OpenID Connect, else
// client_id (RFC 9068), as Okta and Entra ID call it too.
func (c Claims) party() string {
	for _, name := range []string{"azp", "client_id", "cid", "appid"} {
		if c.has(name) {
			party, _ := c.Text(name)
			return party
		}
	}
	return ""
}

// ErrTooSoon is an [ErrUnavailable]: no key fits a token, and the issuer has replaced its
// keys less than a minute ago, so it may have done so again.
var ErrTooSoon = errors.New("keys were fetched less than a minute ago")

var errTooSoon = fmt.Errorf("%w: %w", ErrUnavailable, ErrTooSoon)
