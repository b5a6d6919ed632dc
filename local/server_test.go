package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v4"

	"chat-service-backend/internal/awstest"
)

func noEnv(string) string { return "" }

func TestFlagErrorsAreOneLine(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"not defined: -nonsense":                     {"-nonsense"},
		`"extra" is not a flag`:                      {"extra"},
		"-addr":                                      {"-addr"},
		`"nonsense..." is not Name=Value`:            {"-parameter-overrides", "nonsense"},
		`-allow-host: "http://x" is not a host`:      {"-allow-host", "http://x"},
		`-base-path: "chat/" is not a path like`:     {"-base-path", "chat/"},
		`-stream-url: "chat.test" is not an address`: {"-stream-url", "chat.test"},
		"-stream-url and StreamBaseUrl in":           {"-stream-url", "https://a.test", "-parameter-overrides", "StreamBaseUrl=https://b.test"},
		"-moderation and HookFunctionArn in":         {"-moderation", "-parameter-overrides", "HookFunctionArn=x"},
	} {
		var out, log strings.Builder
		status := mainImpl(t.Context(), args, noEnv, &out, &log)
		if status != 2 || strings.Count(log.String(), "\n") != 1 || out.Len() != 0 || !strings.Contains(log.String(), want) {
			t.Errorf("%q: want status 2 and one line with %q, got %d %q %q", args, want, status, log.String(), out.String())
		}
	}
}

// Nothing goes to AWS itself because an endpoint was forgotten, and the
// developer's keys go nowhere but to an endpoint of theirs.
func TestFunctionsReachAWSAtTheStandInsOrWhereTheDeveloperSays(t *testing.T) {
	t.Parallel()
	keys := map[string]string{"AWS_ACCESS_KEY_ID": "mine", "AWS_SECRET_ACCESS_KEY": "also mine"}
	services := []string{"SSM", "EVENTBRIDGE", "SQS", "S3", "LAMBDA"}
	for _, own := range append(services, "") {
		env := awsEnvironment(func(name string) string {
			if own != "" && name == "AWS_ENDPOINT_URL_"+own {
				return "http://own"
			}
			return keys[name]
		}, "http://stand-in")
		for _, service := range services {
			if got := env["AWS_ENDPOINT_URL_"+service]; (got == "http://own") != (service == own) || got == "" {
				t.Errorf("with an own %s: want only that, got %s at %q", own, service, got)
			}
		}
		_, session := env["AWS_SESSION_TOKEN"]
		if mine := env["AWS_ACCESS_KEY_ID"] == "mine" && env["AWS_SECRET_ACCESS_KEY"] == "also mine"; mine != (own != "") || session || len(env["AWS_SECRET_ACCESS_KEY"]) < 9 {
			t.Errorf("with an own %q: want own keys %t, got %q", own, own != "", env)
		}
	}
}

func TestHelpExplainsEveryFlag(t *testing.T) {
	t.Parallel()
	var out, log strings.Builder
	if status := mainImpl(t.Context(), []string{"-h"}, noEnv, &out, &log); status != 0 || log.Len() != 0 {
		t.Fatalf("want status 0, got %d %q", status, log.String())
	}
	for _, flag := range []string{"-addr", "-client-addr", "-service-addr", "-parameters", "-stream-url", "-parameter-overrides", "-moderation", "-base-path", "127.0.0.1:3000", "AWS_ENDPOINT_URL_SSM"} {
		if !strings.Contains(out.String(), flag) {
			t.Errorf("want %s in the usage", flag)
		}
	}
	if n := strings.Count(out.String(), "\n  go run ./local"); n != 2 {
		t.Errorf("want two examples, got %d", n)
	}
}

func TestStartErrorsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(file), 0o755)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	numbers := write("numbers.json", `{"/p/stream/api-secret": 12345}`)
	relative := write("relative.json", `{"stream/api-key": "key"}`)
	for name, c := range map[string]struct {
		change func(*options)
		want   string
	}{
		"taken client port":  {func(o *options) { o.addr = taken.Addr().String() }, "cannot be used (bind: address already in use); stop what uses it, or start with -addr :0 (make run ARGS=\"-addr :0\")"},
		"taken service port": {func(o *options) { o.own[1] = taken.Addr().String() }, "Service API: 127.0.0.1:"},
		"any address":        {func(o *options) { o.addr = "0.0.0.0:0" }, "name the hosts that may with -allow-host"},
		"no address":         {func(o *options) { o.addr = "3000" }, `Client API: "3000" is not an address`},
		"broken template":    {func(o *options) { o.templateText = []byte("Resources: [") }, "template.yaml: yaml"},
		"unknown function":   {func(o *options) { o.starters = nil }, "does not know: add it to local/functions.go"},
		"unknown parameter":  {func(o *options) { o.overrides["Nothing"] = "1" }, `no parameter "Nothing"`},
		"broken constraint":  {func(o *options) { o.overrides["TimeoutSeconds"] = "0" }, "parameter TimeoutSeconds: it is not a number from 1 to 900"},
		"no file":            {func(o *options) { o.valuesFile = filepath.Join(dir, "none.json") }, "-parameters: open"},
		"no text values":     {func(o *options) { o.valuesFile = numbers }, "numbers.json:1:30 is not a JSON object whose values are texts"},
		"no leading slash":   {func(o *options) { o.valuesFile = relative }, "unknown parameter stream/api-key; did you mean /chat-service/stream/api-key?"},
		"http to elsewhere":  {func(o *options) { o.overrides["StreamBaseUrl"] = "http://chat.test" }, "parameter StreamBaseUrl"},
		"no Parameter Store": {func(o *options) {
			o.getenv = func(name string) string {
				return map[string]string{"AWS_ENDPOINT_URL_SSM": "http://127.0.0.1:1"}[name]
			}
		}, "connection refused; start it, or unset AWS_ENDPOINT_URL_SSM"},
		"broken switch": {func(o *options) { o.overrides["Mode"] = "broken" }, "function echo cannot start: MODE: a switch cannot be right"},
	} {
		t.Run(name, func(t *testing.T) {
			log := &awstest.Output{}
			opts := testOptions(t, log)
			c.change(&opts)
			s, err := start(t.Context(), opts)
			if err == nil {
				s.close()
				t.Fatal("want an error")
			}
			if s != nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "12345") {
				t.Errorf("want one line with %q, got %q", c.want, err)
			}
		})
	}
}

func TestFailedStartLeavesNoListener(t *testing.T) {
	t.Parallel()
	opts := testOptions(t, io.Discard)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	free.Close()
	opts.addr, opts.overrides["Mode"] = addr, "broken"
	if _, err := start(t.Context(), opts); err == nil {
		t.Fatal("want an error")
	}
	again, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatalf("want the port free again, got %v", err)
	}
	again.Close()
}

func TestRunServesUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	log := &awstest.Output{}
	opts := testOptions(t, log)
	reader, writer := io.Pipe()
	status := make(chan int)
	go func() {
		status <- run(ctx, opts, writer)
		writer.Close()
	}()
	var lines []string
	for scanner := bufio.NewScanner(reader); scanner.Scan() && scanner.Text() != "ready"; {
		lines = append(lines, scanner.Text())
	}
	text := strings.Join(lines, "\n")
	if !strings.Contains(lines[0], "development only") {
		t.Errorf("want a first line that says what this is for, got %q", lines[0])
	}
	if !regexp.MustCompile(`(?m)^ey[\w-]+\.[\w-]+\.[\w-]+$`).MatchString(text) {
		t.Errorf("want a bearer token on a line of its own, got %s", text)
	}
	if n := strings.Count(text, "\n  curl "); n != 3 {
		t.Errorf("want three commands, got %d", n)
	}
	client := regexp.MustCompile(`Client API +(http://127\.0\.0\.1:\d+)`).FindStringSubmatch(text)
	service := regexp.MustCompile(`Service API +(http://127\.0\.0\.1:\d+)`).FindStringSubmatch(text)
	if client == nil || service == nil {
		t.Fatalf("want both URLs with their real ports, got %s", text)
	}
	if g := call(t, "GET", client[1]+"/echo/small", ""); g.status != 200 {
		t.Errorf("want the Client API to answer, got %+v", g)
	}
	if g := call(t, "GET", service[1]+"/echo/small", ""); g.status != 200 {
		t.Errorf("want the Service API to answer, got %+v", g)
	}
	cancel()
	if got := <-status; got != 0 {
		t.Errorf("want status 0 after a clean stop, got %d", got)
	}
	for _, secret := range []string{developmentSecret, "local-key"} {
		if strings.Contains(text+log.String(), secret) {
			t.Errorf("want no parameter's value in the output, got %q", secret)
		}
	}
	opts.overrides["Mode"] = "broken"
	if got := run(t.Context(), opts, io.Discard); got != 1 {
		t.Errorf("want status 1 for a failed start, got %d", got)
	}
}

// The stand-in for Stream knows the credentials that the functions have,
// wherever those come from.
func TestStreamStandInAsksTheGivenSSM(t *testing.T) {
	t.Parallel()
	other := awstest.NewParameterStore(t, awstest.App("their-key", "their-secret"))
	s, _ := startTest(t, func(o *options) { o.getenv = other.Getenv(nil) })
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"server": true}).SignedString([]byte("their-secret"))
	if err != nil {
		t.Fatal(err)
	}
	if g := call(t, "GET", s.streamURL+"/users?api_key=their-key", "", "Authorization", token, "Stream-Auth-Type", "jwt"); g.status != 200 {
		t.Errorf("want the given SSM's credentials to count, got %+v", g)
	}
	if g := call(t, "GET", s.streamURL+"/users?api_key=local-key", "", "Authorization", token, "Stream-Auth-Type", "jwt"); g.status != 401 {
		t.Errorf("want the built-in key refused, got %+v", g)
	}
}

// The log has a line for each request, without its query.
func TestRequestLog(t *testing.T) {
	t.Parallel()
	s, log := startTest(t)
	call(t, "GET", s.clientURL+"/echo/small?token=SECRET", "", "Authorization", "Bearer SECRET")
	call(t, "GET", s.serviceURL+"/nothing", "")
	s.close()
	if text := log.String(); strings.Contains(text, "SECRET") || !regexp.MustCompile(`(?m)^client GET /echo/small 200 \d+ms$`).MatchString(text) ||
		!regexp.MustCompile(`(?m)^service GET /nothing 403 \d+ms$`).MatchString(text) {
		t.Errorf("want a line for each request, got %s", text)
	}
}
