package main

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v4"

	"chat-service-backend/internal/issuer"
	"chat-service-backend/shared/userid"
)

// A provider is a file in testdata/providers: the metadata, keys and tokens that the
// documentation at Source shows, or that record/record.mjs had from a real server, and the
// settings that docs/sign-in.md gives.
type provider struct {
	Source    string
	Settings  map[string]string
	Discovery map[string]any
	Keys      []any    // without the keys themselves
	User      string   // the id at Stream, where the documentation shows one
	Refused   []string // the tokens that are not for calls
	Tokens    map[string]struct {
		Header   struct{ Alg, Kid, Typ string }
		Claims   map[string]any // times are those of the test
		OtherApp map[string]any // of the same tenant: what is different in its tokens
	}
}

// providerKeys are generated keys of the types that providers use.
var providerKeys = sync.OnceValue(func() map[string]crypto.Signer {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	_, o, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return map[string]crypto.Signer{"RSA": r, "EC": e, "OKP": o}
})

var host = regexp.MustCompile(`https://([a-z0-9.-]+)`)

// newProvider plays a provider on loopback. Each of its hosts becomes a folder.
func newProvider(t *testing.T, file string) *provider {
	p := &provider{}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(host.ReplaceAll(text, []byte(server.URL+"/$1")), p); err != nil {
		t.Fatal(err)
	}
	for _, v := range p.Keys {
		key := v.(map[string]any)
		text, err := jose.JSONWebKey{Key: providerKeys()[key["kty"].(string)].Public()}.MarshalJSON()
		if err == nil {
			err = json.Unmarshal(text, &key)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	base := p.Settings["OidcDiscoveryUrl"]
	if base == "" {
		base = p.Settings["OidcIssuer"]
	}
	// Each document is at its own address only.
	switch "http://" + r.Host + r.URL.Path {
	case strings.TrimSuffix(base, "/") + "/.well-known/openid-configuration", p.Discovery["jwks_uri"]:
		(&issuer.Issuer{Metadata: p.Discovery, Keys: p.Keys}).ServeHTTP(w, r)
	default:
		http.NotFound(w, r)
	}
}

// bearer returns one of the provider's tokens, with changes.
func (p *provider) bearer(t *testing.T, token string, changes map[string]any) string {
	t.Helper()
	of := p.Tokens[token]
	claims := maps.Clone(of.Claims)
	now := time.Now().Unix()
	for name, at := range map[string]int64{"iat": now, "nbf": now, "auth_time": now, "exp": now + 300} {
		if claims[name] != nil {
			claims[name] = at
		}
	}
	maps.Copy(claims, changes)
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	header := map[string]any{}
	for name, value := range map[string]string{"kid": of.Header.Kid, "typ": of.Header.Typ} {
		if value != "" {
			header[name] = value
		}
	}
	header["alg"] = of.Header.Alg
	first, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode(first) + "." + encode(payload)
	alg, key := of.Header.Alg, "RSA"
	switch {
	case strings.HasPrefix(alg, "ES"):
		key = "EC"
	case strings.HasPrefix(alg, "Ed"):
		alg, key = "EdDSA", "OKP" // jwt knows it by its old name only
	}
	signature, err := jwt.GetSigningMethod(alg).Sign(signed, providerKeys()[key])
	if err != nil {
		t.Fatal(err)
	}
	return "Bearer " + signed + "." + signature
}

func TestUsersOfEachProviderSignIn(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/providers/*.json")
	if err != nil || len(files) < 28 {
		t.Fatalf("want the providers, got %d, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			p := newProvider(t, file)
			var overrides []string
			for name, value := range p.Settings {
				overrides = append(overrides, name+"="+value)
			}
			c, err := startConversation(t, []string{"-parameter-overrides", strings.Join(overrides, " ")})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.server.close)
			ask := func(path, bearer string) (status int, body map[string]any) {
				t.Helper()
				g := call(t, "GET", c.server.clientURL+path, "", "Authorization", bearer)
				if err := json.Unmarshal([]byte(g.body), &body); err != nil {
					t.Fatal(err)
				}
				return g.status, body
			}
			refused := func(name, bearer string) {
				t.Helper()
				if status, body := ask("/token/me", bearer); status != http.StatusUnauthorized {
					t.Errorf("%s: want 401 on /token, got %d %v", name, status, body)
				}
				if status, body := ask("/config?clientType=web", bearer); status != http.StatusOK || body["authentication"] != nil {
					t.Errorf("%s: want /config to know nobody, got %d %v", name, status, body)
				}
			}
			for name, token := range p.Tokens {
				good := p.bearer(t, name, nil)
				want := p.User
				if want == "" {
					claim, _ := token.Claims[cmp.Or(p.Settings["UserIdClaim"], "sub")].(string)
					want = userid.Map("", claim)
				}
				if slices.Contains(p.Refused, name) {
					refused(name, good)
					continue
				}
				if status, body := ask("/token/me", good); status != http.StatusCreated || body["userId"] != want {
					t.Errorf("%s: want the token of %s, got %d %v", name, want, status, body)
				}
				_, body := ask("/config?clientType=web", good)
				if known, _ := body["authentication"].(map[string]any); known["userId"] != want {
					t.Errorf("%s: want /config to know %s, got %v", name, want, body)
				}
				refused(name+" of another app", p.bearer(t, name, token.OtherApp))
				refused(name+" for another audience", p.bearer(t, name, map[string]any{"aud": "another", "client_id": "another", "azp": "another"}))
				refused(name+" of another issuer", p.bearer(t, name, map[string]any{"iss": "https://issuer.example.com"}))
			}
		})
	}
}
