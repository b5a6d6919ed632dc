package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"chat-service-backend/shared/identity"
)

// audiences are what the audience of well-known issuers' tokens looks like.
var audiences = []struct {
	issuer, audience *regexp.Regexp
	want             string
}{
	{regexp.MustCompile(`^https://cognito-idp\.`), regexp.MustCompile(`^[a-z0-9]{20,}$`), "the id of an app client of the user pool"},
	{regexp.MustCompile(`^https://accounts\.google\.com`), regexp.MustCompile(`\.apps\.googleusercontent\.com$`), "an OAuth client id, ...apps.googleusercontent.com"},
	{regexp.MustCompile(`\.supabase\.co/auth/v1$`), regexp.MustCompile(`^authenticated$`), "authenticated"},
}

// issuer has the functions' own code look at a token that names each issuer and
// its audience. As no key fits its signature, that code asks for the keys.
func (d *doctor) issuer(ctx context.Context) {
	do := "correct deploy/" + d.environment + ".env (docs/sign-in.md), then " + d.make("deploy")
	callers, err := identity.FromEnv(d.stack.getenv)
	if err != nil {
		d.bad("issuer", do, "%v", err)
		return
	}
	if d.stack.parameters["OidcIssuer"] == "" {
		d.warn("issuer", "set OidcIssuer and OidcAudience: docs/sign-in.md", "none: nobody is known on the Client API")
		return
	}
	item := regexp.MustCompile(`^(?:([\w-]+)=)?(.+)$`) // prefix=value, or value
	for text := range strings.SplitSeq(d.stack.parameters["OidcIssuer"], ",") {
		m := item.FindStringSubmatch(strings.TrimSpace(text))
		issuer, claims := m[2], document{"iss": m[2], "exp": time.Now().Add(time.Minute).Unix(), "sub": "doctor"}
		for text := range strings.SplitSeq(d.stack.parameters["UserIdClaim"], ",") {
			claims[item.ReplaceAllString(strings.TrimSpace(text), "$2")] = "doctor"
		}
		problem := ""
		for text := range strings.SplitSeq(d.stack.parameters["OidcAudience"], ",") {
			a := item.FindStringSubmatch(strings.TrimSpace(text))
			if a[1] != m[1] {
				continue
			}
			if party, ok := strings.CutPrefix(a[2], "azp:"); ok {
				claims["azp"] = party
				continue
			}
			claims["aud"] = a[2]
			if project, ok := strings.CutPrefix(issuer, "https://securetoken.google.com/"); ok && a[2] != project {
				problem = "the project, " + project
			}
			for _, known := range audiences {
				if known.issuer.MatchString(issuer) && !known.audience.MatchString(a[2]) {
					problem = known.want
				}
			}
		}
		if problem != "" {
			d.bad("issuer", do, "OidcAudience of %s: want %s, got %v", issuer, problem, claims["aud"])
			continue
		}
		payload, _ := json.Marshal(claims)
		token := encode([]byte(`{"alg":"RS256","kid":"doctor"}`)) + "." + encode(payload) + "." + encode([]byte("none"))
		_, err := callers.Identify(ctx, "", []string{"Bearer " + token})
		switch {
		case errors.Is(err, identity.ErrUnavailable):
			d.bad("issuer", "OidcIssuer must be the tokens' iss, to the letter; otherwise ask whoever runs it", "%s: %v", issuer, err)
		case err != nil && strings.Contains(err.Error(), "signature"):
			d.ok("issuer", "%s has keys (ops doctor -token FILE tries a token)", issuer)
		default:
			d.skip("issuer", "%s: a token for it fails before its keys are asked for: %v", issuer, err)
		}
	}
}

// get reads a JSON document from outside.
func (d *doctor) get(ctx context.Context, from string, out any) (http.Header, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	a, err := receive(d.client, r)
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK || json.Unmarshal(a.body, out) != nil {
		return a.header, fmt.Errorf("want 200 and JSON from %s, got %d", from, a.status)
	}
	return a.header, nil
}

func (d *doctor) clientAPI(ctx context.Context) {
	base := d.stack.outputs["ClientApiUrl"]
	var answer struct {
		APIKey string `json:"api_key"`
	}
	header, err := d.get(ctx, base+"/api-key", &answer)
	if date, dateErr := http.ParseTime(header.Get("Date")); dateErr == nil {
		d.clock("the Client API", date)
	}
	switch {
	case errors.As(err, new(*url.Error)):
		d.bad("client API", "check the URL, and that what it names is running", "no answer: %v", err)
	case err != nil:
		d.bad("client API", "see the log of the apikey function", "%v", err)
	case d.key != "" && answer.APIKey != d.key:
		d.bad("client API", "wait for ParameterTtl seconds; after that see the log of the apikey function", "%s/api-key gives another key than Parameter Store", base)
	default:
		d.ok("client API", "%s answers", base)
	}
	const stranger = "https://doctor.invalid"
	allowed := d.stack.parameters["AllowedOrigins"]
	for _, origin := range append(slices.DeleteFunc(strings.Split(allowed, ","), func(s string) bool { return s == "" || s == "*" }), stranger) {
		r, err := http.NewRequestWithContext(ctx, http.MethodOptions, base+"/config", nil)
		if err != nil {
			d.bad("CORS", "", "%v", err)
			return
		}
		r.Header = http.Header{"Origin": {origin}, "Access-Control-Request-Method": {"GET"}, "Access-Control-Request-Headers": {"authorization"}}
		a, err := receive(d.client, r)
		if err != nil {
			d.bad("CORS", "see client API", "%v", err)
			return
		}
		got := a.header.Get("Access-Control-Allow-Origin")
		if want := origin != stranger || allowed == "*"; want != (got == origin || got == "*") {
			d.bad("CORS", d.make("deploy"), "AllowedOrigins is %q, and pages of %s may call the Client API: want %t, got %t", allowed, origin, want, !want)
			return
		}
	}
	d.ok("CORS", "pages of %s may call the Client API", cmp.Or(allowed, "no origin"))
}

func (d *doctor) serviceAPI(ctx context.Context) bool {
	private := d.stack.parameters["ServiceApiVpcEndpointIds"]
	if d.service.cfg != nil {
		unsigned := *d.service
		unsigned.cfg = nil
		switch a, err := unsigned.send(ctx, http.MethodGet, "/api-key", nil); {
		case err != nil && private != "":
			d.bad("service API", "run the doctor inside the VPC of "+private, "cannot be reached from here, as it is private: %v", err)
			return false
		case err != nil:
			d.bad("service API", "check the network, and the output ServiceApiUrl", "%v", err)
			return false
		case a.status != http.StatusForbidden:
			d.bad("service API", d.make("deploy")+"; until then anybody may act as the app", "an unsigned call is answered: want 403, got %d", a.status)
		default:
			d.ok("service API", "refuses who does not sign")
		}
	}
	a, err := d.service.send(ctx, http.MethodGet, "/api-key", nil)
	if err == nil {
		err = a.refusal()
	}
	var r *refusal
	switch {
	case errors.As(err, &r) && r.status == http.StatusForbidden:
		d.bad("service API", "attach a policy like docs/policies/full-access.json to whoever runs this", "a signed call is refused: %v", err)
	case errors.As(err, new(*url.Error)):
		d.bad("service API", "check the URL, and that what it names is running", "no answer: %v", err)
	case err != nil:
		d.bad("service API", "see the log of the apikey function", "a signed call: %v", err)
	default:
		d.ok("service API", "%s answers signed calls", d.service.base)
	}
	return err == nil
}
