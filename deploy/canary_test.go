package deploy_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/internal/standin"
)

// The code as it is deployed. What it throws is what Lambda logs.
func TestCanaryConnectsAsAUserOrSaysWhatIsBroken(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("node"); err != nil {
		awstest.Missing(t, "node is not installed")
	}
	function := parse(t, "canary.yaml").Section("Resources")["Canary"].(map[string]any)["Properties"].(map[string]any)
	code := function["Code"].(map[string]any)["ZipFile"].(string)
	if len(code) > 4096 {
		t.Errorf("want at most 4096 bytes inline, got %d", len(code))
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "index.js"), []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	local := awstest.NewDevServer(t, nil)
	answer, err := http.Get(local.Client + "/.local/health")
	if err != nil {
		t.Fatal(err)
	}
	var where struct{ StreamURL string }
	err = json.NewDecoder(answer.Body).Decode(&where)
	answer.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	credentials := standin.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "not a secret", SessionToken: "a/session+token==", Region: "eu-central-1"}
	proxy := func(target string) http.Handler {
		to, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		return httputil.NewSingleHostReverseProxy(to)
	}
	client, service := proxy(local.Client), proxy(local.Service)
	tests := []struct {
		name   string
		path   string // of the request that gets another answer
		status int
		body   string
		stream string
		want   string // in what is thrown; "" if all is well
	}{
		{name: "well"},
		{name: "another key", path: "/api-key", status: 200, body: `{"api_key":"other"}`, want: "Error: Stream refuses the user: code 2"},
		{name: "another secret", path: "/token/chat-canary", status: 201, body: `{"token":"eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoiY2hhdC1jYW5hcnkifQ.c2lnbmF0dXJl"}`, want: "Error: Stream refuses the user: code 43"},
		{name: "Stream down", stream: "http://127.0.0.1:1", want: "Error: Stream cannot be reached"},
		{name: "throttled", path: "/token/chat-canary", status: 429, body: `{"message":"Too Many Requests"}`, want: "Error: /token of the Service API answers 429"},
		{name: "another role", path: "/token/chat-canary", status: 403, body: `{"message":"Forbidden"}`, want: "Error: /token of the Service API answers 403"},
		{name: "Client API down", path: "/api-key", status: 503, body: `{}`, want: "Error: /api-key of the Client API answers 503"},
	}
	var environments []map[string]string
	for _, test := range tests {
		apis := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			path, signed := strings.CutPrefix(r.URL.Path, "/v1")
			switch {
			case signed && !credentials.Signed(r, nil, "execute-api"):
				t.Errorf("want a signature that API Gateway takes, got %v", r.Header)
			case path == test.path:
				w.WriteHeader(test.status)
				fmt.Fprint(w, test.body)
			case signed:
				http.StripPrefix("/v1", service).ServeHTTP(w, r)
			default:
				client.ServeHTTP(w, r)
			}
		}))
		t.Cleanup(apis.Close)
		environments = append(environments, map[string]string{
			"CLIENT_API_URL": apis.URL, "SERVICE_API_URL": apis.URL + "/v1", "STREAM_BASE_URL": cmp.Or(test.stream, where.StreamURL), "USER_ID": "chat-canary",
			"AWS_REGION": credentials.Region, "AWS_ACCESS_KEY_ID": credentials.AccessKeyID, "AWS_SECRET_ACCESS_KEY": credentials.SecretAccessKey, "AWS_SESSION_TOKEN": credentials.SessionToken,
		})
	}
	// One process, because its start takes longer than a run.
	const script = `(async () => {
		const log = console.log, { inspect } = require('util'), { handler } = require(process.argv[1]);
		for (const environment of JSON.parse(process.argv[2])) {
			const said = [];
			console.log = console.error = (...args) => said.push(...args);
			Object.assign(process.env, environment);
			await handler().catch((err) => said.push(err));
			log(JSON.stringify(said.map((v) => inspect(v)).join('\n')));
		}
		process.exit(); // sockets that were refused take seconds to close
	})()`
	list, _ := json.Marshal(environments)
	// Node 22 and newer need no flag.
	out, err := exec.CommandContext(t.Context(), "node", "--no-warnings", "--experimental-websocket", "-e", script, filepath.Join(dir, "index.js"), string(list)).CombinedOutput()
	if strings.Contains(string(out), "bad option") {
		awstest.Missing(t, "node is older than 20.10")
	}
	logs := json.NewDecoder(bytes.NewReader(out))
	for _, test := range tests {
		var log string
		if decodeErr := logs.Decode(&log); err != nil || decodeErr != nil {
			t.Fatalf("%s: %v, %v\n%s", test.name, err, decodeErr, out)
		}
		if !strings.HasPrefix(log, test.want) || test.want == "" && log != "" {
			t.Errorf("%s: want %q, got %s", test.name, test.want, log)
		}
		for _, secret := range []string{"eyJ", credentials.SecretAccessKey, credentials.SessionToken} { // tokens begin with eyJ
			if strings.Contains(log, secret) {
				t.Errorf("%s: want no secret in the log, got\n%s", test.name, log)
			}
		}
	}
}
