package identity

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"

	"chat-service-backend/shared/userid"
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
	parties   []string // whose tokens count whatever their audience
	claim     string   // that says who the user is
	prefix    string   // of its users' ids
	escape    bool     // claims become ids by [userid.Map]
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

// user checks a token and returns its user. What is cheap is checked first:
// anybody can send tokens, and only those that name a trusted issuer, this app
// and the present are worth a look at the issuer's keys. A token that comes again
// is verified once; what changes with time is checked each time.
func (i issuers) user(ctx context.Context, token string) (Caller, error) {
	hash := sha256.Sum256([]byte(token))
	for _, v := range i {
		if caller, ok := v.keys.seen(hash); ok {
			if err := v.check(caller.Claims); err != nil {
				return Caller{}, failed{ErrBadToken, err}
			}
			return caller, nil
		}
	}
	// The compact form only: the others can carry several signatures.
	jws, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		// Not the error itself: it may quote the token.
		return Caller{}, failed{ErrBadToken, errUnreadable}
	}
	var c Claims
	if json.Unmarshal(jws.UnsafePayloadWithoutVerification(), &c) != nil {
		return Caller{}, failed{ErrBadToken, errUnreadable}
	}
	if !forCalls(jws.Signatures[0].Header, c) {
		return Caller{}, failed{ErrBadToken, errPurpose}
	}
	issuer, _ := c.Text("iss")
	v := i[issuer]
	if v == nil {
		return Caller{}, failed{ErrBadToken, errIssuer}
	}
	if err := v.check(c); err != nil {
		return Caller{}, failed{ErrBadToken, err}
	}
	keys, edition, err := v.keys.get(ctx, jws.Signatures[0].Header.KeyID)
	if err != nil {
		return Caller{}, failed{ErrUnavailable, err}
	}
	if !slices.ContainsFunc(keys, func(key jose.JSONWebKey) bool {
		_, err := jws.Verify(key.Key)
		return err == nil
	}) {
		return Caller{}, failed{ErrBadToken, errSignature}
	}
	claim, _ := c.Text(v.claim) // check has seen that it is there
	id := claim
	if v.escape {
		id = userid.Map(v.prefix, claim)
	}
	caller := Caller{Kind: User, UserID: id, Claim: claim, Claims: c}
	v.keys.remember(hash, caller, edition)
	return caller, nil
}

// forCalls reports whether a token may be one that an app sends with its calls:
// an id or access token. An issuer signs others with the same keys, for the same
// audience, such as the logout tokens that it sends to an app's servers. They
// give themselves away by their type (RFC 8725 section 3.11), by the events that
// they report (RFC 8417 section 2.2), or, at Cognito, by token_use.
func forCalls(header jose.Header, c Claims) bool {
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
		use, _ := c.Text("token_use")
		return use == "id" || use == "access"
	}
	return true
}

// check applies the rules that a token's claims must meet.
func (v *tokenVerifier) check(c Claims) error {
	now := time.Now()
	if expiry, ok := c.Time("exp"); !ok || now.After(expiry) {
		return errExpired
	}
	if _, set := c["nbf"]; set {
		if notBefore, ok := c.Time("nbf"); !ok || notBefore.After(now.Add(notBeforeLeeway)) {
			return errNotYet
		}
	}
	if !v.meant(c) {
		return errAudience
	}
	if claim, _ := c.Text(v.claim); claim == "" {
		return fmt.Errorf("the token has no text in claim %q", v.claim)
	}
	return nil
}

// meant reports whether a token is for this app.
func (v *tokenVerifier) meant(c Claims) bool {
	audience := c.list("aud")
	if len(audience) == 0 {
		// Cognito's access tokens have a client_id and no aud:
		// https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html
		audience = c.list("client_id")
	}
	if slices.ContainsFunc(audience, func(a string) bool { return slices.Contains(v.audiences, a) }) {
		return true
	}
	party, ok := c.Text("azp")
	return ok && slices.Contains(v.parties, party)
}

// Claims are a token's, by their exact names: in a struct, encoding/json would
// also take those spelled in another case.
type Claims map[string]json.RawMessage

// Text returns a claim that is a string of Unicode characters.
func (c Claims) Text(name string) (text string, ok bool) {
	raw := c[name]
	ok = len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &text) == nil
	// encoding/json makes U+FFFD of whatever is no character, and so one user
	// of many.
	if !ok || strings.ContainsRune(text, utf8.RuneError) && !wellFormed(raw) {
		return "", false
	}
	return text, true
}

// wellFormed reports whether the characters of a JSON string all are some:
// bytes that are UTF-8, and no half of a surrogate pair.
func wellFormed(raw []byte) bool {
	if !utf8.Valid(raw) {
		return false
	}
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		if i++; raw[i] != 'u' {
			continue
		}
		i += 4
		if unit := codeUnit(raw[i-3:]); utf16.IsSurrogate(unit) {
			if !bytes.HasPrefix(raw[i+1:], []byte(`\u`)) || utf16.DecodeRune(unit, codeUnit(raw[i+3:])) == utf8.RuneError {
				return false
			}
			i += 6
		}
	}
	return true
}

// codeUnit is what the four hexadecimal digits at the start of a text stand for.
func codeUnit(digits []byte) rune {
	n, _ := strconv.ParseUint(string(digits[:4]), 16, 16) // encoding/json has read them
	return rune(n)
}

// list returns a claim that is a string or a list of strings, as aud may be
// (RFC 7519 section 4.1.3). Anything else is no list.
func (c Claims) list(name string) []string {
	if text, ok := c.Text(name); ok {
		return []string{text}
	}
	var list []string
	if json.Unmarshal(c[name], &list) != nil {
		return nil
	}
	return list
}

// Time returns a claim that is a date: seconds since 1970, perhaps with a
// fraction (RFC 7519 section 2).
func (c Claims) Time(name string) (t time.Time, ok bool) {
	var seconds float64
	raw := c[name]
	if len(raw) == 0 || string(raw) == "null" || json.Unmarshal(raw, &seconds) != nil || math.Abs(seconds) > 1<<40 {
		return t, false
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)), true
}
