package identity

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"chat-service-backend/internal/issuer"
)

// Keys of each kind, made once: RSA takes its time.
var keys = sync.OnceValue(func() map[string]crypto.Signer {
	must := func(key crypto.Signer, err error) crypto.Signer {
		if err != nil {
			panic(err)
		}
		return key
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	return map[string]crypto.Signer{
		"rsa":       must(rsa.GenerateKey(rand.Reader, 2048)),
		"ec":        must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
		"ed":        must(ed, err),
		"next":      must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
		"foreign":   must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
		"encrypted": must(rsa.GenerateKey(rand.Reader, 2048)),
	}
})

func public(name string) jose.JSONWebKey {
	return jose.JSONWebKey{Key: keys()[name].Public(), KeyID: name}
}

// knownSecret is a symmetric key that everybody knows.
var knownSecret = []byte("a secret of 32 bytes, well known")

// A testIssuer counts its requests and can be made to misbehave.
type testIssuer struct {
	issuer.Issuer

	mu       sync.Mutex
	status   int    // of all answers, where set
	redirect string // of the metadata, where set
	asked    map[string]int
}

func newIssuer(t testing.TB) *testIssuer {
	i := &testIssuer{asked: map[string]int{}}
	server := httptest.NewServer(i)
	t.Cleanup(server.Close)
	i.URL, i.Audience = server.URL+"/realm", "chat-app"
	i.Metadata = map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys"}
	encryption := public("encrypted")
	encryption.Use = "enc"
	i.Keys = []any{
		jose.JSONWebKey{Key: knownSecret, KeyID: "oct"}, // no issuer should, some have
		encryption,
		map[string]any{"kty": "future", "kid": "future"},
		public("rsa"), public("ec"), public("ed"),
	}
	return i
}

func (i *testIssuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/realm")
	i.asked[path]++
	switch {
	case i.status != 0:
		w.WriteHeader(i.status)
	case path == "/.well-known/openid-configuration" && i.redirect != "":
		http.Redirect(w, r, i.redirect, http.StatusFound)
	default:
		i.Issuer.ServeHTTP(w, r)
	}
}

func (i *testIssuer) set(change func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change()
}

func (i *testIssuer) requests() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := 0
	for _, count := range i.asked {
		n += count
	}
	return n
}

// callers are those of a function that trusts the issuer.
func (i *testIssuer) callers(t testing.TB, more map[string]string) *Callers {
	t.Helper()
	all := map[string]string{"OIDC_ISSUER": i.URL, "OIDC_AUDIENCE": "chat-app"}
	maps.Copy(all, more)
	c, err := FromEnv(func(name string) string { return all[name] })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sign returns a token of u1 with changed claims; kid "" leaves the key id out.
func (i *testIssuer) sign(t testing.TB, algorithm jose.SignatureAlgorithm, key any, kid string, changes map[string]any) string {
	t.Helper()
	header := map[string]any{"kid": kid}
	if kid == "" {
		delete(header, "kid")
	}
	return sign(t, algorithm, key, header, i.Claims("u1", changes))
}

// good is a token with changed claims that the issuer has signed.
func (i *testIssuer) good(t testing.TB, changes map[string]any) string {
	t.Helper()
	return i.sign(t, jose.ES256, keys()["ec"], "ec", changes)
}

// sign returns a token with these claims.
func sign(t testing.TB, algorithm jose.SignatureAlgorithm, key any, header map[string]any, claims any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	token, err := issuer.Sign(algorithm, key, header, payload)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func wantUser(t *testing.T, c *Callers, id string, authorization ...string) {
	t.Helper()
	if got, err := c.Identify(t.Context(), "", authorization); err != nil || got.Kind != User || got.UserID != id {
		t.Errorf("want user %s, got %+v, %v", id, got, err)
	}
}

func wantAnonymous(t *testing.T, c *Callers, authorization ...string) {
	t.Helper()
	if got, err := c.Identify(t.Context(), "", authorization); err != nil || got.Kind != Anonymous || got.UserID != "" {
		t.Errorf("want nobody, got %+v, %v", got, err)
	}
}

func wantRefused(t *testing.T, c *Callers, kind error, authorization ...string) error {
	t.Helper()
	got, err := c.Identify(t.Context(), "", authorization)
	if got.Kind != "" || !errors.Is(err, kind) {
		t.Errorf("want the refusal %q, got %+v, %v", kind, got, err)
	}
	return err
}

func TestGoodTokensMakeTheirUserKnown(t *testing.T) {
	i := newIssuer(t)
	now := time.Now().Unix()
	rsaKey, ec, ed := keys()["rsa"], keys()["ec"], keys()["ed"]
	tests := map[string]string{
		"RS256":                   i.sign(t, jose.RS256, rsaKey, "rsa", nil),
		"PS256":                   i.sign(t, jose.PS256, rsaKey, "rsa", nil),
		"ES256":                   i.sign(t, jose.ES256, ec, "ec", nil),
		"EdDSA":                   i.sign(t, jose.EdDSA, ed, "ed", nil),
		"no kid":                  i.sign(t, jose.ES256, ec, "", nil),
		"audience in a list":      i.good(t, map[string]any{"aud": []string{"other", "chat-app"}}),
		"client_id and no aud":    i.good(t, map[string]any{"aud": nil, "client_id": "chat-app"}),
		"nbf now":                 i.good(t, map[string]any{"nbf": now}),
		"nbf in the past":         i.good(t, map[string]any{"nbf": now - 3600}),
		"exp with a fraction":     i.good(t, map[string]any{"exp": float64(now) + 60.5}),
		"a foreign client beside": i.good(t, map[string]any{"client_id": "other", "azp": "other"}),
	}
	c := i.callers(t, nil)
	for name, token := range tests {
		t.Run(name, func(t *testing.T) { wantUser(t, c, "u1", "Bearer "+token) })
	}
}

func TestBadTokensAreRefused(t *testing.T) {
	i := newIssuer(t)
	now := time.Now().Unix()
	encode := base64.RawURLEncoding.EncodeToString
	plain, _ := json.Marshal(i.Claims("u1", nil))
	der, err := x509.MarshalPKIXPublicKey(keys()["rsa"].Public())
	if err != nil {
		t.Fatal(err)
	}
	pemKey := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	good := i.good(t, nil)
	whole, err := jose.ParseSigned(good, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	other, _ := json.Marshal(i.Claims("u1", map[string]any{"sub": "admin"}))
	tests := map[string]string{
		"claims exchanged":                parts[0] + "." + encode(other) + "." + parts[2],
		"signature of zeros":              parts[0] + "." + parts[1] + "." + encode(make([]byte, 64)),
		"no signature":                    parts[0] + "." + parts[1] + ".",
		"two parts":                       parts[0] + "." + parts[1],
		"foreign key, our kid":            i.sign(t, jose.ES256, keys()["foreign"], "ec", nil),
		"foreign key, no kid":             i.sign(t, jose.ES256, keys()["foreign"], "", nil),
		"foreign key, own kid":            i.sign(t, jose.ES256, keys()["foreign"], "foreign", nil),
		"kid of another key":              i.sign(t, jose.ES256, keys()["ec"], "rsa", nil),
		"key for encryption":              i.sign(t, jose.RS256, keys()["encrypted"], "encrypted", nil),
		"expired":                         i.good(t, map[string]any{"exp": now - 1}),
		"no exp":                          i.good(t, map[string]any{"exp": nil}),
		"exp as text":                     i.good(t, map[string]any{"exp": "tomorrow"}),
		"nbf in 60 s":                     i.good(t, map[string]any{"nbf": now + 60}),
		"nbf in 4 min":                    i.good(t, map[string]any{"nbf": now + 240}),
		"nbf in a day":                    i.good(t, map[string]any{"nbf": now + 86400}),
		"foreign audience":                i.good(t, map[string]any{"aud": "other"}),
		"foreign audience, our client_id": i.good(t, map[string]any{"aud": "other", "client_id": "chat-app"}),
		"empty audience":                  i.good(t, map[string]any{"aud": ""}),
		"part of the audience":            i.good(t, map[string]any{"aud": "chat"}),
		"no audience":                     i.good(t, map[string]any{"aud": nil}),
		"no audience, foreign client_id":  i.good(t, map[string]any{"aud": nil, "client_id": "other"}),
		"no audience, azp":                i.good(t, map[string]any{"aud": nil, "azp": "chat-app"}),
		"foreign issuer":                  i.good(t, map[string]any{"iss": "https://other.example"}),
		"issuer with a slash":             i.good(t, map[string]any{"iss": i.URL + "/"}),
		"no issuer":                       i.good(t, map[string]any{"iss": nil}),
		"no sub":                          i.good(t, map[string]any{"sub": nil}),
		"empty sub":                       i.good(t, map[string]any{"sub": ""}),
		"alg none":                        encode([]byte(`{"alg":"none"}`)) + "." + encode(plain) + ".",
		"alg none with a signature":       encode([]byte(`{"alg":"none","kid":"ec"}`)) + "." + encode(plain) + "." + parts[2],
		"alg None":                        encode([]byte(`{"alg":"None"}`)) + "." + encode(plain) + ".",
		"HS256, known secret":             i.sign(t, jose.HS256, knownSecret, "oct", nil),
		"HS256, no kid":                   i.sign(t, jose.HS256, knownSecret, "", nil),
		"HS256, public key as DER":        i.sign(t, jose.HS256, der, "rsa", nil),
		"HS256, public key as PEM":        i.sign(t, jose.HS256, pemKey, "rsa", nil),
		"claims are no object":            sign(t, jose.ES256, keys()["ec"], map[string]any{"kid": "ec"}, nil),
		"foreign key in its own header":   sign(t, jose.ES256, keys()["foreign"], map[string]any{"jwk": public("foreign")}, i.Claims("u1", nil)),
		"JSON form":                       whole.FullSerialize(),
		"garbage":                         "garbage",
		"garbage with dots":               "a.b.c",
		"nothing":                         "",
		"two tokens":                      good + "," + good,
		"a word behind":                   good + " x",
	}
	c := i.callers(t, nil)
	for name, token := range tests {
		t.Run(name, func(t *testing.T) {
			err := wantRefused(t, c, ErrBadToken, "Bearer "+token)
			if err != nil && token != "" && (strings.Contains(err.Error(), token) || strings.Contains(err.Error(), "u1")) {
				t.Errorf("want neither token nor user in the cause, got %v", err)
			}
		})
	}
}

// withHeader is a good token with changed claims, and more in its header.
func (i *testIssuer) withHeader(t *testing.T, header, claims map[string]any) string {
	t.Helper()
	all := map[string]any{"kid": "ec"}
	maps.Copy(all, header)
	return sign(t, jose.ES256, keys()["ec"], all, i.Claims("u1", claims))
}

func TestOrdinaryTokensOfEveryProviderCount(t *testing.T) {
	i := newIssuer(t)
	c := i.callers(t, nil)
	for source, token := range map[string]struct{ header, claims map[string]any }{
		// Headers of kid and alg alone.
		"https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-id-token.html":     {nil, map[string]any{"token_use": "id"}},
		"https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html": {nil, map[string]any{"token_use": "access", "aud": nil, "client_id": "chat-app"}},
		"https://developer.okta.com/docs/api/openapi/okta-oauth/guides/overview/":                                         {nil, map[string]any{"ver": 1, "cid": "other"}},
		"https://firebase.google.com/docs/auth/admin/verify-id-tokens":                                                    {nil, nil},
		"https://developer.apple.com/documentation/signinwithapple/authenticating-users-with-sign-in-with-apple":          {nil, nil},
		// With a type.
		"https://learn.microsoft.com/en-us/entra/identity-platform/access-token-claims-reference": {map[string]any{"typ": "JWT"}, map[string]any{"ver": "2.0"}},
		"https://supabase.com/docs/guides/auth/jwts":                                              {map[string]any{"typ": "JWT"}, nil},
		// Keycloak's own typ is among the claims, and no matter of the header's.
		"https://www.keycloak.org/docs/latest/server_admin/":                                      {map[string]any{"typ": "JWT"}, map[string]any{"typ": "Bearer"}},
		"https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles, Auth0":         {map[string]any{"typ": "JWT"}, nil},
		"https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles, RFC 9068":      {map[string]any{"typ": "at+jwt"}, map[string]any{"client_id": "other"}},
		"https://www.rfc-editor.org/rfc/rfc9068#section-2.1, long":                                {map[string]any{"typ": "application/at+jwt"}, nil},
		"https://www.rfc-editor.org/rfc/rfc2045#section-5.1: types are matched whatever the case": {map[string]any{"typ": "AT+JWT"}, nil},
		"https://www.rfc-editor.org/rfc/rfc7519#section-5.1: some write it in lower case":         {map[string]any{"typ": "jwt"}, nil},
	} {
		t.Run(source, func(t *testing.T) { wantUser(t, c, "u1", "Bearer "+i.withHeader(t, token.header, token.claims)) })
	}
}

func TestTokensForSomethingElseAreRefused(t *testing.T) {
	i := newIssuer(t)
	c := i.callers(t, nil)
	logout := map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}
	for name, token := range map[string]struct{ header, claims map[string]any }{
		"logout token":             {map[string]any{"typ": "logout+jwt"}, map[string]any{"events": logout}},
		"its type alone":           {map[string]any{"typ": "LOGOUT+JWT"}, nil},
		"its type, long":           {map[string]any{"typ": "application/logout+jwt"}, nil},
		"its events, as JWT":       {map[string]any{"typ": "JWT"}, map[string]any{"events": logout}},
		"its events, as text":      {nil, map[string]any{"events": "logout"}},
		"security event":           {map[string]any{"typ": "secevent+jwt"}, nil},
		"proof of possession":      {map[string]any{"typ": "dpop+jwt"}, nil},
		"authorization request":    {map[string]any{"typ": "oauth-authz-req+jwt"}, nil},
		"answer of introspection":  {map[string]any{"typ": "token-introspection+jwt"}, nil},
		"Okta's tokens for itself": {map[string]any{"typ": "application/okta-internal-at+jwt"}, nil},
		"empty type":               {map[string]any{"typ": ""}, nil},
		"type that is no text":     {map[string]any{"typ": []string{"JWT"}}, nil},
		"refresh token":            {nil, map[string]any{"token_use": "refresh"}},
		"empty use":                {nil, map[string]any{"token_use": ""}},
		"use in upper case":        {nil, map[string]any{"token_use": "ID"}},
		"uses in a list":           {nil, map[string]any{"token_use": []string{"id"}}},
	} {
		t.Run(name, func(t *testing.T) {
			wantRefused(t, c, ErrBadToken, "Bearer "+i.withHeader(t, token.header, token.claims))
		})
	}
	if i.requests() != 0 {
		t.Errorf("want the issuer left alone, got %d requests", i.requests())
	}
}

func TestAuthorizationFields(t *testing.T) {
	i := newIssuer(t)
	c := i.callers(t, nil)
	good, bad := "Bearer "+i.good(t, nil), "Bearer garbage"
	for name, fields := range map[string][]string{
		"lower case":    {"bearer " + good[len("Bearer "):]},
		"upper case":    {"BEARER " + good[len("Bearer "):]},
		"more spaces":   {"Bearer   " + good[len("Bearer "):] + " "},
		"another first": {"Basic dTpw", good},
		"another last":  {good, "Basic dTpw"},
	} {
		t.Run(name, func(t *testing.T) { wantUser(t, c, "u1", fields...) })
	}
	for name, fields := range map[string][]string{
		"none":           nil,
		"empty":          {""},
		"Basic":          {"Basic dTpw"},
		"IAM":            {"AWS4-HMAC-SHA256 Credential=AKID/x, SignedHeaders=host, Signature=0"},
		"a longer word":  {"Bearerish " + good[len("Bearer "):]},
		"without scheme": {good[len("Bearer "):]},
	} {
		t.Run(name, func(t *testing.T) { wantAnonymous(t, c, fields...) })
	}
	for name, fields := range map[string][]string{
		"no token":           {"Bearer"},
		"empty token":        {"Bearer "},
		"bad":                {bad},
		"bad before good":    {bad, good},
		"joined by commas":   {good + ", " + good},
		"joined with Basic":  {good + ",Basic dTpw"},
		"a second scheme in": {"Bearer " + good},
	} {
		t.Run(name, func(t *testing.T) { wantRefused(t, c, ErrBadToken, fields...) })
	}
}

func FuzzAuthorization(f *testing.F) {
	i := newIssuer(f)
	c := i.callers(f, nil)
	for _, field := range []string{"Bearer x", "bearer", "Basic x", "Bearer " + i.good(f, map[string]any{"aud": "other"}), `Bearer {"payload":"","signatures":[]}`, "Bearer e30.e30.e30"} {
		f.Add(field)
	}
	f.Fuzz(func(t *testing.T, field string) {
		token, ok := bearerToken([]string{field})
		scheme, _, _ := strings.Cut(field, " ")
		if ok != strings.EqualFold(scheme, "Bearer") || token != strings.TrimSpace(token) || !strings.Contains(field, token) {
			t.Errorf("%q: got token %q, %v", field, token, ok)
		}
		switch caller, err := c.Identify(t.Context(), "", []string{field}); {
		case !ok && (err != nil || caller.Kind != Anonymous):
			t.Errorf("%q: want nobody, got %+v, %v", field, caller, err)
		case ok && !errors.Is(err, ErrBadToken):
			t.Errorf("%q: want a refusal, got %+v, %v", field, caller, err)
		}
	})
}

func TestUserIDIsTheConfiguredClaim(t *testing.T) {
	i := newIssuer(t)
	c := i.callers(t, map[string]string{"USER_ID_CLAIM": "chat_id"})
	wantUser(t, c, "jo", "Bearer "+i.good(t, map[string]any{"chat_id": "jo"}))
	wantUser(t, c, "jo", "Bearer "+i.good(t, map[string]any{"chat_id": "jo", "sub": nil}))
	for name, value := range map[string]any{"missing": nil, "empty": "", "number": 7, "list": []string{"jo"}, "object": map[string]any{}, "bool": true} {
		t.Run(name, func(t *testing.T) {
			wantRefused(t, c, ErrBadToken, "Bearer "+i.good(t, map[string]any{"chat_id": value}))
		})
	}
	wantRefused(t, c, ErrBadToken, "Bearer "+i.good(t, map[string]any{"CHAT_ID": "jo"}))
}

func TestEachOfSeveralAudiencesCounts(t *testing.T) {
	i := newIssuer(t)
	c := i.callers(t, map[string]string{"OIDC_AUDIENCE": "web, ios,,android "})
	for _, audience := range []string{"web", "ios", "android"} {
		wantUser(t, c, "u1", "Bearer "+i.good(t, map[string]any{"aud": audience}))
		wantUser(t, c, "u1", "Bearer "+i.good(t, map[string]any{"aud": nil, "client_id": audience}))
	}
	for _, audience := range []string{"", " ios", "web, ios", "chat-app"} {
		wantRefused(t, c, ErrBadToken, "Bearer "+i.good(t, map[string]any{"aud": audience}))
	}
}

func TestWithoutIssuerNobodyIsKnown(t *testing.T) {
	i := newIssuer(t)
	c := i.callers(t, map[string]string{"OIDC_ISSUER": ""})
	wantAnonymous(t, c, "Bearer "+i.good(t, nil))
	wantAnonymous(t, c, "Bearer garbage")
	wantAnonymous(t, &Callers{}, "Bearer "+i.good(t, nil))
	if i.requests() != 0 {
		t.Errorf("want nobody asked, got %d requests", i.requests())
	}
}

func TestConfigurationThatCannotBeRightEndsTheStart(t *testing.T) {
	for want, env := range map[string]map[string]string{
		"OIDC_AUDIENCE: want the audience": {"OIDC_ISSUER": "https://issuer.example"},
		"OIDC_AUDIENCE: want":              {"OIDC_ISSUER": "https://issuer.example", "OIDC_AUDIENCE": " , "},
		"OIDC_ISSUER: want an https URL":   {"OIDC_ISSUER": "http://issuer.example", "OIDC_AUDIENCE": "a"},
		"OIDC_ISSUER: want a URL":          {"OIDC_ISSUER": "issuer.example", "OIDC_AUDIENCE": "a"},
	} {
		c, err := FromEnv(func(name string) string { return env[name] })
		if c != nil || err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: want one line that begins %q, got %v", env, want, err)
		}
	}
}

func TestKeysAreFetchedForTheFirstBearerAndKept(t *testing.T) {
	i := newIssuer(t)
	c := i.callers(t, nil)
	wantAnonymous(t, c)
	wantAnonymous(t, c, "Basic dTpw")
	wantRefused(t, c, ErrBadToken, "Bearer garbage")
	if i.requests() != 0 {
		t.Errorf("want no request before the first token, got %d", i.requests())
	}
	for range 3 {
		wantUser(t, c, "u1", "Bearer "+i.good(t, nil))
		wantRefused(t, c, ErrBadToken, "Bearer "+i.good(t, map[string]any{"aud": "other"}))
	}
	if want := map[string]int{"/.well-known/openid-configuration": 1, "/keys": 1}; !maps.Equal(i.asked, want) {
		t.Errorf("want %v, got %v", want, i.asked)
	}
}

func TestIssuerThatIsDownIsA503(t *testing.T) {
	i := newIssuer(t)
	i.set(func() { i.status = http.StatusInternalServerError })
	c := i.callers(t, nil)
	err := wantRefused(t, c, ErrUnavailable, "Bearer "+i.good(t, nil))
	if err == nil || !strings.Contains(err.Error(), "want status 200, got 500") {
		t.Errorf("want the reason as cause, got %v", err)
	}
	wantAnonymous(t, c)
	wantRefused(t, c, ErrBadToken, "Bearer garbage")
}

func TestIssuerThatHasTooManyRequestsSaysSo(t *testing.T) {
	for status, limit := range map[int]bool{http.StatusTooManyRequests: true, http.StatusServiceUnavailable: false} {
		i := newIssuer(t)
		i.set(func() { i.status = status })
		if err := wantRefused(t, i.callers(t, nil), ErrUnavailable, "Bearer "+i.good(t, nil)); errors.Is(err, ErrThrottled) != limit {
			t.Errorf("%d: want it to be a limit: %t, got %v", status, limit, err)
		}
	}
}

func TestIssuerThatIsDownIsAskedEverMoreRarely(t *testing.T) {
	i := newIssuer(t)
	i.status = http.StatusInternalServerError
	forged := make([]string, 200)
	for n := range forged {
		forged[n] = "Bearer " + i.sign(t, jose.ES256, keys()["foreign"], fmt.Sprint(n), nil)
	}
	good := "Bearer " + i.good(t, nil)
	synctest.Test(t, func(t *testing.T) {
		c := i.offline(t)
		all := func() {
			var tokens sync.WaitGroup
			for _, token := range forged {
				tokens.Go(func() { wantRefused(t, c, ErrUnavailable, token) })
			}
			tokens.Wait()
		}
		for n, seconds := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			all()
			time.Sleep(seconds*time.Second - time.Nanosecond)
			all()
			if i.requests() != n+1 {
				t.Fatalf("want %d requests, the next only after %d s, got %d", n+1, seconds, i.requests())
			}
			time.Sleep(time.Nanosecond)
		}
		i.status = 0
		wantUser(t, c, "u1", good)
	})
}

func TestIssuerThatCannotBeTrustedIsA503(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*testIssuer)
		cause  string
	}{
		"metadata of another issuer": {func(i *testIssuer) { i.Metadata["issuer"] = "https://other.example" }, "want the metadata of issuer"},
		"keys over http":             {func(i *testIssuer) { i.Metadata["jwks_uri"] = "http://192.0.2.1/keys" }, "want an https URL as jwks_uri"},
		"no jwks_uri":                {func(i *testIssuer) { delete(i.Metadata, "jwks_uri") }, "want an https URL as jwks_uri"},
		"redirect to http":           {func(i *testIssuer) { i.redirect = "http://192.0.2.1/moved" }, "want an https URL, got a redirect"},
		"redirects without end":      {func(i *testIssuer) { i.redirect = i.URL + "/.well-known/openid-configuration" }, "want at most 3 redirects"},
		"no usable key":              {func(i *testIssuer) { i.Keys = i.Keys[:3] }, "want public keys"},
		"no keys":                    {func(i *testIssuer) { i.Keys = []any{} }, "want public keys"},
		"too long":                   {func(i *testIssuer) { i.Metadata["x"] = strings.Repeat("x", maxDocument) }, "want JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			i := newIssuer(t)
			test.change(i)
			err := wantRefused(t, i.callers(t, nil), ErrUnavailable, "Bearer "+i.good(t, nil))
			if err == nil || !strings.Contains(err.Error(), test.cause) {
				t.Errorf("want cause %q, got %v", test.cause, err)
			}
		})
	}
}

func TestRedirectToLoopbackIsFollowed(t *testing.T) {
	i := newIssuer(t)
	i.redirect = strings.TrimSuffix(i.URL, "/realm") + "/moved/.well-known/openid-configuration"
	wantUser(t, i.callers(t, nil), "u1", "Bearer "+i.good(t, nil))
}

func TestIssuerMayEndInASlash(t *testing.T) {
	i := newIssuer(t)
	i.Metadata["issuer"] = i.URL + "/"
	c := i.callers(t, map[string]string{"OIDC_ISSUER": i.URL + "/"})
	wantUser(t, c, "u1", "Bearer "+i.good(t, map[string]any{"iss": i.URL + "/"}))
	wantRefused(t, c, ErrBadToken, "Bearer "+i.good(t, nil))
}

// roundTrip answers without a network, so that time can stand still.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// offline returns callers for whose requests the issuer answers in memory.
func (i *testIssuer) offline(t *testing.T) *Callers {
	t.Helper()
	c := i.callers(t, nil)
	c.issuers[i.URL].keys.client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		i.ServeHTTP(w, r)
		return w.Result(), nil
	})
	return c
}

func TestUnknownKeyIDIsLookedForAtMostOnceAMinute(t *testing.T) {
	i := newIssuer(t)
	known := i.good(t, nil)
	next := i.sign(t, jose.ES256, keys()["next"], "next", nil)
	made := i.sign(t, jose.ES256, keys()["foreign"], "made up", nil)
	synctest.Test(t, func(t *testing.T) {
		c := i.offline(t)
		want := func(token string, good bool, fetches int) {
			t.Helper()
			if _, err := c.Identify(t.Context(), "", []string{"Bearer " + token}); (err == nil) != good {
				t.Errorf("want good %v, got %v", good, err)
			}
			if i.asked["/keys"] != fetches {
				t.Errorf("want %d fetches, got %d", fetches, i.asked["/keys"])
			}
		}
		want(known, true, 1)
		want(made, false, 2)
		for range 100 {
			want(made, false, 2)
			want(known, true, 2)
		}
		i.Keys = []any{public("next")} // rotated, while a stranger keeps us busy
		want(next, false, 2)
		time.Sleep(time.Minute - time.Second)
		want(next, false, 2)
		time.Sleep(time.Second)
		want(next, true, 3)
		want(known, false, 3) // taken back by the issuer
		time.Sleep(time.Hour)
		want(next, true, 3)
	})
}

func TestTokenThatCameBeforeIsVerifiedOnceAndStillExpires(t *testing.T) {
	i := newIssuer(t)
	token := i.good(t, map[string]any{"exp": 946684860}) // a minute into the bubble's time
	synctest.Test(t, func(t *testing.T) {
		c := i.offline(t)
		wantUser(t, c, "u1", "Bearer "+token)
		for n, key := range c.issuers[i.URL].keys.keys {
			key.Key = keys()["foreign"].Public() // which no signature fits
			c.issuers[i.URL].keys.keys[n] = key
		}
		wantUser(t, c, "u1", "Bearer "+token)
		time.Sleep(time.Minute + 1)
		wantRefused(t, c, ErrBadToken, "Bearer "+token)
	})
}

func TestTokensThatAreRememberedAreBounded(t *testing.T) {
	s := &keySet{}
	for n := range maxVerified + 10 {
		s.remember([32]byte{byte(n), byte(n >> 8)}, Caller{}, 0)
	}
	s.remember([32]byte{31: 1}, Caller{}, -1)
	if _, old := s.seen([32]byte{31: 1}); len(s.verified) != maxVerified || old {
		t.Errorf("want %d tokens, and none of older keys, got %d, %t", maxVerified, len(s.verified), old)
	}
}

func TestRotatedKeyIsFoundAtOnce(t *testing.T) {
	i := newIssuer(t)
	c := i.callers(t, nil)
	wantUser(t, c, "u1", "Bearer "+i.good(t, nil))
	i.set(func() { i.Keys = append(i.Keys, public("next")) })
	wantUser(t, c, "u2", "Bearer "+i.sign(t, jose.ES256, keys()["next"], "next", map[string]any{"sub": "u2"}))
	wantUser(t, c, "u1", "Bearer "+i.good(t, nil))
}

func TestTokenOfUnknownKeyIsNotCalledBadWhileTheIssuerIsDown(t *testing.T) {
	i := newIssuer(t)
	c := i.callers(t, nil)
	wantUser(t, c, "u1", "Bearer "+i.good(t, nil))
	next := "Bearer " + i.sign(t, jose.ES256, keys()["next"], "next", nil)
	i.set(func() { i.Keys, i.status = append(i.Keys, public("next")), http.StatusBadGateway })
	for range 3 {
		wantRefused(t, c, ErrUnavailable, next)
		wantUser(t, c, "u1", "Bearer "+i.good(t, nil))
	}
	if i.asked["/.well-known/openid-configuration"] != 2 {
		t.Errorf("want the issuer asked once in that minute, got %d times", i.asked["/.well-known/openid-configuration"]-1)
	}
}

func TestFetchIsBoundInTime(t *testing.T) {
	i := newIssuer(t)
	synctest.Test(t, func(t *testing.T) {
		s := i.offline(t).issuers[i.URL].keys
		s.client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		start := time.Now()
		if _, _, err := s.get(t.Context(), "ec"); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != fetchTimeout {
			t.Errorf("want an error after 3 s, got %v after %v", err, time.Since(start))
		}
	})
}

func BenchmarkIdentify(b *testing.B) {
	i := newIssuer(b)
	c := i.callers(b, nil)
	for name, token := range map[string]string{
		"RS256": i.sign(b, jose.RS256, keys()["rsa"], "rsa", nil),
		"ES256": i.sign(b, jose.ES256, keys()["ec"], "ec", nil),
	} {
		b.Run(name, func(b *testing.B) {
			authorization := []string{"Bearer " + token}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Identify(b.Context(), "", authorization); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
