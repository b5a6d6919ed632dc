package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"

	"chat-service-backend/ops/stack"
	"chat-service-backend/shared/streamrest"
)

// A route is one to call, and the function behind it.
type route struct {
	method, path, function string
	body                   any
	want                   int // status
}

var (
	clientRoutes = []route{
		{http.MethodGet, "/config?clientType=web", "config", nil, http.StatusOK},
		{http.MethodGet, "/token/me", "token", nil, http.StatusUnauthorized}, // without a bearer token
	}
	serviceRoutes = []route{
		{http.MethodGet, "/config?clientType=web", "config", nil, http.StatusOK},
		{http.MethodGet, "/token/chat-service-doctor", "token", nil, http.StatusOK},
		{http.MethodPost, "/webhook/verify", "webhook", document{"rawBody": "{}", "signature": strings.Repeat("0", 64)}, http.StatusOK},
	}
)

// answered notes an answer to a route that is not the one wanted, and reports whether it is.
func (d *doctor) answered(api string, r route, status int, err error) bool {
	path, _, _ := strings.Cut(r.path, "?")
	what := r.method + " " + path
	log := "see the log of the " + r.function + " function"
	if d.stack.Name != "" {
		log += " (/aws/lambda/" + d.stack.Name + "/" + r.function + ")"
	}
	switch {
	case status == 0:
		if errors.Is(err, io.EOF) {
			err = errors.New("the connection was closed")
		}
		do := "check the URL, the network and HTTPS_PROXY"
		switch NetworkFault(err) {
		case "":
			if d.at.Local() {
				do = "start make run, or check -service-url"
			}
		case BadCertificate:
			do = "CertificateArn must be of a certificate for the domain's name, in the stack's region"
		case ExpiredCertificate:
			do = "AWS renews a certificate while the CNAME records that validate it are in DNS: see it in Certificate Manager; if it has not expired, set this machine's clock"
		case UnknownHost:
			do = "point the domain's name at the output ClientApiDnsTarget or ServiceApiDnsTarget (CNAME)"
		}
		d.bad(api, do, "%s: no answer: %v", what, err)
	case status < 300 && err != nil:
		d.bad(api, "check the URL: something else answers there, such as a login page", "%s: %v", what, err)
	case status == r.want || status < 300 && r.want == http.StatusOK: // /token answers 201
		return true
	case status == http.StatusUnauthorized && api == "client API":
		d.bad(api, "have the URL lead to the API itself", "%s: 401: something in front of the API wants a sign-in of its own", what)
	case status == http.StatusForbidden && api == "service API":
		d.skip(api, "you have no right to execute-api:Invoke on %s/%s%s", d.stack.Outputs["ServiceApiArn"], r.method, path)
	case status == http.StatusForbidden:
		d.bad(api, "look at what is in front of the API, and at the mapping of its domain", "%s: 403: a firewall (WAF) or a domain without a mapping refuses the call: %v", what, err)
	case status >= 300 && status < 400:
		d.bad(api, "have the URL lead to the API itself", "%s: %d: something in front of the API redirects", what, status)
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed:
		d.bad(api, "check the URL and the domain's mapping, then "+d.again("deploy"), "%s: %d: the route does not exist", what, status)
	case status == http.StatusTooManyRequests:
		d.warn(api, "raise Size, or find out who calls (docs/runbook.md#requestsalarm)", "%s: 429: too many requests", what)
	case err != nil:
		d.bad(api, log, "%s: %v", what, err)
	default:
		d.bad(api, log, "%s: status %d instead of %d", what, status, r.want)
	}
	return false
}

// What keeps a call from an answer.
const (
	BadCertificate     = "certificate"
	ExpiredCertificate = "expired"
	UnknownHost        = "host"
)

// NetworkFault returns which of these an error is, or "".
func NetworkFault(err error) string {
	var dns *net.DNSError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return ExpiredCertificate
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return BadCertificate
	case errors.As(err, &dns) && dns.IsNotFound:
		return UnknownHost
	}
	return ""
}

func (d *doctor) clientAPI(ctx context.Context) {
	base := d.stack.Outputs["ClientApiUrl"]
	if webhook := d.stack.Outputs["WebhookUrl"]; base == "" && webhook != "" {
		base, _, _ = strings.Cut(webhook, "/webhook")
	}
	if base == "" {
		if d.at.ServiceURL != "" {
			d.skip("client API", "its URL is unknown: set it with -output ClientApiUrl=URL")
		}
		return
	}
	var body struct {
		APIKey string `json:"api_key"`
	}
	key := route{http.MethodGet, "/api-key", "apikey", nil, http.StatusOK}
	a, err := stack.Fetch(ctx, key.method, base+key.path, nil, nil)
	status := 0
	if err == nil {
		if date, err := http.ParseTime(a.Header.Get("Date")); err == nil {
			d.clock("the Client API", date)
		}
		status, err = a.Status, a.Decode(&body)
	}
	switch {
	case !d.answered("client API", key, status, err):
		if status == 0 {
			return
		}
	case d.key != "" && body.APIKey != d.key:
		d.bad("client API", "wait for ParameterTtl seconds; after that see the log of the apikey function", "%s/api-key returns another key than the one in Parameter Store", base)
	default:
		d.ok("client API", "%s answers", base)
	}
	for _, r := range clientRoutes {
		a, err := stack.Fetch(ctx, r.method, base+r.path, nil, nil)
		var body struct{ Token string }
		if status = 0; err == nil {
			status, err = a.Status, a.Decode(&body)
		}
		if body.Token != "" {
			d.bad("client API", d.again("deploy")+"; until then anybody gets a token", "%s %s gives a token without a bearer token", r.method, r.path)
		} else if d.answered("client API", r, status, err) {
			d.ok("client API", "%s %s: %d, as it should", r.method, r.path, status)
		}
	}
	d.cors(ctx, base)
}

func (d *doctor) cors(ctx context.Context, base string) {
	allowed, known := d.stack.Parameters["AllowedOrigins"]
	if !known {
		return
	}
	const stranger = "https://doctor.invalid"
	for _, origin := range append(slices.DeleteFunc(strings.Split(allowed, ","), func(s string) bool { return s == "" || s == "*" }), stranger) {
		a, err := stack.Fetch(ctx, http.MethodOptions, base+"/config", http.Header{
			"Origin": {origin}, "Access-Control-Request-Method": {"GET"}, "Access-Control-Request-Headers": {"authorization"},
		}, nil)
		if err != nil {
			d.bad("CORS", "see client API", "%v", err)
			return
		}
		got := strings.Join(a.Header.Values("Access-Control-Allow-Origin"), ", ")
		switch may := got == origin || got == "*"; {
		case a.Status >= 400 && origin != stranger:
			d.bad("CORS", "look at what is in front of the API, such as a firewall (WAF): it must let OPTIONS pass", "OPTIONS /config: %d: no page may call the Client API", a.Status)
			return
		case strings.Contains(got, ","):
			d.bad("CORS", "look at what is in front of the API: only one of the two may set it", "browsers refuse an answer with two origins: Access-Control-Allow-Origin is %s", got)
			return
		case !may && origin != stranger:
			d.bad("CORS", d.again("deploy"), "AllowedOrigins is %q, but pages of %s may not call the Client API", allowed, origin)
			return
		case may && origin == stranger && allowed != "*":
			d.bad("CORS", d.again("deploy"), "AllowedOrigins is %q, but pages of anybody, such as %s, may call the Client API", allowed, origin)
			return
		case may && !strings.Contains(strings.ToLower(a.Header.Get("Access-Control-Allow-Headers")), "authorization"):
			d.bad("CORS", d.again("deploy"), "pages of %s may not send authorization, so nobody can sign in from a browser", origin)
			return
		}
	}
	d.ok("CORS", "pages of %s may call the Client API", cmp.Or(allowed, "no origin"))
}

func (d *doctor) serviceAPI(ctx context.Context) {
	if d.service.Base == "" {
		return
	}
	key := route{http.MethodGet, "/api-key", "apikey", nil, http.StatusOK}
	if !d.at.Local() && !d.closed(ctx, key) {
		return
	}
	if d.service.AWS == nil && !d.at.Local() {
		d.skip("service API", "its routes need a signature, and there are no credentials for AWS")
		return
	}
	err := d.service.Call(ctx, key.method, key.path, nil, nil)
	var r *streamrest.Error
	switch {
	case errors.As(err, &r) && r.Status == http.StatusForbidden:
		do := "attach a policy like docs/policies/full-access.json to your role or user"
		switch {
		case strings.Contains(r.Message, "Credential should be scoped"):
			do = "set AWS_REGION to the stack's region"
		case strings.Contains(r.Message, "Signature") || strings.Contains(r.Message, "security token"):
			do = "set this machine's clock (NTP), and sign in again (aws sso login)"
		case strings.Contains(r.Message, "explicit deny"):
			do = "a policy denies it: look at ServiceApiAccountIds, ServiceApiVpcEndpointIds and your organization's policies"
		case r.Message == "Forbidden": // of no route, or an endpoint that is switched off
			do = "check the URL and the domain's mapping; KeepExecuteApi=false closes the API's own URL"
		}
		d.bad("service API", do, "a signed call is refused: %v", err)
		return
	case r != nil:
		d.answered("service API", key, r.Status, fmt.Errorf("a signed call: %w", err))
		return
	case err != nil:
		d.answered("service API", key, 0, err)
		return
	}
	d.has |= service
	d.ok("service API", "%s answers", d.service.Base)
	for _, r := range serviceRoutes {
		a, err := d.service.Send(ctx, r.method, r.path, r.body)
		status := 0
		if err == nil {
			status, err = a.Status, a.Decode(new(any))
		}
		if d.answered("service API", r, status, err) {
			d.ok("service API", "%s %s: %d, as it should", r.method, r.path, status)
		}
	}
}

// closed checks that no route answers an unsigned call, and reports whether the API can be
// reached.
func (d *doctor) closed(ctx context.Context, key route) bool {
	unsigned := *d.service
	unsigned.AWS = nil
	open := false
	for _, r := range append([]route{key, {http.MethodGet, "/proxy/app", "proxy", nil, http.StatusOK}}, serviceRoutes...) {
		a, err := unsigned.Send(ctx, r.method, r.path, r.body)
		switch private := d.stack.Parameters["ServiceApiVpcEndpointIds"]; {
		case err != nil && private != "":
			d.bad("service API", "run the doctor inside the VPC of "+private, "it is private and cannot be reached from here: %v", err)
			return false
		case err != nil:
			d.answered("service API", r, 0, err)
			return false
		case r.path == key.path && (a.Status >= 300 && a.Status < 400 || a.Status < 300 && a.Decode(new(any)) != nil): // another server
			return d.answered("service API", r, a.Status, a.Decode(new(any)))
		case a.Status == http.StatusNotFound:
			d.bad("service API", "check the URL and the domain's mapping, then "+d.again("deploy"), "%s %s: 404: the route does not exist", r.method, r.path)
			open = true
		case a.Status != http.StatusForbidden && a.Status != http.StatusUnauthorized:
			d.bad("service API", d.again("deploy")+"; until then anybody may act as the app", "an unsigned call of %s %s is answered with %d instead of 403", r.method, r.path, a.Status)
			open = true
		}
	}
	if !open {
		d.ok("service API", "refuses unsigned calls")
	}
	return true
}
