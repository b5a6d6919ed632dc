package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

func testDoctor(t *testing.T, w *world) {
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		base := "http://" + r.Host
		switch r.URL.Path {
		case "/good/.well-known/openid-configuration":
			fmt.Fprintf(w, `{"issuer":"%s/good","jwks_uri":"%[1]s/keys"}`, base)
		case "/other/.well-known/openid-configuration":
			fmt.Fprintf(w, `{"issuer":"%s/other/","jwks_uri":"%[1]s/keys"}`, base)
		case "/symmetric/.well-known/openid-configuration":
			fmt.Fprintf(w, `{"issuer":"%s/symmetric","jwks_uri":"%[1]s/symmetric-keys"}`, base)
		case "/keyless/.well-known/openid-configuration":
			fmt.Fprintf(w, `{"issuer":"%s/keyless","jwks_uri":"%[1]s/none"}`, base)
		case "/keys":
			fmt.Fprint(w, `{"keys":[{"kty":"EC","crv":"P-256","kid":"1","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`)
		case "/symmetric-keys":
			fmt.Fprint(w, `{"keys":[{"kty":"oct","alg":"HS256","k":"c2VjcmV0"}]}`)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(issuer.Close)
	signsIn := func(issuer, audience string) func(*deployment) {
		return func(d *deployment) { d.parameters["OidcIssuer"], d.parameters["OidcAudience"] = issuer, audience }
	}
	choices := func(text string) func(*deployment) {
		return func(d *deployment) {
			if err := errors.Join(os.Mkdir(d.dir+"/deploy", 0o755), os.WriteFile(d.dir+"/deploy/dev.env", []byte("# mine\n"+text+"\n"), 0o600)); err != nil {
				d.t.Fatal(err)
			}
		}
	}
	onAWS := func(answered func(w http.ResponseWriter, r *http.Request, body string) bool) func(*deployment) {
		return func(d *deployment) { d.onAWS = answered }
	}
	target := func(name string, answered func(http.ResponseWriter) bool) func(*deployment) {
		return onAWS(func(w http.ResponseWriter, r *http.Request, body string) bool {
			return r.Header.Get("X-Amz-Target") == name && answered(w)
		})
	}
	stackStatus := func(status string) func(*deployment) {
		return onAWS(func(w http.ResponseWriter, r *http.Request, body string) bool {
			if !strings.Contains(body, "DescribeStacks") {
				return false
			}
			fmt.Fprintf(w, `<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>x</StackName><StackStatus>%s</StackStatus></member></Stacks></DescribeStacksResult></DescribeStacksResponse>`, status)
			return true
		})
	}
	// values gives the stack a prefix of its own.
	values := func(name, value string, kind types.ParameterType) func(*deployment) {
		return func(d *deployment) {
			own := "/" + d.name
			d.parameters["ParameterPrefix"] = own
			d.set(d.t, own+apiKey, "local-key", types.ParameterTypeString)
			d.set(d.t, own+apiSecret, secret, types.ParameterTypeSecureString)
			if value != "" {
				d.set(d.t, own+name, value, kind)
			}
		}
	}
	client := func(path string, status int, header, body string) func(*deployment) {
		return func(d *deployment) {
			d.onClient = func(w http.ResponseWriter, r *http.Request, _ string) bool {
				if r.URL.Path != path {
					return false
				}
				if header != "" {
					w.Header().Set("Access-Control-Allow-Origin", header)
				}
				w.WriteHeader(status)
				fmt.Fprint(w, body)
				return true
			}
		}
	}
	service := func(path string, status int, body string) func(*deployment) {
		return func(d *deployment) {
			d.onService = func(w http.ResponseWriter, r *http.Request, _ string) bool {
				if r.URL.Path != path {
					return false
				}
				w.WriteHeader(status)
				fmt.Fprint(w, body)
				return true
			}
		}
	}
	app := func(change func(app map[string]any)) func(*deployment) {
		return func(d *deployment) { d.app = change }
	}
	hook := func(change func(hook map[string]any) []any) func(*deployment) {
		return app(func(app map[string]any) {
			app["event_hooks"] = change(app["event_hooks"].([]any)[0].(map[string]any))
		})
	}

	for name, c := range map[string]struct {
		fault  func(*deployment)
		status string // of the finding
		check  string
		want   string
		whole  bool // the second half, too
	}{
		"credentials refused": {onAWS(func(w http.ResponseWriter, r *http.Request, body string) bool {
			return strings.Contains(body, "GetCallerIdentity") && forbidden(w)
		}), "bad", "credentials", "not valid", false},
		"a clock that is wrong": {onAWS(func(w http.ResponseWriter, r *http.Request, body string) bool {
			if strings.Contains(body, "GetCallerIdentity") {
				w.Header().Set("Date", time.Now().Add(-4*time.Minute).UTC().Format(http.TimeFormat))
				fmt.Fprint(w, `<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:x</Arn><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`)
			}
			return strings.Contains(body, "GetCallerIdentity")
		}), "bad", "clock", "off that of AWS", false},
		"another clock at the Client API": {func(d *deployment) {
			d.onClient = func(w http.ResponseWriter, r *http.Request, _ string) bool {
				w.Header().Set("Date", time.Now().Add(4*time.Minute).UTC().Format(http.TimeFormat))
				fmt.Fprint(w, `{"api_key":"local-key"}`)
				return true
			}
		}, "bad", "clock", "off that of the Client API", false},
		"no stack":                   {func(d *deployment) { d.missing = true }, "bad", "stack", "there is no stack", false},
		"a deployment rolled back":   {stackStatus("UPDATE_ROLLBACK_COMPLETE"), "bad", "stack", "UPDATE_ROLLBACK_COMPLETE", false},
		"a deployment under way":     {stackStatus("UPDATE_IN_PROGRESS"), "bad", "stack", "UPDATE_IN_PROGRESS", false},
		"another project's stack":    {func(d *deployment) { delete(d.outputs, "ServiceApiUrl") }, "bad", "stack", "no output ServiceApiUrl", false},
		"parameters that differ":     {choices("MemorySize=512"), "bad", "parameters", `MemorySize is "256", and "512" in deploy/dev.env`, false},
		"choices that cannot be":     {choices("MemorySize=64"), "bad", "parameters", "parameter MemorySize: want ", false},
		"an older template":          {func(d *deployment) { delete(d.parameters, "EventBus") }, "bad", "parameters", "EventBus is not there yet", false},
		"no key":                     {func(d *deployment) { d.parameters["ParameterPrefix"] = "/nothing-here" }, "bad", "values", "/nothing-here/stream/api-key does not exist", false},
		"a secret in the clear":      {values(apiSecret, "x", types.ParameterTypeString), "bad", "values", "want a SecureString, got a String", false},
		"a key that is a secret":     {values(apiKey, "x", types.ParameterTypeSecureString), "bad", "values", "want a String, got a SecureString", false},
		"an empty secret":            {values(apiSecret, " ", types.ParameterTypeSecureString), "bad", "values", "api-secret is empty", false},
		"a secret with a blank":      {values(apiSecret, "x ", types.ParameterTypeSecureString), "bad", "values", "api-secret has blanks", false},
		"a rotation under way":       {values(previousSecret, "x", types.ParameterTypeSecureString), "warn", "values", "a rotation is under way", false},
		"a configuration, no object": {values(clientConfig+"/web", "[1]", types.ParameterTypeString), "bad", "values", "client-config/web: want a JSON object", false},
		"values not to be read":      {target("AmazonSSM.GetParameters", func(w http.ResponseWriter) bool { return refuse(w, "AccessDeniedException") }), "bad", "values", "AccessDeniedException", false},
		"configurations not to be read": {target("AmazonSSM.GetParametersByPath", func(w http.ResponseWriter) bool { return refuse(w, "AccessDeniedException") }),
			"bad", "values", "AccessDeniedException", false},
		"a new account": {onAWS(func(w http.ResponseWriter, r *http.Request, body string) bool {
			if strings.Contains(r.URL.Path, "/account-settings") {
				fmt.Fprint(w, `{"AccountLimit":{"ConcurrentExecutions":10}}`)
				return true
			}
			return false
		}), "bad", "quotas", "Lambda runs 10 requests at once", false},
		"a slow Parameter Store": {target("AmazonSSM.GetServiceSetting", func(w http.ResponseWriter) bool {
			fmt.Fprint(w, `{"ServiceSetting":{"SettingValue":"false"}}`)
			return true
		}), "warn", "quotas", "40 calls a second", false},
		"no issuer":                     {signsIn("", ""), "warn", "issuer", "nobody is known", false},
		"an issuer that is not there":   {signsIn(issuer.URL+"/nowhere", "app"), "bad", "issuer", "want status 200, got 404", false},
		"an issuer without audience":    {signsIn(issuer.URL+"/good", ""), "bad", "issuer", "OIDC_AUDIENCE", false},
		"the second of two issuers":     {signsIn(issuer.URL+"/good,staff="+issuer.URL+"/keyless", "app,staff=app"), "bad", "issuer", "/keyless", false},
		"an issuer with another slash":  {signsIn(issuer.URL+"/other", "app"), "bad", "issuer", "got that of \"" + issuer.URL + "/other/", false},
		"an issuer without keys":        {signsIn(issuer.URL+"/keyless", "app"), "bad", "issuer", "/none: want status 200", false},
		"symmetric keys alone":          {signsIn(issuer.URL+"/symmetric", "app"), "bad", "issuer", "want public keys", false},
		"an audience unlike Cognito's":  {signsIn("https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_x", "my-app"), "bad", "issuer", "app client", false},
		"an audience unlike Firebase's": {signsIn("https://securetoken.google.com/shop", "my-app"), "bad", "issuer", "want the project, shop, got my-app", false},
		"a Client API that fails":       {client("/api-key", 503, "", `{"errorMsg":"x"}`), "bad", "client API", "got 503", false},
		"another key at the Client API": {client("/api-key", 200, "", `{"api_key":"other"}`), "bad", "client API", "another key", false},
		"an origin shut out": {func(d *deployment) {
			d.parameters["AllowedOrigins"] = "https://app.example.com"
			client("/config", 204, "", "")(d)
		}, "bad", "CORS", "https://app.example.com", false},
		"a stranger let in": {func(d *deployment) {
			d.parameters["AllowedOrigins"] = "https://app.example.com"
			client("/config", 204, "*", "")(d)
		}, "bad", "CORS", "https://doctor.invalid", false},
		"a Service API for anybody":  {service("/api-key", 200, `{}`), "bad", "service API", "an unsigned call is answered: want 403, got 200", false},
		"a Service API for others":   {service("/api-key", 403, `{"Message":"not authorized"}`), "bad", "service API", "a signed call is refused", false},
		"a Service API that fails":   {service("/api-key", 500, `{}`), "bad", "service API", "a signed call: 500", false},
		"a Service API out of reach": {func(d *deployment) { d.outputs["ServiceApiUrl"] = "http://127.0.0.1:1" }, "bad", "service API", "refused", false},
		"a private Service API": {func(d *deployment) {
			d.outputs["ServiceApiUrl"], d.parameters["ServiceApiVpcEndpointIds"] = "http://127.0.0.1:1", "vpce-1"
		}, "bad", "service API", "as it is private", false},
		"a key that Stream does not know": {service("/proxy/app", 401, `{"code":2,"message":"api_key not valid"}`), "bad", "Stream", "copy it from the dashboard", false},
		"a secret of another app":         {service("/proxy/app", 401, `{"code":43,"message":"signature"}`), "bad", "Stream", "copy both from the same app", false},
		"a policy without GET /app":       {service("/proxy/app", 403, `{"Message":"not authorized"}`), "bad", "Stream", "allow arn:x/GET/proxy/app", false},
		"a Stream that is down":           {service("/proxy/app", 502, `{"errorMsg":"Stream cannot be reached."}`), "bad", "Stream", "check StreamBaseUrl", false},
		"a suspended app":                 {app(func(app map[string]any) { app["suspended"] = true }), "bad", "app", "is suspended", false},
		"an app without authentication":   {app(func(app map[string]any) { app["disable_auth_checks"] = true }), "bad", "app", "anybody can connect as anybody", false},
		"an app without permissions":      {app(func(app map[string]any) { app["disable_permissions_checks"] = true }), "bad", "app", "every user may do everything", false},
		"old permissions":                 {app(func(app map[string]any) { app["permission_version"] = "v1" }), "warn", "app", "has permissions v1", false},
		"few calls left": {func(d *deployment) {
			d.onService = func(w http.ResponseWriter, r *http.Request, _ string) bool {
				if r.URL.Path != "/proxy/app" {
					return false
				}
				w.Header().Set("X-Ratelimit-Limit", "100")
				w.Header().Set("X-Ratelimit-Remaining", "9")
				fmt.Fprint(w, `{"app":{"permission_version":"v2"}}`)
				return true
			}
		}, "warn", "rate limits", "9 of 100", false},

		"a webhook elsewhere": {hook(func(h map[string]any) []any { h["webhook_url"] = "https://old.example.com"; return []any{h} }),
			"bad", "webhook", "(1 hooks send elsewhere)", true},
		"a webhook disabled":         {hook(func(h map[string]any) []any { h["enabled"] = false; return []any{h} }), "bad", "webhook", "is disabled", true},
		"a webhook twice":            {hook(func(h map[string]any) []any { return []any{h, h} }), "bad", "webhook", "several hooks send the same events", true},
		"an app without event hooks": {app(func(app map[string]any) { delete(app, "event_hooks"); app["webhook_url"] = w.client + "/webhook" }), "ok", "webhook", "all events", true},
		"a queue for events": {func(d *deployment) {
			d.parameters["StreamQueue"], d.outputs["StreamQueueUrl"] = "true", "https://sqs.example.com/q"
		}, "bad", "webhook", "Stream does not send to", true},
		"a webhook beside the queue": {func(d *deployment) {
			d.parameters["StreamQueue"], d.outputs["StreamQueueUrl"] = "true", "https://sqs.example.com/q"
			hook(func(h map[string]any) []any {
				return []any{h, map[string]any{"hook_type": "sqs", "sqs_queue_url": "https://sqs.example.com/q", "enabled": true}}
			})(d)
		}, "bad", "webhook", "events come twice", true},
		"events that wait": {func(d *deployment) { d.enqueue("{}") }, "bad", "fallback queue", "1 events wait", true},
		"an event that does not come": {hook(func(h map[string]any) []any { // Stream sends it elsewhere, and the doctor cannot know
			return []any{h}
		}), "bad", "event", "a message sent in Stream did not come to the bus", true},
		"an event refused": {func(d *deployment) {
			hook(func(h map[string]any) []any { h["event_types"] = []any{"user.banned"}; return []any{h} })(d)
			client("/webhook", 401, "", `{"errorMsg":"The signature is not valid."}`)(d)
			d.outputs["WebhookUrl"] = d.outputs["ClientApiUrl"] + "/webhook"
			change := d.app
			d.app = func(app map[string]any) {
				change(app)
				app["event_hooks"].([]any)[0].(map[string]any)["webhook_url"] = d.outputs["WebhookUrl"]
			}
		}, "bad", "event", "The signature is not valid.", true},
		"no right to listen": {target("AWSEvents.PutRule", func(w http.ResponseWriter) bool { return refuse(w, "AccessDeniedException") }),
			"skip", "event", "cannot listen on the bus: AccessDeniedException", true},
		"nothing to clean up with": {target("AmazonSQS.DeleteQueue", func(w http.ResponseWriter) bool { return refuse(w, "AccessDenied") }),
			"warn", "event", "left behind", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := w.deploy(t, func(d *deployment) {
				signsIn(issuer.URL+"/good", "app")(d)
				c.fault(d)
				if name == "an event that does not come" {
					d.outputs["EventBusName"] = "default"
				}
			})
			args := []string{"-json", "-wait", "1s"}
			if !c.whole {
				args = append(args, "-before-connect")
			}
			r := d.run("", "doctor", args...)
			var report struct {
				OK       bool
				Findings []finding
			}
			if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
				t.Fatalf("want JSON, got %v\n%s%s", err, r.stdout, r.stderr)
			}
			if strings.Contains(r.stdout+r.stderr, secret) {
				t.Error("want no secret shown")
			}
			if bad := r.status == 1; bad == report.OK || c.status == "bad" && !bad {
				t.Errorf("want status 1 if something is bad, got %d", r.status)
			}
			for _, f := range report.Findings {
				if f.Check == c.check && f.Status == c.status && strings.Contains(f.Found+" "+f.Do, c.want) {
					if f.Do == "" && (f.Status == "bad" || f.Status == "warn") {
						t.Errorf("want what to do about it, got %+v", f)
					}
					return
				}
			}
			t.Errorf("want %s %s with %q, got %s", c.status, c.check, c.want, r.stdout)
		})
	}

	t.Run("no region", func(t *testing.T) {
		t.Parallel()
		cmd := start(t, w.root, []string{"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test"}, "", "doctor")
		finish(t, cmd, cmd.Run()).want(t, 1, "BAD   credentials", "want an AWS region", "AWS_REGION")
	})
	t.Run("Ctrl-C leaves nothing behind", func(t *testing.T) {
		t.Parallel()
		d := w.deploy(t, func(d *deployment) {
			d.app = func(app map[string]any) {
				app["event_hooks"].([]any)[0].(map[string]any)["event_types"] = []any{"message.new"}
			}
			d.onService = func(w http.ResponseWriter, r *http.Request, _ string) bool {
				if !strings.HasSuffix(r.URL.Path, "/message") {
					return false
				}
				fmt.Fprint(w, `{}`) // and no message is sent
				return true
			}
		})
		cmd := d.command("", "doctor", "-wait", "1m")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		await(cmd, "Waiting for an event")
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		finish(t, cmd, cmd.Wait()).want(t, 1, "interrupted")
		if left := d.leftBehind(); len(left) > 0 {
			t.Errorf("want nothing left, got %q", left)
		}
	})
}

func testToken(t *testing.T, w *world) {
	resp, err := http.Get(w.client + "/.local/bearer?user=alice")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	bearer := strings.TrimSpace(string(text))
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("Bearer "+bearer+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	signature := bearer[strings.LastIndex(bearer, ".")+1:]
	check := func(r result, status int, words ...string) {
		t.Helper()
		r.want(t, status, words...)
		if strings.Contains(r.stdout+r.stderr, signature) {
			t.Errorf("want the signature not shown, got %s%s", r.stdout, r.stderr)
		}
	}
	issuer := w.client + "/.local/issuer"
	for _, c := range []struct {
		issuer, audience, claim string
		status                  int
		want                    []string
	}{
		{issuer, "local", "sub", 0, []string{`"userId": "alice"`, `"alg"`, `"sub": "alice"`}},
		{issuer, "another", "sub", 1, []string{"refused: the token is for another audience", `"aud": "local"`, `"aud": "another"`}},
		{issuer + "/", "local", "sub", 1, []string{"refused: the token is another issuer's"}},
		{issuer, "local", "uid", 1, []string{"refused", "uid"}},
		{"", "", "sub", 1, []string{"refused: the stack has no OidcIssuer"}},
	} {
		d := w.deploy(t, func(d *deployment) {
			d.parameters["OidcIssuer"], d.parameters["OidcAudience"], d.parameters["UserIdClaim"] = c.issuer, c.audience, c.claim
		})
		check(d.run("", "doctor", "-token", file), c.status, c.want...)
	}
	d := w.deploy(t, func(d *deployment) { d.parameters["OidcIssuer"], d.parameters["OidcAudience"] = issuer, "local" })
	check(d.run(bearer, "doctor", "-token", "-"), 0, `"userId": "alice"`)
	check(d.run(bearer[:len(bearer)-4]+"AAAA", "doctor", "-token", "-"), 1, "refused: no key of the issuer fits")
	for _, bad := range []string{"", "secret", "a.b", "e30.e30", "a.b.c", "e30.bnVsbA.c"} {
		check(d.run(bad, "doctor", "-token", "-"), 1, "-token: ")
	}
}
