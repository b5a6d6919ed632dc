package identity

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"chat-service-backend/shared/userid"
)

func TestClaimBecomesAUserID(t *testing.T) {
	i := newIssuer(t)
	for _, claim := range []string{"chat_id", "https://acme.com/chat_id"} {
		c := i.callers(t, map[string]string{"USER_ID_CLAIM": claim})
		for _, claims := range []map[string]any{{claim: "auth0|1"}, {claim: "auth0|1", "sub": nil}} {
			caller, err := c.Identify(t.Context(), "", []string{"Bearer " + i.good(t, claims)})
			if err != nil || caller.UserID != "auth0@-7C1" || caller.Claim != "auth0|1" {
				t.Errorf("want auth0@-7C1, got %+v, %v", caller, err)
			}
		}
		for _, value := range []any{nil, "", 7, []string{"jo"}, map[string]any{}, true} {
			wantRefused(t, c, ErrBadToken, "Bearer "+i.good(t, map[string]any{claim: value, strings.ToUpper(claim): "jo"}))
		}
	}
}

// encoding/json would turn half of a surrogate pair, and bytes that are not UTF-8,
// into U+FFFD, and so several users into one.
func TestClaimThatIsNotUnicodeIsRefused(t *testing.T) {
	i := newIssuer(t)
	c := i.callers(t, nil)
	bearer := func(sub string) string {
		rest := fmt.Sprintf(`,"iss":%q,"aud":"chat-app","exp":%d}`, i.URL, time.Now().Unix()+60)
		// json.Marshal would not write these claims.
		return "Bearer " + signText(t, jose.ES256, keys()["ec"], map[string]any{"kid": "ec"}, []byte(`{"sub":"`+sub+`"`+rest))
	}
	for _, sub := range []string{`\ud800`, `\udc00`, `a\ud83dz`, `\ud83d\u0041`, `\ud83d\ud83d`, `\ufffd\udfff`, `\\\ud800`, "\xff", "a\xed\xa0\x80", "\ufffd\xc0"} {
		wantRefused(t, c, ErrBadToken, bearer(sub))
	}
	for sub, want := range map[string]string{
		`\ufffd`: "\ufffd", "\ufffd": "\ufffd", `\ud83d\ude00\ufffd`: "😀\ufffd", `\\ud800\ufffd`: `\ud800` + "\ufffd", `\uFFFD\uD83D\uDE00`: "\ufffd😀",
	} {
		wantUser(t, c, userid.Map("", want), bearer(sub))
	}
}

func TestEachIssuerHasItsOwnAudienceClaimAndIDs(t *testing.T) {
	web, staff := newIssuer(t), newIssuer(t)
	c := web.callers(t, map[string]string{
		"OIDC_ISSUER":   web.URL + ", staff=" + staff.URL,
		"OIDC_AUDIENCE": "chat-app,staff=portal,staff=admin=portal",
		"USER_ID_CLAIM": "staff=oid",
	})
	employee := func(changes map[string]any) string {
		all := map[string]any{"aud": "portal", "sub": "u1", "oid": "jane"}
		for name, value := range changes {
			all[name] = value
		}
		return "Bearer " + staff.good(t, all)
	}
	wantUser(t, c, "u1", "Bearer "+web.good(t, nil))
	wantUser(t, c, "staff@--jane", employee(nil))
	wantUser(t, c, "staff@--jane", employee(map[string]any{"aud": "admin=portal"}))
	wantUser(t, c, "staff@-40--jane", "Bearer "+web.good(t, map[string]any{"sub": "staff@--jane"}))
	for name, authorization := range map[string]string{
		"the other issuer's audience": employee(map[string]any{"aud": "chat-app"}),
		"the same, the other way":     "Bearer " + web.good(t, map[string]any{"aud": "portal"}),
		"without its claim":           employee(map[string]any{"oid": nil}),
		"a prefix as the issuer":      employee(map[string]any{"iss": "staff"}),
	} {
		t.Run(name, func(t *testing.T) { wantRefused(t, c, ErrBadToken, authorization) })
	}
}

func TestKeysOfOneIssuerDoNotVerifyTokensOfAnother(t *testing.T) {
	web, staff := newIssuer(t), newIssuer(t)
	web.set(func() { web.Keys = []any{public("rsa")} })
	c := web.callers(t, map[string]string{"OIDC_ISSUER": web.URL + ",staff=" + staff.URL, "OIDC_AUDIENCE": "chat-app,staff=chat-app"})
	wantUser(t, c, "staff@--u1", "Bearer "+staff.good(t, nil))
	wantRefused(t, c, ErrBadToken, "Bearer "+staff.good(t, map[string]any{"iss": web.URL}))
}

func TestConfiguredAudiencesAndPartiesAreAccepted(t *testing.T) {
	i := newIssuer(t)
	c := i.callers(t, map[string]string{"OIDC_AUDIENCE": "api, ios,,azp:web "})
	for _, claims := range []map[string]any{
		{"aud": "api"}, {"aud": "ios"}, {"aud": nil, "client_id": "ios"}, {"aud": "api", "azp": "other"}, {"aud": "account", "azp": "web"}, {"aud": nil, "azp": "web"},
	} {
		wantUser(t, c, "u1", "Bearer "+i.good(t, claims))
	}
	for _, claims := range []map[string]any{
		{"aud": ""}, {"aud": " ios"}, {"aud": "api, ios"}, {"aud": "chat-app"}, {"aud": "web"}, {"aud": "azp:web"},
		{"aud": "account", "azp": "other"}, {"aud": "account", "azp": "api"}, {"aud": nil, "azp": []string{"web"}},
	} {
		wantRefused(t, c, ErrBadToken, "Bearer "+i.good(t, claims))
	}
}

func TestMetadataMayBeElsewhereButMustNameTheIssuer(t *testing.T) {
	i := newIssuer(t) // publishes the metadata of another
	i.redirect = strings.TrimSuffix(i.URL, "/realm") + "/moved/.well-known/openid-configuration"
	const name = "https://sts.example.com/tenant/"
	env := map[string]string{"OIDC_ISSUER": name, "OIDC_DISCOVERY_URL": i.URL + "/"}
	token := "Bearer " + i.good(t, map[string]any{"iss": name})
	wantRefused(t, i.callers(t, env), ErrUnavailable, token)
	i.set(func() { i.Metadata["issuer"] = name })
	c := i.callers(t, env)
	wantUser(t, c, "u1", token)
	for _, other := range []string{i.URL, strings.TrimSuffix(name, "/")} {
		wantRefused(t, c, ErrBadToken, "Bearer "+i.good(t, map[string]any{"iss": other}))
	}
}

func TestBadSettingIsAnErrorThatNamesIt(t *testing.T) {
	for _, test := range []struct {
		variable string
		env      string
	}{
		{"OIDC_ISSUER", "OIDC_ISSUER=http://issuer.example OIDC_AUDIENCE=app"},
		{"OIDC_ISSUER", "OIDC_ISSUER=issuer.example OIDC_AUDIENCE=app"},
		{"OIDC_ISSUER", "OIDC_ISSUER=https://a,https://b"},
		{"OIDC_ISSUER", "OIDC_ISSUER=https://a,x=https://a"},
		{"OIDC_ISSUER", "OIDC_ISSUER=x=https://a,x=https://b"},
		{"OIDC_ISSUER", "OIDC_ISSUER=https://a,@x=https://b"},
		{"OIDC_ISSUER", "OIDC_ISSUER=https://a,=https://b"},
		{"OIDC_ISSUER", "OIDC_ISSUER=https://a,x=http://b"},
		{"OIDC_ISSUER", "OIDC_ISSUER=https://a," + strings.Repeat("x", 33) + "=https://b"},
		{"OIDC_AUDIENCE", "OIDC_ISSUER=https://a"},
		{"OIDC_AUDIENCE", "OIDC_ISSUER=https://a OIDC_AUDIENCE=,"},
		{"OIDC_AUDIENCE", "OIDC_ISSUER=https://a OIDC_AUDIENCE=azp:"},
		{"OIDC_AUDIENCE", "OIDC_ISSUER=https://a,x=https://b OIDC_AUDIENCE=app,x="},
		{"OIDC_AUDIENCE", "OIDC_ISSUER=https://a,x=https://b OIDC_AUDIENCE=app"},
		{"OIDC_AUDIENCE", "OIDC_ISSUER=https://a,x=https://b OIDC_AUDIENCE=x=app"},
		{"OIDC_AUDIENCE", "OIDC_ISSUER=x=https://a OIDC_AUDIENCE=x=app,app"},
		{"USER_ID_CLAIM", "OIDC_ISSUER=https://a OIDC_AUDIENCE=app USER_ID_CLAIM=sub,oid"},
		{"USER_ID_CLAIM", "OIDC_ISSUER=https://a,x=https://b OIDC_AUDIENCE=app,x=app USER_ID_CLAIM=sub,y=oid"},
		{"USER_ID_CLAIM", "OIDC_ISSUER=https://a,x=https://b OIDC_AUDIENCE=app,x=app USER_ID_CLAIM=x="},
		{"OIDC_DISCOVERY_URL", "OIDC_ISSUER=https://a OIDC_AUDIENCE=app OIDC_DISCOVERY_URL=http://a"},
		{"OIDC_ISSUER", "OIDC_ISSUER=https://a|https://a OIDC_AUDIENCE=app"},
		{"OIDC_ISSUER", "OIDC_ISSUER=https://a| OIDC_AUDIENCE=app"},
		{"OIDC_ISSUER", "OIDC_ISSUER=https://a|http://b OIDC_AUDIENCE=app"},
		{"OIDC_AUDIENCE", "OIDC_ISSUER=https://a OIDC_AUDIENCE=app+azp:"},
		{"OIDC_JWKS_URL", "OIDC_ISSUER=https://a OIDC_AUDIENCE=app OIDC_JWKS_URL=http://a/keys"},
		{"OIDC_JWKS_URL", "OIDC_ISSUER=https://a OIDC_AUDIENCE=app OIDC_JWKS_URL=keys"},
		{"OIDC_KEY_MAX_AGE", "OIDC_ISSUER=https://a OIDC_AUDIENCE=app OIDC_KEY_MAX_AGE=1h"},
		{"OIDC_KEY_MAX_AGE", "OIDC_ISSUER=https://a OIDC_AUDIENCE=app OIDC_KEY_MAX_AGE=86401"},
		{"MAX_TOKEN_LIFETIME", "OIDC_ISSUER=https://a OIDC_AUDIENCE=app MAX_TOKEN_LIFETIME=0"},
		{"OIDC_AUDIENCE", "OIDC_ISSUER=https://a OIDC_AUDIENCE=app+machine:"},
		{"REQUIRED_CLAIMS", "OIDC_ISSUER=https://a OIDC_AUDIENCE=app REQUIRED_CLAIMS=plan"},
		{"REQUIRED_CLAIMS", "OIDC_ISSUER=https://a OIDC_AUDIENCE=app REQUIRED_CLAIMS=plan=pro|"},
	} {
		env := map[string]string{}
		for _, setting := range strings.Fields(test.env) {
			name, value, _ := strings.Cut(setting, "=")
			env[name] = value
		}
		_, err := FromEnv(func(name string) string { return env[name] })
		if err == nil || !strings.HasPrefix(err.Error(), test.variable+":") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: want one line that names %s, got %v", test.env, test.variable, err)
		}
	}
}

func TestIssuersFetchesTheirKeys(t *testing.T) {
	web, staff := newIssuer(t), newIssuer(t)
	staff.Keys = []any{}
	c := web.callers(t, map[string]string{"OIDC_ISSUER": web.URL + ",staff=" + staff.URL, "OIDC_AUDIENCE": "chat-app,web=2,,staff=portal"})
	all := map[string]Issuer{}
	for _, i := range c.Issuers() {
		all[i.Name] = i
	}
	if got := all[web.URL].Audiences; len(all) != 2 || !slices.Equal(got, []string{"chat-app", "web=2"}) {
		t.Errorf("want two issuers with their audiences, got %+v", all)
	}
	if err := all[web.URL].FetchKeys(t.Context()); err != nil {
		t.Errorf("want keys, got %v", err)
	}
	if err := all[staff.URL].FetchKeys(t.Context()); err == nil {
		t.Error("want an error for an issuer without keys, got nil")
	}
}
