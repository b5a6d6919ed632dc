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
	"io"
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

// keys are made once, because generating RSA keys is slow.
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
		"leaked":    must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
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
	status   int            // of all responses, if set
	redirect string         // of the metadata, if set
	asked    map[string]int // requests by path
	more     map[string]http.Handler
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
		jose.JSONWebKey{Key: knownSecret, KeyID: "oct"}, // which some issuers have published
		encryption,
		map[string]any{"kty": "future", "kid": "future"},
		jose.JSONWebKey{Key: keys()["leaked"], KeyID: "leaked"},
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
	case i.more[path] != nil:
		i.more[path].ServeHTTP(w, r)
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

// callers returns the Callers of a function that trusts the issuer.
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

// sign returns a token for u1 with changed claims, without a kid if it is "".
func (i *testIssuer) sign(t testing.TB, algorithm jose.SignatureAlgorithm, key any, kid string, changes map[string]any) string {
	t.Helper()
	header := map[string]any{"kid": kid}
	if kid == "" {
		delete(header, "kid")
	}
	return sign(t, algorithm, key, header, i.Claims("u1", changes))
}

// good returns a token for u1 with changed claims, signed by the issuer.
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
	return signText(t, algorithm, key, header, payload)
}

// signText is [sign] for a payload that need not make sense. It signs with another library than
// the one that is tested. The header's alg is the algorithm's.
func signText(t testing.TB, algorithm jose.SignatureAlgorithm, key any, header map[string]any, payload []byte) string {
	t.Helper()
	options := &jose.SignerOptions{}
	for name, value := range header {
		options.WithHeader(jose.HeaderKey(name), value)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
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
		t.Errorf("want an anonymous caller, got %+v, %v", got, err)
	}
}

func wantRefused(t *testing.T, c *Callers, kind error, authorization ...string) error {
	t.Helper()
	got, err := c.Identify(t.Context(), "", authorization)
	if got.Kind != "" || !errors.Is(err, kind) {
		t.Errorf("want the error %q, got %+v, %v", kind, got, err)
	}
	return err
}

func TestGoodTokensIdentifyTheirUser(t *testing.T) {
	i := newIssuer(t)
	now := time.Now().Unix()
	ec := keys()["ec"]
	tests := map[string]string{
		"RS256":                i.sign(t, jose.RS256, keys()["rsa"], "rsa", nil),
		"PS256":                i.sign(t, jose.PS256, keys()["rsa"], "rsa", nil),
		"ES256":                i.sign(t, jose.ES256, ec, "ec", nil),
		"EdDSA":                i.sign(t, jose.EdDSA, keys()["ed"], "ed", nil),
		"no kid":               i.sign(t, jose.ES256, ec, "", nil),
		"audience in a list":   i.good(t, map[string]any{"aud": []string{"other", "chat-app"}}),
		"client_id and no aud": i.good(t, map[string]any{"aud": nil, "client_id": "chat-app"}),
		"client_id, empty aud": i.good(t, map[string]any{"aud": []string{}, "client_id": "chat-app"}),
		"members of null":      i.good(t, map[string]any{"aud": null, "client_id": "chat-app", "nbf": null, "events": null, "token_use": null, "cnf": null, "azp": null}),
		"another client_id":    i.good(t, map[string]any{"client_id": "other", "azp": "other"}),
		"nbf now":              i.good(t, map[string]any{"nbf": now}),
		"nbf in the past":      i.good(t, map[string]any{"nbf": now - 3600}),
		"exp with a fraction":  i.good(t, map[string]any{"exp": float64(now) + 60.5}),
		// https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html
		"Cognito's id token":     i.good(t, map[string]any{"token_use": "id"}),
		"Cognito's access token": i.good(t, map[string]any{"token_use": "access", "aud": nil, "client_id": "chat-app"}),
		// Keycloak has a claim with the name of the header's typ:
		// https://www.keycloak.org/docs/latest/server_admin/
		"claim typ": i.good(t, map[string]any{"typ": "Bearer"}),
	}
	for _, typ := range []string{"JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"} {
		tests["typ "+typ] = sign(t, jose.ES256, ec, map[string]any{"kid": "ec", "typ": typ}, i.Claims("u1", nil))
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
	ec, foreign := keys()["ec"], keys()["foreign"]
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
	other, _ := json.Marshal(i.Claims("admin", nil))
	logout := map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}
	tests := map[string]string{
		"claims exchanged":              parts[0] + "." + encode(other) + "." + parts[2],
		"signature of zeros":            parts[0] + "." + parts[1] + "." + encode(make([]byte, 64)),
		"no signature":                  parts[0] + "." + parts[1] + ".",
		"two parts":                     parts[0] + "." + parts[1],
		"foreign key, our kid":          i.sign(t, jose.ES256, foreign, "ec", nil),
		"foreign key, no kid":           i.sign(t, jose.ES256, foreign, "", nil),
		"foreign key, own kid":          i.sign(t, jose.ES256, foreign, "foreign", nil),
		"foreign key in its own header": sign(t, jose.ES256, foreign, map[string]any{"jwk": public("foreign")}, i.Claims("u1", nil)),
		"kid of another key":            i.sign(t, jose.ES256, ec, "rsa", nil),
		"private key that is published": i.sign(t, jose.ES256, keys()["leaked"], "leaked", nil),
		"key for encryption":            i.sign(t, jose.RS256, keys()["encrypted"], "encrypted", nil),
		"alg none":                      encode([]byte(`{"alg":"none"}`)) + "." + encode(plain) + ".",
		"alg none with a signature":     encode([]byte(`{"alg":"none","kid":"ec"}`)) + "." + encode(plain) + "." + parts[2],
		"alg None":                      encode([]byte(`{"alg":"None"}`)) + "." + encode(plain) + ".",
		"HS256, known secret":           i.sign(t, jose.HS256, knownSecret, "oct", nil),
		"HS256, no kid":                 i.sign(t, jose.HS256, knownSecret, "", nil),
		"HS256, public key as DER":      i.sign(t, jose.HS256, der, "rsa", nil),
		"HS256, public key as PEM":      i.sign(t, jose.HS256, pemKey, "rsa", nil),
		"claims null":                   sign(t, jose.ES256, ec, map[string]any{"kid": "ec"}, nil),
		"JSON form":                     whole.FullSerialize(),
		"garbage":                       "garbage",
		"garbage with dots":             "a.b.c",
		"nothing":                       "",
		"two tokens":                    good + "," + good,
		"a word after it":               good + " x",
	}
	for name, changes := range map[string]map[string]any{
		"expired":                         {"exp": now - 1},
		"no exp":                          {"exp": nil},
		"exp as text":                     {"exp": "tomorrow"},
		"nbf in 60 s":                     {"nbf": now + 60},
		"nbf in a day":                    {"nbf": now + 86400},
		"nbf as text":                     {"nbf": "yesterday"},
		"foreign audience":                {"aud": "other"},
		"foreign audience, our client_id": {"aud": "other", "client_id": "chat-app"},
		"empty list, foreign client_id":   {"aud": []string{}, "client_id": "other"},
		"odd audience, our client_id":     {"aud": map[string]any{"chat-app": true}, "client_id": "chat-app"},
		"empty audience":                  {"aud": ""},
		"part of the audience":            {"aud": "chat"},
		"no audience":                     {"aud": nil},
		"no audience, foreign client_id":  {"aud": nil, "client_id": "other"},
		"no audience, azp":                {"aud": nil, "azp": "chat-app"},
		"foreign issuer":                  {"iss": "https://other.example"},
		"issuer with a slash":             {"iss": i.URL + "/"},
		"no issuer":                       {"iss": nil},
		"no sub":                          {"sub": nil},
		"empty sub":                       {"sub": ""},
		"refresh token":                   {"token_use": "refresh"},
		"empty use":                       {"token_use": ""},
		"use in upper case":               {"token_use": "ID"},
		"uses in a list":                  {"token_use": []string{"id"}},
		"logout token without a type":     {"events": logout},
		"events as text":                  {"events": "logout"},
	} {
		tests[name] = i.good(t, changes)
	}
	for _, typ := range []any{
		"logout+jwt", "LOGOUT+JWT", "application/logout+jwt", "secevent+jwt", "dpop+jwt", "oauth-authz-req+jwt",
		"token-introspection+jwt", "application/okta-internal-at+jwt", "", []string{"JWT"},
	} {
		tests[fmt.Sprintf("typ %q", typ)] = sign(t, jose.ES256, ec, map[string]any{"kid": "ec", "typ": typ}, i.Claims("u1", nil))
	}
	c := i.callers(t, nil)
	for name, token := range tests {
		t.Run(name, func(t *testing.T) {
			err := wantRefused(t, c, ErrBadToken, "Bearer "+token)
			if err != nil && token != "" && (strings.Contains(err.Error(), token) || strings.Contains(err.Error(), "u1")) {
				t.Errorf("want neither token nor user in the error, got %v", err)
			}
			if strings.HasPrefix(name, "HS256") && err != errAlgorithm {
				t.Errorf("want the algorithm refused before any key is tried, got %v", err)
			}
		})
	}
}

func TestAuthorizationFields(t *testing.T) {
	i := newIssuer(t)
	c := i.callers(t, nil)
	token := i.good(t, nil)
	good, bad := "Bearer "+token, "Bearer garbage"
	for _, fields := range [][]string{{"bearer " + token}, {"BEARER " + token}, {"Bearer   " + token + " "}, {"Basic dTpw", good}, {good, "Basic dTpw"}} {
		wantUser(t, c, "u1", fields...)
	}
	for _, fields := range [][]string{
		nil, {""}, {"Basic dTpw"}, {"AWS4-HMAC-SHA256 Credential=AKID/x, SignedHeaders=host, Signature=0"}, {"Bearerish " + token}, {token},
	} {
		wantAnonymous(t, c, fields...)
	}
	for _, fields := range [][]string{{"Bearer"}, {"Bearer "}, {bad}, {bad, good}, {good + ", " + good}, {good + ",Basic dTpw"}, {"Bearer " + good}} {
		wantRefused(t, c, ErrBadToken, fields...)
	}
	if got, err := c.Identify(t.Context(), "arn:aws:iam::1:user/x", []string{bad}); got.Kind != Service || err != nil {
		t.Errorf("want an IAM principal to be a service whatever else it sends, got %+v, %v", got, err)
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
			t.Errorf("%q: want an anonymous caller, got %+v, %v", field, caller, err)
		case ok && !errors.Is(err, ErrBadToken):
			t.Errorf("%q: want an error, got %+v, %v", field, caller, err)
		}
	})
}

func TestWithoutAnIssuerEverybodyIsAnonymous(t *testing.T) {
	i := newIssuer(t)
	c := i.callers(t, map[string]string{"OIDC_ISSUER": ""})
	wantAnonymous(t, c, "Bearer "+i.good(t, nil))
	wantAnonymous(t, c, "Bearer garbage")
	wantAnonymous(t, &Callers{}, "Bearer "+i.good(t, nil))
	if i.requests() != 0 {
		t.Errorf("want no requests, got %d", i.requests())
	}
}

func TestKeysAreFetchedForTheFirstTokenWorthVerifyingAndKept(t *testing.T) {
	i := newIssuer(t)
	c := i.callers(t, nil)
	wantAnonymous(t, c)
	wantAnonymous(t, c, "Basic dTpw")
	wantRefused(t, c, ErrBadToken, "Bearer garbage")
	for _, changes := range []map[string]any{{"events": "logout"}, {"iss": "other"}, {"aud": "other"}, {"exp": 1}, {"sub": nil}} {
		wantRefused(t, c, ErrBadToken, "Bearer "+i.good(t, changes))
	}
	if i.requests() != 0 {
		t.Errorf("want no request before the first such token, got %d", i.requests())
	}
	for range 3 {
		wantUser(t, c, "u1", "Bearer "+i.good(t, nil))
		wantRefused(t, c, ErrBadToken, "Bearer "+i.good(t, map[string]any{"aud": "other"}))
	}
	if want := map[string]int{"/.well-known/openid-configuration": 1, "/keys": 1}; !maps.Equal(i.asked, want) {
		t.Errorf("want %v, got %v", want, i.asked)
	}
}

func TestFetchesOfAnIssuerThatIsDownBackOff(t *testing.T) {
	i := newIssuer(t)
	i.status = http.StatusInternalServerError
	synctest.Test(t, func(t *testing.T) {
		forged := make([]string, 200)
		for n := range forged {
			forged[n] = "Bearer " + i.sign(t, jose.ES256, keys()["foreign"], fmt.Sprint(n), nil)
		}
		good := "Bearer " + i.good(t, nil)
		c := i.offline(t, nil)
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

func TestKeysThatCannotBeFetchedMakeTokensUnverifiable(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*testIssuer)
		cause  string
	}{
		"down":                       {func(i *testIssuer) { i.status = http.StatusServiceUnavailable }, "status 503; it must be 200"},
		"rate limit":                 {func(i *testIssuer) { i.status = http.StatusTooManyRequests }, ErrThrottled.Error()},
		"metadata of another issuer": {func(i *testIssuer) { i.Metadata["issuer"] = "https://other.example" }, "the metadata is of issuer"},
		"keys over http":             {func(i *testIssuer) { i.Metadata["jwks_uri"] = "http://192.0.2.1/keys" }, "jwks_uri in the issuer's metadata: its URL is not https"},
		"no jwks_uri":                {func(i *testIssuer) { delete(i.Metadata, "jwks_uri") }, "jwks_uri in the issuer's metadata: its URL is not https"},
		"redirect to http":           {func(i *testIssuer) { i.redirect = "http://192.0.2.1/moved" }, "redirect: its URL is not https"},
		"endless redirects":          {func(i *testIssuer) { i.redirect = i.URL + "/.well-known/openid-configuration" }, "redirects more than 3 times"},
		"no usable key":              {func(i *testIssuer) { i.Keys = i.Keys[:4] }, ErrNoKeys.Error()},
		"a list of keys": {func(i *testIssuer) {
			i.more = map[string]http.Handler{"/keys": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `[{"kty":"EC"}]`) })}
		}, "another kind of document: it has an unexpected array"},
		"no keys":  {func(i *testIssuer) { i.Keys = []any{} }, ErrNoKeys.Error()},
		"too long": {func(i *testIssuer) { i.Metadata["x"] = strings.Repeat("x", maxDocument) }, "the answer is over 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			i := newIssuer(t)
			test.change(i)
			c := i.callers(t, nil)
			err := wantRefused(t, c, ErrUnavailable, "Bearer "+i.good(t, nil))
			if err == nil || !strings.Contains(err.Error(), test.cause) || errors.Is(err, ErrThrottled) != (name == "rate limit") {
				t.Errorf("want cause %q, got %v", test.cause, err)
			}
			if i.requests() > 5 {
				t.Errorf("want the few requests of one try, got %d", i.requests())
			}
			wantAnonymous(t, c)
			wantRefused(t, c, ErrBadToken, "Bearer garbage")
		})
	}
}

// roundTrip answers without a network, for tests in a synctest bubble.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// offline returns callers that reach the issuer without a network.
func (i *testIssuer) offline(t *testing.T, env map[string]string) *Callers {
	t.Helper()
	c := i.callers(t, env)
	c.issuers[i.URL].keys.client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		i.ServeHTTP(w, r)
		return w.Result(), nil
	})
	return c
}

func TestUnknownKeyIDsCauseAFetchAMinuteAtMost(t *testing.T) {
	i := newIssuer(t)
	synctest.Test(t, func(t *testing.T) {
		known := i.good(t, nil)
		next := i.sign(t, jose.ES256, keys()["next"], "next", nil)
		made := i.sign(t, jose.ES256, keys()["foreign"], "made up", nil)
		c := i.offline(t, nil)
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
		i.Keys = []any{public("next")} // rotated after a stranger has caused a fetch
		want(next, false, 2)
		time.Sleep(time.Minute - time.Second)
		want(next, false, 2)
		time.Sleep(time.Second)
		want(next, true, 3)
		want(known, false, 3) // withdrawn by the issuer
	})
}

func TestRepeatedTokenIsVerifiedOnceAndStillExpires(t *testing.T) {
	i := newIssuer(t)
	token := i.good(t, map[string]any{"exp": 946684860}) // a minute into the bubble's time
	synctest.Test(t, func(t *testing.T) {
		c := i.offline(t, nil)
		wantUser(t, c, "u1", "Bearer "+token)
		for n := range c.issuers[i.URL].keys.keys {
			c.issuers[i.URL].keys.keys[n].public = keys()["foreign"].Public() // which verifies no signature
		}
		wantUser(t, c, "u1", "Bearer "+token)
		time.Sleep(time.Minute)
		wantRefused(t, c, ErrBadToken, "Bearer "+token)
	})
}

func TestRememberedTokensAreBounded(t *testing.T) {
	for _, size := range []int{1, 10_000} {
		s := newKeySet(time.Hour)
		s.due = now().Add(time.Hour)
		for n := range maxVerified + 10 {
			s.remember(hash{byte(n), byte(n >> 8)}, Caller{}, size, 0)
		}
		s.remember(hash{31: 1}, Caller{}, size, -1)
		s.remember(hash{31: 2}, Caller{}, maxVerifiedBytes+1, 0)
		_, old := s.user(hash{31: 1})
		_, huge := s.user(hash{31: 2})
		if want := min(maxVerified, maxVerifiedBytes/size); len(s.seen) != want || s.size != want*size || old || huge {
			t.Errorf("want %d tokens, and none verified with older keys, got %d of %d bytes, %t, %t", want, len(s.seen), s.size, old, huge)
		}
	}
}

func TestTokenWithAnUnknownKeyIsNotBadWhileTheIssuerIsDown(t *testing.T) {
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
		t.Errorf("want one fetch in that minute, got %d", i.asked["/.well-known/openid-configuration"]-1)
	}
}

func TestFetchHasATimeout(t *testing.T) {
	i := newIssuer(t)
	synctest.Test(t, func(t *testing.T) {
		s := i.offline(t, nil).issuers[i.URL].keys
		s.client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		start := time.Now()
		if _, err := s.verify(t.Context(), func(key) bool { return true }); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != fetchTimeout {
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
