package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v4"
	"github.com/rogpeppe/go-internal/testscript"

	"chat-service-backend/internal/awstest"
)

// The conversations in testdata/*.txt run against the real functions. All scripts
// share one server with the built-in values unless they start their own. Besides
// testscript's own commands (stdout, grep, cmp, cp, env, ...) a script has:
//
//	http METHOD URL [-H 'Name: value']... [-d text | -f FILE | -hex BYTES] [-gzip]
//		Sends a request, with the text, the file's content or the bytes as its
//		body, and prints "HTTP <status>", the headers (lower-case names, sorted,
//		"name: value"), an empty line and the body, for stdout. The path is sent
//		as written, and no headers but Host and Content-Length are added. An
//		answer that docs/openapi.yaml does not have fails the script.
//		With !, there must be no answer, or a broken one.
//	json PATH VALUE
//		The last body is JSON with VALUE at PATH, as text: a string without its
//		quotes, anything else as compact JSON. PATH is keys and indexes with dots
//		between them (users.alice.name, messages.0.text), or . for all of it.
//		With !, there is nothing at PATH (no VALUE given), or something else.
//		Sets $FOUND to what is at PATH.
//	jwt PATH
//		The text at PATH of the last body is an HS256 token signed with the
//		development secret. Its claims become the last body, for json.
//	bearer NAME [claim=JSON]...
//		Sets $BEARER to a token of the server's issuer for a user. Claims are
//		added or replaced; claim= removes one.
//	sign [-secret SECRET] FILE
//		Sets $SIGNATURE to the lower-case hex HMAC-SHA256 of the file's content,
//		under the development secret or SECRET.
//	server [flag]...
//		Starts a server for this script, with the flags of go run ./local. With !,
//		it must fail to start; the reason is on stderr.
//	allow METHOD/PATH...
//		From now on, the caller of the Service API has an IAM policy that allows
//		these and nothing else; * stands for anything. Each must be used before
//		the next allow or the end. Without arguments everything is allowed.
//	log REGEXP
//		The server's log matches. With !, it does not; such a script should start
//		its own server.
//
// $CLIENT and $SERVICE are the URLs of the two APIs.
func TestConversations(t *testing.T) {
	t.Parallel()
	server, log := realServer.get(t)
	shared := &conversation{server: server, log: log}
	api, err := openAPI()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if strings.Contains(flag.Lookup("test.run").Value.String(), "/") {
			return // a part of the conversations
		}
		for _, status := range api.unseen() {
			// The gateway's own 413 takes 6 MB, the proxy's 504 takes 25 s, a 429 300 tokens.
			if !strings.HasSuffix(status, " 413") && !strings.HasSuffix(status, " 504") && !strings.HasSuffix(status, " 429") {
				t.Errorf("no conversation has %s, which docs/openapi.yaml promises", status)
			}
		}
	})

	testscript.Run(t, testscript.Params{
		Dir:                "testdata",
		RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			c := *shared
			env.Values[conversationKey{}] = &c
			env.Setenv("CLIENT", c.server.clientURL)
			env.Setenv("SERVICE", c.server.serviceURL)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"http":   cmdHTTP,
			"json":   cmdJSON,
			"jwt":    cmdJWT,
			"bearer": cmdBearer,
			"sign":   cmdSign,
			"log":    cmdLog,
			"allow":  cmdAllow,
			"server": func(ts *testscript.TestScript, neg bool, args []string) {
				for i, arg := range args {
					if i > 0 && args[i-1] == "-parameters" {
						args[i] = ts.MkAbs(arg)
					}
				}
				own, err := startConversation(t, args)
				if neg {
					if err == nil {
						own.server.close()
						ts.Fatalf("want the start to fail")
					}
					fmt.Fprintln(ts.Stderr(), err)
					return
				}
				ts.Check(err)
				ts.Defer(own.server.close)
				*talk(ts) = *own
				ts.Setenv("CLIENT", own.server.clientURL)
				ts.Setenv("SERVICE", own.server.serviceURL)
			},
		},
	})
}

// conversation is what a script's commands share.
type conversation struct {
	server *server
	log    *awstest.Output
	body   []byte          // of the last answer
	policy map[string]bool // what allow allows, and whether it was used

	otherErrorKey bool // the document describes only the default ErrorObjKey
}

type conversationKey struct{}

func talk(ts *testscript.TestScript) *conversation {
	return ts.Value(conversationKey{}).(*conversation)
}

func startConversation(t *testing.T, args []string) (*conversation, error) {
	args = append([]string{"-client-addr", "127.0.0.1:0", "-service-addr", "127.0.0.1:0"}, args...)
	opts, err := parseFlags(args, io.Discard)
	if err != nil {
		return nil, err
	}
	lines := &awstest.Output{}
	opts.log = log.New(lines, "", 0)
	opts.getenv = func(string) string { return "" }
	s, err := start(t.Context(), opts)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, lines)
	}
	return &conversation{server: s, log: lines, otherErrorKey: opts.overrides["ErrorObjKey"] != ""}, nil
}

// openAPI is the document that every answer is compared with.
var openAPI = sync.OnceValues(func() (*contract, error) { return loadContract("../docs/openapi.yaml") })

// checkContract fails the script if docs/openapi.yaml has no such answer to such a
// request. The request itself may be wrong: many are, on purpose.
func checkContract(ts *testscript.TestScript, e contractExchange) {
	api, err := openAPI()
	ts.Check(err)
	server := talk(ts).server
	sent := e.Request.URL.Scheme + ":" + e.Request.URL.Opaque
	for name, base := range map[string]string{contractClient: server.clientURL, contractService: server.serviceURL} {
		path, ok := strings.CutPrefix(sent, base)
		if !ok || path == "/config" && talk(ts).otherErrorKey {
			continue
		}
		e.API, e.Path = name, path
		if _, _, err := api.route(e); err != nil {
			return // a gateway's own answer, or the stand-in issuer's
		}
		if _, answer := api.check(context.Background(), e); answer != nil {
			ts.Fatalf("docs/openapi.yaml has no such answer to %s %s on the %s: %v", e.Request.Method, path, name, answer)
		}
	}
}

func cmdHTTP(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: http METHOD URL [-H 'Name: value']... [-d text | -f FILE | -hex BYTES] [-gzip]")
	}
	var body []byte
	header := http.Header{"User-Agent": nil, "Accept-Encoding": {"identity"}}
	flags := flag.NewFlagSet("http", flag.ContinueOnError)
	flags.Func("H", "", func(field string) error {
		name, value, ok := strings.Cut(field, ":")
		if !ok {
			return errors.New("want 'Name: value'")
		}
		header.Add(name, strings.TrimSpace(value))
		return nil
	})
	flags.Func("d", "", func(text string) error { body = []byte(text); return nil })
	flags.Func("f", "", func(file string) error { body = []byte(ts.ReadFile(file)); return nil })
	flags.Func("hex", "", func(digits string) (err error) { body, err = hex.DecodeString(digits); return err })
	zip := flags.Bool("gzip", false, "")
	ts.Check(flags.Parse(args[2:]))
	if *zip {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Write(body)
		w.Close()
		body = b.Bytes()
	}
	sent := body
	req, err := http.NewRequest(args[0], args[1], bytes.NewReader(sent))
	ts.Check(err)
	// Opaque, since net/http would clean the path.
	if _, after, ok := strings.Cut(args[1], "://"); ok && strings.Contains(after, "/") {
		req.URL.Opaque, _, _ = strings.Cut("//"+after, "?")
		req.URL.Path, req.URL.RawPath = "", ""
	}
	req.Header = header
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err == nil {
		defer resp.Body.Close()
		body, err = io.ReadAll(resp.Body)
	}
	if neg {
		if err == nil {
			ts.Fatalf("want no answer or a broken one, got %s", resp.Status)
		}
		return
	}
	ts.Check(err)
	talk(ts).body = body
	talk(ts).checkPolicy(ts, args[0], args[1])
	checkContract(ts, contractExchange{Request: req, RequestBody: sent, Response: resp, Body: body})
	out := ts.Stdout()
	fmt.Fprintf(out, "HTTP %d\n", resp.StatusCode)
	for _, name := range slices.Sorted(maps.Keys(resp.Header)) {
		for _, v := range resp.Header[name] {
			fmt.Fprintf(out, "%s: %s\n", strings.ToLower(name), v)
		}
	}
	fmt.Fprintf(out, "\n%s\n", body)
}

func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 || len(args) > 2 || len(args) == 1 && !neg {
		ts.Fatalf("usage: json PATH VALUE, or ! json PATH [VALUE]")
	}
	got, found, err := at(talk(ts).body, args[0])
	ts.Check(err)
	ts.Setenv("FOUND", got)
	switch {
	case len(args) == 1 && found:
		ts.Fatalf("want nothing at %s, got %s", args[0], got)
	case len(args) == 1:
	case !neg && (!found || got != args[1]):
		ts.Fatalf("at %s: want %s, got %s", args[0], args[1], got)
	case neg && found && got == args[1]:
		ts.Fatalf("at %s: want anything but %s", args[0], got)
	}
}

// at returns the value at a path of a JSON text, as text.
func at(body []byte, path string) (got string, found bool, err error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return "", false, fmt.Errorf("the last body is not JSON: %w: %s", err, body)
	}
	if path != "." {
		for step := range strings.SplitSeq(path, ".") {
			switch in := v.(type) {
			case map[string]any:
				v, found = in[step]
			case []any:
				i, err := strconv.Atoi(step)
				found = err == nil && i >= 0 && i < len(in)
				if found {
					v = in[i]
				}
			default:
				found = false
			}
			if !found {
				return "", false, nil
			}
		}
	}
	if s, ok := v.(string); ok {
		return s, true, nil
	}
	text, err := json.Marshal(v)
	return string(text), true, err
}

func cmdJWT(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: jwt PATH")
	}
	token, found, err := at(talk(ts).body, args[0])
	ts.Check(err)
	if !found {
		ts.Fatalf("want a token at %s, got nothing", args[0])
	}
	claims := jwt.MapClaims{}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithJSONNumber())
	_, err = parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return []byte(developmentSecret), nil })
	ts.Check(err)
	talk(ts).body, err = json.Marshal(claims)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s\n", talk(ts).body)
}

func cmdBearer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: bearer NAME [claim=JSON]...")
	}
	issuer := talk(ts).server.issuer
	if issuer == nil {
		ts.Fatalf("this server has no issuer of its own")
	}
	claims := map[string]any{}
	for _, arg := range args[1:] {
		name, text, _ := strings.Cut(arg, "=")
		var v any
		if text != "" {
			ts.Check(json.Unmarshal([]byte(text), &v))
		}
		claims[name] = v
	}
	ts.Setenv("BEARER", issuer.Bearer(args[0], claims))
}

func cmdSign(ts *testscript.TestScript, neg bool, args []string) {
	secret := developmentSecret
	if len(args) == 3 && args[0] == "-secret" {
		secret, args = args[1], args[2:]
	}
	if neg || len(args) != 1 {
		ts.Fatalf("usage: sign [-secret SECRET] FILE")
	}
	mac := hmac.New(sha256.New, []byte(secret))
	io.WriteString(mac, ts.ReadFile(args[0]))
	ts.Setenv("SIGNATURE", hex.EncodeToString(mac.Sum(nil)))
}

func cmdLog(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: log REGEXP")
	}
	re, err := regexp.Compile(`(?m)` + args[0])
	ts.Check(err)
	text := talk(ts).log.String()
	// A function's last line may arrive a moment after its answer.
	for deadline := time.Now().Add(10 * time.Second); !neg && !re.MatchString(text) && time.Now().Before(deadline); text = talk(ts).log.String() {
		time.Sleep(time.Millisecond)
	}
	if re.MatchString(text) == neg {
		ts.Fatalf("the log: want a match of %s: %t, got:\n%s", args[0], !neg, text)
	}
}

func cmdAllow(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: allow METHOD/PATH...")
	}
	c := talk(ts)
	c.checkUsed(ts)
	c.policy = map[string]bool{}
	for _, resource := range args {
		c.policy[resource] = false
	}
	ts.Defer(func() { c.checkUsed(ts) })
}

func (c *conversation) checkUsed(ts *testscript.TestScript) {
	for resource, used := range c.policy {
		if !used {
			ts.Fatalf("want a policy of what is needed, got %s, which nothing needs", resource)
		}
	}
	c.policy = nil
}

func (c *conversation) checkPolicy(ts *testscript.TestScript, method, url string) {
	path, ok := strings.CutPrefix(url, c.server.serviceURL)
	if !ok || len(c.policy) == 0 {
		return
	}
	path, _, _ = strings.Cut(path, "?")
	for resource := range c.policy {
		pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(resource), `\*`, ".*") + "$"
		if regexp.MustCompile(pattern).MatchString(method + path) {
			c.policy[resource] = true
			return
		}
	}
	ts.Fatalf("want a policy that allows %s%s", method, path)
}

// docs/people.md shows the policies that the conversations prove.
func TestRecipesShowTheirPolicies(t *testing.T) {
	page, err := os.ReadFile("../docs/people.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/recipe-*.txt")
	if err != nil || len(files) < 10 {
		t.Fatalf("want the recipes, got %d, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, allow := range regexp.MustCompile(`(?m)^allow (.+)$`).FindAllStringSubmatch(string(text), -1) {
			want := "`" + strings.Join(strings.Fields(allow[1]), "`, `") + "`"
			if !strings.Contains(string(page), want) {
				t.Errorf("%s: want %q in docs/people.md", file, want)
			}
		}
	}
}
