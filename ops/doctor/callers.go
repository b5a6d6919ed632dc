package doctor

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"chat-service-backend/ops/stack"
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
	correct := "correct deploy/" + d.at.Environment + ".env (docs/sign-in.md), then " + d.make("deploy")
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
				d.bad("issuer", correct, "OidcAudience of %s: want %s, got %s", issuer.Name, want, audience)
				continue next
			}
		}
		if err := issuer.FetchKeys(ctx); err != nil {
			d.bad("issuer", "make OidcIssuer exactly the tokens' iss; if it is, ask whoever runs the issuer", "%s: %v", issuer.Name, err)
		} else {
			d.ok("issuer", "%s has keys (ops doctor -token FILE checks a token)", issuer.Name)
		}
	}
}

func (d *doctor) clientAPI(ctx context.Context) {
	base := d.stack.Outputs["ClientApiUrl"]
	var body struct {
		APIKey string `json:"api_key"`
	}
	a, err := stack.Fetch(ctx, http.MethodGet, base+"/api-key", nil, nil)
	if err == nil {
		if date, err := http.ParseTime(a.Header.Get("Date")); err == nil {
			d.clock("the Client API", date)
		}
		err = a.Decode(&body)
	}
	switch {
	case errors.As(err, new(*url.Error)):
		d.bad("client API", "check the URL, and that the service is running", "no answer: %v", err)
	case err != nil:
		d.bad("client API", "see the log of the apikey function", "%s/api-key: %v", base, err)
	case d.key != "" && body.APIKey != d.key:
		d.bad("client API", "wait for ParameterTtl seconds; after that see the log of the apikey function", "%s/api-key returns another key than the one in Parameter Store", base)
	default:
		d.ok("client API", "%s answers", base)
	}
	const stranger = "https://doctor.invalid"
	allowed := d.stack.Parameters["AllowedOrigins"]
	for _, origin := range append(slices.DeleteFunc(strings.Split(allowed, ","), func(s string) bool { return s == "" || s == "*" }), stranger) {
		a, err := stack.Fetch(ctx, http.MethodOptions, base+"/config", http.Header{
			"Origin": {origin}, "Access-Control-Request-Method": {"GET"}, "Access-Control-Request-Headers": {"authorization"},
		}, nil)
		if err != nil {
			d.bad("CORS", "see client API", "%v", err)
			return
		}
		got := a.Header.Get("Access-Control-Allow-Origin")
		may := got == origin || got == "*"
		if want := origin != stranger || allowed == "*"; may != want {
			d.bad("CORS", d.make("deploy"), "AllowedOrigins is %q; may pages of %s call the Client API? want %t, got %t", allowed, origin, want, may)
			return
		}
	}
	d.ok("CORS", "pages of %s may call the Client API", cmp.Or(allowed, "no origin"))
}

func (d *doctor) serviceAPI(ctx context.Context) bool {
	if d.service.AWS != nil {
		unsigned := *d.service
		unsigned.AWS = nil
		a, err := unsigned.Send(ctx, http.MethodGet, "/api-key", nil)
		switch private := d.stack.Parameters["ServiceApiVpcEndpointIds"]; {
		case err != nil && private != "":
			d.bad("service API", "run the doctor inside the VPC of "+private, "it is private and cannot be reached from here: %v", err)
			return false
		case err != nil:
			d.bad("service API", "check the network and the output ServiceApiUrl", "no answer: %v", err)
			return false
		case a.Status != http.StatusForbidden:
			d.bad("service API", d.make("deploy")+"; until then anybody may act as the app", "an unsigned call is answered: want 403, got %d", a.Status)
		default:
			d.ok("service API", "refuses unsigned calls")
		}
	}
	err := d.service.Call(ctx, http.MethodGet, "/api-key", nil, nil)
	var r *stack.Refusal
	switch {
	case errors.As(err, &r) && r.Status == http.StatusForbidden:
		d.bad("service API", "attach a policy like docs/policies/full-access.json to your role or user", "a signed call is refused: %v", err)
	case errors.As(err, new(*url.Error)):
		d.bad("service API", "check the URL, and that the service is running", "no answer: %v", err)
	case err != nil:
		d.bad("service API", "see the log of the apikey function", "a signed call: %v", err)
	default:
		d.ok("service API", "%s answers signed calls", d.service.Base)
	}
	return err == nil
}
