package main

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"chat-service-backend/shared/awsconfig"
)

func TestForeignPagesAndHostsAreRefused(t *testing.T) {
	t.Parallel()
	s := sharedReal(t)
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
		{s.clientURL + "/.local/bearer", []string{"Origin", "http://localhost:5173"}, 200},
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
		if g := call(t, "GET", c.url, "", c.headers...); g.status != c.want {
			t.Errorf("%s with %q: want %d, got %+v", c.url, c.headers, c.want, g)
		}
	}
}

// Others may work on this machine, and -parameters may name a file that they
// cannot read.
func TestStandInsAnswerTheFunctionsOnly(t *testing.T) {
	t.Parallel()
	one, _ := startTest(t)
	other, _ := sharedTest(t)
	name := secretName
	for who, keys := range map[string]map[string]string{
		"another run":   other.env,
		"a known key":   {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"},
		"this run":      one.env,
		"half this run": {"AWS_ACCESS_KEY_ID": one.env["AWS_ACCESS_KEY_ID"], "AWS_SECRET_ACCESS_KEY": "guessed"},
	} {
		client := ssm.New(ssm.Options{BaseEndpoint: &one.ssmURL, Region: one.region, Credentials: awsconfig.New(func(name string) string { return keys[name] }).Credentials})
		out, err := client.GetParameters(t.Context(), &ssm.GetParametersInput{Names: []string{name}, WithDecryption: new(true)})
		switch {
		case who != "this run" && err == nil:
			t.Errorf("SSM, signed by %s: want a refusal, got %d parameters", who, len(out.Parameters))
		case who == "this run" && (err != nil || len(out.Parameters) != 1 || *out.Parameters[0].Value != developmentSecret):
			t.Errorf("SSM, signed by %s: want the secret, got %v", who, err)
		}
	}
	entries := `{"Entries":[{"Source":"stream.chat","DetailType":"forged","Detail":"{}"}]}`
	for target, body := range map[string]string{"AWSEvents.PutEvents": entries, "AmazonSSM.GetParameters": `{"Names":["` + name + `"]}`} {
		if g := call(t, "POST", one.ssmURL, body, "X-Amz-Target", target); g.status < 400 || len(one.events.Events()) != 0 {
			t.Errorf("%s, not signed: want a refusal, got %+v", target, g)
		}
	}
}

func TestOtherMachinesNeedAllowHost(t *testing.T) {
	for addr, hosts := range map[string][]string{"0.0.0.0:0": nil, "[::]:0": nil, "192.0.2.1:0": nil, "example.com:0": nil, "127.0.0.1.example.com:0": nil} {
		if _, _, err := parseAddress(addr, hosts); err == nil || !strings.Contains(err.Error(), "-allow-host") {
			t.Errorf("%s: want a sentence that says what to do, got %v", addr, err)
		}
	}
	for addr, want := range map[string]string{"127.0.0.1:0": "127.0.0.1", "127.1.2.3:0": "127.1.2.3", "localhost:0": "localhost", "[::1]:0": "::1", ":0": "127.0.0.1"} {
		if got, _, err := parseAddress(addr, nil); err != nil || got != want {
			t.Errorf("%s: want %s, got %s, %v", addr, want, got, err)
		}
	}
	if _, _, err := parseAddress("0.0.0.0:0", []string{"192.168.1.20"}); err != nil {
		t.Errorf("want any address with -allow-host, got %v", err)
	}
	// The functions ask the issuer on loopback.
	if _, _, err := parseAddress("192.168.1.20:3000", []string{"192.168.1.20"}); err == nil || !strings.Contains(err.Error(), "write 0.0.0.0:3000 with -allow-host 192.168.1.20") {
		t.Errorf("want a sentence that says what to do, got %v", err)
	}
}

// As a phone, an emulator or a tunnel does it.
func TestDevicesNeedTheAccessKeyForWhatIsDangerous(t *testing.T) {
	t.Parallel()
	c, err := startConversation(t, []string{"-allow-host", "10.0.2.2,phone.test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.server.close)
	s := c.server
	for _, c := range []struct {
		url     string
		headers []string
		want    int
	}{
		{s.clientURL + "/api-key", []string{"Host", "10.0.2.2:3000"}, 200},
		{s.clientURL + "/api-key", []string{"Host", "10.0.2.3:3000"}, 421},
		{s.clientURL + "/api-key", []string{"Host", "PHONE.test.:3000"}, 200},
		{s.clientURL + "/.local/health", []string{"Host", "10.0.2.2:3000"}, 401},
		{s.clientURL + "/.local/health", []string{"Host", "10.0.2.2:3000", keyHeader, s.key}, 200},
		{s.clientURL + "/.local/health?key=" + s.key, []string{"Host", "10.0.2.2:3000"}, 200},
		{s.clientURL + "/.local/health?key=wrong", []string{"Host", "10.0.2.2:3000"}, 401},
		{s.serviceURL + "/token/alice", []string{"Host", "phone.test"}, 401},
		{s.serviceURL + "/token/alice", []string{"Host", "phone.test", keyHeader, s.key}, 201},
		{s.serviceURL + "/proxy/app?key=" + s.key, []string{"Host", "phone.test"}, 200}, // Stream does not get the key
		{s.serviceURL + "/token/alice", []string{"Host", "phone.test", keyHeader, s.key, "Origin", "http://evil.example"}, 403},
		{s.clientURL + issuerPath + "/.well-known/jwks.json", []string{"Host", "phone.test", "Origin", "http://phone.test:5173"}, 200},
		{s.clientURL + issuerPath + "/.well-known/jwks.json", []string{"Host", "phone.test", "Origin", "http://evil.example"}, 403},
	} {
		g := call(t, "GET", c.url, "", c.headers...)
		if g.status != c.want || strings.Contains(g.body, s.key) {
			t.Errorf("%s with %q: want %d, got %+v", c.url, c.headers, c.want, g)
		}
	}
	// The issuer has the name by which the device knows it, and its tokens count.
	_, port, _ := strings.Cut(strings.TrimPrefix(s.clientURL, "http://"), ":")
	metadata := event[map[string]any](t, call(t, "GET", s.clientURL+issuerPath+"/.well-known/openid-configuration", "", "Host", "phone.test:"+port))
	if want := "http://phone.test:" + port + issuerPath; metadata["issuer"] != want {
		t.Errorf("want the issuer %s, got %v", want, metadata["issuer"])
	}
	bearer := s.issuer.Bearer("alice", map[string]any{"iss": metadata["issuer"]})
	if g := call(t, "GET", s.clientURL+"/token/me", "", "Authorization", "Bearer "+bearer); g.status != 201 {
		t.Errorf("want the device's token accepted, got %+v", g)
	}
}

func TestStandInForStreamAnswersPagesOfThisMachineOnly(t *testing.T) {
	t.Parallel()
	s := sharedReal(t)
	for origin, want := range map[string]string{"http://localhost:5173": "http://localhost:5173", "http://evil.example": ""} {
		g := call(t, "OPTIONS", s.streamURL+"/channels", "", "Origin", origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,stream-auth-type")
		if got := g.header.Get("Access-Control-Allow-Origin"); got != want || want != "" && g.header.Get("Access-Control-Allow-Headers") != "authorization,stream-auth-type" {
			t.Errorf("%s: want the origin %q allowed, got %+v", origin, want, g)
		}
	}
}
