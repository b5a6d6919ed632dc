package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"

	"chat-service-backend/internal/issuer"
)

// An OpenID client of others' making trusts the issuer's tokens.
func TestIssuersTokensVerify(t *testing.T) {
	t.Parallel()
	s, _ := sharedTest(t)
	provider, err := oidc.NewProvider(t.Context(), s.clientURL+issuerPath)
	if err != nil {
		t.Fatal(err)
	}
	verifier := provider.Verifier(&oidc.Config{ClientID: "local"})
	for query, want := range map[string]string{"": "alice", "?user=bob%40x": "bob@x"} {
		g := call(t, "GET", s.clientURL+issuer.BearerPath+query, "")
		if g.status != 200 || !strings.HasPrefix(g.header.Get("Content-Type"), "text/plain") {
			t.Fatalf("want a token as text, got %+v", g)
		}
		token, err := verifier.Verify(t.Context(), g.body)
		if err != nil || token.Subject != want || token.Expiry.Sub(token.IssuedAt) != issuer.Life {
			t.Errorf("want a token of %s for 12 h, got %+v, %v", want, token, err)
		}
	}
	if g := call(t, "GET", s.clientURL+"/.local/other", ""); g.status != 404 {
		t.Errorf("want nothing at other paths, got %+v", g)
	}
	if g := call(t, "POST", s.clientURL+issuer.BearerPath, ""); g.status != http.StatusMethodNotAllowed {
		t.Errorf("want GET only, got %+v", g)
	}
}

func TestIssuerStandsBackWhereOneIsConfigured(t *testing.T) {
	t.Parallel()
	s, _ := startTest(t, func(o *options) {
		o.overrides["OidcIssuer"], o.overrides["OidcAudience"] = "https://issuer.example.com", "app"
	})
	for _, path := range []string{issuer.BearerPath, issuerPath + "/jwks.json", issuerPath + "/.well-known/openid-configuration"} {
		if g := call(t, "GET", s.clientURL+path, ""); g.status != 404 {
			t.Errorf("%s: want nothing there, got %+v", path, g)
		}
	}
	if got := call(t, "GET", s.clientURL+"/echo/env", "").body; !strings.Contains(got, "OIDC_ISSUER=https://issuer.example.com\n") ||
		!strings.Contains(got+"\n", "OIDC_AUDIENCE=app\n") {
		t.Errorf("want the configured issuer and audience at the functions, got %s", got)
	}
	var out strings.Builder
	s.greet(&out)
	if strings.Contains(out.String(), "bearer") || !strings.HasSuffix(out.String(), "\nready\n") {
		t.Errorf("want no bearer token in the greeting, got %s", out.String())
	}
}

func TestEmptyOverrideMeansNoIssuerAtAll(t *testing.T) {
	t.Parallel()
	s, _ := startTest(t, func(o *options) { o.overrides["OidcIssuer"] = "" })
	if g := call(t, "GET", s.clientURL+issuer.BearerPath, ""); g.status != 404 {
		t.Errorf("want no bearer token, got %+v", g)
	}
	if got := call(t, "GET", s.clientURL+"/echo/env", "").body; !strings.Contains(got+"\n", "OIDC_ISSUER=\n") {
		t.Errorf("want an empty issuer at the functions, got %s", got)
	}
}
