package identity

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
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

// algorithms are the accepted signature algorithms, asymmetric ones only: with a
// symmetric one, whoever can verify a token can also forge one.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512,
	jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512,
	jose.EdDSA,
}

// notBeforeLeeway is how far a token's nbf may be in the future, since clocks
// differ.
const notBeforeLeeway = 5 * time.Second

// A tokenVerifier verifies the bearer tokens of one issuer.
type tokenVerifier struct {
	keys      *keySet
	audiences []string
	parties   []string // whose tokens are accepted whatever their audience
	claim     string   // identifies the user
	prefix    string   // of its users' ids
}

// A badToken is the reason why a token is refused. It matches [ErrBadToken].
type badToken string

func (e badToken) Error() string      { return string(e) }
func (badToken) Is(target error) bool { return target == ErrBadToken }

const (
	errUnreadable badToken = "the token cannot be read, or its algorithm is not accepted"
	errPurpose    badToken = "the token is not for API calls"
	errIssuer     badToken = "the token is another issuer's"
	errSignature  badToken = "no key of the issuer fits the token's signature"
	errExpired    badToken = "the token has expired"
	errNotYet     badToken = "the token is not valid yet"
	errAudience   badToken = "the token is for another audience"
)

// user verifies a token and returns its user. Cheap checks come first: anybody can
// send tokens, and only one that names a trusted issuer and this app, and has not
// expired, is worth fetching the issuer's keys. The signature of a repeated token is
// verified once; what changes with time is checked every time.
func (i issuers) user(ctx context.Context, token string) (Caller, error) {
	hash := sha256.Sum256([]byte(token))
	for _, v := range i {
		if caller, ok := v.keys.seen(hash); ok {
			if err := v.check(caller.Claims); err != nil {
				return Caller{}, err
			}
			return caller, nil
		}
	}
	// The compact form only: the others can hold several signatures.
	jws, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		return Caller{}, errUnreadable // and not err, which may quote the token
	}
	var c Claims
	if json.Unmarshal(jws.UnsafePayloadWithoutVerification(), &c) != nil {
		return Caller{}, errUnreadable
	}
	header := jws.Signatures[0].Header
	if !forCalls(header, c) {
		return Caller{}, errPurpose
	}
	issuer, _ := c.Text("iss")
	v := i[issuer]
	if v == nil {
		return Caller{}, errIssuer
	}
	if err := v.check(c); err != nil {
		return Caller{}, err
	}
	keys, edition, err := v.keys.get(ctx, header.KeyID)
	if err != nil {
		return Caller{}, err
	}
	if !slices.ContainsFunc(keys, func(key jose.JSONWebKey) bool {
		_, err := jws.Verify(key.Key)
		return err == nil
	}) {
		return Caller{}, errSignature
	}
	claim, _ := c.Text(v.claim) // check has required it
	caller := Caller{Kind: User, UserID: userid.Map(v.prefix, claim), Claim: claim, Claims: c}
	v.keys.remember(hash, caller, edition)
	return caller, nil
}

// forCalls reports whether a token may be an id or access token, which apps send
// with their calls. An issuer signs other tokens with the same keys and for the same
// audience, such as the logout tokens that it sends to an app's servers. They differ
// in their type (RFC 8725 section 3.11), in having an events claim (RFC 8417
// section 2.2) or, at Cognito, in token_use.
func forCalls(header jose.Header, c Claims) bool {
	if value, set := header.ExtraHeaders[jose.HeaderType]; set {
		name, _ := value.(string)
		// "application/" may be omitted (RFC 7515 section 4.1.9).
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

// check checks everything about a token's claims but the issuer.
func (v *tokenVerifier) check(c Claims) error {
	now := time.Now()
	if expiry, ok := c.Time("exp"); !ok || !now.Before(expiry) {
		return errExpired
	}
	if _, set := c["nbf"]; set {
		if notBefore, ok := c.Time("nbf"); !ok || notBefore.After(now.Add(notBeforeLeeway)) {
			return errNotYet
		}
	}
	if !v.forUs(c) {
		return errAudience
	}
	if claim, _ := c.Text(v.claim); claim == "" {
		return badToken(fmt.Sprintf("the token has no text in claim %q", v.claim))
	}
	return nil
}

// forUs reports whether a token is for this app.
func (v *tokenVerifier) forUs(c Claims) bool {
	name := "aud"
	if aud, set := c[name]; !set || string(aud) == "[]" {
		// Cognito's access tokens have a client_id and no aud, Ory's an empty one:
		// https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html
		// https://www.ory.com/docs/oauth2-oidc/jwt-access-token
		name = "client_id"
	}
	if slices.ContainsFunc(c.list(name), func(a string) bool { return slices.Contains(v.audiences, a) }) {
		return true
	}
	party, ok := c.Text("azp")
	return ok && slices.Contains(v.parties, party)
}

// Claims are a token's claims. They are not a struct, because encoding/json would
// match a field's name in any case.
type Claims map[string]json.RawMessage

// Text returns a claim that is a string of Unicode characters.
func (c Claims) Text(name string) (text string, ok bool) {
	raw := c[name]
	ok = len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &text) == nil
	// encoding/json turns anything that is not a character into U+FFFD, and so
	// several users into one.
	if !ok || strings.ContainsRune(text, utf8.RuneError) && !wellFormed(raw) {
		return "", false
	}
	return text, true
}

// wellFormed reports whether a JSON string holds valid UTF-8, and no escape for half
// of a surrogate pair.
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

// codeUnit returns the value of the four hexadecimal digits that text begins with.
func codeUnit(text []byte) rune {
	n, _ := strconv.ParseUint(string(text[:4]), 16, 16) // encoding/json has checked them
	return rune(n)
}

// list returns a claim that is a string or a list of strings, as aud may be
// (RFC 7519 section 4.1.3), and nothing for any other.
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

// Time returns a claim that is a time: seconds since 1970, which may have a
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
