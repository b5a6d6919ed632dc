package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"strings"

	"chat-service-backend/shared/identity"
)

// audiences describes the audiences of well-known issuers' tokens.
var audiences = []struct {
	issuer, audience *regexp.Regexp
	want             string
}{
	{regexp.MustCompile(`^https://cognito-idp\.`), regexp.MustCompile(`^[a-z0-9]{20,}$`), "the id of an app client of the user pool"},
	{regexp.MustCompile(`^https://accounts\.google\.com`), regexp.MustCompile(`\.apps\.googleusercontent\.com$`), "an OAuth client id, ...apps.googleusercontent.com"},
	{regexp.MustCompile(`\.supabase\.co/auth/v1$`), regexp.MustCompile(`^authenticated$`), "authenticated"},
}

// wantedAudience returns a description of an issuer's audiences if this is not one.
func wantedAudience(issuer, audience string) string {
	if project, ok := strings.CutPrefix(issuer, "https://securetoken.google.com/"); ok && audience != project {
		return "the project, " + project
	}
	for _, known := range audiences {
		if known.issuer.MatchString(issuer) && !known.audience.MatchString(audience) {
			return known.want
		}
	}
	return ""
}

// issuers reads the configuration and fetches the keys with the functions' own code.
func (d *doctor) issuers(ctx context.Context) {
	correct := "correct deploy/" + d.at.Environment + ".env (docs/sign-in.md), then " + d.again("deploy")
	callers, err := identity.FromEnv(d.stack.Getenv)
	if err != nil {
		d.bad("issuer", correct, "%v", err)
		return
	}
	issuers := callers.Issuers()
	if len(issuers) == 0 {
		d.warn("issuer", "set OidcIssuer and OidcAudience: docs/sign-in.md", "none, so nobody can sign in on the Client API")
	}
next:
	for _, issuer := range issuers {
		for _, audience := range issuer.Audiences {
			if want := wantedAudience(issuer.Name, audience); want != "" {
				d.bad("issuer", correct, "OidcAudience of %s is %s and must be %s", issuer.Name, audience, want)
				continue next
			}
			if audience == "account" {
				d.bad("issuer", "add an audience mapper to your client at Keycloak, or set OidcAudience=azp:CLIENT, then "+d.again("deploy"),
					"OidcAudience of %s is account, which Keycloak puts into the tokens of every client: those of any other app count", issuer.Name)
				continue next
			}
		}
		err := issuer.FetchKeys(ctx)
		if errors.Is(err, identity.ErrNoKeys) {
			d.bad("issuer", "have the issuer publish a key that counts: docs/sign-in.md#the-issuers-keys", "%s: %v", issuer.Name, err)
			continue
		}
		if err != nil {
			do := "the issuer must answer from the internet within 3 s: ask whoever runs it"
			switch reason := NetworkFault(err); {
			case errors.Is(err, identity.ErrOtherIssuer):
				do = "make OidcIssuer exactly the tokens' iss, with or without a slash at its end; if it is, ask whoever runs the issuer"
			case reason == UnknownHost:
				do = "there is no such host: make OidcIssuer exactly the tokens' iss"
			case reason == ExpiredCertificate:
				do = "ask whoever runs it to renew its certificate; if it has not expired, set this machine's clock"
			case errors.As(err, new(*json.SyntaxError)):
				do = "something else answers there, such as a login page: the functions must reach it without a sign-in"
			case reason == BadCertificate:
				do = "its certificate is not one that everybody trusts, so the functions refuse it: get one of a public authority"
			case strings.Contains(err.Error(), "redirects"), strings.Contains(err.Error(), "another kind of document"), strings.Contains(err.Error(), "jwks_uri in"):
				do = "correct OidcDiscoveryUrl or OidcJwksUrl in deploy/" + d.at.Environment + ".env, then " + d.again("deploy") + "; if neither is set, ask whoever runs the issuer"
			case strings.Contains(err.Error(), "status 404"):
				do = "make OidcIssuer exactly the tokens' iss; if it is, set OidcDiscoveryUrl or OidcJwksUrl"
			}
			d.bad("issuer", do, "%s: %v", issuer.Name, err)
			continue
		}
		for _, key := range issuer.Skipped() {
			d.warn("issuer", "nothing, if no token is signed with it; otherwise ask whoever runs the issuer", "%s has a key that cannot be used: %s", issuer.Name, key)
		}
		d.ok("issuer", "%s has keys (ops doctor -token FILE checks a token)", issuer.Name)
	}
}
