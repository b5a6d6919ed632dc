package main

import (
	"net/http"
	"strings"
	"testing"

	"chat-service-backend/internal/issuer"
)

func TestBearerTokensCount(t *testing.T) {
	t.Parallel()
	s := sharedReal(t)
	for query, user := range map[string]string{"": "alice", "?user=bob": "bob"} {
		g := call(t, "GET", s.clientURL+issuer.BearerPath+query, "")
		if g.status != 200 || !strings.HasPrefix(g.header.Get("Content-Type"), "text/plain") {
			t.Fatalf("want a token as text, got %+v", g)
		}
		if g := call(t, "GET", s.clientURL+"/token/"+user, "", "Authorization", "Bearer "+g.body); g.status != 201 {
			t.Errorf("want a token that makes its bearer %s, got %+v", user, g)
		}
	}
	if g := call(t, "GET", s.clientURL+"/.local/other", ""); g.status != 404 {
		t.Errorf("want nothing at other paths, got %+v", g)
	}
	if g := call(t, "POST", s.clientURL+issuer.BearerPath, ""); g.status != http.StatusMethodNotAllowed {
		t.Errorf("want GET only, got %+v", g)
	}
}

func TestNoIssuerWhereAnotherOrNoneIsConfigured(t *testing.T) {
	t.Parallel()
	for configured, environment := range map[string]string{
		"https://issuer.example.com": "\nOIDC_ISSUER=https://issuer.example.com\n",
		"":                           "\nOIDC_ISSUER=\n",
	} {
		s, _ := startTest(t, func(o *options) { o.overrides["OidcIssuer"], o.overrides["OidcAudience"] = configured, "app" })
		for _, path := range []string{issuer.BearerPath, issuerPath + "/.well-known/jwks.json", issuerPath + "/.well-known/openid-configuration"} {
			if g := call(t, "GET", s.clientURL+path, ""); g.status != 404 {
				t.Errorf("%q: want nothing at %s, got %+v", configured, path, g)
			}
		}
		if got := "\n" + call(t, "GET", s.clientURL+"/echo/env", "").body + "\n"; !strings.Contains(got, environment) || !strings.Contains(got, "\nOIDC_AUDIENCE=app\n") {
			t.Errorf("%q: want the configured issuer and audience in the functions' environment, got %s", configured, got)
		}
		var out strings.Builder
		s.greet(&out)
		if strings.Contains(out.String(), "bearer") || !strings.HasSuffix(out.String(), "\nready\n") {
			t.Errorf("%q: want no bearer token in the greeting, got %s", configured, out.String())
		}
	}
}
