package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// published returns the members of a public key, with changes.
func published(t testing.TB, name string, changes map[string]any) map[string]any {
	t.Helper()
	text, err := public(name).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		t.Fatal(err)
	}
	for member, v := range changes {
		if members[member] = v; v == nil {
			delete(members, member)
		}
	}
	return members
}

// certificate returns a certificate of a key, as in x5c.
func certificate(t testing.TB, name string) string {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, keys()[name].Public(), keys()[name])
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

// null is a member with the value null.
var null = json.RawMessage("null")

func TestKeysCountAsTheyArePublished(t *testing.T) {
	rsaOnly := map[string]any{"kty": "RSA", "kid": "rsa", "x5c": []string{certificate(t, "rsa")}}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip(err) // Go refuses to make one
	}
	p224, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	odd := []any{ // none of which harms the others
		nil, "key", 7, map[string]any{}, map[string]any{"kty": "AKP", "alg": "ML-DSA-65", "kid": "rsa", "pub": "AAAA"},
		map[string]any{"kty": "OKP", "crv": "X25519", "kid": "ed", "x": base64.RawURLEncoding.EncodeToString(make([]byte, 32))},
		map[string]any{"kty": "EC", "crv": "secp256k1", "kid": "ec", "x": "AQ", "y": "AQ"},
		map[string]any{"kty": "RSA", "kid": "rsa"}, map[string]any{"kty": "RSA", "kid": "rsa", "x5c": []string{"AAAA"}},
		map[string]any{"kty": "EC", "kid": "ec", "crv": "P-256", "x": "AQ", "y": "AQ"},
		map[string]any{"kty": "EC", "kid": "rsa", "x5c": []string{certificate(t, "rsa")}},
	}
	for name, test := range map[string]struct {
		key    map[string]any
		kid    string // of the token; - for none
		alg    jose.SignatureAlgorithm
		signer string
		why    string // the key cannot be used, or "" if it can
	}{
		"x5t of another certificate": {published(t, "rsa", map[string]any{"x5t": "AAAA", "x5t#S256": "AAAA", "x5c": []string{certificate(t, "rsa")}}), "rsa", "RS256", "rsa", ""},
		"x5t in hexadecimal":         {published(t, "rsa", map[string]any{"x5t": base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("0a", 20))), "x5c": []string{"?"}}), "rsa", "RS256", "rsa", ""},
		"x5c only":                   {rsaOnly, "rsa", "PS256", "rsa", ""},
		"x5c only, without a type":   {map[string]any{"kid": "ec", "x5c": []string{certificate(t, "ec")}}, "ec", "ES256", "ec", ""},
		"x5c with PEM's armour":      {map[string]any{"kty": "OKP", "x5c": []string{"-----BEGIN CERTIFICATE-----\n" + certificate(t, "ed") + "\n-----END CERTIFICATE-----\n"}}, "-", "EdDSA", "ed", ""},
		"no kid":                     {published(t, "ec", map[string]any{"kid": nil}), "-", "ES256", "ec", ""},
		"no kid, but the token's":    {published(t, "ec", map[string]any{"kid": nil}), "x", "ES256", "ec", ""},
		"kid null":                   {published(t, "ec", map[string]any{"kid": null, "alg": null}), "-", "ES256", "ec", ""},
		"kid empty":                  {published(t, "ec", map[string]any{"kid": ""}), "", "ES256", "ec", ""},
		"kid, but no token's":        {published(t, "ec", map[string]any{"kid": "client id"}), "-", "ES256", "ec", ""},
		"kid is a number":            {published(t, "ec", map[string]any{"kid": 7}), "7", "ES256", "ec", ""},
		"Base64 with padding":        {published(t, "ed", map[string]any{"x": base64.StdEncoding.EncodeToString(keys()["ed"].Public().(ed25519.PublicKey))}), "ed", "EdDSA", "ed", ""},
		"alg Ed25519":                {published(t, "ed", map[string]any{"alg": "Ed25519"}), "ed", "EdDSA", "ed", ""},
		"alg of the token":           {published(t, "rsa", map[string]any{"alg": "PS256"}), "rsa", "PS256", "rsa", ""},
		"another alg":                {published(t, "rsa", map[string]any{"alg": "PS256"}), "rsa", "RS256", "rsa", "-"},
		"alg for encryption":         {published(t, "rsa", map[string]any{"alg": "RSA-OAEP"}), "rsa", "RS256", "rsa", `its alg is "RSA-OAEP"`},
		"alg of another type":        {published(t, "rsa", map[string]any{"alg": "ES256"}), "rsa", "RS256", "rsa", `its alg is "ES256"`},
		"another kid":                {published(t, "ec", map[string]any{"kid": "other"}), "ec", "ES256", "ec", "-"},
		"1,024 bits":                 {published(t, "rsa", map[string]any{"n": base64.RawURLEncoding.EncodeToString(small.N.Bytes())}), "rsa", "RS256", "rsa", "it has 1024 bits"},
		"16,392 bits":                {published(t, "rsa", map[string]any{"n": base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("\xff", 2049)))}), "rsa", "RS256", "rsa", "it has 16392 bits"},
		"an even exponent":           {published(t, "rsa", map[string]any{"e": "AQAA"}), "rsa", "RS256", "rsa", "its exponent"},
		"exponent 1":                 {published(t, "rsa", map[string]any{"e": "AQ"}), "rsa", "RS256", "rsa", "its exponent"},
		"exponent as a number":       {published(t, "rsa", map[string]any{"e": 65537}), "rsa", "RS256", "rsa", "its exponent (e) is not"},
		"private members of null":    {published(t, "rsa", map[string]any{"d": null, "p": null, "x5c": null, "use": null, "key_ops": null, "oth": null}), "rsa", "RS256", "rsa", ""},
		"private":                    {published(t, "ec", map[string]any{"d": "AQ"}), "ec", "ES256", "ec", "its private half"},
		"private, by one exponent":   {published(t, "rsa", map[string]any{"dp": "AQ"}), "rsa", "RS256", "rsa", "its private half"},
		"for encryption":             {published(t, "rsa", map[string]any{"use": "enc"}), "rsa", "RS256", "rsa", "it is for encryption"},
		"for encryption, by key_ops": {published(t, "rsa", map[string]any{"key_ops": []string{"wrapKey"}}), "rsa", "RS256", "rsa", "it is for encryption"},
		"symmetric":                  {map[string]any{"kty": "oct", "kid": "ec", "k": "AAAA"}, "ec", "ES256", "ec", `its type is "oct"`},
	} {
		t.Run(name, func(t *testing.T) {
			i := newIssuer(t)
			// A key of the same id that fits nothing, and one that another token needs.
			i.Keys = append(odd[:len(odd):len(odd)], map[string]any{"kty": "EC", "crv": "P-256", "kid": "ec", "x": base64.RawURLEncoding.EncodeToString(p224.X.Bytes()), "y": base64.RawURLEncoding.EncodeToString(p224.Y.Bytes())}, public("next"), test.key)
			c := i.callers(t, nil)
			header := map[string]any{"kid": test.kid}
			if test.kid == "-" {
				header = nil
			}
			token := "Bearer " + sign(t, test.alg, keys()[test.signer], header, i.Claims("u1", nil))
			if test.why == "" {
				wantUser(t, c, "u1", token)
			} else {
				wantRefused(t, c, ErrBadToken, token)
			}
			wantUser(t, c, "u1", "Bearer "+i.sign(t, jose.ES256, keys()["next"], "next", nil))
			skipped := strings.Join(c.Issuers()[0].Skipped(), "\n")
			if test.why != "-" && test.why != "" && !strings.Contains(skipped, test.why) || !strings.Contains(skipped, `its type is "AKP"`) || !strings.Contains(skipped, `its curve is "secp256k1"`) {
				t.Errorf("want each skipped key and why (%s), got:\n%s", test.why, skipped)
			}
		})
	}
}

func TestDocumentsMayBeginWithAByteOrderMark(t *testing.T) {
	i := newIssuer(t)
	marked := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "\ufeff")
		i.Issuer.ServeHTTP(w, r)
	})
	i.more = map[string]http.Handler{"/keys": marked, "/" + wellKnown: marked}
	wantUser(t, i.callers(t, nil), "u1", "Bearer "+i.good(t, nil))
}

func TestEd25519IsAcceptedByItsNewName(t *testing.T) {
	i := newIssuer(t)
	c := i.callers(t, nil)
	claims, err := json.Marshal(i.Claims("u1", nil))
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"Ed25519","kid":"ed"}`)) + "." + encode(claims)
	signature, err := keys()["ed"].Sign(nil, []byte(signed), crypto.Hash(0))
	if err != nil {
		t.Fatal(err)
	}
	wantUser(t, c, "u1", "Bearer "+signed+"."+encode(signature))
	signature[0] ^= 1
	wantRefused(t, c, ErrBadToken, "Bearer "+signed+"."+encode(signature))
}

// rotation is an issuer in a synctest bubble, reached without a network.
type rotation struct {
	*testIssuer
	c *Callers
}

// want expects that a token signed by a key counts, or is refused with an error of a kind.
func (r rotation) want(t *testing.T, kid, signer string, kind error) {
	t.Helper()
	_, err := r.c.Identify(t.Context(), "", []string{"Bearer " + r.sign(t, jose.ES256, keys()[signer], kid, nil)})
	if !errors.Is(err, kind) {
		t.Errorf("token of key %s as %q: want %v, got %v", signer, kid, kind, err)
	}
}

func bubble(t *testing.T, env map[string]string, run func(*testing.T, rotation)) {
	i := newIssuer(t)
	keys()
	synctest.Test(t, func(t *testing.T) { run(t, rotation{i, i.offline(t, env)}) })
}

func TestAReplacedKeyIsFetchedWhateverItsID(t *testing.T) {
	for _, kid := range []string{"ec", ""} {
		bubble(t, nil, func(t *testing.T, r rotation) {
			as := func(name string) any { return published(t, name, map[string]any{"kid": kid}) }
			r.Keys = []any{as("ec")}
			r.want(t, kid, "ec", nil)
			r.want(t, kid, "ec", nil) // remembered
			r.Keys = []any{as("next")}
			r.want(t, kid, "next", nil)
			r.want(t, kid, "ec", errWithdrawn)
			// Nobody can know whether this one was rotated again or made up.
			r.Keys = []any{as("foreign")}
			r.want(t, kid, "foreign", ErrTooSoon)
			r.want(t, kid, "next", nil)
			time.Sleep(refetchAfter)
			r.want(t, kid, "foreign", nil)
			r.want(t, kid, "next", errWithdrawn)
			r.want(t, kid, "leaked", ErrTooSoon)
			time.Sleep(refetchAfter)
			r.want(t, kid, "leaked", errSignature) // fetched, and nothing has changed
			r.want(t, kid, "leaked", errSignature)
			if r.asked["/keys"] != 4 {
				t.Errorf("want a fetch a minute, got %d", r.asked["/keys"])
			}
		})
	}
}

func TestAWithdrawnKeyEndsAfterItsGreatestAge(t *testing.T) {
	bubble(t, map[string]string{"OIDC_KEY_MAX_AGE": "600"}, func(t *testing.T, r rotation) {
		token := "Bearer " + r.good(t, nil)
		wantUser(t, r.c, "u1", token)
		r.Keys = []any{public("next")}
		wantUser(t, r.c, "u1", token)
		time.Sleep(10 * time.Minute)
		wantRefused(t, r.c, errWithdrawn, token)
		r.want(t, "next", "next", nil)
		// The keys' address is known: the metadata was read once.
		if want := map[string]int{"/.well-known/openid-configuration": 1, "/keys": 2}; !maps.Equal(r.asked, want) {
			t.Errorf("want %v, got %v", want, r.asked)
		}
		// It has moved.
		r.Metadata["jwks_uri"] = r.URL + "/moved"
		time.Sleep(10 * time.Minute)
		r.want(t, "next", "next", nil)
		if r.asked["/moved"] != 1 {
			t.Errorf("want the keys' new address found, got %v", r.asked)
		}
	})
}

func TestAKeyIsAnotherOnceItsAlgorithmChanges(t *testing.T) {
	bubble(t, nil, func(t *testing.T, r rotation) {
		r.Keys = []any{published(t, "rsa", map[string]any{"alg": "RS256"})}
		token := "Bearer " + r.sign(t, jose.RS256, keys()["rsa"], "rsa", nil)
		wantUser(t, r.c, "u1", token)
		r.Keys = []any{published(t, "rsa", map[string]any{"alg": "PS256"})}
		wantUser(t, r.c, "u1", "Bearer "+r.sign(t, jose.PS256, keys()["rsa"], "rsa", nil))
		wantRefused(t, r.c, errWithdrawn, token) // although it was remembered
	})
}

func TestKeysAreServedStaleForADay(t *testing.T) {
	bubble(t, nil, func(t *testing.T, r rotation) {
		r.want(t, "ec", "ec", nil)
		r.status = http.StatusBadGateway
		before := r.requests()
		for range 5 {
			time.Sleep(time.Hour)
			r.want(t, "ec", "ec", nil)
			r.want(t, "ec", "ec", nil)
		}
		if asked := r.requests() - before; asked > 15 {
			t.Errorf("want one try at a time, got %d requests", asked)
		}
		time.Sleep(20 * time.Hour)
		r.want(t, "ec", "ec", ErrUnavailable)
		r.status = 0
		time.Sleep(lastRetry)
		r.want(t, "ec", "ec", nil)
	})
}

func TestOnlyALoopbackIssuerMayHaveItsKeysThere(t *testing.T) {
	for _, target := range []string{
		"http://127.0.0.1:9001/keys", "http://localhost:9001/keys", "https://127.0.0.1/keys", "https://localhost./keys", "https://[::1]/keys",
		"http://[::ffff:127.0.0.1]/keys", "https://0.0.0.0/keys", "http://issuer.example/keys", "file:///keys", "/keys", "",
	} {
		for _, redirected := range []bool{false, true} {
			i := newIssuer(t)
			i.URL = "https://issuer.example/realm"
			i.Metadata = map[string]any{"issuer": i.URL, "jwks_uri": target}
			c := i.callers(t, nil)
			asked := []string{}
			c.issuers[i.URL].keys.client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				asked = append(asked, r.URL.Host)
				w := httptest.NewRecorder()
				if redirected && strings.Contains(target, "//") {
					http.Redirect(w, r, target, http.StatusFound)
				} else {
					i.ServeHTTP(w, r)
				}
				return w.Result(), nil
			})
			wantRefused(t, c, ErrUnavailable, "Bearer "+i.good(t, nil))
			if len(asked) != 1 || asked[0] != "issuer.example" {
				t.Errorf("%q, redirected %t: want one request to the issuer, got %q", target, redirected, asked)
			}
		}
	}
}

func TestKeysCanBeFetchedAtStartWithoutDelayingOrFailingIt(t *testing.T) {
	bubble(t, nil, func(t *testing.T, r rotation) {
		<-r.c.Load(t.Context())
		if r.requests() != 2 {
			t.Errorf("want metadata and keys fetched, got %d requests", r.requests())
		}
		r.want(t, "ec", "ec", nil)
		if r.requests() != 2 {
			t.Errorf("want no further request, got %d", r.requests())
		}
	})
	bubble(t, nil, func(t *testing.T, r rotation) { // the issuer is down
		r.status = http.StatusBadGateway
		<-r.c.Load(t.Context())
		r.status = 0
		r.want(t, "ec", "ec", nil)
	})
	bubble(t, nil, func(t *testing.T, r rotation) { // the issuer is slow
		slow := r.c.issuers[r.URL].keys.client
		next := slow.Transport
		slow.Transport = roundTrip(func(q *http.Request) (*http.Response, error) { time.Sleep(time.Second); return next.RoundTrip(q) })
		start := time.Now()
		<-r.c.Load(t.Context())
		if took := time.Since(start); took != startDelay {
			t.Errorf("want the start delayed by 0.5 s, got %v", took)
		}
		r.want(t, "ec", "ec", nil) // waits for that fetch
		if took := time.Since(start); took != 2*time.Second || r.requests() != 2 {
			t.Errorf("want one fetch, of 2 s, got %d requests, %v", r.requests(), took)
		}
	})
	<-(&Callers{}).Load(t.Context())
}

func TestMetadataAndKeysAreFetchedOverOneConnection(t *testing.T) {
	i := newIssuer(t)
	var connections atomic.Int64
	server := httptest.NewUnstartedServer(i)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	i.URL = server.URL + "/realm"
	i.Metadata = map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys"}
	wantUser(t, i.callers(t, nil), "u1", "Bearer "+i.good(t, nil))
	if connections.Load() != 1 {
		t.Errorf("want one connection, got %d", connections.Load())
	}
}

func TestUsualPlaceIsThatOfTheProvider(t *testing.T) {
	for base, want := range map[string]string{
		"https://acme.eu.auth0.com/":                 "https://acme.eu.auth0.com/.well-known/jwks.json",
		"https://appleid.apple.com":                  "https://appleid.apple.com/auth/keys",
		"https://acme-ab12cd.zitadel.cloud":          "https://acme-ab12cd.zitadel.cloud/oauth/v2/keys",
		"https://acme.okta.com/oauth2/default":       "https://acme.okta.com/oauth2/default/v1/keys",
		"https://login.microsoftonline.com/8ea/v2.0": "https://login.microsoftonline.com/8ea/discovery/v2.0/keys",
	} {
		u, err := url.Parse(base)
		if got := usualKeys(u)[0].String(); err != nil || got != want {
			t.Errorf("%s: want %s, got %s, %v", base, want, got, err)
		}
	}
}

// The metadata comes only once keys are asked for at each usual place.
func TestKeysAtAUsualPlaceSaveARoundTrip(t *testing.T) {
	for _, c := range []struct {
		path, keys, usual string // of the issuer and its keys, and what usual places answer first
		requests          int    // for the keys
	}{
		{"", "/.well-known/jwks.json", "", 1}, {"", "/jwks", "", 1}, {"", "/keys", "", 1}, {"", "/oauth2/jwks", "", 1},
		{"", "/jwks", "busy", 2}, {"", "/elsewhere", "nothing", 1}, {"", "/elsewhere", `{"keys":[{"kty":"oct"}]}`, 1},
		{"/realms/acme", "/protocol/openid-connect/certs", "", 1},
	} {
		i := newIssuer(t)
		var mu sync.Mutex
		requests := map[string]int{}
		asked := make(chan bool, 10)
		places := usualKeys(&url.URL{Path: c.path + "/"})
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			requests[r.URL.Path]++
			first := requests[r.URL.Path] == 1
			mu.Unlock()
			switch isUsual := slices.ContainsFunc(places, func(u *url.URL) bool { return u.Path == r.URL.Path }); {
			case r.URL.Path == c.path+"/"+wellKnown:
				for range places {
					select {
					case <-asked:
					case <-r.Context().Done():
					}
				}
			case isUsual && first:
				asked <- true
				if c.usual != "" {
					io.WriteString(w, c.usual)
					return
				}
			}
			i.ServeHTTP(w, r)
		}))
		server.EnableHTTP2 = true
		server.StartTLS()
		i.URL = server.URL + c.path
		i.Metadata = map[string]any{"issuer": i.URL, "jwks_uri": i.URL + c.keys}
		callers := i.callers(t, nil)
		callers.issuers[i.URL].keys.client.Transport = server.Client().Transport
		wantUser(t, callers, "u1", "Bearer "+i.good(t, nil))
		mu.Lock()
		if got := requests[c.path+c.keys]; got != c.requests {
			t.Errorf("%v: want %d requests for the keys, got %d", c, c.requests, got)
		}
		mu.Unlock()
		server.Close()
	}
}

func TestKeysMayBeWhereNoMetadataIs(t *testing.T) {
	i := newIssuer(t)
	i.Metadata["issuer"] = "nobody's"
	for _, name := range []string{i.URL, "acme.com", "https://acme.com/"} {
		c := i.callers(t, map[string]string{"OIDC_ISSUER": name, "OIDC_JWKS_URL": i.URL + "/keys"})
		wantUser(t, c, "u1", "Bearer "+i.good(t, map[string]any{"iss": name}))
		wantRefused(t, c, errIssuer, "Bearer "+i.good(t, map[string]any{"iss": name + "/"}))
	}
	if i.asked["/.well-known/openid-configuration"] != 0 {
		t.Error("want no request for the metadata")
	}
}

func TestNamesOfOneIssuerHaveTheSameUsers(t *testing.T) {
	old, moved := newIssuer(t), newIssuer(t)
	moved.Keys = []any{public("next")}
	c := old.callers(t, map[string]string{"OIDC_ISSUER": "x=" + old.URL + "|" + moved.URL + "|acme.com", "OIDC_AUDIENCE": "x=chat-app"})
	wantUser(t, c, "x@--u1", "Bearer "+old.good(t, nil))
	wantUser(t, c, "x@--u1", "Bearer "+moved.sign(t, jose.ES256, keys()["next"], "next", nil))
	wantUser(t, c, "x@--u1", "Bearer "+old.good(t, map[string]any{"iss": "acme.com"}))
	wantRefused(t, c, ErrBadToken, "Bearer "+moved.good(t, nil))
	wantRefused(t, c, errIssuer, "Bearer "+old.good(t, map[string]any{"iss": old.URL + "|" + moved.URL}))

	old.Metadata["issuer"] = "acme.com"
	c = old.callers(t, map[string]string{"OIDC_ISSUER": "acme.com", "OIDC_DISCOVERY_URL": old.URL + "/" + wellKnown})
	wantUser(t, c, "u1", "Bearer "+old.good(t, map[string]any{"iss": "acme.com"}))
}

func TestTokensThatAreNotForCallsAreRefused(t *testing.T) {
	i := newIssuer(t)
	now := time.Now().Unix()
	for name, test := range map[string]struct {
		changes map[string]any
		want    error
	}{
		"Casdoor's":                     {map[string]any{"tokenType": "refresh-token"}, errRefresh},
		"Casdoor's, JWT-Custom":         {map[string]any{"tokenType": "access-token", "TokenType": "refresh-token"}, errRefresh},
		"Authorizer's magic link":       {map[string]any{"token_type": "magic_link_login"}, errPurpose},
		"Authorizer's sign-up":          {map[string]any{"token_type": "basic_auth_signup"}, errPurpose},
		"Keycloak's forgotten password": {map[string]any{"typ": "reset-credentials"}, errPurpose},
		"Keycloak's actions":            {map[string]any{"typ": "execute-actions"}, errPurpose},
		"a verified address":            {map[string]any{"purpose": "email_verification"}, errPurpose},
		"Authorizer's access token":     {map[string]any{"token_type": "access_token"}, nil},
		"a user who signed in by mail":  {map[string]any{"type": "email"}, nil},
		"ForgeRock's":                   {map[string]any{"tokenName": "refresh_token", "token_type": "Bearer"}, errRefresh},
		"Quasr's":                       {map[string]any{"https://api.quasr.io/claims/typ": "oauth2:refresh"}, errRefresh},
		"Pocket ID's":                   {map[string]any{"type": "refresh-token"}, errRefresh},
		"Authorizer's":                  {map[string]any{"token_type": "refresh_token"}, errRefresh},
		"Keycloak's":                    {map[string]any{"typ": "Refresh"}, errRefresh},
		"Keycloak's, offline":           {map[string]any{"typ": "Offline"}, errRefresh},
		"in a list":                     {map[string]any{"type": []string{"oauth-refresh-token"}}, errRefresh},
		"unmarked, 30 days":             {map[string]any{"exp": now + 30*86400}, errLifetime},
		"unmarked, 30 days, no iat":     {map[string]any{"exp": now + 30*86400, "iat": nil}, errLifetime},
		"30 days, issued in 29":         {map[string]any{"exp": now + 30*86400, "iat": now + 29*86400}, errLifetime},
		"a minute ahead":                {map[string]any{"exp": now + 86400, "iat": now + 60}, nil},
		"Keycloak's logout token":       {map[string]any{"typ": "Logout"}, errPurpose},
		"DPoP":                          {map[string]any{"cnf": map[string]any{"jkt": "x"}}, errBound},
		"mutual TLS":                    {map[string]any{"cnf": map[string]any{"x5t#S256": "x"}}, errBound},
		"Auth0's machine":               {map[string]any{"sub": "c1@clients", "azp": "c1", "gty": "client-credentials"}, errMachine},
		"Auth0's machine, another sub":  {map[string]any{"gty": "client-credentials"}, errMachine},
		"Auth0's machine, RFC 9068":     {map[string]any{"sub": "c1@clients", "client_id": "c1"}, errMachine},
		"RFC 9068's machine":            {map[string]any{"sub": "c1", "client_id": "c1"}, errMachine},
		"Okta's machine":                {map[string]any{"sub": "c1", "cid": "c1"}, errMachine},
		"Pocket ID's machine":           {map[string]any{"sub": "client-chat-app"}, errMachine},
		"Descope's":                     {map[string]any{"drn": "DSR"}, errRefresh},
		"Descope's session token":       {map[string]any{"drn": "DS"}, nil},
		"WSO2's machine":                {map[string]any{"aut": "APPLICATION"}, errMachine},
		"WSO2's user":                   {map[string]any{"aut": "APPLICATION_USER"}, nil},
		"Casdoor's machine, JWT-Empty":  {map[string]any{"sub": "admin/app", "jti": "admin/6f1c", "tokenType": "access-token"}, errMachine},
		"Casdoor's user":                {map[string]any{"jti": "admin/6f1c", "tokenType": "access-token"}, nil},
		"Authorizer's machine":          {map[string]any{"login_method": "service_account"}, errMachine},
		"Casdoor's machine":             {map[string]any{"sub": "admin/app", "type": "application"}, errMachine},
		"Keycloak's machine":            {map[string]any{"azp": "c1", "preferred_username": "service-account-c1"}, errMachine},
		"Entra ID's machine":            {map[string]any{"azp": "c1", "azpacr": "1", "roles": []string{"x"}}, errMachine},
		"Entra ID's, with idtyp":        {map[string]any{"idtyp": "app"}, errMachine},
		"Kinde's machine":               {map[string]any{"gty": []string{"client_credentials"}}, errMachine},
		"Entra ID's user":               {map[string]any{"azp": "c1", "azpacr": "1", "scp": "chat"}, nil},
		"Pocket ID's access token":      {map[string]any{"type": "oauth-access-token"}, nil},
		"Casdoor's access token":        {map[string]any{"tokenType": "access-token", "azp": "chat-app"}, nil},
		"Keycloak's access token":       {map[string]any{"typ": "Bearer", "cnf": null}, nil},
		"a user whose type is a word":   {map[string]any{"type": "premium"}, nil},
		"a day":                         {map[string]any{"exp": now + 86400, "iat": now}, nil},
		"another grant":                 {map[string]any{"gty": "password"}, nil},
		"no iat":                        {map[string]any{"iat": nil}, nil},
		"a client that is not the user": {map[string]any{"client_id": "c1", "azp": "c1", "sub": "u1"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			token := "Bearer " + i.good(t, test.changes)
			if test.want == nil {
				wantUser(t, i.callers(t, nil), "u1", token)
				return
			}
			wantRefused(t, i.callers(t, nil), test.want, token)
		})
	}
	c := i.callers(t, map[string]string{"OIDC_AUDIENCE": "chat-app,machine:c1,other+machine:c2"})
	for _, changes := range []map[string]any{{"sub": "c1", "client_id": "c1"}, {"sub": "c1", "client_id": "c1", "aud": "any"}, {"sub": "c2", "client_id": "c2", "aud": "other"}} {
		wantUser(t, c, changes["sub"].(string), "Bearer "+i.good(t, changes))
	}
	wantRefused(t, c, errMachine, "Bearer "+i.good(t, map[string]any{"sub": "c2", "client_id": "c2"}))
	wantRefused(t, c, errAudience, "Bearer "+i.good(t, map[string]any{"client_id": "c1", "aud": "any"})) // a user's
	wantRefused(t, i.callers(t, map[string]string{"MAX_TOKEN_LIFETIME": "3600"}), errLifetime, "Bearer "+i.good(t, nil))
}

func TestAClientCanBeRequiredBesidesAnAudience(t *testing.T) {
	i := newIssuer(t)
	c := i.callers(t, map[string]string{"OIDC_AUDIENCE": "authenticated+azp:web,authenticated+azp:ios,azp:old"})
	for _, claims := range []map[string]any{
		{"aud": "authenticated", "client_id": "web"}, {"aud": []string{"x", "authenticated"}, "azp": "ios"}, {"aud": "x", "client_id": "old"}, {"aud": nil, "cid": "old"},
	} {
		wantUser(t, c, "u1", "Bearer "+i.good(t, claims))
	}
	for _, claims := range []map[string]any{
		{"aud": "authenticated"}, {"aud": "authenticated", "client_id": "other"}, {"aud": "other", "client_id": "web"}, {"aud": "authenticated", "azp": "other", "client_id": "web"},
		{"aud": "authenticated+azp:web"}, {"aud": nil, "client_id": "web"},
	} {
		wantRefused(t, c, ErrBadToken, "Bearer "+i.good(t, claims))
	}
}

func TestReasonsTellAbsentFromWrong(t *testing.T) {
	i := newIssuer(t)
	c := i.callers(t, nil)
	for want, changes := range map[string]map[string]any{
		"the token has no audience":                      {"aud": nil},
		"claim aud is an object, not a text or":          {"aud": map[string]any{}},
		"claim aud is a number, not a text or":           {"aud": 7},
		"the token is for another audience":              {"aud": "other"},
		"the token has no issuer":                        {"iss": nil},
		"claim iss is a list, not a text":                {"iss": []string{i.URL}},
		"the token is another issuer's":                  {"iss": "other"},
		"the token has no expiry":                        {"exp": nil},
		"claim exp is a text, not a time in seconds":     {"exp": "tomorrow"},
		"the token has expired":                          {"exp": 1},
		"claim nbf is true or false, not a time":         {"nbf": true},
		"the token is not valid yet":                     {"nbf": 1 << 39},
		"claim sub is a number, not a text":              {"sub": 42},
		"the token has no claim sub":                     {"sub": nil},
		"claim sub is empty":                             {"sub": ""},
		"claim sub is an object, not a text":             {"sub": map[string]any{"id": "u1"}},
		"the token is bound to a key of the client":      {"cnf": map[string]any{}},
		"the token is valid for longer than MaxTokenLif": {"exp": 1 << 39},
	} {
		if err := wantRefused(t, c, ErrBadToken, "Bearer "+i.good(t, changes)); err != nil && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v: want %q, got %q", changes, want, err)
		}
	}
	for claim, value := range map[string]string{"iss": `"` + i.URL + `\ud800"`, "sub": `"\ud800"`, "aud": `"\ud800"`} {
		if err := wantRefused(t, c, ErrBadToken, "Bearer "+i.good(t, map[string]any{claim: json.RawMessage(value)})); err == nil || err.Error() != "claim "+claim+" is not Unicode" {
			t.Errorf("%s: want it named as not Unicode, got %v", claim, err)
		}
	}
	good := i.good(t, nil)
	rest := good[strings.IndexByte(good, '.'):]
	header := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) + rest }
	for token, want := range map[string]error{
		"opaque": errUnreadable, "v2.local.abc": errUnreadable, good + "." + "x.y": errEncrypted, header(`{"alg":"none"}`): errAlgorithm, header(`{"alg":"HS256"}`): errAlgorithm,
		header(`{"alg":"ES256K"}`): errAlgorithm, header(`{}`): errAlgorithm, header(`{"alg":"ES256","crit":["exp"],"exp":1}`): errCritical,
	} {
		wantRefused(t, c, want, "Bearer "+token)
	}
}

func TestRequiredClaimsAreAForbiddenNotABadToken(t *testing.T) {
	i := newIssuer(t)
	c := i.callers(t, map[string]string{"REQUIRED_CLAIMS": "https://acme.com/plan=pro|team,email_verified=true,scope=chat"})
	with := func(plan, verified, scope any) string {
		return "Bearer " + i.good(t, map[string]any{"https://acme.com/plan": plan, "email_verified": verified, "scope": scope})
	}
	wantUser(t, c, "u1", with("pro", true, "openid chat"))
	wantUser(t, c, "u1", with([]string{"x", "team"}, "true", []string{"chat"}))
	for _, token := range []string{
		with("free", true, "chat"), with(nil, true, "chat"), with("pro", false, "chat"), with("pro", nil, "chat"), with("pro", true, "chats"), with("pro|team", true, "chat"), with(map[string]any{"pro": 1}, true, "chat"),
	} {
		for range 2 { // also once it is remembered
			if err := wantRefused(t, c, ErrNotAllowed, token); errors.Is(err, ErrBadToken) {
				t.Errorf("want a good token, got %v", err)
			}
		}
	}
	forged := i.sign(t, jose.ES256, keys()["foreign"], "ec", nil)
	wantRefused(t, c, ErrBadToken, "Bearer "+forged)
}

func TestUserInfoCompletesClaimsOncePerToken(t *testing.T) {
	i := newIssuer(t)
	i.Metadata["userinfo_endpoint"] = i.URL + "/userinfo"
	answer, status, asked := `{"sub":"u1","name":"Jane","picture":"https://i","iss":"x"}`, http.StatusOK, 0
	var authorization string
	server := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		authorization = r.Header.Get("Authorization")
		w.WriteHeader(status)
		w.Write([]byte(answer))
	})
	i.more = map[string]http.Handler{"/userinfo": server}
	for _, env := range []map[string]string{{"USER_INFO": "true"}, {"USER_INFO": "true", "OIDC_JWKS_URL": i.URL + "/keys"}} {
		c := i.callers(t, env)
		asked = 0
		token := i.good(t, map[string]any{"nickname": "J", "jti": env["OIDC_JWKS_URL"]})
		complete := func() Claims {
			t.Helper()
			caller, err := c.Identify(t.Context(), "", []string{"Bearer " + token})
			if err != nil {
				t.Fatal(err)
			}
			return c.Complete(t.Context(), caller, []string{"name", "nickname", "absent"}).Claims
		}
		for range 3 {
			claims := complete()
			name, _ := claims.Text("name")
			nickname, _ := claims.Text("nickname")
			if iss, _ := claims.Text("iss"); name != "Jane" || nickname != "J" || iss != i.URL || claims.has("picture") || claims.has("absent") {
				t.Errorf("want the missing name and nothing else, got %s", claims)
			}
		}
		if asked != 1 || authorization != "Bearer "+token {
			t.Errorf("want one request with the token, got %d", asked)
		}
	}
	for name, change := range map[string]func(){
		"another user": func() { answer = `{"sub":"u2","name":"Jim"}` },
		"nobody":       func() { answer = `{"name":"Jim"}` },
		"a JWT":        func() { answer = "a.b.c" },
		"down":         func() { status = http.StatusBadGateway },
	} {
		change()
		asked = 0
		c := i.callers(t, map[string]string{"USER_INFO": "true"})
		token := "Bearer " + i.good(t, map[string]any{"jti": name})
		for range 2 {
			caller, err := c.Identify(t.Context(), "", []string{token})
			if err != nil || c.Complete(t.Context(), caller, []string{"name"}).Claims.has("name") {
				t.Errorf("%s: want the token's claims, got %v", name, err)
			}
		}
		if asked != 1 {
			t.Errorf("%s: want one request a minute, got %d", name, asked)
		}
	}
	caller, _ := i.callers(t, nil).Identify(t.Context(), "", []string{"Bearer " + i.good(t, nil)})
	if asked = 0; i.callers(t, nil).Complete(t.Context(), caller, []string{"name"}).Claims.has("name") || asked != 0 {
		t.Error("want no request without USER_INFO")
	}
}
