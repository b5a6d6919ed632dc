package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go/encoding/cbor"

	"chat-service-backend/internal/awstest"
)

// issuers returns the URLs of an issuer that is good, and of others that are not.
func issuers(t *testing.T) map[string]string {
	good, slash, keyless, symmetric, future := awstest.NewIssuer(t), awstest.NewIssuer(t), awstest.NewIssuer(t), awstest.NewIssuer(t), awstest.NewIssuer(t)
	slash.Metadata = map[string]any{"issuer": slash.URL + "/", "jwks_uri": slash.URL + "/keys"}
	keyless.Metadata = map[string]any{"issuer": keyless.URL, "jwks_uri": good.URL + "/none"}
	symmetric.Keys = []any{map[string]string{"kty": "oct", "alg": "HS256", "k": "c2VjcmV0"}}
	future.Keys = []any{
		map[string]string{"kty": "AKP", "alg": "ML-DSA-65", "kid": "pq", "pub": "AAAA"},
		map[string]string{"kty": "OKP", "crv": "Ed25519", "x": strings.Repeat("A", 43)},
	}
	down := awstest.NewIssuer(t)
	down.Stop()
	return map[string]string{"good": good.URL, "slash": slash.URL, "keyless": keyless.URL, "symmetric": symmetric.URL, "future": future.URL, "down": down.URL}
}

func TestDoctorFindsEachFaultAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	issuer := issuers(t)
	signsIn := func(issuer, audience string) func(*deployment) {
		return func(d *deployment) {
			d.parameters["OidcIssuer"], d.parameters["OidcAudience"], d.parameters["MaxTokenLifetime"] = issuer, audience, "172800,3600"
		}
	}
	choices := func(text string) func(*deployment) { return func(d *deployment) { d.choose(text) } }
	onAWS := func(answered func(w http.ResponseWriter, r *http.Request, body string) bool) func(*deployment) {
		return func(d *deployment) { d.onAWS = answered }
	}
	target := func(name string, answered func(http.ResponseWriter) bool) func(*deployment) {
		return onAWS(func(w http.ResponseWriter, r *http.Request, body string) bool {
			return r.Header.Get("X-Amz-Target") == name && answered(w)
		})
	}
	denied := func(name string) func(*deployment) {
		return target(name, func(w http.ResponseWriter) bool { return refuse(w, "AccessDeniedException") })
	}
	stackStatus := func(status string) func(*deployment) {
		return func(d *deployment) {
			d.onAWS = func(w http.ResponseWriter, r *http.Request, body string) bool {
				if !strings.Contains(body, "DescribeStacks") {
					return false
				}
				d.describe(w, status)
				return true
			}
		}
	}
	value := func(name, value string, kind types.ParameterType) func(*deployment) {
		return func(d *deployment) { d.value(name, value, kind) }
	}
	at := func(path string, status int, header http.Header, body string) func(http.ResponseWriter, *http.Request, string) bool {
		return func(w http.ResponseWriter, r *http.Request, _ string) bool {
			if r.URL.Path != path {
				return false
			}
			for name := range header {
				w.Header().Set(name, header.Get(name))
			}
			w.WriteHeader(status)
			fmt.Fprint(w, body)
			return true
		}
	}
	client := func(path string, status int, header http.Header, body string) func(*deployment) {
		return func(d *deployment) { d.onClient = at(path, status, header, body) }
	}
	service := func(path string, status int, body string) func(*deployment) {
		return func(d *deployment) { d.onService = at(path, status, nil, body) }
	}
	signedOnly := func(path string, status int, body string) func(*deployment) {
		return func(d *deployment) {
			d.onService = func(w http.ResponseWriter, r *http.Request, text string) bool {
				return r.Header.Get("Authorization") != "" && at(path, status, nil, body)(w, r, text)
			}
		}
	}
	unsignedOnly := func(path string, status int, body string) func(*deployment) {
		return func(d *deployment) {
			d.onService = func(w http.ResponseWriter, r *http.Request, text string) bool {
				return r.Header.Get("Authorization") == "" && at(path, status, nil, body)(w, r, text)
			}
		}
	}
	with := func(hook map[string]any, name string, value any) map[string]any {
		hook = maps.Clone(hook)
		hook[name] = value
		return hook
	}
	setting := func(name string, value any) func(*deployment) {
		return func(d *deployment) { d.app[name] = value }
	}
	later := func(name string, value any) func(*deployment) { // Stream is slow to agree with itself
		return func(d *deployment) {
			d.wait = func(context.Context, time.Duration) error { d.app[name] = value; return nil }
		}
	}
	hook := func(change func(hook map[string]any) []any) func(*deployment) {
		return func(d *deployment) {
			d.app["event_hooks"] = change(d.app["event_hooks"].([]any)[0].(map[string]any))
		}
	}
	const before = "https://hooks.example.com/webhook/8c2f1c90-1111-2222-3333-0123456789ab-old"
	moved := func(d *deployment) { // to another unguessable address
		d.outputs["WebhookUrl"] = strings.Replace(before, "-old", "-new", 1)
		d.app["event_hooks"].([]any)[0].(map[string]any)["webhook_url"] = d.outputs["WebhookUrl"]
	}
	origins := func(allowed string) func(*deployment) {
		return func(d *deployment) {
			d.parameters["AllowedOrigins"] = "https://app.example.com"
			client("/config", 204, http.Header{"Access-Control-Allow-Origin": {allowed}, "Access-Control-Allow-Headers": {"authorization"}}, "")(d)
		}
	}
	streamQueue := func(d *deployment) {
		d.parameters["StreamQueue"], d.outputs["StreamQueueUrl"] = "true", "https://sqs.example.com/q"
	}
	connected := func(created ...string) func(*deployment) {
		return func(d *deployment) {
			d.created = "<CreationTime>2026-02-01T00:00:00Z</CreationTime>"
			d.onService = func(w http.ResponseWriter, r *http.Request, _ string) bool {
				users := []any{map[string]any{"id": "4711", "created_at": "2025-01-01T00:00:00Z"}}
				if strings.Contains(r.URL.Query().Get("payload"), `{"last_active":{"$gt":"2026-02-01T00:00:00Z"}}`) {
					users = []any{map[string]any{"id": "chat-service-doctor", "created_at": "2025-01-01T00:00:00Z"}}
					for n, at := range created {
						users = append(users, map[string]any{"id": fmt.Sprintf("auth0@-7C%d", n), "created_at": at})
					}
				}
				if r.URL.Path != "/proxy/users" {
					return false
				}
				_ = json.NewEncoder(w).Encode(map[string]any{"users": users})
				return true
			}
		}
	}
	both := func(faults ...func(*deployment)) func(*deployment) {
		return func(d *deployment) {
			for _, f := range faults {
				f(d)
			}
		}
	}
	parameter := func(name, value string) func(*deployment) {
		return func(d *deployment) { d.parameters[name] = value }
	}
	refused := func(name, code string) func(*deployment) {
		return target(name, func(w http.ResponseWriter) bool { return refuse(w, code) })
	}
	onFunction := func(answered func(http.ResponseWriter) bool) func(*deployment) {
		return onAWS(func(w http.ResponseWriter, r *http.Request, _ string) bool {
			return strings.Contains(r.URL.Path, "/functions/") && answered(w)
		})
	}
	const arnOfHook, arnOfKey = "arn:aws:lambda:eu-central-1:123456789012:function:hook", "arn:aws:kms:eu-central-1:123456789012:key/1"
	hookFunction := parameter("HookFunctionArn", arnOfHook)
	asks := func(d *deployment) { d.app["before_message_send_hook_url"] = d.outputs["WebhookUrl"] }
	deadLetters := func(answer string) func(*deployment) {
		return both(streamQueue, onAWS(func(w http.ResponseWriter, r *http.Request, body string) bool {
			switch r.Header.Get("X-Amz-Target") {
			case "AmazonSQS.GetQueueUrl":
				if answer == "" {
					return refuse(w, "AWS.SimpleQueueService.NonExistentQueue")
				}
				fmt.Fprint(w, `{"QueueUrl":"http://aws.invalid/dead"}`)
				return true
			case "AmazonSQS.GetQueueAttributes":
				if strings.Contains(body, "/dead") {
					fmt.Fprint(w, answer)
					return true
				}
				fmt.Fprint(w, `{"Attributes":{"ApproximateNumberOfMessages":"0","RedrivePolicy":"{\"deadLetterTargetArn\":\"arn:aws:sqs:eu-central-1:123456789012:dead\"}"}}`)
				return true
			}
			return false
		}))
	}
	path := func(part string, answered func(http.ResponseWriter) bool) func(*deployment) {
		return onAWS(func(w http.ResponseWriter, r *http.Request, _ string) bool {
			return strings.Contains(r.URL.Path, part) && answered(w)
		})
	}
	answers := func(text string) func(http.ResponseWriter) bool {
		return func(w http.ResponseWriter) bool { fmt.Fprint(w, text); return true }
	}
	query := func(part string, answered func(http.ResponseWriter) bool) func(*deployment) {
		return onAWS(func(w http.ResponseWriter, r *http.Request, body string) bool {
			return strings.Contains(body, part) && answered(w)
		})
	}
	bucket := func(status int) func(*deployment) {
		return onAWS(func(w http.ResponseWriter, r *http.Request, _ string) bool {
			if r.Method == http.MethodHead {
				w.WriteHeader(status)
			}
			return r.Method == http.MethodHead
		})
	}
	stranger := httptest.NewTLSServer(http.NotFoundHandler()) // whose certificate nobody trusts
	t.Cleanup(stranger.Close)
	nothing := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(nothing.Close)
	login := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>sign in") }))
	t.Cleanup(login.Close)
	redirects := httptest.NewServer(http.RedirectHandler(login.URL, http.StatusFound))
	t.Cleanup(redirects.Close)
	sendsToQueue := func(d *deployment) {
		d.app["event_hooks"] = []any{map[string]any{"hook_type": "sqs", "sqs_queue_url": d.outputs["StreamQueueUrl"], "enabled": true}}
	}
	odd := map[string]string{}
	for name, answer := range map[string]string{"list": `[]`, "relative": `{"issuer":"URL","jwks_uri":"/keys"}`, "null": `{"issuer":"URL","jwks_uri":"URL/keys","keys":null}`, "loop": ""} {
		var s *httptest.Server
		s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if answer == "" {
				http.Redirect(w, r, s.URL+r.URL.Path, http.StatusFound)
			}
			fmt.Fprint(w, strings.ReplaceAll(answer, "URL", s.URL))
		}))
		t.Cleanup(s.Close)
		odd[name] = s.URL
	}
	silent := target("AmazonSQS.ReceiveMessage", func(w http.ResponseWriter) bool { fmt.Fprint(w, `{}`); return true })

	for name, c := range map[string]struct {
		fault  func(*deployment)
		status string // of the finding
		check  string
		want   string
	}{
		"no region": {func(d *deployment) { d.aws = func(context.Context) (aws.Config, error) { return aws.Config{}, nil } }, "bad", "credentials", "no AWS region is set: set AWS_REGION"},
		"no credentials": {func(d *deployment) {
			d.aws = func(context.Context) (aws.Config, error) {
				none := func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, errors.New("no role found") }
				return aws.Config{Region: region, Credentials: aws.CredentialsProviderFunc(none)}, nil
			}
		}, "bad", "credentials", "there are no valid AWS credentials (aws sso login, AWS_PROFILE): no role found"},
		"credentials refused": {onAWS(func(w http.ResponseWriter, r *http.Request, body string) bool {
			return strings.Contains(body, "GetCallerIdentity") && forbidden(w)
		}), "bad", "credentials", "not valid"},
		"a clock that is wrong": {onAWS(func(w http.ResponseWriter, r *http.Request, body string) bool {
			w.Header().Set("Date", time.Now().Add(-4*time.Minute).UTC().Format(http.TimeFormat))
			return false
		}), "bad", "clock", "off the clock of AWS"},
		"another clock at the Client API": {client("/api-key", 200, http.Header{"Date": {time.Now().Add(4 * time.Minute).UTC().Format(http.TimeFormat)}}, `{}`), "bad", "clock", "off the clock of the Client API"},
		"no stack":                        {func(d *deployment) { d.missing = true }, "bad", "stack", "there is no stack"},
		"no right to describe the stack": {query("DescribeStacks", func(w http.ResponseWriter) bool {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>`)
			return true
		}), "bad", "stack", "ask for the right cloudformation:DescribeStacks"},
		"a deployment rolled back":      {stackStatus("UPDATE_ROLLBACK_COMPLETE"), "bad", "stack", "UPDATE_ROLLBACK_COMPLETE"},
		"a deployment under way":        {stackStatus("UPDATE_IN_PROGRESS"), "bad", "stack", "UPDATE_IN_PROGRESS"},
		"another project's stack":       {func(d *deployment) { delete(d.outputs, "ServiceApiUrl") }, "bad", "stack", "no output ServiceApiUrl"},
		"parameters that differ":        {choices("HookTimeoutMs=900"), "bad", "parameters", `HookTimeoutMs is "1200", but "900" in deploy/dev.env`},
		"choices that cannot be":        {choices("HookTimeoutMs=0"), "bad", "parameters", "parameter HookTimeoutMs: it is not a number from "},
		"an older template":             {func(d *deployment) { choices("")(d); delete(d.parameters, "StreamQueue") }, "bad", "parameters", "StreamQueue is new in template.yaml"},
		"no key":                        {func(d *deployment) { d.parameters["ParameterPrefix"] = "/nothing-here" }, "bad", "values", "/nothing-here/stream/api-key does not exist"},
		"a secret in the clear":         {value(apiSecret, "x", types.ParameterTypeString), "bad", "values", "is a String and must be a SecureString"},
		"a key that is a secret":        {value(apiKey, "x", types.ParameterTypeSecureString), "bad", "values", "is a SecureString and must be a String"},
		"an empty secret":               {value(apiSecret, " ", types.ParameterTypeSecureString), "bad", "values", "api-secret: the API secret must not be empty"},
		"a secret with a blank":         {value(apiSecret, "x ", types.ParameterTypeSecureString), "bad", "values", "api-secret begins or ends with white space"},
		"a rotation under way":          {value(previousSecret, "x", types.ParameterTypeSecureString), "warn", "values", "a rotation is under way"},
		"a configuration, no object":    {value(clientConfig+"/web", "[1]", types.ParameterTypeString), "bad", "values", "client-config/web: /config answers 500 for this client type: that is not a JSON object"},
		"values not to be read":         {denied("AmazonSSM.GetParameters"), "skip", "values", "you have no right to ssm:GetParameters"},
		"configurations not to be read": {denied("AmazonSSM.GetParametersByPath"), "skip", "values", "you have no right to ssm:GetParametersByPath"},
		"a new account": {onAWS(func(w http.ResponseWriter, r *http.Request, body string) bool {
			if strings.Contains(r.URL.Path, "/account-settings") {
				fmt.Fprint(w, `{"AccountLimit":{"ConcurrentExecutions":10}}`)
				return true
			}
			return false
		}), "bad", "quotas", "Lambda runs only 10 requests at once"},
		"a slow Parameter Store": {target("AmazonSSM.GetServiceSetting", func(w http.ResponseWriter) bool {
			fmt.Fprint(w, `{"ServiceSetting":{"SettingValue":"false"}}`)
			return true
		}), "warn", "quotas", "40 calls a second"},
		"no issuer":                     {signsIn("", ""), "warn", "issuer", "nobody can sign in"},
		"an issuer that is not there":   {signsIn(issuer["good"]+"/nowhere", "app"), "bad", "issuer", "the metadata is of issuer"},
		"an issuer without audience":    {signsIn(issuer["good"], ""), "bad", "issuer", "OIDC_AUDIENCE"},
		"the second of two issuers":     {signsIn(issuer["good"]+",staff="+issuer["keyless"], "app,staff=app"), "bad", "issuer", issuer["keyless"] + ": "},
		"an issuer with another slash":  {signsIn(issuer["slash"], "app"), "bad", "issuer", "the metadata is of issuer \"" + issuer["slash"] + "/"},
		"an issuer without keys":        {signsIn(issuer["keyless"], "app"), "bad", "issuer", "/none: status 404"},
		"a key of a type to come":       {signsIn(issuer["future"], "app"), "warn", "issuer", `has a key that cannot be used: key 1 (kid "pq"): its type is "AKP"`},
		"symmetric keys alone":          {signsIn(issuer["symmetric"], "app"), "bad", "issuer", "no public key"},
		"an audience unlike Cognito's":  {signsIn("https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_x", "my-app"), "bad", "issuer", "app client"},
		"an audience unlike Firebase's": {signsIn("https://securetoken.google.com/shop", "my-app"), "bad", "issuer", "is my-app and must be the project, shop"},
		"a Client API that fails":       {client("/api-key", 503, nil, `{"errorMsg":"x"}`), "bad", "client API", "/api-key: 503: x"},
		"another key at the Client API": {client("/api-key", 200, nil, `{"api_key":"other"}`), "bad", "client API", "another key"},
		"an origin shut out":            {origins(""), "bad", "CORS", "https://app.example.com"},
		"a stranger let in":             {origins("*"), "bad", "CORS", "https://doctor.invalid"},
		"a Service API for anybody":     {service("/api-key", 200, `{}`), "bad", "service API", "an unsigned call of GET /api-key is answered with 200 instead of 403"},
		"a Service API for others":      {service("/api-key", 403, `{"Message":"not authorized"}`), "bad", "service API", "a signed call is refused"},
		"a Service API that fails":      {service("/api-key", 500, `{}`), "bad", "service API", "a signed call: 500"},
		"a Service API out of reach":    {func(d *deployment) { d.outputs["ServiceApiUrl"] = "http://127.0.0.1:1" }, "bad", "service API", "refused"},
		"a private Service API": {func(d *deployment) {
			d.outputs["ServiceApiUrl"], d.parameters["ServiceApiVpcEndpointIds"] = "http://127.0.0.1:1", "vpce-1"
		}, "bad", "service API", "it is private"},
		"a key that Stream does not know": {service("/proxy/app", 401, `{"code":2,"message":"api_key not valid"}`), "bad", "Stream", "copy it from the dashboard"},
		"a secret of another app":         {service("/proxy/app", 401, `{"code":43,"message":"signature"}`), "bad", "Stream", "copy both from the same app"},
		"a policy without GET /app":       {service("/proxy/app", 403, `{"Message":"not authorized"}`), "bad", "Stream", "allow arn:x/GET/proxy/app"},
		"a Stream that is down":           {service("/proxy/app", 502, `{"errorMsg":"Stream cannot be reached."}`), "bad", "Stream", "check StreamBaseUrl"},
		"a suspended app":                 {setting("suspended", true), "bad", "app", "suspended"},
		"an app without authentication":   {setting("disable_auth_checks", true), "bad", "app", "anybody can connect as anybody"},
		"an app without permissions":      {setting("disable_permissions_checks", true), "bad", "app", "every user may do everything"},
		"old permissions":                 {setting("permission_version", "v1"), "warn", "app", "has permissions v1"},
		"few calls left": {func(d *deployment) {
			d.onService = func(w http.ResponseWriter, _ *http.Request, _ string) bool {
				w.Header().Set("X-Ratelimit-Limit", "100")
				w.Header().Set("X-Ratelimit-Remaining", "9")
				return false
			}
		}, "warn", "rate limits", "9 of 100"},

		"a webhook elsewhere": {hook(func(h map[string]any) []any { h["webhook_url"] = "https://old.example.com"; return []any{h} }),
			"bad", "webhook", "(1 hooks send elsewhere)"},
		"a webhook disabled":         {hook(func(h map[string]any) []any { h["enabled"] = false; return []any{h} }), "bad", "webhook", "is disabled"},
		"a webhook twice":            {hook(func(h map[string]any) []any { return []any{h, h} }), "bad", "webhook", "several hooks send the same events"},
		"an app without event hooks": {func(d *deployment) { delete(d.app, "event_hooks"); d.app["webhook_url"] = d.outputs["WebhookUrl"] }, "ok", "webhook", "all events"},
		"a queue for events":         {streamQueue, "bad", "webhook", "Stream does not send to"},
		"a webhook beside the queue": {func(d *deployment) {
			streamQueue(d)
			hook(func(h map[string]any) []any {
				return []any{h, map[string]any{"hook_type": "sqs", "sqs_queue_url": "https://sqs.example.com/q", "enabled": true}}
			})(d)
		}, "bad", "webhook", "events arrive twice"},
		"events that wait": {target("AmazonSQS.GetQueueAttributes", func(w http.ResponseWriter) bool {
			fmt.Fprint(w, `{"Attributes":{"ApproximateNumberOfMessages":"1"}}`)
			return true
		}), "bad", "fallback queue", "1 events that the bus did not take"},
		"an event that does not arrive": {silent, "bad", "event", "a message sent in Stream did not arrive on the bus"},
		"an event refused": {func(d *deployment) {
			hook(func(h map[string]any) []any { h["event_types"] = []any{"user.banned"}; return []any{h} })(d)
			client("/webhook", 401, nil, `{"errorMsg":"The signature is not valid."}`)(d)
		}, "bad", "event", "The signature is not valid."},
		"no right to listen":   {denied("AWSEvents.PutRule"), "skip", "event", "you have no right to make a queue and a rule"},
		"no right to clean up": {denied("AmazonSQS.DeleteQueue"), "warn", "event", "could not be removed"},
		"a channel that stays": {func(d *deployment) {
			d.onService = func(w http.ResponseWriter, r *http.Request, _ string) bool {
				refused := r.Method == http.MethodDelete
				if refused {
					w.WriteHeader(http.StatusInternalServerError)
				}
				return refused
			}
		}, "warn", "event", "could not be removed: channel messaging:chat-service-doctor-"},

		"a hook function that Stream does not ask": {hookFunction, "bad", "hook", "Stream asks nobody"},
		"an old stack that Stream asks":            {both(hookFunction, setting("before_message_send_hook_url", "https://old.example.com/webhook")), "bad", "hook", "Stream asks https://old.example.com/webhook and not"},
		"no function for what Stream asks":         {asks, "warn", "hook", "there is no HookFunctionArn to answer"},
		"a Stream that does not wait":              {both(hookFunction, asks, parameter("HookTimeoutMs", "2700")), "warn", "hook", "Stream waits 1500 ms for an answer, and HookTimeoutMs is 2700"},
		"a Stream that waits":                      {both(hookFunction, asks, parameter("HookTimeoutMs", "2700"), setting("before_message_send_hook_attempt_timeout_ms", 3000)), "ok", "hook", "Stream asks "},
		"a setting that comes late":                {both(hookFunction, asks, parameter("HookTimeoutMs", "2700"), later("before_message_send_hook_attempt_timeout_ms", 3000)), "ok", "hook", "Stream asks "},
		"a hook that comes late":                   {both(hookFunction, parameter("HookTimeoutMs", "1000"), func(d *deployment) { later("before_message_send_hook_url", d.outputs["WebhookUrl"])(d) }), "ok", "hook", "Stream asks "},
		"a hook function removed":                  {both(hookFunction, asks, onFunction(func(w http.ResponseWriter) bool { return refuse(w, "ResourceNotFoundException") })), "bad", "functions", "HookFunctionArn " + arnOfHook + " does not exist"},
		"a sign-in function removed":               {both(parameter("SignInFunctionArn", arnOfHook), onFunction(func(w http.ResponseWriter) bool { return refuse(w, "ResourceNotFoundException") })), "bad", "functions", "SignInFunctionArn"},
		"a hook function not to be seen":           {both(hookFunction, asks, parameter("HookTimeoutMs", "1000"), onFunction(func(w http.ResponseWriter) bool { return refuse(w, "AccessDeniedException") })), "skip", "functions", "you have no right to lambda:GetFunction"},
		"a hook function switched off": {both(hookFunction, asks, onFunction(func(w http.ResponseWriter) bool {
			fmt.Fprint(w, `{"Concurrency":{"ReservedConcurrentExecutions":0}}`)
			return true
		})), "bad", "functions", "0 requests at once"},
		"a fallback queue removed":          {refused("AmazonSQS.GetQueueAttributes", "AWS.SimpleQueueService.NonExistentQueue"), "bad", "fallback queue", "/queue does not exist"},
		"a fallback queue not to be seen":   {denied("AmazonSQS.GetQueueAttributes"), "skip", "fallback queue", "you have no right to sqs:GetQueueAttributes"},
		"a bus removed":                     {refused("AWSEvents.DescribeEventBus", "ResourceNotFoundException"), "bad", "bus", "does not exist"},
		"a bus not to be seen":              {denied("AWSEvents.DescribeEventBus"), "skip", "bus", "you have no right to events:DescribeEventBus"},
		"dead letters of Stream's":          {deadLetters(`{"Attributes":{"ApproximateNumberOfMessages":"3"}}`), "bad", "Stream's dead-letter queue", "3 events were tried ten times"},
		"a dead-letter queue removed":       {deadLetters(""), "bad", "Stream's dead-letter queue", "dead does not exist"},
		"a mistyped path of configurations": {value("/client-configs/web", "{}", types.ParameterTypeString), "bad", "values", "is client-config misspelt?"},
		"another mistyped path":             {value("/clientconfig/web", "{}", types.ParameterTypeString), "bad", "values", "is client-config misspelt?"},
		"a configuration too deep":          {value(clientConfig+"/web/dark", "{}", types.ParameterTypeString), "bad", "values", "a client type has no slash"},
		"a secret configuration":            {value(clientConfig+"/web", "{}", types.ParameterTypeSecureString), "bad", "values", "must be a String"},
		"a reference in a configuration":    {value(clientConfig+"/web", `{"a":"{{b}}"}`, types.ParameterTypeString), "bad", "values", "which Parameter Store refuses"},
		"a mistyped key":                    {value("/streem/api-key", "k", types.ParameterTypeString), "bad", "values", "is the name misspelt?"},
		"key and secret swapped":            {both(value(apiKey, strings.Repeat("s", 64), types.ParameterTypeString), value(apiSecret, "key", types.ParameterTypeSecureString)), "bad", "values", "the API key looks like an API secret"},
		"a key after a byte-order mark":     {value(apiKey, "\ufeffkey", types.ParameterTypeString), "bad", "values", "U+FEFF"},
		"a secret in quotes":                {value(apiSecret, `"secret"`, types.ParameterTypeSecureString), "bad", "values", "quotation mark"},
		"a secret with a comma":             {value(apiSecret, "secret,", types.ParameterTypeSecureString), "bad", "values", "ends with a ,"},
		"a secret that cannot be decrypted": {onAWS(func(w http.ResponseWriter, r *http.Request, body string) bool {
			return strings.Contains(body, `"WithDecryption":true`) && refuse(w, "InvalidKeyId")
		}), "bad", "values", "cannot be decrypted: InvalidKeyId"},
		"a KMS key disabled": {both(parameter("KmsKeyArn", arnOfKey), target("TrentService.DescribeKey", func(w http.ResponseWriter) bool {
			fmt.Fprint(w, `{"KeyMetadata":{"KeyId":"1","KeyState":"Disabled"}}`)
			return true
		})), "bad", "key", "is Disabled"},
		"a KMS key removed":                {both(parameter("KmsKeyArn", arnOfKey), refused("TrentService.DescribeKey", "NotFoundException")), "bad", "key", "does not exist"},
		"a KMS key not to be seen":         {both(parameter("KmsKeyArn", arnOfKey), denied("TrentService.DescribeKey")), "skip", "key", "you have no right to kms:DescribeKey"},
		"users who are all new":            {connected("2026-02-02T00:00:00Z", "2026-02-03T00:00:00.5Z"), "warn", "users", "such as 4711, and the last 2 to connect are all new, such as auth0@-7C0"},
		"users who were there before":      {connected("2026-02-02T00:00:00Z", "2025-02-03T00:00:00Z"), "ok", "users", "1 of the last 2"},
		"tokens that never expire":         {parameter("ExpirationTokenDuration", ""), "warn", "tokens", "never expire"},
		"the audience of every client":     {signsIn(issuer["good"], "account"), "bad", "issuer", "Keycloak puts into the tokens of every client"},
		"a token function that fails":      {client("/token/me", 502, nil, `{"errorMsg":"x"}`), "bad", "client API", "/token/me: 502: x see the log of the token function (/aws/lambda/chat/token)"},
		"a token for anybody":              {client("/token/me", 200, nil, `{"token":"a.b.c"}`), "bad", "client API", "gives a token without a bearer token"},
		"a config function that fails":     {client("/config", 500, nil, `{"errorMsg":"x"}`), "bad", "client API", "see the log of the config function"},
		"a route that is missing":          {client("/token/me", 404, nil, `{"message":"Not Found"}`), "bad", "client API", "GET /token/me: 404: the route does not exist"},
		"too many requests":                {client("/token/me", 429, nil, `{"message":"Too Many Requests"}`), "warn", "client API", "429: too many requests"},
		"a token for services that fails":  {service("/token/chat-service-doctor", 503, `{"errorMsg":"x"}`), "bad", "service API", "GET /token/chat-service-doctor: 503: x"},
		"a config for services that fails": {service("/config", 500, `{"errorMsg":"x"}`), "bad", "service API", "GET /config: 500: x"},
		"a webhook function that fails":    {service("/webhook/verify", 502, `{"message":"x"}`), "bad", "service API", "see the log of the webhook function"},
		"tokens for services not allowed":  {signedOnly("/token/chat-service-doctor", 403, `{"Message":"not authorized"}`), "skip", "service API", "you have no right to execute-api:Invoke on arn:x/GET/token/chat-service-doctor"},
		"a proxy for anybody":              {unsignedOnly("/proxy/app", 200, `{"app":{}}`), "bad", "service API", "an unsigned call of GET /proxy/app is answered with 200"},
		"a Stream of another region":       {both(parameter("StreamBaseUrl", "https://chat-proxy-singapore.stream-io-api.com"), setting("placement", "us-east")), "bad", "app", "StreamBaseUrl is in singapore, and the app in us-east"},
		"a key unknown in another region":  {both(parameter("StreamBaseUrl", "https://chat-proxy-singapore.stream-io-api.com"), service("/proxy/app", 401, `{"code":2,"message":"api_key not valid"}`)), "bad", "Stream", "set StreamBaseUrl to the app's region"},
		"two hooks, one of them for all": {hook(func(h map[string]any) []any {
			return []any{with(h, "event_types", []any{"*"}), with(h, "event_types", []any{"message.new"})}
		}), "bad", "webhook", "several hooks send the same events"},
		"a hook at the plain address":     {func(d *deployment) { d.outputs["WebhookUrl"] += "/secret" }, "warn", "webhook", "which anybody can guess"},
		"a hook for another product":      {hook(func(h map[string]any) []any { return []any{with(h, "product", "video")} }), "bad", "webhook", "only for video, and not for chat"},
		"hooks that the app does not use": {both(setting("use_hook_v2", false), setting("webhook_url", "https://old.example.com")), "warn", "webhook", `use only the old webhook_url, which is "https://old.example.com"`},
		"event hooks switched off":        {setting("use_hook_v2", false), "warn", "webhook", "use_hook_v2 is off"},

		"credentials that have expired": {onAWS(func(w http.ResponseWriter, _ *http.Request, body string) bool {
			if !strings.Contains(body, "GetCallerIdentity") {
				return false
			}
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `<ErrorResponse><Error><Code>ExpiredToken</Code><Message>The security token included in the request is expired</Message></Error></ErrorResponse>`)
			return true
		}), "bad", "credentials", "ExpiredToken: The security token included in the request is expired sign in (aws sso login)"},
		"another region":                   {func(d *deployment) { d.missing = true }, "bad", "stack", "is it in another region (AWS_REGION) or account?"},
		"a rollback that failed":           {stackStatus("UPDATE_ROLLBACK_FAILED"), "bad", "stack", "aws cloudformation continue-update-rollback --stack-name chat"},
		"a first deployment that failed":   {stackStatus("ROLLBACK_COMPLETE"), "bad", "stack", "aws cloudformation delete-stack --stack-name chat, then "},
		"a deletion that failed":           {stackStatus("DELETE_FAILED"), "bad", "stack", "aws cloudformation delete-stack --stack-name chat"},
		"a stack that is being deleted":    {stackStatus("DELETE_IN_PROGRESS"), "bad", "stack", "DELETE_IN_PROGRESS"},
		"a Parameter Store that throttles": {refused("AmazonSSM.GetParameters", "ThrottlingException"), "skip", "values", "AWS limits the calls: ThrottlingException"},
		"a bus that throttles":             {refused("AWSEvents.DescribeEventBus", "ThrottlingException"), "skip", "bus", "AWS limits the calls"},
		"a secret of another KMS key":      {both(parameter("KmsKeyArn", arnOfKey), target("AmazonSSM.DescribeParameters", answers(`{"Parameters":[{"KeyId":"alias/aws/ssm"}]}`))), "bad", "values", "is encrypted with alias/aws/ssm, and the functions may use only " + arnOfKey},
		"a secret of a key nobody named":   {target("AmazonSSM.DescribeParameters", answers(`{"Parameters":[{"KeyId":"arn:aws:kms:eu-central-1:123456789012:key/9"}]}`)), "bad", "values", "and the functions may use only alias/aws/ssm"},
		"a secret whose key is unknown":    {denied("AmazonSSM.DescribeParameters"), "skip", "values", "you have no right to ssm:DescribeParameters"},
		"a KMS key to be deleted": {both(parameter("KmsKeyArn", arnOfKey), onAWS(func(w http.ResponseWriter, r *http.Request, _ string) bool {
			switch r.Header.Get("X-Amz-Target") {
			case "TrentService.DescribeKey":
				return answers(`{"KeyMetadata":{"KeyId":"1","KeyState":"PendingDeletion"}}`)(w)
			case "AmazonSSM.DescribeParameters":
				return answers(`{"Parameters":[{"KeyId":"` + arnOfKey + `"}]}`)(w)
			}
			return false
		})), "bad", "key", "aws kms cancel-key-deletion --key-id " + arnOfKey},
		"values used for a day":       {parameter("ParameterTtl", "86400"), "warn", "values", "a rotated secret takes effect after up to 24h0m0s"},
		"tokens that end at once":     {parameter("ExpirationTokenDuration", "10"), "warn", "tokens", "expire after 10 s"},
		"a function that may not run": {path("/functions/chat-TokenFunction-1", answers(`{"Concurrency":{"ReservedConcurrentExecutions":0}}`)), "bad", "functions", "the token function may run 0 requests at once aws lambda delete-function-concurrency --function-name chat-TokenFunction-1"},
		"webhooks that may not run":   {path("/functions/chat-WebhookFunction-1", answers(`{"Concurrency":{"ReservedConcurrentExecutions":0}}`)), "bad", "functions", "aws lambda put-function-concurrency --function-name chat-WebhookFunction-1"},
		"a function removed":          {path("/functions/chat-ProxyFunction-1", func(w http.ResponseWriter) bool { return refuse(w, "ResourceNotFoundException") }), "bad", "functions", "the proxy function chat-ProxyFunction-1 does not exist"},
		"a function that is broken":   {path("/functions/chat-ConfigFunction-1", answers(`{"Configuration":{"State":"Failed","StateReason":"KMS key is disabled"}}`)), "bad", "functions", "the config function is in state Failed: KMS key is disabled"},
		"an update that failed":       {path("/functions/chat-ConfigFunction-1", answers(`{"Configuration":{"State":"Active","LastUpdateStatus":"Failed","LastUpdateStatusReason":"x"}}`)), "bad", "functions", "the last update of the config function failed: x"},
		"functions not to be seen":    {path("/functions/", func(w http.ResponseWriter) bool { return refuse(w, "AccessDeniedException") }), "skip", "functions", "you have no right to lambda:GetFunction"},
		"an old version":              {path("/functions/chat-TokenFunction-1/aliases/", answers(`{"Name":"live","FunctionVersion":"6"}`)), "warn", "functions", "the token function's alias live points to version 6, and the stack deployed 7"},
		"a canary under way":          {path("/functions/chat-TokenFunction-1/aliases/", answers(`{"Name":"live","FunctionVersion":"6","RoutingConfig":{"AdditionalVersionWeights":{"7":0.1}}}`)), "warn", "functions", "10 % of the token function's requests go to version 7"},
		"an alias removed":            {path("/functions/chat-TokenFunction-1/aliases/", func(w http.ResponseWriter) bool { return refuse(w, "ResourceNotFoundException") }), "bad", "functions", "the token function's alias live does not exist"},
		"resources not to be seen": {onAWS(func(w http.ResponseWriter, _ *http.Request, body string) bool {
			if strings.Contains(body, "ListStackResources") {
				w.WriteHeader(http.StatusForbidden)
				fmt.Fprint(w, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>`)
			}
			return strings.Contains(body, "ListStackResources")
		}), "skip", "functions", "you have no right to cloudformation:ListStackResources"},
		"a queue that nobody reads":          {both(streamQueue, path("/event-source-mappings/uuid-1", answers(`{"State":"Disabled"}`))), "bad", "Stream's queue", "nobody reads it: its mapping is Disabled aws lambda update-event-source-mapping --enabled --uuid uuid-1"},
		"dead letters, and what to do":       {deadLetters(`{"Attributes":{"ApproximateNumberOfMessages":"3"}}`), "bad", "Stream's dead-letter queue", "aws lambda update-event-source-mapping --enabled --uuid uuid-2"},
		"an archive removed":                 {refused("AWSEvents.DescribeArchive", "ResourceNotFoundException"), "bad", "bus", "the archive chat does not exist"},
		"an archive that does not keep":      {target("AWSEvents.DescribeArchive", answers(`{"ArchiveName":"chat","State":"DISABLED"}`)), "bad", "bus", "the archive chat is DISABLED"},
		"a rule that is off":                 {target("AWSEvents.ListRules", answers(`{"Rules":[{"Name":"mine","State":"DISABLED"}]}`)), "warn", "bus", "the rule mine is disabled"},
		"a bucket removed":                   {bucket(404), "bad", "bucket", "chat-large does not exist"},
		"a bucket not to be seen":            {bucket(403), "skip", "bucket", "you have no right to s3:ListBucket"},
		"events in flight":                   {target("AmazonSQS.GetQueueAttributes", answers(`{"Attributes":{"ApproximateNumberOfMessages":"0","ApproximateNumberOfMessagesNotVisible":"4"}}`)), "warn", "fallback queue", "4 events are in the hands of a redrive"},
		"an issuer with its own certificate": {signsIn(stranger.URL, "app"), "bad", "issuer", "not one that everybody trusts"},
		"an issuer that is down":             {signsIn(issuer["down"], "app"), "bad", "issuer", "must answer from the internet"},
		"an issuer without metadata":         {signsIn(nothing.URL, "app"), "bad", "issuer", "set OidcDiscoveryUrl or OidcJwksUrl"},
		"a domain with another certificate":  {func(d *deployment) { d.outputs["ClientApiUrl"] = stranger.URL }, "bad", "client API", "CertificateArn"},
		"a domain without a mapping":         {client("/api-key", 403, nil, `{"message":"Forbidden"}`), "bad", "client API", "a firewall (WAF) or a domain without a mapping refuses"},
		"a redirect in front":                {client("/api-key", 301, http.Header{"Location": {"https://x"}}, ""), "bad", "client API", "something in front of the API redirects"},
		"a header that CORS lacks": {func(d *deployment) {
			d.parameters["AllowedOrigins"] = "*"
			client("/config", 204, http.Header{"Access-Control-Allow-Origin": {"*"}}, "")(d)
		}, "bad", "CORS", "may not send authorization"},
		"a signature of a wrong clock":     {signedOnly("/api-key", 403, `{"message":"Signature expired: 20260101T000000Z is now earlier than 20260101T000500Z"}`), "bad", "service API", "set this machine's clock"},
		"a Service API that is closed":     {signedOnly("/api-key", 403, `{"Message":"User: arn:aws:iam::1:user/op is not authorized to perform: execute-api:Invoke with an explicit deny"}`), "bad", "service API", "ServiceApiAccountIds"},
		"a Service API without mapping":    {signedOnly("/api-key", 403, `{"message":"Forbidden"}`), "bad", "service API", "the domain's mapping"},
		"an app that Stream has suspended": {service("/proxy/app", 403, `{"code":99,"message":"app suspended"}`), "bad", "Stream", "Stream has suspended the app"},
		"a feature that Stream refuses":    {service("/proxy/app", 403, `{"code":17,"message":"not allowed"}`), "bad", "Stream", "Stream's code 17"},
		"a Stream at its limit":            {service("/proxy/app", 429, `{"code":9,"message":"Too many requests"}`), "bad", "Stream", "wait a minute, and find out who calls"},
		"a Stream that fails":              {service("/proxy/app", 500, `{"code":-1,"message":"internal"}`), "bad", "Stream", "see the log of the proxy function"},
		"a Stream that is down itself":     {service("/proxy/app", 503, `{"code":10,"message":"down"}`), "bad", "Stream", "https://status.getstream.io"},
		"a proxy without credentials":      {service("/proxy/app", 503, `{"errorMsg":"The chat credentials cannot be read right now; try again in a moment."}`), "bad", "Stream", "see values and key above"},
		"a Stream that is something else":  {service("/proxy/app", 200, `<html>`), "bad", "Stream", "check StreamBaseUrl"},
		"a path that Stream does not have": {service("/proxy/app", 404, `{"code":16,"message":"not found"}`), "bad", "Stream", "check StreamBaseUrl"},
		"a hook at an address before":      {both(moved, hook(func(h map[string]any) []any { h["webhook_url"] = before; return []any{h} })), "bad", "webhook", before + ", an address that this stack no longer has"},

		"an alarm that is on": {onAWS(func(w http.ResponseWriter, r *http.Request, _ string) bool {
			return strings.HasSuffix(r.URL.Path, "/DescribeAlarms") && alarms(w, cbor.Map{"StateValue": cbor.String("ALARM"), "StateReason": cbor.String("no datapoints")})
		}), "warn", "alarms", ": no datapoints docs/runbook.md#noeventsalarm"},
		"an alarm without actions": {onAWS(func(w http.ResponseWriter, r *http.Request, _ string) bool {
			return strings.HasSuffix(r.URL.Path, "/DescribeAlarms") && alarms(w, cbor.Map{"ActionsEnabled": cbor.Bool(false)})
		}), "warn", "alarms", "aws cloudwatch enable-alarm-actions --alarm-names chat-NoEventsAlarm-1"},
		"an alarm removed": {onAWS(func(w http.ResponseWriter, r *http.Request, _ string) bool {
			return strings.HasSuffix(r.URL.Path, "/DescribeAlarms") && alarms(w, nil)
		}), "bad", "alarms", "the alarm chat-NoEventsAlarm-1 does not exist"},
		"an address not confirmed": {query("ListSubscriptionsByTopic", func(w http.ResponseWriter) bool { return subscribed(w, "PendingConfirmation") }), "bad", "alarms", "ops@example.com has not confirmed"},
		"alarms for nobody":        {query("ListSubscriptionsByTopic", func(w http.ResponseWriter) bool { return subscribed(w, "") }), "bad", "alarms", "nobody gets the alarms of arn:aws:sns:"},
		"a topic of others removed": {both(parameter("AlarmTarget", "arn:aws:sns:eu-central-1:123456789012:theirs"), query("%3Atheirs", func(w http.ResponseWriter) bool {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `<ErrorResponse><Error><Code>NotFound</Code><Message>no</Message></Error></ErrorResponse>`)
			return true
		})), "bad", "alarms", ":theirs does not exist"},
		"a log group removed": {query("DetectStackResourceDrift", func(w http.ResponseWriter) bool { return drifted(w, "DELETED") }), "bad", "logs", "aws logs create-log-group --log-group-name /aws/lambda/chat/token"},
		"a log group not to be seen": {query("DetectStackResourceDrift", func(w http.ResponseWriter) bool {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>`)
			return true
		}), "skip", "logs", "you have no right to cloudformation:DetectStackResourceDrift"},

		"no way to AWS": {func(d *deployment) {
			d.aws = func(context.Context) (aws.Config, error) {
				return aws.Config{Region: region, BaseEndpoint: aws.String("http://127.0.0.1:1"), RetryMaxAttempts: 1, Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")}, nil
			}
		}, "bad", "credentials", "AWS cannot be reached"},
		"something else in AWS's place":       {query("GetCallerIdentity", answers(`<GetCallerIdentityResponse><GetCallerIdentityResult/></GetCallerIdentityResponse>`)), "bad", "credentials", "check AWS_ENDPOINT_URL"},
		"a session that ends meanwhile":       {refused("AmazonSSM.GetParameters", "ExpiredTokenException"), "bad", "values", "sign in (aws sso login)"},
		"a stack never made":                  {stackStatus("REVIEW_IN_PROGRESS"), "bad", "stack", "a change set that nobody has executed"},
		"a configuration that is a page":      {client("/config", 200, nil, `<html>`), "bad", "client API", "something else answers there"},
		"a sign-in in front":                  {client("/api-key", 401, http.Header{"Www-Authenticate": {"Basic"}}, `<html>`), "bad", "client API", "something in front of the API"},
		"throttled to nothing":                {client("/api-key", 429, nil, `{"message":"Too Many Requests"}`), "warn", "client API", "GET /api-key: 429"},
		"an issuer behind a login page":       {signsIn(login.URL, "app"), "bad", "issuer", "something else answers"},
		"an issuer that redirects to a login": {signsIn(redirects.URL, "app"), "bad", "issuer", "something else answers"},
		"a bus that fails":                    {refused("AWSEvents.DescribeEventBus", "InternalException"), "bad", "bus", "look up what AWS says"},
		"a key that is a list":                {value(apiKey, "x", types.ParameterTypeStringList), "bad", "values", "is a StringList and must be a String"},
		"a bucket in another region":          {bucket(301), "bad", "bucket", "chat-large"},
		"a webhook with a slash too many": {hook(func(h map[string]any) []any {
			h["webhook_url"] = strings.Replace(h["webhook_url"].(string), "/webhook", "//webhook", 1)
			return []any{h}
		}), "bad", "webhook", "Stream does not send to"},
		"pending messages at an old address": {both(moved, hook(func(h map[string]any) []any {
			return []any{h, map[string]any{"hook_type": "pending_message", "enabled": true, "webhook_url": before}}
		})), "bad", "webhook", before + ", an address that this stack no longer has"},
		"commands at an old address":       {both(moved, setting("custom_action_handler_url", before)), "bad", "webhook", before + ", an address that this stack no longer has"},
		"moderation at an old address":     {both(moved, setting("moderation_webhook_url", before)), "bad", "webhook", before + ", an address that this stack no longer has"},
		"a mapping that cannot read":       {both(streamQueue, path("/event-source-mappings/uuid-1", answers(`{"State":"Enabled","LastProcessingResult":"PROBLEM: KMS denies"}`))), "bad", "Stream's queue", "PROBLEM: KMS denies"},
		"a call signed for another region": {signedOnly("/api-key", 403, `{"message":"Credential should be scoped to a valid region."}`), "bad", "service API", "set AWS_REGION to the stack's region"},
		"a session that the API refuses":   {signedOnly("/api-key", 403, `{"message":"The security token included in the request is invalid."}`), "bad", "service API", "sign in again (aws sso login)"},
		"as many rules as can be":          {refused("AWSEvents.PutRule", "LimitExceededException"), "skip", "event", "AWS limits the calls: LimitExceededException"},
		"a doctor whom Stream refuses": {func(d *deployment) {
			d.onService = func(w http.ResponseWriter, r *http.Request, _ string) bool {
				if !strings.HasPrefix(r.URL.Path, "/proxy/channels/") {
					return false
				}
				w.WriteHeader(http.StatusBadRequest)
				fmt.Fprint(w, `{"code":16,"message":"the user chat-service-doctor is deactivated"}`)
				return true
			}
		}, "warn", "event", "is deactivated the user chat-service-doctor must be neither banned nor deactivated"},

		"an alarm without a target": {onAWS(func(w http.ResponseWriter, r *http.Request, _ string) bool {
			return strings.HasSuffix(r.URL.Path, "/DescribeAlarms") && alarms(w, cbor.Map{"StateValue": cbor.String("OK"), "AlarmActions": cbor.List{}})
		}), "warn", "alarms", "chat-NoEventsAlarm-1 tells nobody: somebody has removed its actions"},
		"an address that has unsubscribed":     {query("ListSubscriptionsByTopic", func(w http.ResponseWriter) bool { return subscribed(w, "Deleted") }), "bad", "alarms", "nobody gets the alarms of"},
		"a KMS key without material":           {both(parameter("KmsKeyArn", arnOfKey), target("TrentService.DescribeKey", answers(`{"KeyMetadata":{"KeyId":"1","KeyState":"PendingImport"}}`))), "bad", "key", "aws kms describe-key --key-id " + arnOfKey},
		"a parked domain of the Service API":   {service("/api-key", 200, `<html>`), "bad", "service API", "something else answers there"},
		"a redirect before the Service API":    {service("/api-key", 302, ``), "bad", "service API", "have the URL lead to the API itself"},
		"a service domain's other certificate": {func(d *deployment) { d.outputs["ServiceApiUrl"] = stranger.URL }, "bad", "service API", "CertificateArn"},
		"an API key that is text":              {client("/api-key", 200, nil, `"local-key"`), "bad", "client API", "is not the JSON expected: it has an unexpected string check the URL"},
		"an empty answer":                      {client("/config", 200, nil, ``), "bad", "client API", "GET /config: the answer with status 200 is not the JSON expected: it is empty"},
		"a connection closed": {func(d *deployment) {
			d.onClient = func(_ http.ResponseWriter, r *http.Request, _ string) bool {
				if r.URL.Path == "/config" {
					panic(http.ErrAbortHandler)
				}
				return false
			}
		}, "bad", "client API", "GET /config: no answer: the connection was closed"},
		"an app that is a list": {signedOnly("/proxy/app", 200, `{"app":[]}`), "bad", "Stream", "it has an unexpected array"},
		"hooks of an odd form":  {setting("event_hooks", []any{nil, "x", map[string]any{"webhook_url": 7, "event_types": "message.new", "enabled": "yes"}}), "bad", "webhook", "Stream does not send to"},
		"a rule that is off, on the second page": {onAWS(func(w http.ResponseWriter, r *http.Request, body string) bool {
			switch {
			case r.Header.Get("X-Amz-Target") != "AWSEvents.ListRules":
				return false
			case strings.Contains(body, "NextToken"):
				return answers(`{"Rules":[{"Name":"mine","State":"DISABLED"}]}`)(w)
			}
			return answers(`{"Rules":[],"NextToken":"2"}`)(w)
		}), "warn", "bus", "the rule mine is disabled"},
		"a mapping that is being deleted": {both(streamQueue, path("/event-source-mappings/uuid-1", answers(`{"State":"Deleting"}`))), "bad", "Stream's queue", "nobody will read it"},
		"a queue without dead letters":    {both(streamQueue, sendsToQueue, target("AmazonSQS.GetQueueAttributes", answers(`{"Attributes":{"ApproximateNumberOfMessages":"0"}}`))), "warn", "Stream's dead-letter queue", "somebody has removed it from Stream's queue"},
		"metadata that is a list":         {signsIn(odd["list"], "app"), "bad", "issuer", "it has an unexpected array; set the address of the metadata or the keys correct OidcDiscoveryUrl"},
		"keys at a relative address":      {signsIn(odd["relative"], "app"), "bad", "issuer", "correct OidcDiscoveryUrl"},
		"an issuer that redirects always": {signsIn(odd["loop"], "app"), "bad", "issuer", "it redirects more than 3 times; set the address at the end correct OidcDiscoveryUrl"},
		"tokens for ten years":            {parameter("ExpirationTokenDuration", "315360000"), "warn", "tokens", "user tokens expire after 3650 days"},
		"a firewall that knows no OPTIONS": {both(parameter("AllowedOrigins", "https://app.example.com"), func(d *deployment) {
			d.onClient = func(w http.ResponseWriter, r *http.Request, _ string) bool {
				if r.Method == http.MethodOptions {
					w.WriteHeader(http.StatusForbidden)
				}
				return r.Method == http.MethodOptions
			}
		}), "bad", "CORS", "OPTIONS /config: 403: no page may call the Client API look at what is in front"},
		"an origin that is there twice": {origins("https://app.example.com, *"), "bad", "CORS", "browsers refuse an answer with two origins"},
		"a function gone from the stack": {query("ListStackResources", answers(`<ListStackResourcesResponse><ListStackResourcesResult><StackResourceSummaries><member><LogicalResourceId>TokenFunctionAliaslive</LogicalResourceId><PhysicalResourceId>x:live</PhysicalResourceId></member></StackResourceSummaries></ListStackResourcesResult></ListStackResourcesResponse>`)),
			"bad", "functions", "the token function is no longer in the stack"},
		"a CloudFormation that throttles": {query("DescribeStacks", func(w http.ResponseWriter) bool {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>`)
			return true
		}), "bad", "stack", "Throttling: Rate exceeded wait a minute"},
		"a CloudFormation that is a page": {query("DescribeStacks", func(w http.ResponseWriter) bool {
			w.WriteHeader(http.StatusNotImplemented)
			fmt.Fprint(w, `<html>`)
			return true
		}), "bad", "stack", "stack chat: status 501, and the answer is not one of AWS's check the network"},
		"a page in EventBridge's place": {target("AWSEvents.DescribeEventBus", answers(`<html>`)), "bad", "bus", "status 200, and the answer is not one of AWS's check the network, HTTPS_PROXY"},
		"tokens revoked in the future":  {setting("revoke_tokens_issued_before", "2099-01-01T00:00:00Z"), "bad", "app", "until then Stream refuses every user token"},
		"a misspelt name below stream":  {value("/stream/api-secret-prev", "x", types.ParameterTypeSecureString), "bad", "values", "is the name misspelt?"},
		"keys that are null":            {signsIn(odd["null"], "app"), "bad", "issuer", "its member keys is missing or empty"},

		// What looks like a fault and is none.
		"a hook function in another region": {both(parameter("HookFunctionArn", "arn:aws:lambda:us-east-1:123456789012:function:hook"), asks, parameter("HookTimeoutMs", "1000"), onAWS(func(w http.ResponseWriter, r *http.Request, _ string) bool {
			return strings.Contains(r.URL.Path, "function:hook") && !strings.Contains(r.Header.Get("Authorization"), "us-east-1") && refuse(w, "ResourceNotFoundException")
		})), "ok", "functions", "function:hook exists"},
		"a key by its alias": {both(parameter("KmsKeyArn", arnOfKey), onAWS(func(w http.ResponseWriter, r *http.Request, _ string) bool {
			switch r.Header.Get("X-Amz-Target") {
			case "AmazonSSM.DescribeParameters":
				return answers(`{"Parameters":[{"KeyId":"alias/mine"}]}`)(w)
			case "TrentService.DescribeKey":
				return answers(`{"KeyMetadata":{"KeyId":"1","Arn":"` + arnOfKey + `","KeyState":"Enabled"}}`)(w)
			}
			return false
		})), "ok", "values", "api-secret: SecureString"},
		"two hooks for different events": {hook(func(h map[string]any) []any {
			return []any{with(h, "event_types", []any{"message.new"}), with(h, "event_types", []any{"message.read"})}
		}), "ok", "webhook", `"message.new","message.read"`},
		"a hook that Stream is slow to answer": {func(d *deployment) {
			var reads atomic.Int32
			d.onService = func(w http.ResponseWriter, r *http.Request, _ string) bool {
				if r.URL.Path != "/proxy/app" || r.Header.Get("Authorization") == "" || reads.Load() == 3 {
					return false
				}
				if reads.Add(1) == 3 {
					return at(r.URL.Path, 404, nil, `{"code":16,"message":"no"}`)(w, r, "")
				}
				_ = json.NewEncoder(w).Encode(map[string]any{"app": with(d.app, "event_hooks", []any{})})
				return true
			}
		}, "ok", "webhook", "all events"},
		"a large configuration": {value(clientConfig+"/web", `{"x":"`+strings.Repeat("x", 5000)+`"}`, types.ParameterTypeString), "ok", "values", "1 client types"},
		"a comma too many":      {signsIn(issuer["good"], "app,"), "ok", "issuer", "has keys"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deploy(t, nil)
			signsIn(issuer["good"], "app")(d)
			c.fault(d)
			r := d.run("", "doctor", "-json", "-wait", "10ms")
			var report struct {
				OK       bool
				Findings []struct{ Check, Status, Found, Do string }
			}
			if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
				t.Fatalf("want JSON, got %v\n%s%s", err, r.stdout, r.stderr)
			}
			r.hides(t, secret)
			found := false
			for _, f := range report.Findings {
				found = found || f.Check == c.check && f.Status == c.status && strings.Contains(f.Found+" "+f.Do, c.want)
				if f.Do == "" && (f.Status == "bad" || f.Status == "warn") {
					t.Errorf("want what to do about it, got %+v", f)
				}
				if f.Check == c.check && f.Status == "warn" && c.status == "ok" || f.Status == "bad" && c.status != "bad" {
					t.Errorf("want nothing else, got %+v", f)
				}
			}
			if !found {
				t.Errorf("want %s %s with %q, got %s", c.status, c.check, c.want, r.stdout)
			}
			if ok := c.status != "bad"; report.OK != ok || (r.status == 0) != ok {
				t.Errorf("want ok %t and a status to match, got %t and %d", ok, report.OK, r.status)
			}
		})
	}
}

// With a URL of a Service API on another machine, and without AWS.
func TestDoctorExaminesWhatItCanWithoutAWS(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault  func(*deployment)
		status int
		want   []string
	}{
		"healthy": {func(*deployment) {}, 0, []string{"skip  credentials     none for AWS", "ok    client API", "ok    client API      GET /token/me: 401", "ok    service API     refuses unsigned calls", "skip  service API     its routes need a signature"}},
		"open": {func(d *deployment) {
			d.onService = func(w http.ResponseWriter, r *http.Request, _ string) bool { fmt.Fprint(w, `{}`); return true }
		}, 1, []string{"BAD   service API     an unsigned call of GET /api-key is answered with 200"}},
		"nobody there": {func(d *deployment) { d.outputs["ServiceApiUrl"] = "http://0.0.0.0:1" }, 1, []string{"BAD   service API     GET /api-key: no answer"}},
		"no client":    {func(d *deployment) { d.outputs["ClientApiUrl"] = "" }, 0, []string{"skip  client API      its URL is unknown: set it with -output ClientApiUrl=URL"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deploy(t, nil)
			c.fault(d)
			d.tool.aws = func(context.Context) (aws.Config, error) { return aws.Config{}, nil } // no region
			// A name of this machine's that ops does not take for make run.
			remote := strings.Replace(d.outputs["ServiceApiUrl"], "127.0.0.1", "0.0.0.0", 1)
			args := []string{"doctor", "-service-url", remote}
			if client := d.outputs["ClientApiUrl"]; client != "" {
				args = append(args, "-output", "ClientApiUrl="+client)
			}
			r := d.tool.run(t.Context(), "", args...)
			r.want(t, c.status, c.want...)
			if len(d.calls) > 0 {
				t.Errorf("want no call to AWS, got %q", d.calls)
			}
		})
	}
}

func TestMakeRunThatDoesNotAnswerIsSaid(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"doctor", "plan", "trigger message.new"} {
		r := tool{}.run(t.Context(), "", append(strings.Fields(command), "-service-url", "http://127.0.0.1:1")...)
		r.want(t, 1, "no answer", "connection refused", "start make run, or check -service-url")
	}
}

func TestCommandsOfAStackDoNotTakeMakeRun(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"params", "rotate", "rotate -webhook", "redrive", "deploy"} {
		d := deploy(t, nil)
		d.dir = "."
		r := d.tool.run(t.Context(), "key\nsecret\n\n", append(strings.Fields(command), "-service-url", "http://127.0.0.1:3001")...)
		r.want(t, 1, "-service-url http://127.0.0.1:3001 is the development server, which has no stack")
		if len(d.calls) > 0 {
			t.Errorf("%s: want no call to AWS, got %q", command, d.calls)
		}
	}
}

func TestCtrlCLeavesNothingOfTheDoctorsBehind(t *testing.T) {
	t.Parallel()
	d := deploy(t, nil)
	ctx, ctrlC := context.WithCancelCause(t.Context())
	var deleted []string
	d.onService = func(w http.ResponseWriter, r *http.Request, _ string) bool {
		if r.Method == http.MethodDelete {
			deleted = append(deleted, r.URL.Path[:strings.LastIndex(r.URL.Path, "/")])
		}
		if strings.HasSuffix(r.URL.Path, "/message") {
			ctrlC(errCtrlC)
		}
		return false
	}
	d.tool.run(ctx, "", "doctor", "-stack", "chat").want(t, 1, "Interrupted", "interrupt signal received")
	if want := []string{"/proxy/channels/messaging"}; !slices.Equal(deleted, want) {
		t.Errorf("want the channel deleted, got %q", deleted)
	}
	for _, call := range []string{"AWSEvents.RemoveTargets", "AWSEvents.DeleteRule", "AmazonSQS.DeleteQueue"} {
		if !slices.Contains(d.calls, call) {
			t.Errorf("want %s called, got %q", call, d.calls)
		}
	}
}

func TestTokenIsExplained(t *testing.T) {
	t.Parallel()
	issuer := awstest.NewIssuer(t)
	bearer := strings.TrimPrefix(issuer.Bearer("alice", nil), "Bearer ")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("Bearer "+bearer+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	check := func(issuer, audience, claim, stdin, file string, status int, words ...string) {
		t.Helper()
		d := deploy(t, nil)
		d.parameters["OidcIssuer"], d.parameters["OidcAudience"], d.parameters["UserIdClaim"] = issuer, audience, claim
		r := d.run(stdin, "doctor", "-token", file)
		r.want(t, status, words...)
		r.hides(t, bearer[strings.LastIndex(bearer, ".")+1:])
	}
	url, audience := issuer.URL, awstest.Audience
	check(url, audience, "sub", "", file, 0, `"userId": "alice"`, `"alg"`, `"sub": "alice"`)
	check(url, "another", "sub", "", file, 1, "refused: the token is for another audience", `"aud": "`+audience+`"`, `"aud": "another"`)
	check(url+"/", audience, "sub", "", file, 1, "refused: the token is another issuer's")
	check(url, audience, "uid", "", file, 1, "refused", "uid")
	check("", "", "sub", "", file, 1, "refused: the stack has no OidcIssuer")
	check(url, audience, "sub", bearer, "-", 0, `"userId": "alice"`)
	check(url, audience, "sub", bearer[:len(bearer)-4]+"AAAA", "-", 1, "refused: no key of the issuer fits")
	for _, bad := range []string{"", "secret", "a.b", "e30.e30", "a.b.c", "e30.bnVsbA.c"} {
		check(url, audience, "sub", bad, "-", 1, "-token: ")
	}

	warned := func(claims map[string]any, word string) {
		t.Helper()
		d := deploy(t, nil)
		d.parameters["OidcIssuer"], d.parameters["OidcAudience"], d.parameters["SyncUsers"] = url, audience, "true"
		r := d.run(strings.TrimPrefix(issuer.Bearer("alice", claims), "Bearer "), "doctor", "-token", "-")
		if r.want(t, 0, word); word == "" && strings.Contains(r.stdout, "end the session at the provider first") {
			t.Errorf("%v: want no warning, got %s", claims, r.stdout)
		}
	}
	warned(nil, "says nothing of its session")
	warned(map[string]any{"sid": "s", "name": "Alice"}, "no claim picture")
	warned(map[string]any{"sid": "s"}, "only its session")
	warned(map[string]any{"groups": strings.Repeat("x", 8000)}, "leave groups and profile out of it")
	warned(map[string]any{"auth_time": time.Now().Unix()}, "")
	warned(map[string]any{"fva": []int{5, -1}}, "")
	d := deploy(t, nil)
	d.parameters["OidcIssuer"], d.parameters["OidcAudience"], d.parameters["SignInFunctionArn"] = url, audience, "arn:aws:lambda:eu-central-1:123456789012:function:sign-in"
	d.run("", "doctor", "-token", file).want(t, 0, "the function in SignInFunctionArn")
	warned(map[string]any{"amr": []any{map[string]any{"method": "password", "timestamp": time.Now().Unix()}}}, "")
}
