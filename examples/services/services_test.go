// Package services_test runs the examples against the development server, behind a
// gate that checks their signatures as API Gateway does.
package services_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/internal/standin"
)

var credentials = standin.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "not a secret", SessionToken: "a/session+token==", Region: "eu-central-1"}

// gate answers 403 to a request that is not signed with the credentials, now.
func gate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		if err != nil || time.Since(at).Abs() > 5*time.Minute || !credentials.Signed(r, body, "execute-api") {
			http.Error(w, "want a signature of now, with the test's credentials", http.StatusForbidden)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		http.StripPrefix("/v1", next).ServeHTTP(w, r)
	})
}

func TestExamplesCallTheServiceAPI(t *testing.T) {
	local := awstest.NewService(t, nil).Service
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
	goExample := awstest.Binaries(t, "./examples/services/go")["./examples/services/go"]
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
		})
	}
}
