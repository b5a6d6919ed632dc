package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/internal/cfn"
)

const (
	region = "eu-central-1"
	prefix = "/chat-service" // that the development server's functions read below
	bus    = "ChatEventBus"  // that its webhook function publishes to
	secret = "local-secret"
)

// A world is one moto and one development server, which many tests share: each
// has a stack of its own, and what it lets go wrong is seen by its own runs alone.
type world struct {
	aws        aws.Config
	moto       string
	client     string // URL of the development server's Client API
	service    string
	root       string
	deployment int32
}

func newWorld(t *testing.T) *world {
	w := &world{moto: awstest.Moto(t)}
	w.aws = aws.Config{Region: region, BaseEndpoint: &w.moto, Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")}
	var err error
	if w.root, err = filepath.Abs(".."); err != nil {
		t.Fatal(err)
	}
	if _, err := eventbridge.NewFromConfig(w.aws).CreateEventBus(t.Context(), &eventbridge.CreateEventBusInput{Name: aws.String(bus)}); err != nil {
		t.Fatal(err)
	}
	w.set(t, prefix+apiKey, "local-key", types.ParameterTypeString)
	w.set(t, prefix+apiSecret, secret, types.ParameterTypeSecureString)
	w.set(t, prefix+clientConfig+"/web", `{"theme":"dark"}`, types.ParameterTypeString)
	w.startLocal(t)
	return w
}

// set writes a parameter, anew.
func (w *world) set(t *testing.T, name, value string, kind types.ParameterType) {
	t.Helper()
	client := ssm.NewFromConfig(w.aws)
	_, _ = client.DeleteParameter(t.Context(), &ssm.DeleteParameterInput{Name: &name}) // its type may be another
	if _, err := client.PutParameter(t.Context(), &ssm.PutParameterInput{Name: &name, Value: &value, Type: kind}); err != nil {
		t.Fatal(err)
	}
}

// get is a parameter's value, "" for one that is not there.
func (w *world) get(t *testing.T, name string) string {
	t.Helper()
	out, err := ssm.NewFromConfig(w.aws).GetParameters(t.Context(), &ssm.GetParametersInput{Names: []string{name}, WithDecryption: new(true)})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range out.Parameters {
		return string(p.Type) + " " + aws.ToString(p.Value)
	}
	return ""
}

// startLocal runs what make run runs, on moto's Parameter Store and bus.
func (w *world) startLocal(t *testing.T) {
	t.Helper()
	local := awstest.NewService(t, []string{
		"AWS_REGION=" + region, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_SESSION_TOKEN=",
		"AWS_ENDPOINT_URL_SSM=" + w.moto, "AWS_ENDPOINT_URL_EVENTBRIDGE=" + w.moto, "AWS_ENDPOINT_URL_SQS=" + w.moto, "AWS_ENDPOINT_URL_S3=" + w.moto,
	}, "-parameter-overrides", "ParameterTtl=1")
	w.client, w.service = local.Client, local.Service
}

// A deployment is a stack, with something in front of each thing that a run of
// the program reaches, so that a test can let it go wrong.
type deployment struct {
	*world
	t          *testing.T
	name       string
	dir        string
	endpoint   string
	parameters map[string]string
	outputs    map[string]string
	missing    bool

	mu sync.Mutex // orders what a test sets here before what the requests of a run see
	// Each sees a request first, and reports whether it has answered it.
	onAWS, onClient, onService func(w http.ResponseWriter, r *http.Request, body string) bool
	// app changes what Stream answers of the app.
	app func(app map[string]any)
}

// deploy makes a stack. change may alter its parameters and outputs.
func (w *world) deploy(t *testing.T, change func(*deployment)) *deployment {
	t.Helper()
	d := &deployment{world: w, t: t, dir: t.TempDir(), name: fmt.Sprintf("chat-%d", atomic.AddInt32(&w.deployment, 1)), parameters: map[string]string{}}
	d.endpoint = d.front(w.moto, func(w http.ResponseWriter, r *http.Request, body string) bool {
		return d.onAWS != nil && d.onAWS(w, r, body) || quotas(w, r)
	})
	service := d.front(w.service, func(w http.ResponseWriter, r *http.Request, body string) bool {
		if d.onService != nil && d.onService(w, r, body) {
			return true
		}
		if !strings.Contains(r.Header.Get("Authorization"), "/"+region+"/execute-api/aws4_request") {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"message":"Missing Authentication Token"}`)
			return true
		}
		return false
	})
	client := d.front(w.client, func(w http.ResponseWriter, r *http.Request, body string) bool {
		return d.onClient != nil && d.onClient(w, r, body)
	})
	template, err := cfn.Find(".")
	if err != nil {
		t.Fatal(err)
	}
	defaults, err := template.Stack(cfn.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name := range template.Section("Parameters") {
		d.parameters[name] = defaults.Parameter(name)
	}
	if err := os.Symlink(filepath.Join(w.root, "template.yaml"), filepath.Join(d.dir, "template.yaml")); err != nil {
		t.Fatal(err)
	}
	d.parameters["ParameterPrefix"] = prefix
	d.outputs = map[string]string{
		"ClientApiUrl": client, "ServiceApiUrl": service, "WebhookUrl": w.client + "/webhook", "ServiceApiArn": "arn:x",
		"EventBusName": bus, "FallbackQueueUrl": d.queue("fallback"),
	}
	if change != nil {
		change(d)
	}
	if !d.missing {
		d.create()
	}
	return d
}

func (d *deployment) queue(name string) string {
	d.t.Helper()
	out, err := sqs.NewFromConfig(d.aws).CreateQueue(d.t.Context(), &sqs.CreateQueueInput{QueueName: aws.String(d.name + "-" + name)})
	if err != nil {
		d.t.Fatal(err)
	}
	return *out.QueueUrl
}

// create has CloudFormation make the stack, all of it but its resources.
func (d *deployment) create() {
	d.t.Helper()
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
	if _, err := cloudformation.NewFromConfig(d.aws).CreateStack(d.t.Context(), &cloudformation.CreateStackInput{
		StackName: &d.name, TemplateBody: aws.String(string(text)), Parameters: given,
	}); err != nil {
		d.t.Fatal(err)
	}
}

// front stands in front of a server.
func (d *deployment) front(to string, answered func(w http.ResponseWriter, r *http.Request, body string) bool) string {
	target, err := url.Parse(to)
	if err != nil {
		d.t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(r *http.Response) error {
			if d.app == nil || r.Request.URL.Path != "/proxy/app" || r.Request.Method != http.MethodGet || r.StatusCode != 200 {
				return nil
			}
			var answer map[string]map[string]any
			body, _ := io.ReadAll(r.Body)
			var raw map[string]any
			_ = json.Unmarshal(body, &raw)
			answer = map[string]map[string]any{"app": raw["app"].(map[string]any)}
			d.app(answer["app"])
			body, _ = json.Marshal(answer)
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			r.Header.Del("Content-Length")
			return nil
		},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.inOrder()
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if !answered(w, r, string(body)) {
			proxy.ServeHTTP(w, r)
		}
	}))
	d.t.Cleanup(server.Close)
	return server.URL
}

// quotas answers what moto does not know.
func quotas(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case strings.Contains(r.URL.Path, "/account-settings"):
		fmt.Fprint(w, `{"AccountLimit":{"ConcurrentExecutions":1000,"UnreservedConcurrentExecutions":900}}`)
	case r.Header.Get("X-Amz-Target") == "AmazonSSM.GetServiceSetting":
		fmt.Fprint(w, `{"ServiceSetting":{"SettingValue":"true"}}`)
	default:
		return false
	}
	return true
}

// refuse answers as AWS does.
func refuse(w http.ResponseWriter, code string) bool {
	w.Header().Set("X-Amzn-Errortype", code)
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprintf(w, `{"__type":%q,"message":"as the test wants it"}`, code)
	return true
}

func (d *deployment) inOrder() {
	d.mu.Lock()
	defer d.mu.Unlock()
}

func (d *deployment) command(stdin, command string, args ...string) *exec.Cmd {
	d.inOrder()
	return start(d.t, d.dir, []string{"AWS_ENDPOINT_URL=" + d.endpoint, "AWS_REGION=" + region, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test"},
		stdin, append([]string{command, "-stack", d.name}, args...)...)
}

func (d *deployment) run(stdin, command string, args ...string) result {
	d.t.Helper()
	cmd := d.command(stdin, command, args...)
	return finish(d.t, cmd, cmd.Run())
}

// leftBehind are the rules on the bus, and the queues, of the doctor of a stack.
func (d *deployment) leftBehind() (names []string) {
	d.t.Helper()
	rules, err := eventbridge.NewFromConfig(d.aws).ListRules(context.Background(), &eventbridge.ListRulesInput{EventBusName: aws.String(bus), NamePrefix: &d.name})
	if err != nil {
		d.t.Fatal(err)
	}
	for _, r := range rules.Rules {
		names = append(names, *r.Name)
	}
	queues, err := sqs.NewFromConfig(d.aws).ListQueues(context.Background(), &sqs.ListQueuesInput{QueueNamePrefix: aws.String(d.name + "-doctor")})
	if err != nil {
		d.t.Fatal(err)
	}
	return append(names, queues.QueueUrls...)
}

// TestDeployment runs the commands that need AWS against moto and the
// development server, which are started once.
func TestDeployment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	yaml := filepath.Join(t.TempDir(), "stream.yaml")
	if err := os.WriteFile(yaml, []byte("hooks: [{hook_type: webhook, webhook_url: '${WebhookUrl}'}]"), 0o600); err != nil {
		t.Fatal(err)
	}

	// What changes Stream's side or the secret for all goes first, one after the other.
	t.Run("connect", func(t *testing.T) { testConnect(t, w, yaml) })
	t.Run("rotate", func(t *testing.T) { testRotate(t, w) })

	t.Run("doctor", func(t *testing.T) { testDoctor(t, w) })
	t.Run("params", func(t *testing.T) { testParams(t, w) })
	t.Run("terminal", func(t *testing.T) { testTerminal(t, w) })
	t.Run("redrive", func(t *testing.T) { testRedrive(t, w) })
	t.Run("token", func(t *testing.T) { testToken(t, w) })
}

func testConnect(t *testing.T, w *world, yaml string) {
	d := w.deploy(t, func(d *deployment) {
		d.parameters["OidcIssuer"], d.parameters["OidcAudience"] = w.client+"/.local/issuer", "local"
	})
	d.run("", "doctor", "-before-connect").want(t, 0, "ok    service API")
	d.run("", "doctor", "-wait", "10s").want(t, 1, "BAD   webhook", "Stream does not send to "+w.client+"/webhook", "a webhook signed here")
	d.run("", "apply", "-yes", "-file", yaml).want(t, 0, "done: create webhook hook "+w.client+"/webhook")
	d.run("", "plan", "-file", yaml).want(t, 0, "nothing to change")
	r := d.run("", "doctor", "-wait", "30s")
	r.want(t, 0, "a message sent in Stream came to the bus "+bus, " 0 bad, 0 to look at, 0 not examined")
	if strings.Contains(r.stdout+r.stderr, secret) {
		t.Errorf("want no secret shown, got %s%s", r.stdout, r.stderr)
	}
	if left := d.leftBehind(); len(left) > 0 {
		t.Errorf("want nothing of the doctor's left, got %q", left)
	}
	for _, c := range []struct{ method, path string }{{"GET", "/proxy/users"}, {"POST", "/proxy/channels"}} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, w.service+c.path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		a, err := receive(http.DefaultClient, r)
		if err != nil || a.status > 299 || strings.Contains(string(a.body), "chat-service-doctor") {
			t.Errorf("%s: want nothing of the doctor's at Stream, got %v %s", c.path, err, a.body)
		}
	}
}

func testRotate(t *testing.T, w *world) {
	d := w.deploy(t, func(d *deployment) { d.parameters["ParameterTtl"] = "1" })
	d.onService = func(w http.ResponseWriter, r *http.Request, body string) bool {
		if r.URL.Path != "/proxy/app" {
			return false
		}
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"code":43,"message":"signature is not valid"}`)
		return true
	}
	d.run("new\n", "rotate").want(t, 1, "before anything is changed", "signature is not valid")
	if got := w.get(t, prefix+apiSecret) + w.get(t, prefix+previousSecret); got != "SecureString "+secret {
		t.Fatalf("want nothing changed, got %s", got)
	}
	d.onService = nil

	r := d.run(secret+"\n\nsecond-secret\nno\n", "rotate")
	r.want(t, 0, "that is the secret in use", "must not be empty", "Waiting 2 s", "Tokens work with the new secret, webhooks with both", "rotate goes on from here")
	if strings.Contains(r.stdout+r.stderr, "second-secret") || strings.Contains(r.stdout+r.stderr, secret) {
		t.Errorf("want no secret shown, got %s%s", r.stdout, r.stderr)
	}
	if now, before := w.get(t, prefix+apiSecret), w.get(t, prefix+previousSecret); now != "SecureString second-secret" || before != "SecureString "+secret {
		t.Fatalf("want the new one beside the one before, got %s and %s", now, before)
	}
	d.run("yes\n", "rotate", "-json").want(t, 0, `"ok": true`, "A rotation is under way", "removed "+prefix+previousSecret)
	if got := w.get(t, prefix+previousSecret); got != "" {
		t.Errorf("want the previous one gone, got %s", got)
	}

	// A secret that Stream does not take is taken back, and not for any other failure.
	calls, status := 0, http.StatusForbidden
	d.onService = func(w http.ResponseWriter, r *http.Request, body string) bool {
		if r.URL.Path == "/proxy/app" {
			calls++
		}
		if r.URL.Path != "/proxy/app" || calls == 1 {
			return false
		}
		w.WriteHeader(status)
		fmt.Fprint(w, `{"code":43,"message":"signature is not valid"}`)
		return true
	}
	d.run("wrong-secret\n", "rotate", "-yes").want(t, 1, "both secrets are in place, and rotate checks again")
	status = http.StatusUnauthorized
	d.run("yes\n", "rotate").want(t, 1, "The new secret does not work", "signature is not valid", "the secret before is in use again")
	if now, before := w.get(t, prefix+apiSecret), w.get(t, prefix+previousSecret); now != "SecureString second-secret" || before != "" {
		t.Errorf("want the one before back, got %s and %s", now, before)
	}
}

func testParams(t *testing.T, w *world) {
	t.Run("writes what is typed once all is typed", func(t *testing.T) {
		t.Parallel()
		d := w.deploy(t, func(d *deployment) { d.parameters["ParameterPrefix"] = "/acme/chat" })
		odd := `$(id) "q" 'x' \n %s file:///etc/hostname`
		config := `{"theme":"dark","url":"https://example.com/?a=1&b=%20"}`
		typed := "\n  the-key \n\n" + odd + "\na/b\nweb\n[]\nnull\n" + config + "\n\n"
		r := d.run(typed, "params")
		r.want(t, 0, "Values go below /acme/chat", "the API key must not be empty", "the API secret must not be empty", "got a/b", "want a JSON object",
			"wrote /acme/chat/stream/api-key\nwrote /acme/chat/stream/api-secret\nwrote /acme/chat/client-config/web\n")
		if strings.Contains(r.stdout+r.stderr, odd) {
			t.Errorf("want the secret not shown, got %s%s", r.stdout, r.stderr)
		}
		for name, want := range map[string]string{
			"/stream/api-key": "String the-key", "/stream/api-secret": "SecureString " + odd, "/client-config/web": "String " + config,
		} {
			if got := w.get(t, "/acme/chat"+name); got != want {
				t.Errorf("%s: want %s, got %s", name, want, got)
			}
		}
	})
	t.Run("writes nothing until all is typed", func(t *testing.T) {
		t.Parallel()
		d := w.deploy(t, func(d *deployment) { d.parameters["ParameterPrefix"] = "/unfinished" })
		for _, typed := range []string{"", "key\n", "key\nsecret\n", "key\nsecret\nweb\n", "key\nsecret\nweb\n{}\n"} {
			d.run(typed, "params").want(t, 1, "want an answer, got the end of input")
		}
		for _, name := range []string{apiKey, apiSecret, clientConfig + "/web"} {
			if got := w.get(t, "/unfinished"+name); got != "" {
				t.Errorf("want nothing written, got %s", got)
			}
		}
	})
	t.Run("asks for a path before there is a stack, by the template's pattern", func(t *testing.T) {
		t.Parallel()
		d := w.deploy(t, nil)
		d.name = "none"
		d.run("chat\n/\n/chat/\n/first/deployment\nkey\nsecret\n\n", "params").want(t, 0, "[/chat-service/dev]", "must begin with a slash", "wrote /first/deployment/stream/api-secret")
		d.run("\nkey\nsecret\n\n", "params", "-env", "qa").want(t, 0, "wrote /chat-service/qa/stream/api-secret")
		d.run("", "params", "-prefix", "chat/").want(t, 2, "must begin with a slash")
	})
	t.Run("checks the credentials before it asks", func(t *testing.T) {
		t.Parallel()
		d := w.deploy(t, nil)
		d.onAWS = func(w http.ResponseWriter, r *http.Request, body string) bool {
			return strings.Contains(body, "GetCallerIdentity") && forbidden(w)
		}
		r := d.run("key\nsecret\n\n", "params")
		r.want(t, 1, "AWS does not accept the credentials")
		if strings.Contains(r.stderr, "API key") {
			t.Errorf("want nothing asked for, got %s", r.stderr)
		}
	})
	t.Run("names what could not be written", func(t *testing.T) {
		t.Parallel()
		d := w.deploy(t, func(d *deployment) { d.parameters["ParameterPrefix"] = "/refused" })
		d.onAWS = func(w http.ResponseWriter, r *http.Request, body string) bool {
			return strings.Contains(body, "/refused/stream/api-secret") && refuse(w, "AccessDeniedException")
		}
		d.run("key\nsecret\n\n", "params").want(t, 1, "could not write /refused/stream/api-secret (1 of 2 were written): AccessDeniedException")
	})
	t.Run("encrypts with the stack's key", func(t *testing.T) {
		t.Parallel()
		var put string
		d := w.deploy(t, func(d *deployment) {
			d.parameters["ParameterPrefix"], d.parameters["KmsKeyArn"] = "/encrypted", "arn:aws:kms:eu-central-1:123456789012:key/1"
		})
		d.onAWS = func(w http.ResponseWriter, r *http.Request, body string) bool {
			if strings.Contains(body, `"/encrypted/stream/api-secret"`) {
				put = body
			}
			return false
		}
		d.run("key\nsecret\n\n", "params").want(t, 0)
		if !strings.Contains(put, `"KeyId":"arn:aws:kms:eu-central-1:123456789012:key/1"`) {
			t.Errorf("want the key named, got %s", regexp.MustCompile(`"Value":"[^"]*"`).ReplaceAllString(put, ""))
		}
	})
}

// forbidden answers as AWS's query protocol does.
func forbidden(w http.ResponseWriter) bool {
	w.WriteHeader(http.StatusForbidden)
	fmt.Fprint(w, `<ErrorResponse><Error><Type>Sender</Type><Code>InvalidClientTokenId</Code><Message>The security token is not valid.</Message></Error></ErrorResponse>`)
	return true
}

// queued is a message as the webhook function leaves it in the fallback queue.
func queued(bus, source string, number int) string {
	text, _ := json.Marshal(map[string]string{
		"EventBusName": bus, "Source": source, "DetailType": "message.new",
		"Detail": fmt.Sprintf(`{"metadata":{},"event":{"number":%d,"n":9007199254740993,"text":"Grüße"}}`, number),
	})
	return string(text)
}

func (d *deployment) enqueue(messages ...string) {
	d.t.Helper()
	for _, m := range messages {
		if _, err := sqs.NewFromConfig(d.aws).SendMessage(d.t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String(d.outputs["FallbackQueueUrl"]), MessageBody: &m}); err != nil {
			d.t.Fatal(err)
		}
	}
}

func testRedrive(t *testing.T, w *world) {
	t.Run("empties the queue to the bus", func(t *testing.T) {
		t.Parallel()
		d := w.deploy(t, nil)
		var published atomic.Int32
		d.onAWS = func(w http.ResponseWriter, r *http.Request, body string) bool {
			if r.Header.Get("X-Amz-Target") == "AWSEvents.PutEvents" && strings.Contains(body, `\"n\":9007199254740993,\"text\":\"Grüße\"`) {
				published.Add(1)
			}
			return false
		}
		for i := range 12 {
			d.enqueue(queued(bus, "stream.chat", i))
		}
		d.run("", "redrive").want(t, 0, "12 events published to "+bus+", 0 left in the queue")
		if published.Load() != 12 {
			t.Errorf("want each event published once, to the byte, got %d", published.Load())
		}
		d.run("", "redrive", "-json").want(t, 0, `"published": 0`)
	})
	t.Run("leaves what is not the stack's own in the queue", func(t *testing.T) {
		t.Parallel()
		d := w.deploy(t, nil)
		d.enqueue("no json", "null", "[]", "{}", `{"Detail":1}`, `{"Source":"stream.chat","DetailType":"message.new","Detail":"{}"}`,
			queued("default", "stream.chat", 1), queued(bus, "aws.iam", 1), queued(bus, "stream.chat", 1))
		d.run("", "redrive").want(t, 1, "1 events published to "+bus+", 8 left in the queue", `got "stream.chat" for "default"`, `got "aws.iam"`)
		d.run("", "redrive").want(t, 1, "0 events published to "+bus+", 8 left in the queue") // at once, not when their time is over
	})
	t.Run("an event that the bus does not take stays", func(t *testing.T) {
		t.Parallel()
		for name, fail := range map[string]func(http.ResponseWriter) bool{
			"the call": func(w http.ResponseWriter) bool { return refuse(w, "AccessDeniedException") },
			"an entry": func(w http.ResponseWriter) bool {
				fmt.Fprint(w, `{"FailedEntryCount":1,"Entries":[{"ErrorCode":"InternalFailure"}]}`)
				return true
			},
		} {
			d := w.deploy(t, nil)
			d.enqueue(queued(bus, "stream.chat", 1), queued(bus, "stream.chat", 2))
			d.onAWS = func(w http.ResponseWriter, r *http.Request, body string) bool {
				return r.Header.Get("X-Amz-Target") == "AWSEvents.PutEvents" && fail(w)
			}
			if r := d.run("", "redrive"); r.status != 1 || !strings.Contains(r.stdout, "0 events published to "+bus+", 2 left in the queue") {
				t.Errorf("%s: want both left, got %+v", name, r)
			}
			d.onAWS = nil
			d.run("", "redrive").want(t, 0, "2 events published to "+bus+", 0 left in the queue")
		}
	})
	t.Run("an event whose message cannot be deleted is reported", func(t *testing.T) {
		t.Parallel()
		d := w.deploy(t, nil)
		d.enqueue(queued(bus, "stream.chat", 1))
		d.onAWS = func(w http.ResponseWriter, r *http.Request, body string) bool {
			return r.Header.Get("X-Amz-Target") == "AmazonSQS.DeleteMessage" && refuse(w, "AccessDenied")
		}
		d.run("", "redrive").want(t, 1, "delete the message of an event that is published: AccessDenied", "1 left in the queue")
	})
	t.Run("ends though messages come back meanwhile", func(t *testing.T) {
		t.Parallel()
		d := w.deploy(t, nil)
		var published atomic.Int32
		d.onAWS = func(w http.ResponseWriter, r *http.Request, body string) bool {
			switch r.Header.Get("X-Amz-Target") {
			case "AWSEvents.PutEvents":
				published.Add(1)
				return refuse(w, "AccessDeniedException")
			case "AmazonSQS.ReceiveMessage":
				message, _ := json.Marshal(queued(bus, "stream.chat", 1))
				fmt.Fprintf(w, `{"Messages":[{"MessageId":"1","ReceiptHandle":"1","Body":%s}]}`, message)
				return true
			}
			return false
		}
		d.run("", "redrive").want(t, 1, "1 left in the queue")
		if published.Load() != 1 {
			t.Errorf("want the event tried once, got %d", published.Load())
		}
	})
	t.Run("says what is missing", func(t *testing.T) {
		t.Parallel()
		d := w.deploy(t, func(d *deployment) {
			delete(d.outputs, "FallbackQueueUrl")
			d.parameters["EventBus"] = "false"
		})
		d.run("", "redrive").want(t, 1, "has no fallback queue: EventBus is \"false\"")
		d.name = ""
		d.run("", "redrive", "-env", "nowhere").want(t, 1, "there is no stack chat-service-nowhere in "+region)
	})
}
