package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"chat-service-backend/shared/settings"
)

// algorithms are those with which a token may be signed: asymmetric ones only.
// With a symmetric one, everybody who can check a token could also make one.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512,
	jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512,
	jose.EdDSA,
}

// notBeforeLeeway is how far a token's nbf may lie in the future, since clocks
// differ.
const notBeforeLeeway = 5 * time.Second

// A tokenVerifier checks the bearer tokens of one issuer.
type tokenVerifier struct {
	issuer    string // to the letter, as tokens name it
	keys      *keySet
	audiences []string
	claim     string // that is the user id
}

// newTokenVerifier returns the verifier that the environment configures, or nil
// if it names no issuer.
func newTokenVerifier(getenv func(string) string) (*tokenVerifier, error) {
	issuer := getenv("OIDC_ISSUER")
	if issuer == "" {
		return nil, nil
	}
	u, err := settings.URL(getenv, "OIDC_ISSUER", "")
	if err != nil {
		return nil, err
	}
	var audiences []string
	for audience := range strings.SplitSeq(getenv("OIDC_AUDIENCE"), ",") {
		if audience = strings.TrimSpace(audience); audience != "" {
			audiences = append(audiences, audience)
		}
	}
	if len(audiences) == 0 {
		return nil, errors.New("OIDC_AUDIENCE: want the audience of the tokens that OIDC_ISSUER makes for this app, got nothing; without it, tokens made for any other app of that issuer would count")
	}
	claim := getenv("USER_ID_CLAIM")
	if claim == "" {
		claim = "sub"
	}
	return &tokenVerifier{issuer, newKeySet(issuer, u), audiences, claim}, nil
}

// Why a token is no good.
var (
	errUnreadable = errors.New("the token cannot be read, or its algorithm is none that counts")
	errPurpose    = errors.New("the token is made for something other than an API call")
	errIssuer     = errors.New("the token is another issuer's")
	errSignature  = errors.New("no key of the issuer fits the token's signature")
	errExpired    = errors.New("the token has expired")
	errNotYet     = errors.New("the token is not valid yet")
	errAudience   = errors.New("the token is for another audience")
)

// userID checks a token and returns its user id. What is cheap is checked first:
// anybody can send tokens, and only those that name our issuer, this app and the
// present are worth a look at the issuer's keys.
func (v *tokenVerifier) userID(ctx context.Context, token string) (string, error) {
	// The compact form only: the others can carry several signatures.
	jws, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		// Not the error itself: it may quote the token.
		return "", failed{ErrBadToken, errUnreadable}
	}
	var c claims
	if json.Unmarshal(jws.UnsafePayloadWithoutVerification(), &c) != nil {
		return "", failed{ErrBadToken, errUnreadable}
	}
	if !forCalls(jws.Signatures[0].Header, c) {
		return "", failed{ErrBadToken, errPurpose}
	}
	if err := v.check(c); err != nil {
		return "", failed{ErrBadToken, err}
	}
	keys, err := v.keys.get(ctx, jws.Signatures[0].Header.KeyID)
	if err != nil {
		return "", failed{ErrUnavailable, err}
	}
	if !slices.ContainsFunc(keys, func(key jose.JSONWebKey) bool {
		_, err := jws.Verify(key.Key)
		return err == nil
	}) {
		return "", failed{ErrBadToken, errSignature}
	}
	id, _ := c.text(v.claim) // check has seen that it is there
	return id, nil
}

// forCalls reports whether a token may be one that an app sends with its calls:
// an id or access token. An issuer signs others with the same keys, for the same
// audience, such as the logout tokens that it sends to an app's servers. They
// give themselves away by their type (RFC 8725 section 3.11), by the events that
// they report (RFC 8417 section 2.2), or, at Cognito, by token_use.
func forCalls(header jose.Header, c claims) bool {
	if kind, set := header.ExtraHeaders[jose.HeaderType]; set {
		name, _ := kind.(string)
		// "application/" may be left out (RFC 7515 section 4.1.9).
		switch strings.TrimPrefix(strings.ToLower(name), "application/") {
		case "jwt", "at+jwt":
		default:
			return false
		}
	}
	if _, set := c["events"]; set {
		return false
	}
	if _, set := c["token_use"]; set {
		use, _ := c.text("token_use")
		return use == "id" || use == "access"
	}
	return true
}

// check applies the rules that a token's claims must meet.
func (v *tokenVerifier) check(c claims) error {
	if issuer, _ := c.text("iss"); issuer != v.issuer {
		return errIssuer
	}
	now := time.Now()
	if expiry, ok := c.time("exp"); !ok || now.After(expiry) {
		return errExpired
	}
	if _, set := c["nbf"]; set {
		if notBefore, ok := c.time("nbf"); !ok || notBefore.After(now.Add(notBeforeLeeway)) {
			return errNotYet
		}
	}
	audience := c.list("aud")
	if len(audience) == 0 {
		// Cognito's access tokens have a client_id and no aud:
		// https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html
		audience = c.list("client_id")
	}
	if !slices.ContainsFunc(audience, func(a string) bool { return slices.Contains(v.audiences, a) }) {
		return errAudience
	}
	if id, _ := c.text(v.claim); id == "" {
		return fmt.Errorf("the token has no text in claim %q", v.claim)
	}
	return nil
}

// claims are a token's, by their exact names: in a struct, encoding/json would
// also take those spelled in another case.
type claims map[string]json.RawMessage

// text returns a claim that is a string.
func (c claims) text(name string) (text string, ok bool) {
	raw := c[name]
	ok = len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &text) == nil
	return text, ok
}

// list returns a claim that is a string or a list of strings, as aud may be
// (RFC 7519 section 4.1.3). Anything else is no list.
func (c claims) list(name string) []string {
	if text, ok := c.text(name); ok {
		return []string{text}
	}
	var list []string
	if json.Unmarshal(c[name], &list) != nil {
		return nil
	}
	return list
}

// time returns a claim that is a date: seconds since 1970, perhaps with a
// fraction (RFC 7519 section 2).
func (c claims) time(name string) (t time.Time, ok bool) {
	var seconds float64
	raw := c[name]
	if len(raw) == 0 || string(raw) == "null" || json.Unmarshal(raw, &seconds) != nil || math.Abs(seconds) > 1<<40 {
		return t, false
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)), true
}
