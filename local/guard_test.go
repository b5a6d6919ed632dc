package main

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"chat-service-backend/internal/standin"
)

func TestForeignPagesAndHostsAreRefused(t *testing.T) {
	t.Parallel()
	s := sharedReal(t).server
	host := strings.TrimPrefix(s.clientURL, "http://")
	for _, c := range []struct {
		url     string
		headers []string
		want    int
	}{
		{s.clientURL + "/api-key", []string{"Host", "evil.example"}, 421},
		{s.clientURL + "/api-key", []string{"Host", "127.0.0.1.evil.example:80"}, 421},
		{s.clientURL + "/api-key", []string{"Host", "localhost:3000"}, 200},
		{s.clientURL + "/api-key", []string{"Host", "[::1]:3000"}, 200},
		{s.clientURL + "/api-key", []string{"Origin", "http://localhost:5173"}, 200}, // a developer's own page
		{s.clientURL + "/.local/bearer", []string{"Host", "evil.example"}, 421},
		{s.clientURL + "/.local/bearer", []string{"Origin", "https://evil.example"}, 403},
		{s.clientURL + "/.local/bearer", []string{"Origin", "http://localhost:5173"}, 403},
		{s.clientURL + "/.local/bearer", []string{"Origin", "null"}, 403},
		{s.clientURL + "/.local/bearer", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{s.clientURL + "/.local/bearer", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{s.clientURL + "/.local/bearer", []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://" + host}, 200},
		{s.clientURL + "/.local/bearer", nil, 200},
		{s.serviceURL + "/token/victim", []string{"Host", "evil.example"}, 421},
		{s.serviceURL + "/token/victim", []string{"Origin", "https://evil.example"}, 403},
		{s.serviceURL + "/token/victim", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{s.serviceURL + "/token/victim", nil, 201},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(c.headers); i += 2 {
			request.Header.Set(c.headers[i], c.headers[i+1])
		}
		if name := request.Header.Get("Host"); name != "" {
			request.Host = name
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != c.want {
			t.Errorf("%s with %q: want %d, got %d", c.url, c.headers, c.want, response.StatusCode)
		}
	}
}

// Others may work on this machine, and -parameters may name a file that they
// cannot read.
func TestStandInsAnswerTheFunctionsOnly(t *testing.T) {
	t.Parallel()
	one, _ := startTest(t)
	other, _ := startTest(t)
	if one.env["AWS_SECRET_ACCESS_KEY"] == other.env["AWS_SECRET_ACCESS_KEY"] {
		t.Error("want credentials made for each run, got the same twice")
	}
	ask := func(url, target, body string, sign *standin.Credentials) got {
		t.Helper()
		header := []string{"X-Amz-Target", target, "Content-Type", "application/x-amz-json-1.1"}
		if sign != nil {
			request, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, url, nil)
			request.Header.Set("X-Amz-Target", target)
			sum := sha256.Sum256([]byte(body))
			service := strings.ToLower(strings.TrimPrefix(strings.Split(target, ".")[0], "Amazon"))
			err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: sign.AccessKeyID, SecretAccessKey: sign.SecretAccessKey},
				request, hex.EncodeToString(sum[:]), strings.TrimPrefix(service, "aws"), sign.Region, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			header = append(header, "Authorization", request.Header.Get("Authorization"), "X-Amz-Date", request.Header.Get("X-Amz-Date"))
		}
		return call(t, "POST", url, body, header...)
	}
	names := `{"Names":["` + one.stack.Parameter("ParameterPrefix") + `/stream/api-secret"],"WithDecryption":true}`
	entries := `{"Entries":[{"Source":"stream.chat","DetailType":"forged","Detail":"{}"}]}`
	for who, sign := range map[string]*standin.Credentials{
		"nobody":      nil,
		"what was":    {AccessKeyID: "local", SecretAccessKey: "local", Region: one.region},
		"another run": signedBy(other),
	} {
		if g := ask(one.ssmURL, "AmazonSSM.GetParameters", names, sign); g.status < 400 || strings.Contains(g.body, developmentSecret) {
			t.Errorf("SSM, signed by %s: want a refusal, got %d %s", who, g.status, g.body)
		}
		if g := ask(loopbackURL(one.aws), "AWSEvents.PutEvents", entries, sign); g.status < 400 || len(one.events.Events()) != 0 {
			t.Errorf("EventBridge, signed by %s: want a refusal, got %d %s", who, g.status, g.body)
		}
	}
	if g := ask(one.ssmURL, "AmazonSSM.GetParameters", names, signedBy(one)); g.status != http.StatusOK || !strings.Contains(g.body, developmentSecret) {
		t.Errorf("SSM, signed by this run: want the secret, got %d %s", g.status, g.body)
	}
	// Nor may others take events from the Runtime API, or answer them.
	for line := range strings.Lines(call(t, "GET", one.clientURL+"/echo/env", "").body) {
		if api, ok := strings.CutPrefix(strings.TrimSpace(line), "AWS_LAMBDA_RUNTIME_API="); ok {
			host, path, _ := strings.Cut(api, "/")
			if g := call(t, "POST", "http://"+host+"/2018-06-01/runtime/init/error", ""); g.status != http.StatusNotFound || len(path) < 26 {
				t.Errorf("Runtime API at %s: want 404 without a path made for the process, got %d", api, g.status)
			}
		}
	}
}

// signedBy returns the credentials of a server's functions.
func signedBy(s *server) *standin.Credentials {
	return &standin.Credentials{AccessKeyID: s.env["AWS_ACCESS_KEY_ID"], SecretAccessKey: s.env["AWS_SECRET_ACCESS_KEY"], Region: s.region}
}

func TestOnlyLoopbackAddressesAreServed(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", "[::]:0", ":0", "192.0.2.1:0", "example.com:0", "127.0.0.1.example.com:0"} {
		if err := checkLoopback(addr); err == nil || !strings.Contains(err.Error(), "whoever reaches this server") {
			t.Errorf("%s: want a sentence that says why not, got %v", addr, err)
		}
	}
	for _, addr := range []string{"127.0.0.1:0", "127.1.2.3:0", "localhost:0", "[::1]:0"} {
		if err := checkLoopback(addr); err != nil {
			t.Errorf("%s: want it taken, got %v", addr, err)
		}
	}
}
