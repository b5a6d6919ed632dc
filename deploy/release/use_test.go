package main

import (
	"bufio"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"chat-service-backend/deploy/build"
	"chat-service-backend/internal/awstest"
	"chat-service-backend/ops/cfn"
)

// An account is moto, but for CloudFormation, of which moto knows too little: one stack
// that has the outputs given here once its change set is executed.
type account struct {
	moto, stackName string
	// Of the template; the parameters' default values; and what the stack keeps when it is
	// deleted, ids by type.
	outputs, defaults, kept map[string]string

	mu         sync.Mutex
	status     string // of the stack, "" before it exists
	parameters map[string]string
}

func (a *account) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	form, _ := url.ParseQuery(string(body))
	if form.Get("Version") != "2010-05-15" {
		target, _ := url.Parse(a.moto)
		httputil.NewSingleHostReverseProxy(target).ServeHTTP(w, r)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	action := form.Get("Action")
	answer := func(format string, args ...any) {
		fmt.Fprintf(w, "<%[1]sResponse><%[1]sResult>%[2]s</%[1]sResult></%[1]sResponse>", action, fmt.Sprintf(format, args...))
	}
	const id = "arn:aws:cloudformation:eu-central-1:123456789012:changeSet/x/1"
	switch action {
	case "CreateChangeSet":
		a.parameters = maps.Clone(a.defaults)
		for i := 1; form.Get(fmt.Sprintf("Parameters.member.%d.ParameterKey", i)) != ""; i++ {
			member := fmt.Sprintf("Parameters.member.%d.", i)
			a.parameters[form.Get(member+"ParameterKey")] = form.Get(member + "ParameterValue")
		}
		answer("<Id>%s</Id><StackId>s</StackId>", id)
	case "DescribeChangeSet":
		answer("<ChangeSetId>%s</ChangeSetId><Status>CREATE_COMPLETE</Status><ExecutionStatus>AVAILABLE</ExecutionStatus>", id)
	case "ExecuteChangeSet":
		a.status = "CREATE_COMPLETE"
		answer("")
	case "ListStackResources":
		var members string
		for kind, id := range a.kept {
			members += fmt.Sprintf("<member><ResourceType>%s</ResourceType><PhysicalResourceId>%s</PhysicalResourceId></member>", kind, id)
		}
		answer("<StackResourceSummaries>%s</StackResourceSummaries>", members)
	case "DeleteStack":
		a.status = ""
		answer("")
	case "DescribeStacks":
		if a.status == "" {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>Stack with id %s does not exist</Message></Error></ErrorResponse>", a.stackName)
			return
		}
		member := func(all map[string]string, name string) (text string) {
			for key, value := range all {
				var b strings.Builder
				_ = xml.EscapeText(&b, []byte(value))
				text += fmt.Sprintf("<member><%[1]sKey>%[2]s</%[1]sKey><%[1]sValue>%[3]s</%[1]sValue></member>", name, key, b.String())
			}
			return text
		}
		answer("<Stacks><member><StackName>%s</StackName><StackStatus>%s</StackStatus><Parameters>%s</Parameters><Outputs>%s</Outputs></member></Stacks>",
			a.stackName, a.status, member(a.parameters, "Parameter"), member(a.outputs, "Output"))
	default:
		http.Error(w, action, http.StatusNotImplemented)
	}
}

// Everything that docs/pipelines.md does with a release, in an empty folder, with the
// AWS CLI and no Go: values, stack, Stream, doctor, rotation, removal.
func TestReleaseIsAllThatAMachineWithoutGoNeeds(t *testing.T) {
	t.Parallel()
	awstest.Long(t, "a release is seven programs to link, and its use many starts of the AWS CLI")
	cli, err := exec.LookPath("aws")
	if err != nil {
		awstest.Missing(t, "the AWS CLI is not installed")
	}
	moto := awstest.Moto(t)
	root, err := build.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "release")
	if err := release(t.Context(), root, dir, "v0.0.1", "", targets{build.Host, []build.System{build.Host}}, func(context.Context, string, string, build.System) ([]byte, error) { return []byte("{}"), nil }); err != nil {
		t.Fatal(err)
	}
	checkImage(t, dir)
	a := &account{moto: moto, stackName: "chat-service-dev"}
	front := httptest.NewServer(a)
	t.Cleanup(front.Close)
	// The CLI's own sqs leaves AWS_ENDPOINT_URL out.
	bin := t.TempDir()
	if err := os.WriteFile(bin+"/aws", []byte("#!/bin/sh\nexec "+cli+" --endpoint-url "+front.URL+" \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cli = bin + "/aws"
	environment := []string{
		"PATH=" + filepath.Dir(cli) + ":/usr/bin:/bin", "HOME=" + os.Getenv("HOME"), "CI=true", "AWS_REGION=eu-central-1", "AWS_DEFAULT_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
		"AWS_ENDPOINT_URL=" + front.URL,
	}
	for _, path := range strings.Split(strings.TrimPrefix(environment[0], "PATH="), ":") {
		if _, err := os.Stat(filepath.Join(path, "go")); err == nil {
			t.Skipf("Go is in %s, beside what the release needs", path)
		}
	}
	end := "-" + build.Host.OS + "-" + build.Host.Arch
	run := func(stdin string, words ...string) string {
		t.Helper()
		c := exec.CommandContext(t.Context(), words[0], words[1:]...)
		c.Dir, c.Env, c.Stdin = dir, environment, strings.NewReader(stdin)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", words[1:], err, out)
		}
		return string(out)
	}
	run("", "ln", "-s", "ops"+end, "ops") // as docs/pipelines.md says; nothing in a release may be called ops
	ops := func(stdin string, args ...string) string {
		t.Helper()
		return run(stdin, append([]string{"./ops"}, args...)...)
	}
	if err := os.WriteFile(dir+"/deploy/dev.env", []byte("AwsAccount=123456789012\nAwsRegion=eu-central-1\nEnvironment=dev\nParameterTtl=1\n"), 0o644); err != nil {
		t.Fatal(err)
	}

	ops("\nlocal-key\nlocal-secret-of-the-release-test\n\n", "params", "-env", "dev", "-unchecked")
	run("", cli, "events", "create-event-bus", "--name", "ChatEventBus")
	queue := strings.TrimSpace(run("", cli, "sqs", "create-queue", "--queue-name", "chat-service-dev-FallbackQueue-1A", "--query", "QueueUrl", "--output", "text"))
	run("", cli, "s3", "mb", "s3://chat-service-dev-largeeventsbucket")

	// What the stack would be: the release's development server, on the same account.
	server := exec.CommandContext(t.Context(), filepath.Join(dir, "local"+end), "-addr", ":0",
		"-parameter-overrides", "ParameterPrefix=/chat-service-dev ParameterTtl=1")
	server.Dir, server.Env = dir, append(environment, "AWS_ENDPOINT_URL_SSM="+moto, "AWS_ENDPOINT_URL_EVENTBRIDGE="+moto, "AWS_ENDPOINT_URL_SQS="+moto, "AWS_ENDPOINT_URL_S3="+moto)
	server.Cancel = func() error { return server.Process.Signal(os.Interrupt) }
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Wait() })
	urls := map[string]string{}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && lines.Text() != "ready" {
		for _, api := range []string{"Client API", "Service API"} {
			if address, ok := strings.CutPrefix(lines.Text(), api); ok {
				urls[api] = strings.TrimSpace(address)
			}
		}
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	target, err := url.Parse(urls["Service API"])
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Authorization"), "/execute-api/aws4_request") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(service.Close)
	text, err := os.ReadFile(dir + "/template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	template, err := cfn.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	stack, err := template.Stack(cfn.Options{})
	if err != nil {
		t.Fatal(err)
	}
	a.mu.Lock()
	a.defaults = map[string]string{}
	for name := range template.Section("Parameters") {
		a.defaults[name] = stack.Parameter(name)
	}
	a.outputs = map[string]string{
		"ClientApiUrl": urls["Client API"], "WebhookUrl": urls["Client API"] + "/webhook", "ServiceApiUrl": service.URL, "ServiceApiArn": "arn:x",
		"EventBusName": "ChatEventBus", "Version": "v0.0.1", "FallbackQueueUrl": queue,
	}
	a.kept = map[string]string{"AWS::SQS::Queue": queue, "AWS::S3::Bucket": "chat-service-dev-largeeventsbucket"}
	a.mu.Unlock()

	ops("", "deploy", "-env", "dev")
	a.mu.Lock()
	parameters := maps.Clone(a.parameters)
	a.mu.Unlock()
	for name, want := range map[string]string{"ParameterPrefix": "", "Environment": "dev", "LogLevel": "DEBUG", "RetentionDays": "7", "ParameterTtl": "1"} {
		if parameters[name] != want {
			t.Errorf("want the defaults of make deploy, %s=%s, got %q", name, want, parameters[name])
		}
	}
	if got := run("", cli, "s3", "ls", "--recursive", "s3://chat-service-artifacts-123456789012-eu-central-1/chat-service-dev/"); strings.Count(got, "\n") != 6 {
		t.Errorf("want the code of five functions and the template uploaded, got\n%s", got)
	}
	ops("", "apply", "-env", "dev", "-yes")
	if got := ops("", "doctor", "-env", "dev"); !strings.Contains(got, "webhook") {
		t.Errorf("want a diagnosis, got\n%s", got)
	}
	if got := ops("\nanother-secret-of-the-release-test\n", "rotate", "-env", "dev", "-yes"); strings.Contains(got, "another-secret") {
		t.Errorf("want the secret rotated and not shown, got\n%s", got)
	}
	if got := run("", cli, "ssm", "get-parameter", "--with-decryption", "--name", "/chat-service-dev/stream/api-secret", "--query", "Parameter.Value", "--output", "text"); got != "another-secret-of-the-release-test\n" {
		t.Errorf("want the new secret, got %q", got)
	}

	// What docs/deploy.md says to delete everything.
	ops("", "redrive", "-env", "dev")
	if err := os.WriteFile(dir+"/stream.yaml", []byte("absent: {hooks: [\"${WebhookUrl}\"]}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	ops("", "apply", "-env", "dev", "-yes", "-allow-delete")
	if got := ops("", "pull", "-env", "dev", "-file", "-"); !strings.Contains(got, "\nhooks: []\n") {
		t.Errorf("want no hook left at Stream, got\n%s", got)
	}
	run("object", cli, "s3", "cp", "-", "s3://chat-service-dev-largeeventsbucket/2026/1")
	page, err := os.ReadFile(dir + "/docs/deploy.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "## Delete everything")
	_, script, _ := strings.Cut(section, "```sh\n")
	script, _, _ = strings.Cut(script, "```")
	run("", "bash", "-euo", "pipefail", "-c", strings.ReplaceAll(script, "stack=chat-service-prod", "stack=chat-service-dev"))
	if a.status != "" {
		t.Errorf("want no stack left, got %s", a.status)
	}
	for _, look := range [][]string{
		{"ssm", "get-parameters-by-path", "--recursive", "--path", "/", "--query", "Parameters[].Name"},
		{"sqs", "list-queues", "--query", "QueueUrls"},
		{"s3api", "list-buckets", "--query", "Buckets[?Name!='chat-service-artifacts-123456789012-eu-central-1'].Name"},
		{"s3api", "list-objects-v2", "--bucket", "chat-service-artifacts-123456789012-eu-central-1", "--query", "Contents"},
	} {
		if got := strings.TrimSpace(run("", append(append([]string{cli}, look...), "--output", "text")...)); got != "" && got != "None" {
			t.Errorf("want nothing left of the stack, got %s of %q", got, look[:2])
		}
	}
}
