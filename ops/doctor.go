package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"chat-service-backend/internal/cfn"
	"chat-service-backend/shared/identity"
)

// A finding is what the doctor has to say of one thing.
type finding struct {
	Check  string `json:"check"`
	Status string `json:"status"` // ok, warn, bad or skip
	Found  string `json:"found"`
	Do     string `json:"do,omitempty"` // what to do about it
}

// A doctor examines a deployment.
type doctor struct {
	*ops
	findings []finding

	cfg       aws.Config
	account   string
	stack     *stack
	service   *service
	client    *http.Client
	key       string // the app's, "" where it is missing
	app       document
	eventType bool // a hook sends message.new here
	id        string
	wait      time.Duration
}

func (d *doctor) find(status, check, do, format string, args ...any) {
	f := finding{check, status, fmt.Sprintf(format, args...), do}
	d.findings = append(d.findings, f)
	if status == "bad" {
		status = "BAD"
	}
	d.say("%-4s  %-15s %s", status, f.Check, f.Found)
	if do != "" {
		d.say("%-21s -> %s", "", do)
	}
}

func (d *doctor) ok(check, format string, args ...any) { d.find("ok", check, "", format, args...) }
func (d *doctor) bad(check, do, format string, args ...any) {
	d.find("bad", check, do, format, args...)
}
func (d *doctor) warn(check, do, format string, args ...any) {
	d.find("warn", check, do, format, args...)
}
func (d *doctor) skip(check, format string, args ...any) { d.find("skip", check, "", format, args...) }

// make is a command line of make for the environment that is examined.
func (d *doctor) make(target string) string { return "make " + target + " ENV=" + d.environment }

func setUpDoctor(o *ops, f *flag.FlagSet) func(context.Context) error {
	d := &doctor{ops: o}
	half := f.Bool("before-connect", false, "examine only what must be right before Stream is connected")
	token := f.String("token", "", "`FILE` with a bearer token, - for standard input: print its claims and why it is refused, and nothing else")
	f.DurationVar(&d.wait, "wait", time.Minute, "how long an event may take to come to the bus")
	return func(ctx context.Context) error {
		if *token != "" {
			return d.token(ctx, *token)
		}
		d.client = &http.Client{Timeout: 30 * time.Second}
		d.examine(ctx, *half)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		count := map[string]int{}
		for _, f := range d.findings {
			count[f.Status]++
		}
		d.say("\n%d good, %d bad, %d to look at, %d not examined.", count["ok"], count["bad"], count["warn"], count["skip"])
		if d.json {
			if err := d.printJSON(document{"ok": count["bad"] == 0, "findings": d.findings}); err != nil {
				return err
			}
		}
		if count["bad"] > 0 {
			return errReported
		}
		return nil
	}
}

func (d *doctor) examine(ctx context.Context, half bool) {
	if d.serviceURL == "" {
		if !d.credentials(ctx) || !d.deployment(ctx) {
			return
		}
		d.values(ctx)
		d.quotas(ctx)
		d.issuer(ctx)
		d.clientAPI(ctx)
	} else {
		var err error
		if d.service, d.stack, err = d.ops.service(ctx); err != nil {
			d.bad("service API", "check -service-url, or leave it out", "%v", err)
			return
		}
		if d.stack == nil {
			d.stack = &stack{parameters: map[string]string{}, outputs: d.outputs}
		}
	}
	if !d.serviceAPI(ctx) || !d.streamApp(ctx) || half {
		return
	}
	d.hooks()
	if d.serviceURL == "" {
		d.waiting(ctx)
		d.circle(ctx)
	}
}

// maxSkew is how far this machine's clock may be off. AWS refuses signatures at five minutes.
const maxSkew = time.Minute

func (d *doctor) credentials(ctx context.Context) bool {
	cfg, who, err := d.aws(ctx)
	if err != nil {
		d.bad("credentials", "sign in (aws sso login), or set AWS_PROFILE and AWS_REGION; a clock that is wrong looks like this, too", "%v", err)
		return false
	}
	d.cfg, d.account = cfg, aws.ToString(who.Account)
	d.ok("credentials", "%s in %s", aws.ToString(who.Arn), cfg.Region)
	if server, ok := awsmiddleware.GetServerTime(who.ResultMetadata); ok {
		skew := time.Since(server).Round(time.Second)
		if skew.Abs() > maxSkew {
			d.bad("clock", "set this machine's clock (NTP)", "%s off AWS's", skew)
		} else {
			d.ok("clock", "agrees with AWS's")
		}
	}
	return true
}

func (d *doctor) deployment(ctx context.Context) bool {
	s, err := d.describe(ctx, d.cfg)
	if err != nil {
		d.bad("stack", d.make("deploy"), "%v", err)
		return false
	}
	d.stack = s
	switch {
	case strings.Contains(s.status, "ROLLBACK") || strings.Contains(s.status, "FAILED"):
		d.bad("stack", "see why in the stack's events (aws cloudformation describe-stack-events --stack-name "+s.name+"), then "+d.make("deploy"), "%s: %s: the last deployment did not succeed", s.name, s.status)
	case strings.HasSuffix(s.status, "_COMPLETE") && !strings.HasPrefix(s.status, "DELETE"):
		d.ok("stack", "%s: %s", s.name, s.status)
	default:
		d.bad("stack", "wait until it is done", "%s: %s", s.name, s.status)
	}
	for _, name := range []string{"ClientApiUrl", "ServiceApiUrl", "WebhookUrl"} {
		if s.outputs[name] == "" {
			d.bad("stack", d.make("deploy"), "has no output %s: it is not this project's, or an old one", name)
			return false
		}
	}
	d.service = d.serviceAt(s.outputs["ServiceApiUrl"], &d.cfg)
	d.drift()
	return true
}

// drift compares the stack's parameters with those that the template and the
// choices in deploy/<env>.env would give it.
func (d *doctor) drift() {
	template, err := cfn.Find(".")
	if err != nil {
		d.skip("parameters", "%v", err)
		return
	}
	file, choices := d.choices(template)
	wanted, differ := maps.Clone(d.stack.parameters), []string{}
	for name, value := range choices {
		if wanted[name] != value {
			differ = append(differ, fmt.Sprintf("%s is %q, and %q in %s", name, wanted[name], value, file))
		}
		wanted[name] = value
	}
	for name := range template.Section("Parameters") {
		if _, ok := wanted[name]; !ok {
			differ = append(differ, name+" is not there yet")
		}
	}
	slices.Sort(differ)
	if _, err := template.Stack(cfn.Options{Parameters: wanted}); err != nil {
		d.bad("parameters", "correct "+file+", then "+d.make("deploy"), "%v", err)
	} else if len(differ) > 0 {
		d.bad("parameters", d.make("deploy")+", or put the stack's values there", "the stack differs from what would be deployed: %s", strings.Join(differ, "; "))
	} else {
		d.ok("parameters", "as template.yaml and %s have them", file)
	}
}

// values examines Parameter Store. Nothing of a value is printed.
func (d *doctor) values(ctx context.Context) {
	client, prefix := ssm.NewFromConfig(d.cfg), d.stack.prefix()
	have, err := stored(ctx, client, true, prefix+apiKey, prefix+apiSecret, prefix+previousSecret)
	decrypted := err == nil
	if err != nil { // the right to read the secret is not the operator's to have
		have, err = stored(ctx, client, false, prefix+apiKey, prefix+apiSecret, prefix+previousSecret)
	}
	if err != nil {
		d.bad("values", "ask for ssm:GetParameters on "+prefix+"/*", "cannot be read: %v", err)
		return
	}
	d.key = strings.TrimSpace(aws.ToString(have[prefix+apiKey].Value))
	for name, kind := range map[string]types.ParameterType{apiKey: types.ParameterTypeString, apiSecret: types.ParameterTypeSecureString, previousSecret: types.ParameterTypeSecureString} {
		p, exists := have[prefix+name]
		switch value := aws.ToString(p.Value); {
		case !exists && name == previousSecret:
		case !exists:
			d.bad("values", d.make("params"), "%s does not exist", prefix+name)
		case p.Type != kind:
			d.bad("values", "delete it, then "+d.make("params"), "%s: want a %s, got a %s", prefix+name, kind, p.Type)
		case strings.TrimSpace(value) == "":
			d.bad("values", d.make("params"), "%s is empty", prefix+name)
		case strings.TrimSpace(value) != value && (decrypted || name == apiKey):
			d.bad("values", d.make("params"), "%s has blanks around it", prefix+name)
		case name == previousSecret:
			d.warn("values", d.make("rotate")+" ends it", "%s exists: a rotation is under way", prefix+name)
		default:
			d.ok("values", "%s: %s", prefix+name, p.Type)
		}
	}
	pages := ssm.NewGetParametersByPathPaginator(client, &ssm.GetParametersByPathInput{Path: aws.String(prefix + clientConfig), WithDecryption: new(true)})
	n := 0
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			d.bad("values", "ask for ssm:GetParametersByPath on "+prefix+clientConfig, "%s: %v", prefix+clientConfig, reason(err))
			return
		}
		for _, p := range page.Parameters {
			n++
			if err := isObject(aws.ToString(p.Value)); err != nil {
				d.bad("values", d.make("params")+" writes it anew", "%s: want a JSON object, got something else: /config answers 500 for this client type", aws.ToString(p.Name))
			}
		}
	}
	d.ok("values", "%d client types below %s", n, prefix+clientConfig)
}

// minConcurrency is below what a small app needs on a busy minute. New accounts begin with 10.
const minConcurrency = 100

func (d *doctor) quotas(ctx context.Context) {
	out, err := lambda.NewFromConfig(d.cfg).GetAccountSettings(ctx, nil)
	switch {
	case err != nil:
		d.skip("quotas", "Lambda's: %v", reason(err))
	case out.AccountLimit == nil || out.AccountLimit.ConcurrentExecutions < minConcurrency:
		n := 0
		if out.AccountLimit != nil {
			n = int(out.AccountLimit.ConcurrentExecutions)
		}
		d.bad("quotas", "ask for more in Service Quotas: Lambda, concurrent executions (L-B99A9384)", "Lambda runs %d requests at once in this account and region: want %d, or callers meet 429", n, minConcurrency)
	default:
		d.ok("quotas", "Lambda runs %d requests at once, %d of them reserved for nobody", out.AccountLimit.ConcurrentExecutions, aws.ToInt32(out.AccountLimit.UnreservedConcurrentExecutions))
	}
	setting, err := ssm.NewFromConfig(d.cfg).GetServiceSetting(ctx, &ssm.GetServiceSettingInput{SettingId: aws.String("/ssm/parameter-store/high-throughput-enabled")})
	switch {
	case err != nil:
		d.skip("quotas", "Parameter Store's: %v", reason(err))
	case setting.ServiceSetting == nil || aws.ToString(setting.ServiceSetting.SettingValue) != "true":
		d.warn("quotas", "where more than 40 functions may start in one second: aws ssm update-service-setting --setting-id /ssm/parameter-store/high-throughput-enabled --setting-value true (costs per call)", "Parameter Store answers 40 calls a second: high throughput is off")
	default:
		d.ok("quotas", "Parameter Store has high throughput")
	}
}

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
		if _, err := callers.Identify(ctx, "", []string{"Bearer " + token}); errors.Is(err, identity.ErrUnavailable) {
			d.bad("issuer", "OidcIssuer must be the tokens' iss, to the letter; otherwise ask whoever runs it", "%s: %v", issuer, err)
		} else {
			d.ok("issuer", "%s has keys (ops doctor -token FILE tries a token)", issuer)
		}
	}
}

// get reads a JSON document from outside.
func (d *doctor) get(ctx context.Context, from string, out any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return err
	}
	a, err := receive(d.client, r)
	if err != nil {
		return err
	}
	if a.status != http.StatusOK || json.Unmarshal(a.body, out) != nil {
		return fmt.Errorf("want 200 and JSON from %s, got %d", from, a.status)
	}
	return nil
}

func (d *doctor) clientAPI(ctx context.Context) {
	base := d.stack.outputs["ClientApiUrl"]
	var answer struct {
		APIKey string `json:"api_key"`
	}
	switch err := d.get(ctx, base+"/api-key", &answer); {
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
	case err != nil:
		d.bad("service API", "see the log of the apikey function", "a signed call: %v", err)
	default:
		d.ok("service API", "%s answers signed calls", d.service.base)
	}
	return err == nil
}

// Stream's error codes. https://getstream.io/chat/docs/api_errors_response/
const (
	codeAccessKey = 2
	codeAuth      = 5
	codeSignature = 43
)

func (d *doctor) streamApp(ctx context.Context) bool {
	var answer struct{ App document }
	header, err := d.service.stream(ctx, http.MethodGet, "/app", nil, &answer)
	if err != nil {
		var r *refusal
		errors.As(err, &r)
		do := "see the log of the proxy function"
		switch {
		case r == nil:
		case r.code == codeAccessKey:
			do = "Stream does not know the API key: copy it from the dashboard, then " + d.make("params")
		case r.code == codeAuth || r.code == codeSignature:
			do = "the API secret is not that of the API key: copy both from the same app, then " + d.make("params")
		case r.status == http.StatusForbidden:
			do = "allow " + d.stack.outputs["ServiceApiArn"] + "/GET/proxy/app to whoever runs this"
		case r.status == http.StatusBadGateway || r.status == http.StatusGatewayTimeout:
			do = "check StreamBaseUrl (" + d.stack.parameters["StreamBaseUrl"] + ") and https://status.getstream.io"
		}
		d.bad("Stream", do, "does not take the credentials: %v", err)
		return false
	}
	d.app = answer.App
	d.ok("Stream", "takes key and secret, of app %s", compact(d.app["name"]))
	if d.app["suspended"] == true {
		d.bad("app", "ask Stream's support", "is suspended: %s", compact(d.app["suspended_explanation"]))
	}
	for field, what := range map[string]string{"disable_auth_checks": "anybody can connect as anybody", "disable_permissions_checks": "every user may do everything"} {
		if d.app[field] == true {
			d.bad("app", "set "+field+": false below app: in stream.yaml, then "+d.make("apply"), "%s is on: %s", field, what)
		}
	}
	if version := text(d.app["permission_version"]); version != "v2" {
		d.warn("app", "see docs/ops.md on permissions", "has permissions %s, which Stream calls legacy", cmp.Or(version, "of an unknown version"))
	} else {
		d.ok("app", "has permissions v2")
	}
	limit, _ := strconv.Atoi(header.Get("X-Ratelimit-Limit"))
	left, _ := strconv.Atoi(header.Get("X-Ratelimit-Remaining"))
	if limit > 0 && left*10 < limit {
		d.warn("rate limits", "find out who calls (docs/operations.md), or ask Stream for more", "%d of %d calls are left in this minute", left, limit)
	} else if limit > 0 {
		d.ok("rate limits", "%d of %d calls are left in this minute", left, limit)
	}
	return true
}

// hooks examines where Stream sends events.
func (d *doctor) hooks() {
	kind, target := "webhook", d.stack.outputs["WebhookUrl"]
	if queue := d.stack.parameters["StreamQueue"]; queue != "" && queue != "false" {
		kind, target = "sqs", d.stack.outputs["StreamQueueUrl"]
	}
	if target == "" {
		d.skip("webhook", "-output WebhookUrl=URL says what Stream should call")
		return
	}
	hooks := hooksOf(d.app)
	if _, ok := d.app["event_hooks"]; !ok && text(d.app["webhook_url"]) != "" { // an app that Stream has not moved to event hooks
		hooks = []document{{"hook_type": "webhook", "webhook_url": d.app["webhook_url"], "enabled": true, "event_types": d.app["webhook_events"]}}
	}
	var ours []document
	others := 0
	for _, hook := range hooks {
		switch {
		case hook["hook_type"] == kind && address(hook) == target:
			ours = append(ours, hook)
		case address(hook) == d.stack.outputs["WebhookUrl"] || address(hook) == d.stack.outputs["StreamQueueUrl"]:
			d.bad("webhook", "take it out (absent: hooks: in stream.yaml), then "+d.make("apply"), "%s sends here as well as %s: events come twice", address(hook), target)
		default:
			others++
		}
	}
	do := d.make("apply")
	switch {
	case len(ours) == 0:
		d.bad("webhook", do, "Stream does not send to %s (%d hooks send elsewhere)", target, others)
		return
	case len(ours) > 1:
		d.bad("webhook", "remove all but one in Stream's dashboard", "%d hooks send to %s: events come %d times", len(ours), target, len(ours))
	case ours[0]["enabled"] != true:
		d.bad("webhook", do, "the hook to %s is disabled", target)
		return
	}
	events := listed(ours[0]["event_types"])
	d.eventType = len(events) == 0 || slices.Contains(events, any("message.new"))
	what := "all events"
	if len(events) > 0 {
		what = strings.Trim(compact(events), "[]")
	}
	d.ok("webhook", "Stream sends %s to %s", what, target)
}

// waiting looks for events that the bus did not take.
func (d *doctor) waiting(ctx context.Context) {
	queue := d.stack.outputs["FallbackQueueUrl"]
	if queue == "" {
		return
	}
	out, err := sqs.NewFromConfig(d.cfg).GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &queue, AttributeNames: []sqstypes.QueueAttributeName{"ApproximateNumberOfMessages"}})
	if err != nil {
		d.skip("fallback queue", "%v", reason(err))
	} else if n := out.Attributes["ApproximateNumberOfMessages"]; n != "0" {
		d.bad("fallback queue", d.make("redrive"), "%s events wait that the bus did not take", n)
	} else {
		d.ok("fallback queue", "empty")
	}
}
