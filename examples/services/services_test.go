// Package services_test runs the examples against the development server, behind a
// gate that checks their signatures as API Gateway does.
package services_test

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
	"slices"
	"strings"
	"testing"
	"time"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/internal/standin"
)

const refused = "want a signature of now, with the test's credentials"

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
	c := exec.CommandContext(t.Context(), "node", "--input-type=module", "-e", script)
	c.Dir = "node"
	c.Env = append(os.Environ(), "SERVICE_URL=http://127.0.0.1:1", "AWS_REGION=eu-central-1")
	out, err := c.CombinedOutput()
	if strings.Contains(string(out), "ERR_MODULE_NOT_FOUND") || errors.Is(err, exec.ErrNotFound) {
		awstest.Missing(t, "npm install was not run in examples/services/node: %v", err)
	}
	if want := strings.Repeat("refused\n", 6); err != nil || string(out) != want {
		t.Errorf("want six refusals, got %v\n%s", err, out)
	}
}

// gate answers 403 to a request that is not signed with the credentials, now.
func gate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		if err != nil || time.Since(at).Abs() > 5*time.Minute || strings.Contains(r.URL.RawQuery, "+") || !credentials.Signed(r, body, "execute-api") {
			http.Error(w, refused, http.StatusForbidden)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		http.StripPrefix("/v1", next).ServeHTTP(w, r)
	})
}

func TestExamplesCallTheServiceAPI(t *testing.T) {
	local := awstest.NewDevServer(t, nil).Service
	target, err := url.Parse(local)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gate(httputil.NewSingleHostReverseProxy(target)))
	t.Cleanup(server.Close)
	service := server.URL + "/v1" // as on AWS, where the stage is part of what is signed
	answer, err := http.Get(service + "/token/alice")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusForbidden {
		t.Errorf("want status 403 without a signature, got %d", answer.StatusCode)
	}
	goExample := awstest.Binary(t, "./examples/services/go")
	for _, example := range []struct {
		dir             string
		command, needed []string
	}{
		{"go", []string{goExample}, nil},
		{"node", []string{"node", "service.mjs"}, []string{"npm", "ls", "--offline"}}, // npm install, first
		{"python", []string{"python3", "service.py"}, []string{"python3", "-c", "import botocore, requests"}},
		{"java", []string{"java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "Service.java"}, []string{"java", "--version"}},
	} {
		t.Run(example.dir, func(t *testing.T) {
			t.Parallel()
			run := func(words []string) ([]byte, error) {
				c := exec.CommandContext(t.Context(), words[0], words[1:]...)
				c.Dir = example.dir
				c.Env = append(os.Environ(), "SERVICE_URL="+service, "AWS_REGION="+credentials.Region, "AWS_ACCESS_KEY_ID="+credentials.AccessKeyID,
					"AWS_SECRET_ACCESS_KEY="+credentials.SecretAccessKey, "AWS_SESSION_TOKEN="+credentials.SessionToken)
				return c.CombinedOutput()
			}
			out, err := run(example.command)
			if err != nil && example.needed != nil {
				if out, err := run(example.needed); err != nil {
					awstest.Missing(t, "%q: %v %s", example.needed, err, out)
				}
			}
			if err != nil || !strings.Contains(string(out), "eyJ") || !strings.Contains(string(out), "bob") {
				t.Errorf("want alice's token and bob, got %v\n%s", err, out)
			}
			for _, path := range paths {
				if out, err := run(append(slices.Clip(example.command), http.MethodGet, path)); strings.Contains(string(out), refused) || len(out) == 0 {
					t.Errorf("%s: want a signature that fits, got %v\n%s", path, err, out)
				}
			}
		})
	}
}
