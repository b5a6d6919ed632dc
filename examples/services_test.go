package examples_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/internal/standin"
)

var credentials = standin.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "not a secret", SessionToken: "a/session+token==", Region: "eu-central-1"}

// paths are as Stream's SDKs write them: JSON in the query, spaces as plus signs,
// escaped slashes, repeated names, names without a value.
var paths = []string{
	"/token/%40support",
	"/proxy/users?payload=%7B%22filter_conditions%22%3A%20%7B%22id%22%3A%20%7B%22%24in%22%3A%20%5B%22bob%22%5D%7D%7D%7D",
	"/proxy/users?payload=%7B%22filter_conditions%22%3A+%7B%22id%22%3A+%7B%22%24in%22%3A+%5B%22bob%22%5D%7D%7D%7D",
	"/proxy/api/v2/users?payload=%7B%22filter_conditions%22%3A%20%7B%22name%22%3A%20%22J%C3%B8rgen%20%2B%20B%22%7D%7D&api_key=unused",
	"/proxy/search?payload=%7B%22query%22%3A+%22a+b%22%2C+%22filter_conditions%22%3A+%7B%7D%7D",
	"/proxy/channels/messaging/general%3Aroom%21/image?url=https%3A%2F%2Fcdn.example.com%2Fa%20b.png%3Fx%3D1%26y%3D(2)*",
	"/proxy/devices?user_id=bob&user_id=al%20ice&b&a=1",
	"/proxy/messages/a~b_c-d.e%40f",
}

func TestSDKsSignNothingWithAMadeUpSecret(t *testing.T) {
	t.Parallel()
	const script = `
		const { streamChat, streamClient } = await import('./service.mjs');
		const chat = streamChat(), client = streamClient();
		for (const f of [() => chat.createToken('bob'), () => chat.verifyWebhook('{}', 'x'), () => client.createToken('bob'), () => client.generateUserToken({ user_id: 'bob' }), () => client.verifyWebhook('{}', 'x')])
			try { console.log(f()) } catch (e) { console.log(e.message.includes('only the backend') ? 'refused' : e) }
		await chat.sendFile('/channels/messaging/general/file', Buffer.from('x'), 'x.txt').catch((e) => console.log(e.message.includes('does not sign uploads') ? 'refused' : e));`
	wantFromNode(t, script, strings.Repeat("refused\n", 6))
}

// Stream's SDK for all its products makes the same token of the same claims, and reaches
// Video and Feeds through the Service API.
func TestOneTokenServesVideoAndFeeds(t *testing.T) {
	t.Parallel()
	const script = `
		const { StreamClient } = await import('@stream-io/node-sdk');
		const [service, secret] = process.argv.slice(1);
		const client = new StreamClient('unused', secret, { basePath: service + '/proxy' });
		const { token } = await (await fetch(service + '/token/alice')).json();
		const claims = JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
		const { call } = await client.video.call('default', 'standup').getOrCreate({ data: { created_by_id: 'alice' } });
		const { feed } = await client.feeds.feed('user', 'alice').getOrCreate({ user_id: 'alice' });
		console.log(Object.keys(claims).join(), client.generateUserToken(claims) === token, call.cid, feed.feed);`
	wantFromNode(t, script, "exp,iat,user_id true default:standup user:alice\n", awstest.NewDevServer(t, nil).Service, "local-secret-for-development-only")
}

// wantFromNode checks what a script prints that imports the packages of the example in Node.
func wantFromNode(t *testing.T, script, want string, args ...string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "node", append([]string{"--input-type=module", "-e", script}, args...)...)
	c.Dir = "services/node"
	c.Env = append(os.Environ(), "SERVICE_URL=http://127.0.0.1:1", "AWS_REGION=eu-central-1")
	out, err := c.CombinedOutput()
	if strings.Contains(string(out), "ERR_MODULE_NOT_FOUND") || errors.Is(err, exec.ErrNotFound) {
		awstest.Missing(t, "npm install was not run in examples/services/node: %v", err)
	}
	if err != nil || string(out) != want {
		t.Errorf("want %q, got %v\n%s", want, err, out)
	}
}

// gate fails the test for a request that is not signed with the credentials, now.
func gate(t *testing.T, next http.Handler, requests *atomic.Int32) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		body, _ := io.ReadAll(r.Body)
		at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		if err != nil || time.Since(at).Abs() > 5*time.Minute || strings.Contains(r.URL.RawQuery, "+") || !credentials.Signed(r, body, "execute-api") {
			t.Errorf("%s: want a signature of now that fits, got %v", r.RequestURI, r.Header)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		http.StripPrefix("/v1", next).ServeHTTP(w, r) // on AWS, too, the stage is part of what is signed
	})
}

// Each of these runs an example as its users do, without arguments and with GET and each
// path, but in one process: most of its time would go into starts.
const (
	inGo   = `"$0" && for path in "$@"; do "$0" GET "$path"; done`
	inNode = `
		const paths = process.argv.slice(1), file = process.cwd() + '/service.mjs';
		process.argv = [process.execPath, file];
		await import(file);
		for (const path of paths) {
			process.argv = [process.execPath, file, 'GET', path];
			await import(file + '?' + encodeURIComponent(path)).catch((e) => console.log(e.message));
		}`
	inPython = `
import runpy, sys
paths, sys.argv = sys.argv[1:], ["service.py"]
runpy.run_path("service.py", run_name="__main__")
for path in paths:
    sys.argv = ["service.py", "GET", path]
    try:
        runpy.run_path("service.py", run_name="__main__")
    except OSError as e: # also an HTTP error
        print(e)`
	inJava = `
class All {
	public static void main(String[] paths) throws Exception {
		Service.main(new String[0]);
		for (String path : paths) Service.main(new String[]{"GET", path});
	}
}
`
)

func TestExamplesCallTheServiceAPI(t *testing.T) {
	target, err := url.Parse(awstest.NewDevServer(t, nil).Service)
	if err != nil {
		t.Fatal(err)
	}
	service := httputil.NewSingleHostReverseProxy(target)
	// java runs the first class of a file.
	source, err := os.ReadFile("services/java/Service.java")
	if err != nil {
		t.Fatal(err)
	}
	imports, class, _ := strings.Cut(string(source), "\n/**")
	java := filepath.Join(t.TempDir(), "All.java")
	if err := os.WriteFile(java, []byte(imports+inJava+"/**"+class), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, example := range []struct {
		dir             string
		command, needed []string
	}{
		{"go", []string{"sh", "-c", inGo, awstest.Binary(t, "./examples/services/go")}, nil},
		{"node", []string{"node", "--input-type=module", "-e", inNode}, []string{"ls", "node_modules"}}, // npm install, first
		{"python", []string{"python3", "-c", inPython}, []string{"python3", "-c", "import botocore, requests"}},
		{"java", []string{"java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", java}, []string{"java", "--version"}},
	} {
		t.Run(example.dir, func(t *testing.T) {
			if example.dir == "java" || example.dir == "python" {
				awstest.Long(t, "Java compiles the example, and Python loads botocore, for seconds; Go's makes the same calls")
			}
			t.Parallel()
			var requests atomic.Int32
			server := httptest.NewServer(gate(t, service, &requests))
			t.Cleanup(server.Close)
			run := func(words ...string) (string, error) {
				c := exec.CommandContext(t.Context(), words[0], words[1:]...)
				c.Dir = "services/" + example.dir
				c.Env = append(os.Environ(), "SERVICE_URL="+server.URL+"/v1", "AWS_REGION="+credentials.Region, "AWS_ACCESS_KEY_ID="+credentials.AccessKeyID,
					"AWS_SECRET_ACCESS_KEY="+credentials.SecretAccessKey, "AWS_SESSION_TOKEN="+credentials.SessionToken)
				out, err := c.CombinedOutput()
				return string(out), err
			}
			out, err := run(slices.Concat(example.command, paths)...)
			if err != nil && example.needed != nil {
				if out, err := run(example.needed...); err != nil {
					awstest.Missing(t, "%q: %v %s", example.needed, err, out)
				}
			}
			if err != nil || !strings.Contains(out, "eyJ") || !strings.Contains(out, "bob") || int(requests.Load()) < 2+len(paths) {
				t.Errorf("want alice's token, bob, and a request for each of %d paths, got %d requests, %v\n%s", len(paths), requests.Load(), err, out)
			}
		})
	}
}
