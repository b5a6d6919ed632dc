package main

import (
	"cmp"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go/encoding/cbor"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/internal/parameterstore"
	"chat-service-backend/ops/cfn"
	"chat-service-backend/ops/stack"
	"chat-service-backend/ops/values"
)

const (
	region = "eu-central-1"
	prefix = "/chat-service" // of the values of every deployment
	bus    = "ChatEventBus"  // to which the development server's webhook function publishes
	secret = "local-secret"

	apiKey, apiSecret, previousSecret, clientConfig = values.Key, values.Secret, values.PreviousSecret, values.ClientConfig
)

var stored = values.Stored

// A deployment is a healthy stack, played here, that a test can change: its parameters and
// outputs, the values in Parameter Store, the app at Stream, and the answers of AWS and of
// both APIs. On a [world], AWS and the APIs are moto and the development server.
type deployment struct {
	tool
	t                   testing.TB
	world               *world // may be nil
	missing             bool
	created             string // the element CreationTime, or nothing
	parameters, outputs map[string]string
	values              *parameterstore.Memory
	app                 map[string]any

	// Each sees a request first, and reports whether it has answered it.
	onAWS, onClient, onService func(w http.ResponseWriter, r *http.Request, body string) bool

	mu    sync.Mutex
	calls []string // X-Amz-Targets
}

// defaults are the template's parameters.
var defaults = sync.OnceValues(func() (map[string]string, error) {
	all := map[string]string{"ParameterPrefix": prefix}
	template, err := cfn.Find(".")
	if err != nil {
		return nil, err
	}
	stack, err := template.Stack(cfn.Options{Parameters: all})
	if err != nil {
		return nil, err
	}
	for name := range template.Section("Parameters") {
		all[name] = stack.Parameter(name)
	}
	return all, nil
})

func deploy(t testing.TB, w *world) *deployment {
	t.Helper()
	all, err := defaults()
	if err != nil {
		t.Fatal(err)
	}
	d := &deployment{t: t, world: w, tool: tool{dir: t.TempDir()}, parameters: map[string]string{}, values: parameterstore.NewMemory(nil)}
	for name, value := range all {
		d.parameters[name] = value
	}
	d.value(apiKey, "local-key", types.ParameterTypeString)
	d.value(apiSecret, secret, types.ParameterTypeSecureString)
	d.value(clientConfig+"/web", `{"theme":"dark"}`, types.ParameterTypeString)
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	d.outputs = map[string]string{
		"ClientApiUrl": server.URL + "/client", "ServiceApiUrl": server.URL + "/service", "WebhookUrl": server.URL + "/client/webhook",
		"ServiceApiArn": "arn:x", "EventBusName": bus, "FallbackQueueUrl": server.URL + "/queue",
	}
	if w == nil {
		d.outputs["LargeEventsBucketName"] = "chat-large"
	}
	d.app = map[string]any{"name": "local", "permission_version": "v2", "event_hooks": []any{
		map[string]any{"hook_type": "webhook", "webhook_url": d.outputs["WebhookUrl"], "enabled": true, "event_types": []any{}},
	}}
	d.aws = func(ctx context.Context) (aws.Config, error) {
		cfg := aws.Config{Region: region, BaseEndpoint: aws.String("http://aws.invalid"), HTTPClient: d, Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")}
		cfg.Retryer = func() aws.Retryer { // with pauses of 1 ms instead of seconds
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Millisecond })
		}
		if w != nil {
			cfg.BaseEndpoint = &w.moto
		}
		return withinRights(t, ctx, cfg), nil
	}
	return d
}

func (d *deployment) value(name, value string, kind types.ParameterType) {
	d.values.Put(prefix+name, string(kind), value)
}

// choose gives the deployment the template and choices in deploy/dev.env.
func (d *deployment) choose(text string) {
	d.t.Helper()
	d.dir = d.t.TempDir()
	template, err := filepath.Abs("../template.yaml")
	if err := errors.Join(err, os.Symlink(template, d.dir+"/template.yaml"), os.Mkdir(d.dir+"/deploy", 0o755),
		os.WriteFile(d.dir+"/deploy/dev.env", []byte("# mine\n"+text+"\n"), 0o600)); err != nil {
		d.t.Fatal(err)
	}
}

// run runs a command on the stack.
func (d *deployment) run(stdin, command string, args ...string) result {
	return d.tool.run(d.t.Context(), stdin, append([]string{command, "-stack", "chat"}, args...)...)
}

// ServeHTTP is the two APIs. The Service API refuses unsigned requests.
func (d *deployment) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(strings.NewReader(string(text)))
	api, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	r.URL.Path = "/" + path
	signed := strings.Contains(r.Header.Get("Authorization"), "/"+region+"/execute-api/aws4_request")
	switch {
	case api == "client" && d.onClient != nil && d.onClient(w, r, string(text)):
	case api == "service" && d.onService != nil && d.onService(w, r, string(text)):
	case api == "service" && !signed:
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"message":"Missing Authentication Token"}`)
	case d.world != nil:
		target, _ := url.Parse(map[string]string{"client": d.world.client, "service": d.world.service}[api])
		proxy := httputil.NewSingleHostReverseProxy(target)
		proxy.Transport = http.DefaultTransport
		proxy.ServeHTTP(w, r)
	case api == "client" && path == "token/me":
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"errorMsg":"sign in"}`)
	case path == "config":
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Allow-Headers", "authorization,content-type")
		fmt.Fprint(w, `{}`)
	case path == "proxy/app":
		_ = json.NewEncoder(w).Encode(map[string]any{"app": d.app})
	default:
		fmt.Fprint(w, `{"api_key":"local-key"}`)
	}
}

// Do is AWS.
func (d *deployment) Do(r *http.Request) (*http.Response, error) {
	var text []byte
	if r.Body != nil {
		text, _ = io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(text)))
	}
	body, target := string(text), r.Header.Get("X-Amz-Target")
	d.mu.Lock()
	d.calls = append(d.calls, target)
	d.mu.Unlock()
	w := httptest.NewRecorder()
	if d.onAWS != nil && d.onAWS(w, r, body) {
		return w.Result(), nil
	}
	switch {
	case strings.Contains(r.URL.Path, "/account-settings"):
		fmt.Fprint(w, `{"AccountLimit":{"ConcurrentExecutions":1000,"UnreservedConcurrentExecutions":900}}`)
	case target == "AmazonSSM.GetServiceSetting":
		fmt.Fprint(w, `{"ServiceSetting":{"SettingValue":"true"}}`)
	case d.world != nil:
		r.RequestURI = ""
		return http.DefaultClient.Do(r)
	case strings.Contains(body, "Action=GetCallerIdentity"):
		caller(w)
	case strings.Contains(body, "Action=DescribeStacks"):
		d.describe(w, "UPDATE_COMPLETE")
	case strings.HasPrefix(target, "AmazonSSM.") && target != "AmazonSSM.DescribeParameters":
		(&parameterstore.Store{Values: d.values.Values, Memory: d.values}).ServeHTTP(w, r)
	case target == "AmazonSQS.GetQueueAttributes":
		fmt.Fprint(w, `{"Attributes":{"ApproximateNumberOfMessages":"0","RedrivePolicy":"{\"deadLetterTargetArn\":\"arn:aws:sqs:eu-central-1:123456789012:dead\"}"}}`)
	case strings.Contains(body, "Action=ListStackResources"):
		d.resources(w)
	case strings.HasSuffix(r.URL.Path, "/operation/DescribeAlarms"):
		alarms(w, cbor.Map{"StateValue": cbor.String("OK"), "ActionsEnabled": cbor.Bool(true)})
	case strings.Contains(body, "Action=ListSubscriptionsByTopic"):
		subscribed(w, "arn:aws:sns:eu-central-1:123456789012:alarms:1")
	case strings.Contains(body, "Action=DetectStackResourceDrift"):
		drifted(w, "IN_SYNC")
	case strings.Contains(r.URL.Path, "/aliases/"):
		fmt.Fprint(w, `{"Name":"live","FunctionVersion":"7"}`)
	case strings.Contains(r.URL.Path, "/event-source-mappings/"):
		fmt.Fprint(w, `{"State":"Enabled","LastProcessingResult":"OK"}`)
	case target == "AmazonSSM.DescribeParameters":
		fmt.Fprintf(w, `{"Parameters":[{"KeyId":%q}]}`, cmp.Or(d.parameters["KmsKeyArn"], "alias/aws/ssm"))
	case target == "TrentService.DescribeKey":
		fmt.Fprint(w, `{"KeyMetadata":{"KeyId":"1","KeyState":"Enabled"}}`)
	case target == "AWSEvents.PutRule":
		fmt.Fprint(w, `{"RuleArn":"arn:aws:events:eu-central-1:123456789012:rule/x"}`)
	case target == "AmazonSQS.CreateQueue":
		fmt.Fprint(w, `{"QueueUrl":"http://aws.invalid/queue"}`)
	case target == "AmazonSQS.ReceiveMessage":
		fmt.Fprint(w, `{"Messages":[{"MessageId":"1","ReceiptHandle":"1","Body":"{}"}]}`)
	default:
		fmt.Fprint(w, `{}`)
	}
	return w.Result(), nil
}

func caller(w http.ResponseWriter) {
	fmt.Fprint(w, `<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/op</Arn><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`)
}

// describe answers DescribeStacks.
func (d *deployment) describe(w http.ResponseWriter, status string) {
	if d.missing {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `<ErrorResponse><Error><Code>ValidationError</Code><Message>Stack with id chat does not exist</Message></Error></ErrorResponse>`)
		return
	}
	member := func(all map[string]string, name, value string) string {
		var b strings.Builder
		for k, v := range all {
			fmt.Fprintf(&b, "<member><%s>%s</%[1]s><%[3]s>", name, k, value)
			_ = xml.EscapeText(&b, []byte(v))
			fmt.Fprintf(&b, "</%s></member>", value)
		}
		return b.String()
	}
	fmt.Fprintf(w, `<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>chat</StackName><StackStatus>%s</StackStatus>%s<Parameters>%s</Parameters><Outputs>%s</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>`,
		status, d.created, member(d.parameters, "ParameterKey", "ParameterValue"), member(d.outputs, "OutputKey", "OutputValue"))
}

// resources answers ListStackResources, as SAM names them.
func (d *deployment) resources(w http.ResponseWriter) {
	fmt.Fprint(w, `<ListStackResourcesResponse><ListStackResourcesResult><StackResourceSummaries>`)
	add := func(logical, kind, physical string) {
		fmt.Fprintf(w, `<member><LogicalResourceId>%s</LogicalResourceId><PhysicalResourceId>%s</PhysicalResourceId><ResourceType>%s</ResourceType><ResourceStatus>UPDATE_COMPLETE</ResourceStatus></member>`, logical, physical, kind)
	}
	for _, name := range []string{"Token", "ApiKey", "Config", "Webhook", "Proxy"} {
		physical := "chat-" + name + "Function-1"
		add(name+"Function", "AWS::Lambda::Function", physical)
		add(name+"FunctionVersion0a1b", "AWS::Lambda::Version", "arn:aws:lambda:eu-central-1:123456789012:function:"+physical+":7")
		add(name+"FunctionAliaslive", "AWS::Lambda::Alias", "arn:aws:lambda:eu-central-1:123456789012:function:"+physical+":live")
	}
	add("ChatEventArchive", "AWS::Events::Archive", "chat")
	add("NoEventsAlarm", "AWS::CloudWatch::Alarm", "chat-NoEventsAlarm-1")
	add("AlarmTopic", "AWS::SNS::Topic", "arn:aws:sns:eu-central-1:123456789012:alarms")
	add("TokenLogGroup", "AWS::Logs::LogGroup", "/aws/lambda/chat/token")
	if d.parameters["StreamQueue"] == "true" {
		add("StreamEventsMapping", "AWS::Lambda::EventSourceMapping", "uuid-1")
		add("StreamDeadLetterMapping", "AWS::Lambda::EventSourceMapping", "uuid-2")
	}
	fmt.Fprint(w, `</StackResourceSummaries></ListStackResourcesResult></ListStackResourcesResponse>`)
}

// alarms answers DescribeAlarms with the one that the stack has, unless it is nil.
func alarms(w http.ResponseWriter, alarm cbor.Map) bool {
	all := cbor.List{}
	if alarm != nil {
		alarm["AlarmName"] = cbor.String("chat-NoEventsAlarm-1")
		if alarm["AlarmActions"] == nil {
			alarm["AlarmActions"] = cbor.List{cbor.String("arn:aws:sns:eu-central-1:123456789012:alarms")}
		}
		all = append(all, alarm)
	}
	w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
	w.Header().Set("Content-Type", "application/cbor")
	_, _ = w.Write(cbor.Encode(cbor.Map{"MetricAlarms": all}))
	return true
}

// subscribed answers ListSubscriptionsByTopic with one subscription, unless arn is "".
func subscribed(w http.ResponseWriter, arn string) bool {
	member := ""
	if arn != "" {
		member = "<member><SubscriptionArn>" + arn + "</SubscriptionArn><Endpoint>ops@example.com</Endpoint></member>"
	}
	fmt.Fprintf(w, `<ListSubscriptionsByTopicResponse><ListSubscriptionsByTopicResult><Subscriptions>%s</Subscriptions></ListSubscriptionsByTopicResult></ListSubscriptionsByTopicResponse>`, member)
	return true
}

// drifted answers DetectStackResourceDrift.
func drifted(w http.ResponseWriter, status string) bool {
	fmt.Fprintf(w, `<DetectStackResourceDriftResponse><DetectStackResourceDriftResult><StackResourceDrift><StackResourceDriftStatus>%s</StackResourceDriftStatus></StackResourceDrift></DetectStackResourceDriftResult></DetectStackResourceDriftResponse>`, status)
	return true
}

// refuse answers as AWS's JSON protocols do.
func refuse(w http.ResponseWriter, code string) bool {
	w.Header().Set("X-Amzn-Errortype", code)
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprintf(w, `{"__type":%q,"message":"as the test wants it"}`, code)
	return true
}

// forbidden answers as AWS's query protocol does.
func forbidden(w http.ResponseWriter) bool {
	w.WriteHeader(http.StatusForbidden)
	fmt.Fprint(w, `<ErrorResponse><Error><Type>Sender</Type><Code>InvalidClientTokenId</Code><Message>The security token is not valid.</Message></Error></ErrorResponse>`)
	return true
}

// A world is moto and the development server on it.
type world struct {
	aws             aws.Config
	moto            string
	client, service string // URLs of the development server's APIs
}

func newWorld(t *testing.T) *world {
	w := &world{moto: awstest.Moto(t)}
	w.aws = aws.Config{Region: region, BaseEndpoint: &w.moto, Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")}
	if _, err := eventbridge.NewFromConfig(w.aws).CreateEventBus(t.Context(), &eventbridge.CreateEventBusInput{Name: aws.String(bus)}); err != nil {
		t.Fatal(err)
	}
	memory := deploy(t, nil).values
	values, _ := memory.Values()
	for name, value := range values {
		if _, err := ssm.NewFromConfig(w.aws).PutParameter(t.Context(), &ssm.PutParameterInput{Name: &name, Value: &value, Type: types.ParameterType(memory.Type(name))}); err != nil {
			t.Fatal(err)
		}
	}
	local := awstest.NewDevServer(t, []string{
		"AWS_REGION=" + region, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_SESSION_TOKEN=",
		"AWS_ENDPOINT_URL_SSM=" + w.moto, "AWS_ENDPOINT_URL_EVENTBRIDGE=" + w.moto, "AWS_ENDPOINT_URL_SQS=" + w.moto, "AWS_ENDPOINT_URL_S3=" + w.moto,
	}, "-parameter-overrides", "ParameterTtl=1")
	w.client, w.service = local.Client, local.Service
	return w
}

// get returns a parameter's type and value, "" if there is none.
func (w *world) get(t *testing.T, name string) string {
	t.Helper()
	found, err := stored(t.Context(), ssm.NewFromConfig(w.aws), true, name)
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := found[name]; ok {
		return string(p.Type) + " " + *p.Value
	}
	return ""
}

// deploy makes a stack on moto, without its resources.
func (w *world) deploy(t *testing.T) *deployment {
	t.Helper()
	d := deploy(t, w)
	d.dir = "."
	d.outputs["WebhookUrl"] = w.client + "/webhook"
	d.outputs["FallbackQueueUrl"] = w.queue(t, "fallback")
	d.parameters["OidcIssuer"], d.parameters["OidcAudience"], d.parameters["ParameterTtl"] = w.client+"/.local/issuer", "local", "1"
	template := map[string]any{"Resources": map[string]any{"Topic": map[string]any{"Type": "AWS::SNS::Topic"}}}
	declared, outputs := map[string]any{}, map[string]any{}
	var given []cfntypes.Parameter
	for name, value := range d.parameters {
		declared[name] = map[string]string{"Type": "String"}
		given = append(given, cfntypes.Parameter{ParameterKey: &name, ParameterValue: &value})
	}
	for name, value := range d.outputs {
		outputs[name] = map[string]string{"Value": value}
	}
	template["Parameters"], template["Outputs"] = declared, outputs
	text, _ := json.Marshal(template)
	if _, err := cloudformation.NewFromConfig(w.aws).CreateStack(t.Context(), &cloudformation.CreateStackInput{
		StackName: aws.String("chat"), TemplateBody: aws.String(string(text)), Parameters: given,
	}); err != nil {
		t.Fatal(err)
	}
	return d
}

func (w *world) queue(t *testing.T, name string) string {
	t.Helper()
	out, err := sqs.NewFromConfig(w.aws).CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name})
	if err != nil {
		t.Fatal(err)
	}
	return *out.QueueUrl
}

// TestOnMoto runs the commands on moto and the development server, which start once.
func TestOnMoto(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.deploy(t)
	t.Run("redrive", func(t *testing.T) {
		t.Parallel() // the same stack, with its own faults
		own := deploy(t, w)
		own.outputs = d.outputs
		testRedrive(t, w, own)
	})
	t.Run("Stream's side and the secret", func(t *testing.T) {
		t.Parallel()
		t.Run("connect", func(t *testing.T) { testConnect(t, w, d) })
		t.Run("listen", func(t *testing.T) { testListen(t, w, d) })
		t.Run("rotate", func(t *testing.T) { testRotate(t, w, d) })
		t.Run("terminal", func(t *testing.T) { testTerminal(t, w) })
	})
}

func testConnect(t *testing.T, w *world, d *deployment) {
	yaml := filepath.Join(t.TempDir(), "stream.yaml")
	if err := os.WriteFile(yaml, []byte("hooks: [{hook_type: webhook, webhook_url: '${WebhookUrl}'}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := stack.Fetch(t.Context(), http.MethodPatch, w.service+"/proxy/app", http.Header{"Content-Type": {"application/json"}}, []byte(`{"event_hooks":[]}`))
	if err != nil || a.Status > 299 {
		t.Fatalf("want an app without hooks, got %v %+v", err, a)
	}
	d.run("", "doctor", "-before-connect").want(t, 0, "ok    service API")
	d.run("", "doctor", "-wait", "10s").want(t, 1, "BAD   webhook", "Stream does not send to "+w.client+"/webhook (0 hooks send elsewhere)", "ok    event           a webhook from the doctor")
	d.run("", "apply", "-yes", "-file", yaml).want(t, 0, "done: create webhook hook "+w.client+"/webhook")
	d.run("", "plan", "-file", yaml).want(t, 0, "nothing to change")
	empty := "FallbackQueueUrl=" + w.queue(t, "empty") // that of the stack is in use
	r := d.run("", "doctor", "-wait", "30s", "-output", empty)
	r.want(t, 0, "a message sent in Stream arrived on the bus "+bus, " 0 bad, 0 warnings, 0 skipped")
	r.hides(t, secret)

	rules, err := eventbridge.NewFromConfig(w.aws).ListRules(t.Context(), &eventbridge.ListRulesInput{EventBusName: aws.String(bus)})
	if err != nil || len(rules.Rules) > 0 {
		t.Errorf("want no rule left, got %v %v", err, rules)
	}
	queues, err := sqs.NewFromConfig(w.aws).ListQueues(t.Context(), &sqs.ListQueuesInput{QueueNamePrefix: aws.String("chat-doctor")})
	if err != nil || len(queues.QueueUrls) > 0 {
		t.Errorf("want no queue left, got %v %v", err, queues)
	}
	for path, left := range map[string]int{"GET /proxy/users": 1, "POST /proxy/channels": 0} {
		method, path, _ := strings.Cut(path, " ")
		a, err := stack.Fetch(t.Context(), method, w.service+path, http.Header{"Content-Type": {"application/json"}}, []byte("{}"))
		if err != nil || a.Status > 299 || strings.Count(string(a.Body), `"id":"chat-service-doctor`) != left {
			t.Errorf("%s: want nothing of the doctor's at Stream but one user, got %v %s", path, err, a.Body)
		}
	}
}

func testRotate(t *testing.T, w *world, d *deployment) {
	stream := func(status int, from int) func(http.ResponseWriter, *http.Request, string) bool {
		calls := 0
		return func(w http.ResponseWriter, r *http.Request, _ string) bool {
			if r.URL.Path != "/proxy/app" {
				return false
			}
			if calls++; calls < from {
				return false
			}
			w.WriteHeader(status)
			fmt.Fprint(w, `{"code":43,"message":"signature is not valid"}`)
			return true
		}
	}
	secrets := func(current, previous string) {
		t.Helper()
		for name, want := range map[string]string{apiSecret: current, previousSecret: previous} {
			if want != "" {
				want = "SecureString " + want
			}
			if got := w.get(t, prefix+name); got != want {
				t.Errorf("%s: want %q, got %q", name, want, got)
			}
		}
	}
	d.onService = stream(http.StatusUnauthorized, 1)
	d.run("\nnew\n", "rotate").want(t, 1, "nothing was changed", "signature is not valid")
	for path, answer := range map[string]string{"/api-key": `{"api_key":"other"}`, "/token/chat-service-doctor": `{"token":"a.b.c"}`, "/webhook/verify": `{"isValid":false}`} {
		d.onService = func(w http.ResponseWriter, r *http.Request, _ string) bool {
			if r.URL.Path == path {
				fmt.Fprint(w, answer)
			}
			return r.URL.Path == path
		}
		d.run("\nnew\n", "rotate").want(t, 1, "nothing was changed")
	}
	d.onService = nil
	for answers, want := range map[string]string{
		"\n" + secret + "\n": "that is the current secret", "\n\n": "must not be empty", "\nnew\u200b\n": "U+200B",
		"\n\"new\"\n": "quotation mark", "\nnew,\n": "ends with a ,", strings.Repeat("x", 64) + "\n": "looks like an API secret",
	} {
		d.run(answers, "rotate").want(t, 1, want)
	}
	secrets(secret, "")

	// The second write fails.
	d.onAWS = func(w http.ResponseWriter, r *http.Request, body string) bool {
		return strings.Contains(body, "second-secret") && refuse(w, "AccessDeniedException")
	}
	d.run("\nsecond-secret\n", "rotate").want(t, 1, "could not write "+prefix+apiSecret+": AccessDeniedException", "the old secret is still in use, run rotate again")
	secrets(secret, secret)

	// Somebody else rotates between a rotation's question and its writes, or just then.
	put := func(value string) {
		if _, err := ssm.NewFromConfig(w.aws).PutParameter(t.Context(), values.Put(prefix+apiSecret, value, types.ParameterTypeSecureString, "")); err != nil {
			t.Fatal(err)
		}
	}
	d.onAWS = nil
	d.onService = func(_ http.ResponseWriter, r *http.Request, _ string) bool {
		if r.URL.Path == "/webhook/verify" {
			put("somebody-elses")
		}
		return false
	}
	d.run("\nsecond-secret\n", "rotate").want(t, 1, "somebody else has changed "+prefix+apiSecret)
	secrets("somebody-elses", secret)
	put(secret)
	d.onService = nil
	d.onAWS = func(_ http.ResponseWriter, r *http.Request, body string) bool {
		if strings.Contains(body, "second-secret") {
			put("somebody-elses")
		}
		return false
	}
	d.run("\nsecond-secret\n", "rotate").want(t, 1, "somebody else has written "+prefix+apiSecret+" at the same moment")
	put(secret + "\n") // which the functions accept
	d.onAWS = nil
	for !strings.Contains(d.run("", "rotate").stdout, "work with the current secret") && t.Context().Err() == nil { // until the functions have read it again
	}

	r := d.run("\nsecond-secret\nno\n", "rotate")
	r.want(t, 0, "Waiting 2 s", "Tokens work with the new secret, webhooks with both", "Run rotate again to remove")
	r.hides(t, "second-secret", secret)
	secrets("second-secret", secret)
	d.run("yes\n", "rotate", "-json").want(t, 0, `"ok": true`, "A rotation is under way", "removed "+prefix+previousSecret)
	secrets("second-secret", "")

	// Only a secret that Stream refuses is taken back.
	d.onService = stream(http.StatusForbidden, 2)
	d.run("\nwrong-secret\n", "rotate", "-yes").want(t, 1, "both secrets are in place, run rotate again")
	d.onService = stream(http.StatusUnauthorized, 1)
	d.run("yes\n", "rotate").want(t, 1, "The new secret does not work", "signature is not valid", "the previous secret is restored")
	secrets("second-secret", "")
	d.onService = nil

	// Key and secret together. The rotation ends before the new key is written, and goes on.
	d.onAWS = func(w http.ResponseWriter, r *http.Request, body string) bool {
		return strings.Contains(body, `"second-key"`) && refuse(w, "AccessDeniedException")
	}
	d.run("second-key\nthird-secret\n", "rotate", "-yes").want(t, 1, "could not write "+prefix+apiKey, "the old key and secret are still in use")
	d.onAWS = nil
	// The previous secret goes first: without its key, it would count for the new one.
	d.onAWS = func(w http.ResponseWriter, r *http.Request, body string) bool {
		return strings.HasSuffix(r.Header.Get("X-Amz-Target"), "DeleteParameter") && strings.Contains(body, values.PreviousKey) && refuse(w, "AccessDeniedException")
	}
	d.run("second-key\n", "rotate", "-yes").want(t, 1, "removed "+prefix+previousSecret, "could not remove "+prefix+values.PreviousKey)
	d.onAWS = nil
	d.run("", "rotate").want(t, 0, "removed "+prefix+values.PreviousKey)
	if got := w.get(t, prefix+apiKey); got != "String second-key" {
		t.Errorf("want the new key, got %q", got)
	}
	secrets("third-secret", "")
}

func TestParams(t *testing.T) {
	t.Parallel()
	on := func(t *testing.T) *deployment {
		t.Parallel()
		d := deploy(t, nil)
		d.dir, d.values = ".", parameterstore.NewMemory(nil)
		return d
	}
	t.Run("writes the answers", func(t *testing.T) {
		d := on(t)
		odd := `$(id) "q" 'x' \n %s file:///etc/hostname`
		config := `{"theme":"dark","url":"https://example.com/?a=1&b=%20"}`
		r := d.run("  the-key \n"+odd+"\nweb\n"+config+"\n\n", "params")
		r.want(t, 0, "The values go below "+prefix, "wrote /chat-service/stream/api-secret\nwrote /chat-service/stream/api-key\nwrote /chat-service/client-config/web\n")
		r.hides(t, odd)
		values, _ := d.values.Values()
		for name, want := range map[string]string{apiKey: "String the-key", apiSecret: "SecureString " + odd, clientConfig + "/web": "String " + config} {
			if got := d.values.Type(prefix+name) + " " + values[prefix+name]; got != want {
				t.Errorf("%s: want %s, got %s", name, want, got)
			}
		}
	})
	t.Run("writes nothing until every question is answered", func(t *testing.T) {
		d := on(t)
		for _, typed := range []string{"", "key\n", "key\nsecret\n", "key\nsecret\nweb\n", "key\nsecret\nweb\n{}\n"} {
			d.run(typed, "params").want(t, 1, "the input ended before every question was answered")
		}
		if values, _ := d.values.Values(); len(values) > 0 {
			t.Errorf("want nothing written, got %v", values)
		}
	})
	t.Run("refuses what nobody can have meant, and writes nothing", func(t *testing.T) {
		d := on(t)
		for typed, want := range map[string]string{
			"\n":                      "the API key must not be empty",
			"\ufeffkey\nsecret\n\n":   "the API key has a character that cannot be seen (U+FEFF)",
			"key,\nsecret\n\n":        "the API key ends with a ,",
			"'key'\nsecret\n\n":       "the API key begins or ends with a quotation mark",
			"key\n\n":                 "the API secret must not be empty",
			"key\nsecret\u200b\n\n":   "the API secret has a character that cannot be seen (U+200B)",
			"key\n\xffsecret\n\n":     "the API secret has a character that cannot be seen",
			"key\n“secret”\n\n":       "the API secret begins or ends with a quotation mark",
			"key\n{{ssm:secret}}\n\n": "the API secret has {{…}}, which Parameter Store refuses",
			"key\nkey\n\n":            "the API secret is the same as the API key",
			strings.Repeat("s", 64) + "\nthe-key\n\n":                             "the API key looks like an API secret",
			"key\nsecret\na/b\n":                                                  "a/b is not a client type",
			"key\nsecret\nweb\n[]\n\n":                                            "not a JSON object",
			"key\nsecret\nweb\nnull\n\n":                                          "not a JSON object",
			"key\nsecret\nweb\n\ufeff{}\n\n":                                      "begins with a byte-order mark",
			"key\nsecret\nweb\n{\"greeting\":\"Hi {{name}}\"}\n\n":                `\u007b\u007b`,
			"key\nsecret\nweb\n{\"a\":\"" + strings.Repeat("x", 4096) + "\"}\n\n": "4104 bytes: Parameter Store takes 4096",
		} {
			r := d.run(typed, "params")
			r.want(t, 1, want)
			r.hides(t, strings.Repeat("s", 64), "ssm:secret")
		}
		stream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"code":2,"message":"api_key not valid"}`)
		}))
		defer stream.Close()
		d.parameters["StreamBaseUrl"] = stream.URL
		d.run("key\nsecret\n\n", "params").want(t, 1, "Stream refuses this key and secret (401: api_key not valid)", "nothing was written")
		if values, _ := d.values.Values(); len(values) > 0 {
			t.Errorf("want nothing written, got %v", values)
		}
		d.run("key\nsecret\n\n", "params", "-unchecked").want(t, 0)
	})
	t.Run("asks for a path before there is a stack, by the template's pattern", func(t *testing.T) {
		d := on(t)
		d.missing = true
		d.run("/first/deployment\nkey\nsecret\n\n", "params").want(t, 0, "[/chat]", "wrote /first/deployment/stream/api-secret")
		d.run("/chat/\n", "params").want(t, 1, "begin with a slash")
		d.run("\nkey\nsecret\n\n", "params", "-env", "qa").want(t, 0, "wrote /chat/stream/api-secret")
		d.run("", "params", "-prefix", "chat/").want(t, 2, "begin with a slash")
	})
	t.Run("says so if the stack's path is unknown", func(t *testing.T) {
		d := on(t)
		d.onAWS = func(w http.ResponseWriter, r *http.Request, body string) bool {
			return strings.Contains(body, "DescribeStacks") && forbidden(w)
		}
		d.run("", "params").want(t, 1, "The stack's own path and KMS key are unknown: stack chat: InvalidClientTokenId", "Path of the values [/chat]")
	})
	t.Run("checks the credentials before it asks", func(t *testing.T) {
		d := on(t)
		d.onAWS = func(w http.ResponseWriter, r *http.Request, body string) bool {
			return strings.Contains(body, "GetCallerIdentity") && forbidden(w)
		}
		r := d.run("key\nsecret\n\n", "params")
		r.want(t, 1, "AWS does not accept the credentials, or this machine's clock is wrong")
		r.hides(t, "API key")
	})
	t.Run("writes all values or none", func(t *testing.T) {
		d := on(t)
		d.value(apiSecret, "old-secret", types.ParameterTypeSecureString)
		denied := "nothing"
		d.onAWS = func(w http.ResponseWriter, r *http.Request, body string) bool {
			return r.Header.Get("X-Amz-Target") == denied && refuse(w, "AccessDeniedException") ||
				strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".PutParameter") && strings.Contains(body, prefix+apiKey) && refuse(w, "AccessDeniedException")
		}
		d.run("key\nsecret\n\n", "params").want(t, 1, "could not write /chat-service/stream/api-key, and all values are as they were: AccessDeniedException")
		if values, _ := d.values.Values(); values[prefix+apiSecret] != "old-secret" {
			t.Errorf("want the old secret back, got %v", values)
		}
		denied = "AmazonSSM.GetParameters"
		d.run("key\nsecret\n\n", "params").want(t, 1, "could not write /chat-service/stream/api-key (1 of 2 were written: run params again): AccessDeniedException")
	})
	t.Run("undoes nothing of somebody else's", func(t *testing.T) {
		d := on(t)
		d.value(apiSecret, "old-secret", types.ParameterTypeSecureString)
		d.value(apiKey, "old-key", types.ParameterTypeString)
		d.value(previousSecret, "older-secret", types.ParameterTypeSecureString)
		d.run("key\nsecret\n\n", "params").want(t, 1, "a rotation is under way", "nothing was written")
		d.values.Delete(prefix + previousSecret)
		d.onAWS = func(w http.ResponseWriter, r *http.Request, body string) bool {
			if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".PutParameter") || !strings.Contains(body, prefix+apiKey) {
				return false
			}
			d.value(apiSecret, "somebody-elses", types.ParameterTypeSecureString) // between our two writes
			return refuse(w, "AccessDeniedException")
		}
		d.run("key\nsecret\n\n", "params").want(t, 1, "could not write /chat-service/stream/api-key (1 of 2 were written: run params again): AccessDeniedException")
		if values, _ := d.values.Values(); values[prefix+apiSecret] != "somebody-elses" {
			t.Errorf("want the other operator's secret left alone, got %v", values)
		}
		d.onAWS = func(_ http.ResponseWriter, r *http.Request, body string) bool {
			if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".PutParameter") && strings.Contains(body, prefix+apiSecret) {
				d.value(apiSecret, "somebody-elses-again", types.ParameterTypeSecureString) // after we have read it
			}
			return false
		}
		d.run("key\nsecret\n\n", "params").want(t, 1, "somebody else has written "+prefix+apiSecret+" at the same moment")
	})
	t.Run("encrypts with the stack's key, before there is one with that in the choices", func(t *testing.T) {
		d := on(t)
		var keys []string
		d.onAWS = func(w http.ResponseWriter, r *http.Request, body string) bool {
			var in struct{ Name, KeyId string }
			if json.Unmarshal([]byte(body), &in) == nil && strings.HasSuffix(in.Name, apiSecret) {
				keys = append(keys, in.KeyId)
			}
			return false
		}
		d.parameters["KmsKeyArn"] = "arn:aws:kms:eu-central-1:123456789012:key/1"
		d.run("key\nsecret\n\n", "params").want(t, 0)
		d.missing = true
		d.choose("KmsKeyArn=arn:aws:kms:eu-central-1:123456789012:key/2\nParameterPrefix=/chosen")
		d.run("\nkey\nsecret\n\n", "params").want(t, 0, "wrote /chosen/stream/api-key")
		if want := []string{d.parameters["KmsKeyArn"], "arn:aws:kms:eu-central-1:123456789012:key/2"}; !slices.Equal(keys, want) {
			t.Errorf("want %q, got %q", want, keys)
		}
	})
}

func TestTheAddressOfWebhooksIsReplacedWithoutAGap(t *testing.T) {
	t.Parallel()
	d := deploy(t, nil)
	plain, old := d.outputs["ClientApiUrl"]+"/webhook", d.outputs["ClientApiUrl"]+"/webhook/id"
	d.outputs["WebhookUrl"], d.parameters["WebhookPath"] = old, ""
	d.app["event_hooks"] = []any{
		map[string]any{"hook_type": "webhook", "webhook_url": old, "created_at": 1795789660000000000}, map[string]any{"hook_type": "webhook", "webhook_url": "https://other.example.com"},
		map[string]any{"hook_type": "pending_message", "callback": map[string]any{"mode": "CALLBACK_MODE_REST", "server_url": old}},
	}
	d.app["before_message_send_hook_url"], d.app["moderation_webhook_url"] = old, old
	var steps []string
	d.onService = func(w http.ResponseWriter, r *http.Request, body string) bool {
		if r.Method != http.MethodPatch {
			return false
		}
		var change map[string]any
		_ = json.Unmarshal([]byte(body), &change)
		hooks := change["event_hooks"].([]any)
		steps = append(steps, fmt.Sprint(change["before_message_send_hook_url"], change["moderation_webhook_url"], hooks[0].(map[string]any)["webhook_url"], hooks[1].(map[string]any)["webhook_url"], hooks[2].(map[string]any)["callback"].(map[string]any)["server_url"]))
		maps.Copy(d.app, change)
		fmt.Fprint(w, `{}`)
		return true
	}
	d.onAWS = func(w http.ResponseWriter, r *http.Request, body string) bool {
		form, _ := url.ParseQuery(body)
		if form.Get("Action") != "UpdateStack" {
			return false
		}
		for i := 1; form.Has(fmt.Sprintf("Parameters.member.%d.ParameterKey", i)); i++ {
			if value := form.Get(fmt.Sprintf("Parameters.member.%d.ParameterValue", i)); value != "" {
				d.outputs["WebhookUrl"] = old + value
				steps = append(steps, form.Get(fmt.Sprintf("Parameters.member.%d.ParameterKey", i)))
			}
		}
		fmt.Fprint(w, `<UpdateStackResponse><UpdateStackResult><StackId>chat</StackId></UpdateStackResult></UpdateStackResponse>`)
		return true
	}
	d.run("no\n", "rotate", "-webhook").want(t, 1, "nothing was changed")
	d.run("", "rotate", "-webhook", "-yes").want(t, 0, "Stream calls "+plain+" meanwhile", "Stream calls "+d.outputs["WebhookUrl"], "the old address is gone")
	next, other := d.outputs["WebhookUrl"], "https://other.example.com"
	if want := []string{fmt.Sprint(plain, plain, plain, other, plain), "WebhookPath", fmt.Sprint(next, next, next, other, next)}; !slices.Equal(steps, want) || next == old {
		t.Errorf("want %q, got %q", want, steps)
	}
}
