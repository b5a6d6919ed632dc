package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/golang-jwt/jwt/v4"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/internal/parameterstore"
	"chat-service-backend/internal/runtimeapi"
	"chat-service-backend/internal/standin"
)

const (
	drillTTL = time.Second

	// followWithin is after which time every request must use a new value: the
	// time to live, and as much again for a fetch that was under way while the
	// value changed, on a machine that has other things to do.
	followWithin = 2 * drillTTL

	// patience bounds every wait; none of them comes near.
	patience = 30 * time.Second
)

// The drills are what docs/operations.md has an operator do, and what can happen
// to Parameter Store, while the real functions serve under the development
// server. The values lie in moto's SSM where that is installed (it must be with
// CI=true), else in the server's own stand-in.
func TestDrills(t *testing.T) {
	t.Parallel()
	awstest.Functions(t) // before any clock runs
	store := parameterStore(t)
	var number atomic.Int64
	newDrill := func(t *testing.T) *drill {
		return &drill{
			prefix: fmt.Sprintf("/drill-%d", number.Add(1)),
			store:  store,
			front:  newFront(t, store),
			stream: newDrillStream(t),
			log:    &awstest.Output{},
		}
	}

	// All at once, on however few processors: most of a drill is waiting.
	var running sync.WaitGroup
	defer running.Wait()
	run := func(name string, f func(*testing.T, *drill)) {
		running.Go(func() { t.Run(name, func(t *testing.T) { f(t, newDrill(t)) }) })
	}
	run("rotated secret is in use within the TTL and no request fails", drillRotation)
	run("webhooks of the previous secret pass while it is configured", drillPreviousSecret)
	run("a secret that is deleted signs nothing after the TTL", func(t *testing.T, d *drill) {
		drillRemoval(t, d, func() { d.remove(t, "stream/api-secret") })
	})
	run("a secret that is emptied signs nothing after the TTL", func(t *testing.T, d *drill) {
		drillRemoval(t, d, func() { d.put(t, "stream/api-secret", " ") })
	})
	for _, fault := range []fault{throttled, failing, hanging, gone} {
		run("values are served stale while SSM is "+string(fault), func(t *testing.T, d *drill) { drillOutage(t, d, fault) })
	}
	for _, fault := range []fault{hanging, gone} {
		run("cold start while SSM is "+string(fault)+" recovers by itself", func(t *testing.T, d *drill) { drillColdStart(t, d, fault) })
	}
	run("no output shows a secret or a body", drillOutput)
}

func drillRotation(t *testing.T, d *drill) {
	const before, after = "secret-before-rotation", "secret-after-rotation"
	d.put(t, "stream/api-secret", before)
	// Stream may sign with the old one until it is told otherwise.
	d.put(t, "stream/api-secret-previous", before)
	d.start(t)
	processes := d.processes()

	body := `{"type":"message.new"}`
	secrets := []string{before, after}
	asks := map[string]func(context.Context) (secret string, err error){
		"token": func(ctx context.Context) (string, error) {
			g, err := d.token(ctx)
			return signer(g, http.StatusCreated, `"token":"([^"]+)"`, secrets), err
		},
		"config": func(ctx context.Context) (string, error) {
			g, err := d.config(ctx)
			return signer(g, http.StatusOK, `"userToken":"([^"]+)"`, secrets), err
		},
		"proxy": func(ctx context.Context) (string, error) {
			g, err := d.proxy(ctx)
			return signer(g, http.StatusOK, `"authorization":"([^"]+)"`, secrets), err
		},
		"webhook/verify": func(ctx context.Context) (string, error) {
			g, err := d.verify(ctx, body, sign(body, after))
			switch {
			case g.status == http.StatusOK && g.body == `{"isValid":true}`:
				return after, err
			case g.status == http.StatusOK && g.body == `{"isValid":false}`:
				return before, err
			}
			return fmt.Sprintf("%d %s", g.status, g.body), err
		},
	}

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var rotated atomic.Pointer[time.Time]
	var running, warm sync.WaitGroup
	defer running.Wait()
	for name, ask := range asks {
		warm.Add(1)
		running.Go(func() {
			warmed := sync.OnceFunc(warm.Done)
			defer warmed()
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			// Three requests after everybody must have followed.
			for n := 0; n < 3; <-tick.C {
				begun := time.Now()
				secret, err := ask(ctx)
				at := rotated.Load()
				late := at != nil && begun.After(at.Add(followWithin))
				switch {
				case err != nil:
					t.Errorf("%s: %v", name, err)
					return
				case secret != before && secret != after:
					t.Errorf("%s: want no request to fail, got %s", name, secret)
					return
				case late && secret != after:
					t.Errorf("%s: want the new secret %v after it came, got the old one", name, begun.Sub(*at))
					return
				case late:
					n++
				case at == nil && secret == before:
					warmed()
				}
			}
		})
	}
	// What Stream signed before it had the new secret arrives all the while.
	running.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for at := rotated.Load(); at == nil || time.Since(*at) < followWithin; at = rotated.Load() {
			if g, err := d.webhook(ctx, body, sign(body, before)); err != nil || g.status != http.StatusOK {
				t.Errorf("webhook signed with the old secret: want it accepted, got %d %s %v", g.status, g.body, err)
				return
			}
			<-tick.C
		}
	})
	warm.Wait()
	d.put(t, "stream/api-secret", after)
	now := time.Now()
	rotated.Store(&now)
	running.Wait()
	d.sameProcesses(t, processes)
}

func drillPreviousSecret(t *testing.T, d *drill) {
	const current, previous = "secret-of-today", "secret-of-yesterday"
	d.put(t, "stream/api-secret", current)
	d.put(t, "stream/api-secret-previous", previous)
	d.start(t)
	body := `{"type":"message.new","text":"ångström"}`
	webhook := func(secret string, want int) {
		t.Helper()
		if g, err := d.webhook(t.Context(), body, sign(body, secret)); err != nil || g.status != want {
			t.Errorf("webhook signed with %s: want %d, got %d %v", secret, want, g.status, err)
		}
		valid := fmt.Sprintf(`{"isValid":%t}`, want == http.StatusOK)
		if g, err := d.verify(t.Context(), body, sign(body, secret)); err != nil || g.status != http.StatusOK || g.body != valid {
			t.Errorf("webhook/verify with %s: want %s, got %d %s %v", secret, valid, g.status, g.body, err)
		}
	}
	webhook(current, http.StatusOK)
	webhook(previous, http.StatusOK)
	webhook("secret-of-nobody", http.StatusUnauthorized)
	// Accepting is all that the previous secret is for.
	if g, err := d.token(t.Context()); err != nil || signer(g, http.StatusCreated, `"token":"([^"]+)"`, []string{current, previous}) != current {
		t.Errorf("want tokens signed with the current secret, got %d %v", g.status, err)
	}

	d.remove(t, "stream/api-secret-previous")
	removed := time.Now()
	within(t, "the previous secret refused", func() bool {
		late := time.Since(removed) > followWithin
		g, err := d.webhook(t.Context(), body, sign(body, previous))
		if err != nil || g.status != http.StatusUnauthorized && (late || g.status != http.StatusOK) {
			t.Fatalf("webhook signed with the removed secret, %v later: got %d %v", time.Since(removed), g.status, err)
		}
		// The first refusal proves one process, and there may be two.
		return late
	})
	webhook(current, http.StatusOK)
	webhook(previous, http.StatusUnauthorized)
}

func drillOutage(t *testing.T, d *drill, fault fault) {
	const before, after = "secret-before-outage", "secret-after-outage"
	d.put(t, "stream/api-secret", before)
	d.start(t)
	d.everyRoute(t, before)
	processes := d.processes()

	d.front.fail(fault)
	d.put(t, "stream/api-secret", after)
	refreshes := 2
	if fault == hanging {
		refreshes = 1 // 2 s each
	}
	within(t, "values served stale by every function", func() bool {
		d.everyRoute(t, before)
		for name := range processes {
			if len(d.warnings(name)) < refreshes {
				return false
			}
		}
		return true
	})
	// No request is under way, so none of the failed calls may yet succeed.
	failed, back := d.front.fail(none), time.Now()
	all := func() (n int) {
		for name := range processes {
			n += len(d.warnings(name))
		}
		return n
	}
	within(t, "a line for each refresh", func() bool { return all() >= failed })
	if n := all(); n != failed {
		t.Errorf("want one line for each of %d refreshes, got %d", failed, n)
	}
	within(t, "the metric of each refresh", func() bool { return d.counted("SettingsServedStale") >= failed })
	if n := d.counted("SettingsServedStale"); n != failed {
		t.Errorf("want the metric SettingsServedStale to count %d refreshes, got %d", failed, n)
	}

	within(t, "the new secret in use by every function", func() bool {
		if late := time.Since(back) > followWithin; late || d.ask(t, after) == nil {
			d.everyRoute(t, after)
			return true
		}
		return false
	})
	d.sameProcesses(t, processes)
}

func drillRemoval(t *testing.T, d *drill, remove func()) {
	const before, after = "secret-that-is-removed", "secret-after-that"
	d.put(t, "stream/api-secret", before)
	d.start(t)
	d.everyRoute(t, before)
	processes := d.processes()

	remove()
	removed := time.Now()
	within(t, "every route refused", func() bool {
		late := time.Since(removed) > followWithin
		err := d.refused(t, before)
		if late && err != nil {
			t.Fatalf("%v after the removal: %v", time.Since(removed), err)
		}
		return late
	})
	// An outage now does not bring the secret back.
	d.front.fail(failing)
	if err := d.refused(t, before); err != nil {
		t.Error(err)
	}
	d.front.fail(none)
	d.put(t, "stream/api-secret", after)
	within(t, "the new secret in use by every function", func() bool { return d.ask(t, after) == nil })
	d.sameProcesses(t, processes)
}

func drillColdStart(t *testing.T, d *drill, fault fault) {
	const secret = "secret-that-is-out-of-reach"
	d.put(t, "stream/api-secret", secret)
	d.front.fail(fault)
	d.start(t)
	processes := d.processes()

	if err := d.refused(t, secret); err != nil {
		t.Error(err)
	}
	if g, err := d.apiKey(t.Context()); err != nil || g.status != http.StatusServiceUnavailable {
		t.Errorf("api-key: want 503, got %d %s %v", g.status, g.body, err)
	}

	d.front.fail(none)
	d.everyRoute(t, secret)
	d.sameProcesses(t, processes)
}

func drillOutput(t *testing.T, d *drill) {
	const marker = "q7Zx" // in all that is made up here and must not be seen
	hidden := map[string]string{
		"API secret":           "secret-" + marker,
		"previous secret":      "previous-" + marker,
		"broken configuration": "configuration-" + marker,
		"user id":              "user-" + marker,
		"body":                 "body-" + marker,
		"query":                "query-" + marker,
		"cookie":               "cookie-" + marker,
		"header":               "header-" + marker,
		"no token":             "no-token-" + marker,
		"no signature":         "no-signature-" + marker,
	}
	d.put(t, "stream/api-secret", hidden["API secret"])
	d.put(t, "stream/api-secret-previous", hidden["previous secret"])
	d.put(t, "client-config/broken", `{"text":"`+hidden["broken configuration"])
	d.user = hidden["user id"]
	d.start(t, "LogLevel=DEBUG")

	// bearer adds a token to what must not be seen, and one with a damaged signature.
	bearer := func(name string, claims map[string]any) string {
		token, err := d.server.issuer.Bearer(d.user, claims)
		if err != nil {
			t.Fatal(err)
		}
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
	signature, wrong := sign(body, hidden["API secret"]), sign(body, "another secret")
	hidden["signature"], hidden["wrong signature"] = signature, wrong
	hidden["signature with the previous secret"] = sign(body, hidden["previous secret"])
	hidden["base64 of a body"] = base64.StdEncoding.EncodeToString([]byte(body))
	hidden["base64 of a gzip body"] = base64.StdEncoding.EncodeToString(zipped.Bytes())

	client, service := d.server.clientURL, d.server.serviceURL
	query := "?payload=" + hidden["query"] + "&api_key=" + hidden["query"]
	traffic := func(check bool) {
		for _, r := range []struct {
			method, url, body string
			header            []string
			status            int
		}{
			{"GET", client + "/token/" + d.user, "", []string{"Authorization", "Bearer " + good}, 201},
			{"GET", client + "/token/" + d.user + query, "", []string{"Authorization", "Bearer " + forged}, 401},
			{"GET", client + "/token/" + d.user, "", []string{"Authorization", "Bearer " + bearer("expired bearer token", map[string]any{"exp": 1})}, 401},
			{"GET", client + "/token/" + d.user, "", []string{"Authorization", "Bearer " + bearer("foreign bearer token", map[string]any{"aud": "others"})}, 401},
			{"GET", client + "/token/" + d.user, "", []string{"Authorization", "Bearer " + bearer("future bearer token", map[string]any{"nbf": 1 << 40})}, 401},
			{"GET", client + "/token/" + d.user, "", []string{"Authorization", "Bearer " + bearer("odd bearer token", map[string]any{"exp": "tomorrow"})}, 401},
			{"GET", client + "/token/" + d.user, "", []string{"Authorization", "Bearer " + hidden["no token"]}, 401},
			{"GET", client + "/token/" + d.user, "", []string{"Authorization", "Bearer a." + hidden["no token"] + ".c"}, 401},
			{"GET", client + "/token/" + d.user, "", []string{"Cookie", "session=" + hidden["cookie"]}, 401},
			{"GET", client + "/token/another", "", []string{"Authorization", "Bearer " + good}, 403},
			{"GET", service + "/token/" + d.user, "", nil, 201},
			{"GET", service + "/token/" + d.user + "%20" + query, "", nil, 400},
			{"GET", client + "/api-key" + query, "", []string{"X-Anything", hidden["header"]}, 200},
			{"GET", client + "/config?clientType=web", "", []string{"Authorization", "Bearer " + good}, 200},
			{"GET", client + "/config?clientType=web", "", []string{"Authorization", "Bearer " + forged}, 200},
			{"GET", client + "/config?clientType=broken", "", nil, 500},
			{"GET", client + "/config?clientType=", "", nil, 400},
			{"GET", service + "/config?clientType=web", "", []string{"userid", d.user}, 200},
			{"GET", service + "/config?clientType=web", "", []string{"userid", d.user + "!"}, 200},
			{"POST", client + "/webhook", body, []string{"X-Signature", signature}, 200},
			{"POST", client + "/webhook", body, []string{"X-Signature", hidden["signature with the previous secret"]}, 200},
			{"POST", client + "/webhook", body, []string{"X-Signature", wrong}, 401},
			{"POST", client + "/webhook", body, []string{"X-Signature", hidden["no signature"]}, 401},
			{"POST", client + "/webhook", body, nil, 401},
			{"POST", client + "/webhook", body, []string{"X-Signature", signature, "X-Api-Key", hidden["header"]}, 401},
			{"POST", client + "/webhook", zipped.String()[:12], []string{"X-Signature", wrong}, 400},
			{"POST", client + "/webhook", zipped.String(), []string{"X-Signature", wrong}, 401},
			{"POST", service + "/webhook/verify", verifyBody(body, signature), nil, 200},
			{"POST", service + "/webhook/verify", verifyBody(body, wrong), nil, 200},
			{"POST", service + "/webhook/verify", body, nil, 400},
			{"POST", service + "/webhook/verify", hidden["body"], nil, 400},
			{"POST", service + "/proxy/users" + query, body, []string{"Cookie", hidden["cookie"], "X-Anything", hidden["header"], "Stream-Auth-Type", hidden["header"]}, 200},
			{"GET", service + "/proxy/users/in-the-path" + query, "", nil, 200},
			{"GET", service + "/proxy/users/%2e%2e" + query, "", nil, 400},
			{"POST", service + "/proxy/gone" + query, body, nil, 502},
			{"POST", service + "/proxy/broken" + query, body, nil, 0},
		} {
			d.idle(t)
			g, err := tryCall(t.Context(), r.method, r.url, r.body, r.header...)
			if check && (r.status == 0 && err == nil || r.status != 0 && (err != nil || g.status != r.status)) {
				t.Errorf("%s %s: want %d, got %d %s %v", r.method, r.url, r.status, g.status, g.body, err)
			}
			for _, found := range regexp.MustCompile(`"(?:token|userToken|authorization)":"([^"]+)"`).FindAllStringSubmatch(g.body, -1) {
				hidden["token in an answer: "+found[1][len(found[1])-8:]] = found[1]
			}
		}
	}
	traffic(true)
	d.front.fail(throttled)
	within(t, "values served stale", func() bool {
		traffic(false)
		return len(d.warnings("webhook")) > 0 && len(d.warnings("proxy")) > 0
	})
	d.server.close()

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

// A drill is one server with its own parameters and everything around it.
type drill struct {
	prefix string
	store  string // URL
	front  *front
	stream string // URL
	log    *awstest.Output
	user   string
	server *server
}

// start starts the server, after adding what every app has.
func (d *drill) start(t *testing.T, overrides ...string) {
	t.Helper()
	d.put(t, "stream/api-key", "drill-key")
	d.put(t, "client-config/web", `{"theme":"dark"}`)
	if d.user == "" {
		d.user = "alice"
	}
	opts, err := parseFlags([]string{"-client-addr", "127.0.0.1:0", "-service-addr", "127.0.0.1:0", "-stream-url", d.stream}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	opts.overrides = map[string]string{"ParameterPrefix": d.prefix, "ParameterTtl": fmt.Sprint(int(drillTTL.Seconds()))}
	for _, override := range overrides {
		name, value, _ := strings.Cut(override, "=")
		opts.overrides[name] = value
	}
	opts.build, opts.log = deployed(t), &lineLog{w: d.log}
	opts.getenv = func(name string) string {
		return map[string]string{"AWS_ENDPOINT_URL_SSM": d.front.url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}[name]
	}
	if d.server, err = start(t.Context(), opts); err != nil {
		t.Fatalf("%v\n%s", err, d.log)
	}
	t.Cleanup(d.server.close)
}

func (d *drill) token(ctx context.Context) (got, error) {
	return tryCall(ctx, "GET", d.server.serviceURL+"/token/"+d.user, "")
}

func (d *drill) apiKey(ctx context.Context) (got, error) {
	return tryCall(ctx, "GET", d.server.clientURL+"/api-key", "")
}

func (d *drill) config(ctx context.Context) (got, error) {
	return tryCall(ctx, "GET", d.server.serviceURL+"/config?clientType=web", "", "userid", d.user)
}

func (d *drill) proxy(ctx context.Context) (got, error) {
	return tryCall(ctx, "GET", d.server.serviceURL+"/proxy/app", "")
}

func (d *drill) webhook(ctx context.Context, body, signature string) (got, error) {
	return tryCall(ctx, "POST", d.server.clientURL+"/webhook", body, "X-Signature", signature)
}

func (d *drill) verify(ctx context.Context, body, signature string) (got, error) {
	return tryCall(ctx, "POST", d.server.serviceURL+"/webhook/verify", verifyBody(body, signature))
}

func verifyBody(body, signature string) string {
	text, _ := json.Marshal(map[string]string{"rawBody": body, "signature": signature})
	return string(text)
}

// everyRoute is ask that ends the test where an answer is wrong.
func (d *drill) everyRoute(t *testing.T, secret string) {
	t.Helper()
	if err := d.ask(t, secret); err != nil {
		t.Fatal(err)
	}
}

// ask makes a request of each kind, and wants answers made with the secret.
// Each function has one request at a time, so that none needs a new process.
func (d *drill) ask(t *testing.T, secret string) error {
	t.Helper()
	body := `{"type":"message.new"}`
	wrong := func(what string, g got, err error) error {
		return fmt.Errorf("%s: want an answer made with %s, got %d %s %v", what, secret, g.status, g.body, err)
	}
	// mintedBy is for answers with a token.
	mintedBy := func(what string, ask func(context.Context) (got, error), status int, pattern string) func() error {
		return func() error {
			if g, err := ask(t.Context()); err != nil || signer(g, status, pattern, []string{secret}) != secret {
				return wrong(what, g, err)
			}
			return nil
		}
	}
	var asking sync.WaitGroup
	failures := make(chan error, 6)
	each := func(asks ...func() error) {
		d.idle(t)
		for _, ask := range asks {
			asking.Go(func() { failures <- ask() })
		}
		asking.Wait()
	}
	each(
		mintedBy("token", d.token, http.StatusCreated, `"token":"([^"]+)"`),
		mintedBy("config", d.config, http.StatusOK, `"userToken":"([^"]+)".*"theme":"dark"`),
		mintedBy("proxy", d.proxy, http.StatusOK, `"authorization":"([^"]+)"`),
		func() error {
			if g, err := d.apiKey(t.Context()); err != nil || g.body != `{"api_key":"drill-key"}` {
				return wrong("api-key", g, err)
			}
			return nil
		},
		func() error {
			if g, err := d.webhook(t.Context(), body, sign(body, secret)); err != nil || g.status != http.StatusOK {
				return wrong("webhook", g, err)
			}
			return nil
		},
	)
	each(func() error {
		if g, err := d.verify(t.Context(), body, sign(body, secret)); err != nil || g.body != `{"isValid":true}` {
			return wrong("webhook/verify", g, err)
		}
		return nil
	})
	close(failures)
	var all []error
	for err := range failures {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// refused makes a request of each kind that needs the secret, and wants an answer
// that there is none.
func (d *drill) refused(t *testing.T, secret string) error {
	t.Helper()
	body := `{"type":"message.new"}`
	asks := map[string]func(context.Context) (got, error){
		"token":          d.token,
		"config":         d.config,
		"proxy":          d.proxy,
		"webhook":        func(ctx context.Context) (got, error) { return d.webhook(ctx, body, sign(body, secret)) },
		"webhook/verify": func(ctx context.Context) (got, error) { return d.verify(ctx, body, sign(body, secret)) },
	}
	d.idle(t)
	var asking sync.WaitGroup
	failures := make(chan error, len(asks))
	for name, ask := range asks {
		asking.Go(func() {
			want := http.StatusServiceUnavailable
			if name == "webhook/verify" {
				want = http.StatusInternalServerError
			}
			g, err := ask(t.Context())
			var answer struct{ ErrorMsg string }
			if err != nil || g.status != want || json.Unmarshal([]byte(g.body), &answer) != nil || answer.ErrorMsg == "" {
				failures <- fmt.Errorf("%s: want %d with an errorMsg, got %d %s %v", name, want, g.status, g.body, err)
			}
		})
	}
	asking.Wait()
	close(failures)
	var all []error
	for err := range failures {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// idle waits until no function is busy. A process that has not yet come back for
// its next event would make the server start another, which knows no values.
func (d *drill) idle(t *testing.T) {
	t.Helper()
	within(t, "every function idle", func() bool {
		for _, p := range d.server.pools {
			p.mu.Lock()
			idle := len(p.idle) == len(p.alive)
			p.mu.Unlock()
			if !idle {
				return false
			}
		}
		return true
	})
}

// processes are those alive now, by function.
func (d *drill) processes() map[string][]*runtimeapi.Process {
	all := map[string][]*runtimeapi.Process{}
	for name, p := range d.server.pools {
		p.mu.Lock()
		all[name] = slices.Collect(maps.Keys(p.alive))
		p.mu.Unlock()
	}
	return all
}

// sameProcesses wants every process that was alive before to be so still.
func (d *drill) sameProcesses(t *testing.T, before map[string][]*runtimeapi.Process) {
	t.Helper()
	for name, now := range d.processes() {
		for _, proc := range before[name] {
			if !slices.Contains(now, proc) {
				t.Errorf("%s: want the same process as before, got another", name)
			}
		}
	}
}

// records are the log lines of one function so far, or of all.
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

// warnings are the lines of a function that tell of stale values.
func (d *drill) warnings(function string) []map[string]any {
	return slices.DeleteFunc(d.records(function), func(r map[string]any) bool {
		return r["level"] != "WARN" || r["message"] != "settings served stale"
	})
}

// counted is the sum of a metric over all functions.
func (d *drill) counted(metric string) (sum int) {
	for _, r := range d.records("") {
		if n, ok := r[metric].(float64); ok && r["_aws"] != nil {
			sum += int(n)
		}
	}
	return sum
}

// signer is the secret with which the token in an answer is signed, or the
// answer where it is not the one that is wanted.
func signer(g got, status int, pattern string, secrets []string) string {
	found := regexp.MustCompile(pattern).FindStringSubmatch(g.body)
	if g.status != status || found == nil {
		return fmt.Sprintf("%d %s", g.status, g.body)
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}))
	for _, secret := range secrets {
		if _, err := parser.Parse(found[1], func(*jwt.Token) (any, error) { return []byte(secret), nil }); err == nil {
			return secret
		}
	}
	return "a token that is signed with another secret"
}

// sign makes the X-Signature of a webhook.
func sign(body, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	io.WriteString(mac, body)
	return hex.EncodeToString(mac.Sum(nil))
}

// within polls until ok.
func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("want %s within %v", what, patience)
		}
	}
}

// newDrillStream plays Stream: it answers with the server token it was sent,
// breaks off below /broken, and hangs up on /gone.
func newDrillStream(t *testing.T) string {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/gone":
			hangUp(w)
		case "/broken":
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `{"authorization":"`)
			_ = http.NewResponseController(w).Flush()
			hangUp(w)
		default:
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"authorization":%q}`, r.Header.Get("Authorization"))
		}
	}))
	srv.Config.ErrorLog = discardLog
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.URL
}

func hangUp(w http.ResponseWriter) {
	if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
		c.Close()
	}
}

// A fault is what is wrong with SSM.
type fault string

const (
	none      fault = ""
	throttled fault = "throttled"
	failing   fault = "failing"
	hanging   fault = "hanging"
	gone      fault = "gone"
)

var faults = map[fault]standin.Fault{
	throttled: standin.Refuse(http.StatusBadRequest, "ThrottlingException"),
	failing:   standin.Refuse(http.StatusInternalServerError, "InternalServerError"),
	hanging:   standin.Hang,
	gone:      standin.HangUp,
}

// A front stands between the functions and Parameter Store, and fails as told.
type front struct {
	url    string
	faults standin.Switch

	mu sync.Mutex
	// The SDK's calls that have failed since the fault was set; the attempts of
	// one call share its id.
	failed map[string]bool
}

func newFront(t *testing.T, store string) *front {
	target, err := url.Parse(store)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{failed: map[string]bool{}}
	pass := &httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ErrorLog: discardLog,
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.faults.Serve(w, r, pass.ServeHTTP)
	}))
	t.Cleanup(srv.Close)
	f.url = srv.URL
	return f
}

// fail sets the fault and returns how many calls the one before has failed.
func (f *front) fail(next fault) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.failed)
	f.failed = map[string]bool{}
	f.faults.Set(nil)
	if answer := faults[next]; answer != nil {
		f.faults.Set(func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
			f.mu.Lock()
			f.failed[r.Header.Get("Amz-Sdk-Invocation-Id")] = true
			f.mu.Unlock()
			answer(w, r, pass)
		})
	}
	return n
}

// parameterStore starts moto's SSM, or without moto the stand-in, and returns its
// URL.
func parameterStore(t *testing.T) string {
	if _, err := exec.LookPath("moto_server"); err == nil || os.Getenv("CI") == "true" {
		return awstest.Moto(t)
	}
	memory := parameterstore.NewMemory(map[string]string{})
	server := httptest.NewServer(&parameterstore.Store{Values: memory.Values, Memory: memory})
	t.Cleanup(server.Close)
	return server.URL
}

// client is the operator's own way to Parameter Store, past the front.
func (d *drill) client() *awsssm.Client {
	return awsssm.New(awsssm.Options{
		Region:       "us-east-1",
		BaseEndpoint: &d.store,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
}

// put writes a parameter, encrypted where it is a secret.
func (d *drill) put(t *testing.T, name, value string) {
	t.Helper()
	kind := types.ParameterTypeString
	if strings.Contains(name, "secret") {
		kind = types.ParameterTypeSecureString
	}
	_, err := d.client().PutParameter(t.Context(), &awsssm.PutParameterInput{
		Name: aws.String(d.prefix + "/" + name), Value: &value, Type: kind, Overwrite: aws.Bool(true),
	})
	if err != nil {
		t.Fatal(err)
	}
}

// remove deletes a parameter.
func (d *drill) remove(t *testing.T, name string) {
	t.Helper()
	if _, err := d.client().DeleteParameter(t.Context(), &awsssm.DeleteParameterInput{Name: aws.String(d.prefix + "/" + name)}); err != nil {
		t.Fatal(err)
	}
}
