// Package services_test runs the examples against the development server, behind a
// gate that checks their signatures as API Gateway does.
package services_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
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

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"chat-service-backend/internal/awstest"
)

const region = "eu-central-1"

var credentials = aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "not a secret", SessionToken: "a/session+token=="}

// gate answers 403 to a request that is not signed with the credentials.
func gate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := verify(r, body); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		http.StripPrefix("/v1", next).ServeHTTP(w, r)
	})
}

// verify signs the headers that the caller claims to have signed, and wants the
// same signature.
func verify(r *http.Request, body []byte) error {
	got := r.Header.Get("Authorization")
	_, rest, _ := strings.Cut(got, "SignedHeaders=")
	names, _, _ := strings.Cut(rest, ",")
	signed := strings.Split(names, ";")
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || time.Since(at).Abs() > 5*time.Minute {
		return fmt.Errorf("want a recent signature, got %q", r.Header.Get("X-Amz-Date"))
	}
	again, err := http.NewRequest(r.Method, "http://"+r.Host+r.URL.RequestURI(), nil)
	if err != nil {
		return err
	}
	for _, name := range signed {
		switch name {
		case "host":
		case "content-length":
			again.ContentLength = r.ContentLength
		default:
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	hash := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(r.Context(), credentials, again, hex.EncodeToString(hash[:]), "execute-api", region, at); err != nil {
		return err
	}
	// This signer always signs the session token.
	if want := again.Header.Get("Authorization"); got != want {
		return fmt.Errorf("want %s, got %s", want, got)
	}
	return nil
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
	for _, example := range []struct {
		dir            string
		probe, command []string
	}{
		{"go", []string{"go", "version"}, []string{"go", "run", "."}},
		{"node", []string{"npm", "ls", "--offline"}, []string{"node", "service.mjs"}}, // npm install, first
		{"python", []string{"python3", "-c", "import botocore, requests"}, []string{"python3", "service.py"}},
		{"java", []string{"java", "--version"}, []string{"java", "Service.java"}},
	} {
		t.Run(example.dir, func(t *testing.T) {
			t.Parallel()
			run := func(words []string) ([]byte, error) {
				c := exec.CommandContext(t.Context(), words[0], words[1:]...)
				c.Dir = example.dir
				c.Env = append(os.Environ(), "SERVICE_URL="+service, "AWS_REGION="+region, "AWS_ACCESS_KEY_ID="+credentials.AccessKeyID,
					"AWS_SECRET_ACCESS_KEY="+credentials.SecretAccessKey, "AWS_SESSION_TOKEN="+credentials.SessionToken)
				return c.CombinedOutput()
			}
			if out, err := run(example.probe); err != nil {
				awstest.Missing(t, "%q: %v %s", example.probe, err, out)
			}
			out, err := run(example.command)
			if err != nil || !strings.Contains(string(out), "eyJ") || !strings.Contains(string(out), "bob") {
				t.Errorf("want alice's token and bob, got %v\n%s", err, out)
			}
		})
	}
}
