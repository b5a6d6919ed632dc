package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v4"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/internal/standin"
	"chat-service-backend/internal/streamapi"
)

// followWithin is when every request must use a new value: after the time to live
// of 1 s, and as much again for a fetch that began before the change, on a busy
// machine.
const followWithin = 2 * time.Second

// The drills are what docs/runbook.md tells an operator to do, and what can
// happen to Parameter Store, with the real functions. What each kind of failure
// does to a value is tested in shared/settings.
func TestDrills(t *testing.T) {
	t.Parallel()
	// All at once, on however few processors: most of a drill is waiting.
	var running sync.WaitGroup
	defer running.Wait()
	for name, f := range map[string]func(*testing.T, *drill){
		"rotated secret is in use within the TTL and no request fails": drillRotation,
		"no output shows a secret or a body":                           drillOutput,
	} {
		running.Go(func() { t.Run(name, func(t *testing.T) { f(t, newDrill(t)) }) })
	}
}

const (
	oldSecret  = developmentSecret
	newSecret  = "secret-after-rotation"
	secretName = "/chat-service/stream/api-secret"
)

func drillRotation(t *testing.T, d *drill) {
	var rotated atomic.Pointer[time.Time]
	late := func() bool { at := rotated.Load(); return at != nil && time.Since(*at) > followWithin }
	routes := d.routes(t)
	routes["a webhook signed before the rotation"] = func() string {
		if got := d.webhook(t, oldSecret); got != oldSecret {
			return got
		}
		return newSecret // accepted at any time
	}
	var running, warm sync.WaitGroup
	for name, ask := range routes {
		warm.Add(1)
		running.Go(func() {
			warmed := sync.OnceFunc(warm.Done)
			defer warmed()
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			// Three more requests once every process must have followed.
			for after := 0; after < 3; <-tick.C {
				must := late()
				switch secret := ask(); {
				case secret != oldSecret && secret != newSecret:
					t.Errorf("%s: want no request to fail, got %s", name, secret)
					return
				case must && secret != newSecret:
					t.Errorf("%s: want the new secret in use %v after the rotation, got the old one", name, followWithin)
					return
				case must:
					after++
				}
				warmed()
			}
		})
	}
	warm.Wait()
	d.memory.Set(secretName+"-previous", oldSecret) // Stream may sign with it for a while
	d.memory.Set(secretName, newSecret)
	now := time.Now()
	rotated.Store(&now)
	running.Wait()

	if got := d.webhook(t, "secret-of-nobody"); !strings.HasPrefix(got, "401") {
		t.Errorf("webhook signed with another secret: want 401, got %s", got)
	}
	d.memory.Delete(secretName + "-previous")
	removed := time.Now()
	within(t, "the previous secret refused", func() bool {
		late := time.Since(removed) > followWithin
		if got := d.webhook(t, oldSecret); !strings.HasPrefix(got, "401") && (late || got != oldSecret) {
			t.Fatalf("webhook signed with the removed secret: want 401, got %s", got)
		}
		return late // the first refusal proves one process, and there may be two
	})
	d.wantAll(t, newSecret)
}

func drillOutput(t *testing.T, d *drill) {
	const marker = "q7Zx" // in all that is made up here and must not be seen
	hidden := map[string]string{}
	for _, what := range []string{
		"API secret", "previous secret", "broken configuration", "user id", "body", "query", "cookie", "header", "no token", "no signature",
	} {
		hidden[what] = strings.ReplaceAll(what, " ", "-") + "-" + marker
	}
	d.memory.Set(secretName, hidden["API secret"])
	d.memory.Set(secretName+"-previous", hidden["previous secret"])
	d.memory.Set("/chat-service/client-config/broken", `{"text":"`+hidden["broken configuration"])
	if err := d.startFunctions(t.Context(), true); err != nil { // with these values
		t.Fatal(err)
	}
	user := hidden["user id"]

	// bearer adds a token to what must not be seen, and one with a damaged signature.
	bearer := func(name string, claims map[string]any) string {
		token := d.issuer.Bearer(user, claims)
		hidden[name], hidden[name+"'s signature"] = token, token[strings.LastIndex(token, ".")+1:]
		return token
	}
	good := bearer("bearer token", nil)
	forged := bearer("forged bearer token", nil)
	forged = forged[:len(forged)-8] + "AAAAAAAA"
	hidden["forged bearer token"] = forged
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(w, hidden["body"])
	_ = w.Close()

	body := `{"type":"message.new","text":"` + hidden["body"] + `"}`
	signed, wrong := streamapi.Sign(hidden["API secret"], []byte(body)), streamapi.Sign("another secret", []byte(body))
	hidden["signature"], hidden["wrong signature"] = signed, wrong
	hidden["signature with the previous secret"] = streamapi.Sign(hidden["previous secret"], []byte(body))
	hidden["base64 of a body"] = base64.StdEncoding.EncodeToString([]byte(body))
	hidden["base64 of a gzip body"] = base64.StdEncoding.EncodeToString(zipped.Bytes())

	client, service := d.clientURL, d.serviceURL
	query := "?payload=" + hidden["query"] + "&api_key=" + hidden["query"]
	requests := []struct {
		method, url, body string
		header            []string
		status            int
	}{
		{"GET", client + "/token/" + user, "", []string{"Authorization", "Bearer " + good}, 201},
		{"GET", client + "/token/" + user + query, "", []string{"Authorization", "Bearer " + forged}, 401},
		{"GET", client + "/token/" + user, "", []string{"Authorization", "Bearer " + bearer("expired bearer token", map[string]any{"exp": 1})}, 401},
		{"GET", client + "/token/" + user, "", []string{"Authorization", "Bearer " + bearer("foreign bearer token", map[string]any{"aud": "others"})}, 401},
		{"GET", client + "/token/" + user, "", []string{"Authorization", "Bearer " + bearer("future bearer token", map[string]any{"nbf": 1 << 40})}, 401},
		{"GET", client + "/token/" + user, "", []string{"Authorization", "Bearer " + bearer("odd bearer token", map[string]any{"exp": "tomorrow"})}, 401},
		{"GET", client + "/token/" + user, "", []string{"Authorization", "Bearer " + hidden["no token"]}, 401},
		{"GET", client + "/token/" + user, "", []string{"Authorization", "Bearer a." + hidden["no token"] + ".c"}, 401},
		{"GET", client + "/token/" + user, "", []string{"Cookie", "session=" + hidden["cookie"]}, 401},
		{"GET", client + "/token/another", "", []string{"Authorization", "Bearer " + good}, 403},
		{"GET", service + "/token/" + user, "", nil, 201},
		{"GET", service + "/token/" + user + "%20" + query, "", nil, 400},
		{"GET", client + "/api-key" + query, "", []string{"X-Anything", hidden["header"]}, 200},
		{"GET", client + "/config?clientType=web", "", []string{"Authorization", "Bearer " + good}, 200},
		{"GET", client + "/config?clientType=web", "", []string{"Authorization", "Bearer " + forged}, 200},
		{"GET", client + "/config?clientType=broken", "", nil, 500},
		{"GET", client + "/config?clientType=", "", nil, 400},
		{"GET", service + "/config?clientType=web", "", []string{"userid", user}, 200},
		{"GET", service + "/config?clientType=web", "", []string{"userid", user + "!"}, 200},
		{"POST", client + "/webhook", body, []string{"X-Signature", signed}, 200},
		{"POST", client + "/webhook", body, []string{"X-Signature", hidden["signature with the previous secret"]}, 200},
		{"POST", client + "/webhook", body, []string{"X-Signature", wrong}, 401},
		{"POST", client + "/webhook", body, []string{"X-Signature", hidden["no signature"]}, 401},
		{"POST", client + "/webhook", body, nil, 401},
		{"POST", client + "/webhook", body, []string{"X-Signature", signed, "X-Api-Key", hidden["header"]}, 401},
		{"POST", client + "/webhook", zipped.String()[:12], []string{"X-Signature", wrong}, 400},
		{"POST", client + "/webhook", zipped.String(), []string{"X-Signature", wrong}, 401},
		{"POST", service + "/webhook/verify", verification(body, signed), nil, 200},
		{"POST", service + "/webhook/verify", verification(body, wrong), nil, 200},
		{"POST", service + "/webhook/verify", body, nil, 400},
		{"POST", service + "/webhook/verify", hidden["body"], nil, 400},
		{"POST", service + "/proxy/users" + query, body, []string{"Cookie", hidden["cookie"], "X-Anything", hidden["header"], "Stream-Auth-Type", hidden["header"]}, 200},
		{"GET", service + "/proxy/users/in-the-path" + query, "", nil, 200},
		{"GET", service + "/proxy/users/%2e%2e" + query, "", nil, 400},
		{"POST", service + "/proxy/gone" + query, body, nil, 502},
		{"POST", service + "/proxy/broken" + query, body, nil, 0},
	}
	traffic := func(check bool) {
		for _, r := range requests {
			g, err := tryCall(t.Context(), r.method, r.url, r.body, r.header...)
			if check && (r.status == 0 && err == nil || r.status != 0 && (err != nil || g.status != r.status)) {
				t.Errorf("%s %s: want %d, got %d %s %v", r.method, r.url, r.status, g.status, g.body, err)
			}
			for _, found := range regexp.MustCompile(`"(?:token|userToken|authorization)":"([^"]+)"`).FindAllStringSubmatch(g.body, -1) {
				hidden["token in the answer to "+r.method+" "+r.url+" "+found[1]] = found[1]
			}
		}
	}
	traffic(true)
	d.standIns["SSM"].Set(standin.Refuse(http.StatusBadRequest, "ThrottlingException"))
	within(t, "values served stale", func() bool {
		traffic(false)
		return d.warnings("webhook") > 0 && d.warnings("proxy") > 0
	})
	d.close()

	if n := len(hidden); n < 30 {
		t.Errorf("want tokens and all else looked for, got %d things", n)
	}
	kinds := map[string]bool{}
	for line := range strings.Lines(d.log.String()) {
		name, record, isFunction := strings.Cut(line, " | ")
		kinds[name] = true
		for what, text := range hidden {
			if strings.Contains(line, text) && (isFunction || what != "user id" && what != "query") {
				t.Errorf("the log shows a %s: %s", what, line)
			}
		}
		// The server's own lines have paths. The functions' have those at Stream alone.
		if isFunction && strings.Contains(record, marker) {
			t.Errorf("the log shows what a caller sent: %s", line)
		}
	}
	for _, name := range []string{"token", "apikey", "config", "webhook", "proxy"} {
		if !kinds[name] {
			t.Errorf("want lines of %s in the log", name)
		}
	}
}

// A drill is a server with the real functions and values that live for a second.
type drill struct {
	*server
	log *awstest.Output
}

func newDrill(t *testing.T) *drill {
	// Stream answers with the server token it was sent, breaks off at /broken, and
	// hangs up on /gone.
	stream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/gone":
			panic(http.ErrAbortHandler)
		case "/broken":
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `{"authorization":"`)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"authorization":%q}`, r.Header.Get("Authorization"))
	}))
	t.Cleanup(stream.Close)
	c, err := startConversation(t, []string{"-stream-url", stream.URL, "-parameter-overrides", "ParameterTtl=1 LogLevel=DEBUG"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.server.close)
	return &drill{c.server, c.log}
}

const unavailable = "503" // what all wants where there is no secret

// routes are the requests that need the secret. Each returns the secret with
// which it was answered, or the status and the body.
func (d *drill) routes(t *testing.T) map[string]func() string {
	token := func(path string) func() string {
		return func() string {
			g, err := tryCall(t.Context(), "GET", d.serviceURL+path, "", "userid", "alice")
			for _, secret := range []string{oldSecret, newSecret} {
				found := regexp.MustCompile(`"(?:token|userToken|authorization)":"([^"]+)"`).FindStringSubmatch(g.body)
				key := func(*jwt.Token) (any, error) { return []byte(secret), nil }
				if found == nil || err != nil || g.status >= 300 {
					break
				}
				if _, err := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"})).Parse(found[1], key); err == nil {
					return secret
				}
			}
			return fmt.Sprint(g.status, " ", g.body, err)
		}
	}
	either := func(ask func(t *testing.T, secret string) string) func() string {
		return func() string {
			got := ask(t, newSecret)
			if strings.HasPrefix(got, "401") {
				got = ask(t, oldSecret)
			}
			return got
		}
	}
	return map[string]func() string{
		"token":          token("/token/alice"),
		"config":         token("/config?clientType=web"),
		"proxy":          token("/proxy/app"),
		"webhook":        either(d.webhook),
		"webhook/verify": either(d.verify),
	}
}

// webhook sends a webhook signed with a secret, and returns that if it was
// accepted, else the status and the body.
func (d *drill) webhook(t *testing.T, secret string) string {
	const body = `{"type":"message.new","text":"ångström"}`
	g, err := tryCall(t.Context(), "POST", d.clientURL+"/webhook", body, "X-Signature", streamapi.Sign(secret, []byte(body)))
	if g.status == http.StatusOK {
		return secret
	}
	return fmt.Sprint(g.status, " ", g.body, err)
}

// verify is webhook for /webhook/verify. Its answer to a wrong signature counts as
// 401, and the 500 that it has for any failure as 503.
func (d *drill) verify(t *testing.T, secret string) string {
	const body = `{"type":"message.new"}`
	g, err := tryCall(t.Context(), "POST", d.serviceURL+"/webhook/verify", verification(body, streamapi.Sign(secret, []byte(body))))
	switch {
	case g.body == `{"isValid":true}`:
		return secret
	case g.body == `{"isValid":false}`:
		g.status = 401
	case g.status == http.StatusInternalServerError:
		g.status = 503
	}
	return fmt.Sprint(g.status, " ", g.body, err)
}

func verification(body, signature string) string {
	text, _ := json.Marshal(map[string]string{"rawBody": body, "signature": signature})
	return string(text)
}

// wantAll is all for answers that must be right.
func (d *drill) wantAll(t *testing.T, want string) {
	t.Helper()
	if err := d.all(t, want); err != nil {
		t.Fatal(err)
	}
}

// all makes each request once, and wants answers made with a secret, or errors
// with a message for [unavailable].
func (d *drill) all(t *testing.T, want string) error {
	routes := d.routes(t)
	var asking sync.WaitGroup
	failures := make(chan error, len(routes))
	for _, function := range [][]string{{"token"}, {"config"}, {"proxy"}, {"webhook", "webhook/verify"}} {
		asking.Go(func() {
			for _, name := range function {
				got := routes[name]()
				if got != want && !(want == unavailable && strings.HasPrefix(got, `503 {"errorMsg":"`)) {
					failures <- fmt.Errorf("%s: want %s, got %s", name, want, got)
				}
			}
		})
	}
	asking.Wait()
	close(failures)
	var all error
	for err := range failures {
		all = errors.Join(all, err)
	}
	return all
}

// records are the log lines of a function so far, or of all for "".
func (d *drill) records(function string) (all []map[string]any) {
	for line := range strings.Lines(d.log.String()) {
		name, text, ok := strings.Cut(line, " | ")
		var record map[string]any
		if ok && (function == "" || name == function) && json.Unmarshal([]byte(text), &record) == nil {
			all = append(all, record)
		}
	}
	return all
}

// warnings counts the lines of a function about stale values.
func (d *drill) warnings(function string) (n int) {
	for _, r := range d.records(function) {
		if r["level"] == "WARN" && r["message"] == "settings served stale" {
			n++
		}
	}
	return n
}

// within waits until ok.
func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("want %s within 30 s", what)
		}
	}
}
