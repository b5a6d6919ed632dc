package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"chat-service-backend/internal/awstest"

	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// The tests of the page share a browser. They share a server, too, unless they
// change it.
func TestPage(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("chromium")
	if err != nil {
		awstest.Missing(t, "chromium is not installed")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1400, 1100))...)
	t.Cleanup(cancel)
	browser, cancel := chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Run(browser); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func(*testing.T, *tab){
		"shows and changes the whole service":               testWholePage,
		"has two people who chat through the whole service": testChat,
		"has pictures in light and dark":                    testPictures,
		"has Swagger UI that tries both APIs out":           testSwaggerUI,
		"works at a phone's width and by keyboard":          testPhone,
		"lets another origin's page read or do nothing":     testForeignPage,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, openTab(t, browser))
		})
	}
}

// A tab is one of the browser's, and what went wrong in it.
type tab struct {
	context.Context
	mu       sync.Mutex
	mistakes []string
}

func openTab(t *testing.T, browser context.Context) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	b := &tab{Context: ctx}
	chromedp.ListenTarget(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			b.mistake("exception: " + e.ExceptionDetails.Error())
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
				b.mistake(fmt.Sprintf("console: %s %s", e.Type, e.Args[0].Value))
			}
		case *cdplog.EventEntryAdded:
			if e.Entry.Level == cdplog.LevelError {
				b.mistake("log: " + e.Entry.Text + " " + e.Entry.URL)
			}
		case *network.EventRequestWillBeSent:
			if u, err := url.Parse(e.Request.URL); err != nil || u.Hostname() != "127.0.0.1" && u.Scheme != "data" {
				b.mistake("request off the machine: " + e.Request.URL)
			}
		}
	})
	return b
}

func (b *tab) mistake(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mistakes = append(b.mistakes, text)
}

// wantNoMistakes checks that nothing went wrong in the tab.
func (b *tab) wantNoMistakes(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, mistake := range b.mistakes {
		t.Errorf("want no error in the console and no request off the machine, got %s", mistake)
	}
}

func (b *tab) do(t *testing.T, actions ...chromedp.Action) {
	t.Helper()
	if err := chromedp.Run(b, actions...); err != nil {
		t.Fatal(err)
	}
}

// want waits until a JavaScript expression is true.
func (b *tab) want(t *testing.T, expression string) {
	t.Helper()
	if err := chromedp.Run(b, chromedp.Poll(expression, nil, chromedp.WithPollingTimeout(time.Minute))); err != nil {
		var page string
		_ = chromedp.Run(b, chromedp.Text("body", &page))
		t.Fatalf("want %s, got %v and the page\n%s", expression, err, page)
	}
}

// text returns an expression that is true once an element's text contains part.
func text(id, part string) string {
	return fmt.Sprintf("document.getElementById(%q).textContent.includes(%q)", id, part)
}

// press clicks what an XPath expression finds. It does so in the page, since a mouse
// would miss what moves while an answer arrives.
func (b *tab) press(t *testing.T, path string) {
	t.Helper()
	b.do(t, chromedp.Evaluate(fmt.Sprintf("document.evaluate(%q, document, null, 9).singleNodeValue.click()", path), nil))
}

// click clicks a button and waits for a text to appear.
func (b *tab) click(t *testing.T, label, id, part string) {
	t.Helper()
	if id != "bus" {
		// An earlier click may have left the text there.
		b.do(t, chromedp.Evaluate(fmt.Sprintf(`document.getElementById(%q).textContent = ""`, id), nil))
	}
	b.press(t, fmt.Sprintf("//button[normalize-space()='%s']", label))
	b.want(t, text(id, part))
}

// clickUntil clicks a button until a text appears: values take their time to live.
func (b *tab) clickUntil(t *testing.T, label, id, part string) {
	t.Helper()
	for shown := false; !shown; {
		b.click(t, label, id, "")
		b.want(t, fmt.Sprintf("document.getElementById(%q).textContent !== ''", id))
		b.do(t, chromedp.Evaluate(text(id, part), &shown))
	}
}

func (b *tab) be(t *testing.T, who string) {
	t.Helper()
	b.press(t, fmt.Sprintf("//input[@value='%s' and @type='radio']", who))
}

func testWholePage(t *testing.T, b *tab) {
	c, err := startConversation(t, []string{"-parameter-overrides", "ParameterTtl=1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.server.close)
	s := c.server
	b.do(t, network.Enable(), cdplog.Enable(), chromedp.Navigate(s.clientURL+pagePath), chromedp.WaitVisible("#routes button", chromedp.ByQuery))

	// The answer depends on who calls.
	b.click(t, "Configuration", "got", "Not signed in")
	b.want(t, text("status", "200"))
	b.click(t, "Token", "status", "401")
	for _, c := range []struct{ who, part string }{{"forged", "errorMsg"}, {"named", `"bob"`}, {"expired", "errorMsg"}, {"alice", `"alice"`}} {
		b.be(t, c.who)
		b.click(t, "Token", "got", c.part)
	}
	b.click(t, "Configuration", "got", "userToken")
	b.want(t, text("curl", "Authorization: Bearer "))

	for _, c := range [][2]string{
		{"API key", "local-key"}, {"Configuration, for a service", "userToken"}, {"Token, for a service", `"userId": "alice"`},
		{"Write a user at Stream", `"users"`}, {"Read users", `"alice"`}, {"Verify a signature", `"isValid"`},
	} {
		b.click(t, c[0], "got", c[1])
	}
	b.do(t, chromedp.SetValue("#path", "/proxy/a/../b", chromedp.ByQuery))
	b.click(t, "Send", "status", "400")

	// Webhooks arrive on the bus, live.
	b.click(t, "Send a webhook", "status", "200")
	b.want(t, text("bus", "message.new"))
	b.click(t, "with a forged signature", "status", "401")
	b.click(t, "as gzip", "status", "200")
	b.want(t, `document.querySelectorAll("#bus li").length === 2`)
	b.click(t, "too large", "status", "413")
	b.want(t, text("log", `"route": "/webhook"`))

	// Each stand-in can be switched off and on.
	for _, name := range []string{"SSM", "Stream", "event bus", "issuer"} {
		box := fmt.Sprintf("//header//label[normalize-space()='%s']/input", name)
		b.press(t, box)
		b.want(t, text("told", name+" hangs up"))
		switch name {
		case "Stream":
			b.click(t, "Read users", "status", "502")
		case "event bus":
			b.click(t, "Send a webhook", "bus", "fallback queue")
		}
		b.press(t, box)
		b.want(t, text("told", name+" answers again"))
	}
	b.click(t, "Read users", "status", "200")

	// Values take effect without a restart, settings with one.
	b.do(t, chromedp.SetValue("#parameter-value", `{"changed":true}`, chromedp.ByQuery))
	b.click(t, "Write", "told", "Written")
	b.clickUntil(t, "Configuration", "got", `"changed": true`)
	b.click(t, "Rotate the API secret", "told", "new secret")
	b.clickUntil(t, "Send a webhook", "status", "200")
	b.do(t, chromedp.SetValue("#parameter-name", "client-config/web", chromedp.ByQuery))
	b.click(t, "Delete", "told", "Deleted")
	b.do(t, chromedp.SetValue("#setting-name", "ErrorObjKey", chromedp.ByQuery), chromedp.SetValue("#setting-value", "problem", chromedp.ByQuery))
	b.click(t, "Set, and restart the functions", "told", "problem")
	b.be(t, "nobody")
	b.click(t, "Configuration", "got", `"problem"`)

	b.do(t, chromedp.SetValue("#filter", "proxy", chromedp.ByQuery), chromedp.Evaluate(`document.getElementById("filter").dispatchEvent(new Event("change"))`, nil))
	b.want(t, `[...document.querySelectorAll("#log li")].every((li) => li.hidden || li.dataset.function === "proxy")`)
	b.wantNoMistakes(t)
}

func testChat(t *testing.T, b *tab) {
	awstest.Long(t, "two people with Stream's own SDK take Chromium many seconds")
	c, err := startConversation(t, []string{"-moderation"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.server.close)
	b.do(t, network.Enable(), cdplog.Enable(), chromedp.Navigate(c.server.clientURL+"/"), chromedp.WaitEnabled("#chat-start", chromedp.ByQuery))
	say := func(who, text string) {
		t.Helper()
		b.do(t, chromedp.SendKeys("#chat-"+who+" input", text+"\r", chromedp.ByQuery))
	}
	sees := func(who, text string) {
		t.Helper()
		b.want(t, fmt.Sprintf(`document.querySelector("#chat-%s .messages").textContent.includes(%q)`, who, text))
	}
	b.press(t, "//button[@id='chat-start']")
	b.want(t, `document.querySelector("#chat-bob .state").textContent === "online"`)
	say("alice", "hello, Bob")
	sees("bob", "alice hello, Bob")
	b.want(t, text("steps", "Stream → bob: message.new over the socket"))
	b.want(t, text("steps", "Stream → /webhook: message.new, signed and compressed: 200"))
	b.want(t, text("steps", "Stream asks the hook about “hello, Bob”: 200 {}"))
	b.want(t, text("steps", "event bus: message.new"))
	say("bob", "darn it")
	sees("alice", "bob **** it")
	say("bob", "a scam")
	sees("bob", "not sent")
	b.wantNoMistakes(t)
}

// testPictures writes the README's pictures to the folder PICTURES, if that is
// set: see make pictures.
func testPictures(t *testing.T, b *tab) {
	awstest.Long(t, "it takes Chromium seconds to draw the page in light and dark")
	s := sharedReal(t)
	for _, scheme := range []string{"light", "dark"} {
		var picture []byte
		b.do(t,
			emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
			chromedp.Navigate(s.clientURL+pagePath), chromedp.WaitVisible("#routes button", chromedp.ByQuery))
		b.press(t, "//button[@id='chat-start']")
		b.want(t, `document.querySelector("#chat-bob .state").textContent === "online"`)
		for _, said := range [][2]string{{"alice", "Lunch at noon?"}, {"bob", "Gladly."}} {
			b.do(t, chromedp.SendKeys("#chat-"+said[0]+" input", said[1]+"\r", chromedp.ByQuery))
			b.want(t, fmt.Sprintf(`document.querySelector("#chat-alice .messages").textContent.includes(%q)`, said[1]))
		}
		b.be(t, "alice")
		b.want(t, text("bus", "message.new"))
		b.click(t, "Configuration", "got", "userToken")
		b.do(t, chromedp.Evaluate("scrollTo(0, 0)", nil), chromedp.CaptureScreenshot(&picture))
		b.want(t, map[string]string{
			"light": `getComputedStyle(document.body).backgroundColor === "rgb(246, 247, 249)"`,
			"dark":  `getComputedStyle(document.body).backgroundColor === "rgb(20, 22, 26)"`,
		}[scheme])
		if folder := os.Getenv("PICTURES"); folder != "" {
			if err := os.WriteFile(filepath.Join(folder, "page-"+scheme+".png"), picture, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func testSwaggerUI(t *testing.T, b *tab) {
	awstest.Long(t, "Swagger UI takes Chromium many seconds, and only a new version of it changes what it does")
	s := sharedReal(t)
	call(t, "POST", s.serviceURL+"/proxy/users", `{"users":{"alice":{"id":"alice"}}}`)
	for _, try := range []struct{ operation, typed, status string }{
		{"Client_API-getToken", "", "201"},
		{"Service_API-verifyWebhook", "", "200"},
		{"Service_API-proxyGet", "/alice/export", "200"}, // after "users", of the example
	} {
		b.do(t, network.Enable(), cdplog.Enable(), chromedp.Navigate(s.clientURL+docsPath))
		block := fmt.Sprintf("[id$=%s]", try.operation)
		b.do(t,
			chromedp.Click(block+" .opblock-summary-control", chromedp.ByQuery),
			chromedp.Click(block+" .try-out__btn", chromedp.ByQuery),
		)
		if try.typed != "" {
			b.do(t, chromedp.SendKeys(block+" .parameters input", try.typed, chromedp.ByQuery))
		}
		b.do(t, chromedp.Click(block+" .execute", chromedp.ByQuery))
		b.want(t, fmt.Sprintf(`document.querySelector(%q)?.textContent.startsWith(%q)`, block+" .live-responses-table tbody .response-col_status", try.status))
	}
	b.wantNoMistakes(t)
}

func testPhone(t *testing.T, b *tab) {
	s := sharedReal(t)
	b.do(t, emulation.SetDeviceMetricsOverride(360, 740, 1, true), chromedp.Navigate(s.clientURL+pagePath), chromedp.WaitVisible("#routes button", chromedp.ByQuery))
	b.want(t, `document.documentElement.scrollWidth <= 360`)
	b.do(t, chromedp.Focus("#routes button", chromedp.ByQuery), chromedp.KeyEvent("\r"))
	b.want(t, text("status", "200"))
}

func testForeignPage(t *testing.T, b *tab) {
	s := sharedReal(t)
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><link rel=icon href=data:,>")
	}))
	defer foreign.Close()
	b.do(t, chromedp.Navigate(foreign.URL))
	for _, attempt := range []string{
		`fetch(%q, {method: "POST", body: "{}"})`, `fetch(%q, {method: "POST", mode: "no-cors", body: "{}"})`,
		`fetch(%q)`, `fetch(%q, {method: "PUT", body: "off"})`,
	} {
		for _, path := range []string{"call", "rotate", "state", "trigger", "faults/SSM", "service/proxy/users"} {
			var got string
			b.do(t, chromedp.Evaluate(fmt.Sprintf(attempt, s.clientURL+pagePath+path)+
				`.then(async (r) => r.type + (await r.text()), () => "refused")`, &got,
				func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
			if got != "refused" && got != "opaque" {
				t.Errorf("%s of %s: want nothing to read, got %s", attempt, path, got)
			}
		}
	}
	if values, _ := s.values(); values["/chat-service/stream/api-secret"] != developmentSecret || values["/chat-service/stream/api-secret-previous"] != "" {
		t.Error("want the secret as it was, got it rotated by a foreign page")
	}
}

// The page's own API, as the page uses it.
func TestPageKeepsToFlagsAndSettings(t *testing.T) {
	t.Parallel()
	c, err := startConversation(t, []string{"-base-path", "/chat"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.server.close)
	api := c.server.clientURL + pagePath
	wantStatus := func(what, path, body, want string) {
		t.Helper()
		if got := event[exchange](t, call(t, "POST", api+path, body)); !strings.HasPrefix(got.Text, want) {
			t.Errorf("%s: want %s, got %+v", what, want, got)
		}
	}
	const asAlice = `{"who":"alice","user":"alice","api":"client","method":"GET","path":"/token/alice"}`
	wantStatus("a call below the base path", "call", asAlice, "201")
	wantStatus("a service's call below the base path", "call", `{"who":"alice","user":"alice","api":"service","method":"GET","path":"/token/alice"}`, "201")
	wantStatus("a webhook below the base path", "trigger?kind=gzip", `{"type":"message.new"}`, "200")
	type servers struct{ Servers []struct{ URL string } }
	document := event[struct {
		servers
		Paths map[string]servers
	}](t, call(t, "GET", api+"docs/openapi.json", ""))
	if got := fmt.Sprint(document.Servers, document.Paths["/webhook"], document.Paths["/proxy/{path}"]); got != "[{/chat} {/.local/service/chat}] {[{/chat}]} {[{/.local/service/chat}]}" {
		t.Errorf("want this server's addresses in the documentation, got %s", got)
	}
	if g := call(t, "GET", api+"service/chat/token/alice", ""); g.status != http.StatusCreated {
		t.Errorf("the Service API on the page's origin: want 201, got %+v", g)
	}

	if g := call(t, "GET", api+"state", ""); strings.Contains(g.body, developmentSecret) || !strings.Contains(g.body, "local-key") {
		t.Errorf("want the parameters without a secret, got %s", g.body)
	}
	call(t, "PUT", api+"settings/OidcAudience", "another")
	wantStatus("a token for the old audience", "call", asAlice, "401")
	wantStatus("a path that would leave the machine", "call", `{"who":"nobody","api":"client","method":"GET","path":"@example.com/"}`, "Not sent: the path must begin with a slash")
	for _, wrong := range []struct{ method, path, body, want string }{
		{"PUT", "settings/AlarmTarget", "x", "choose one of"},
		{"PUT", "settings/ParameterTtl", "0", "ParameterTtl"},
		{"PUT", "faults/SSM", "maybe", "is no fault"},
		{"PUT", "parameters/client-config/web", "", "the value is empty"},
		{"PUT", "parameters/client-config/web", `{"a":}`, "is not a JSON object"},
		{"PUT", "faults/stream", "off", "is no stand-in of this server"},
		{"POST", "seed", `{"user":[]}`, `unknown field \"user\"`},
	} {
		if got := call(t, wrong.method, api+wrong.path, wrong.body); got.status != http.StatusBadRequest || !strings.Contains(got.body, wrong.want) {
			t.Errorf("%s %s: want 400 with %q, got %+v", wrong.method, wrong.path, wrong.want, got)
		}
	}
	for _, path := range []string{"seed", "trigger", "reset"} {
		call(t, "POST", api+path, `{"values":{"stream/api-key":"another"}}`)
	}
	if got := call(t, "POST", api+"trigger", `{"type":"message.new"}`); !strings.Contains(got.body, `"status":200`) {
		t.Errorf("a webhook after a reset: want it taken with the key of the start, got %+v", got)
	}
	call(t, "PUT", api+"faults/SSM", "throttle")
	if got := call(t, "POST", loopbackURL(c.server.aws), "{}", "X-Amz-Target", "AmazonSSM.GetParameters"); got.status != http.StatusBadRequest || !strings.Contains(got.body, "ThrottlingException") {
		t.Errorf("a throttled call of Parameter Store: want AWS's 400 with ThrottlingException, got %+v", got)
	}
	call(t, "PUT", api+"faults/Stream", "throttle")
	if got := call(t, "GET", c.server.serviceURL+"/chat/proxy/app", ""); got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") != "1" || !strings.Contains(got.body, `"code":9,`) {
		t.Errorf("a throttled call of Stream: want its 429 with Retry-After and code 9, got %+v", got)
	}
}

func TestEditedParameterFileIsInUseAtOnce(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "values.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	values := `{"/chat-service/stream/api-key":"%s","/chat-service/stream/api-secret":"secret","/chat-service/client-config/web":"%s"}`
	write(fmt.Sprintf(values, "one", "{}"))
	c, err := startConversation(t, []string{"-parameters", file, "-parameter-overrides", "ParameterTtl=3600"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.server.close)
	key := func() string { return call(t, "GET", c.server.clientURL+"/api-key", "").body }
	if got := key(); got != `{"api_key":"one"}` {
		t.Fatalf("want the file's key, got %s", got)
	}
	write(`{"/chat-service/stream/api-key":` + "\n" + `two}`)
	within(t, "the place of the mistake in the log", func() bool { return strings.Contains(c.log.String(), "values.json:2:") })
	if got := key(); got != `{"api_key":"one"}` {
		t.Errorf("want the old key in use, got %s", got)
	}
	write(strings.ReplaceAll(fmt.Sprintf(values, "two", "{}"), "/chat-service/", "/chat-service-dev/"))
	within(t, "in the log that no function finds the values", func() bool {
		return strings.Contains(c.log.String(), "has no /chat-service/stream/api-key, so calls are answered with 503; rename /chat-service-dev/stream/api-key, or start with")
	})
	write(fmt.Sprintf(values, "two", "{"))
	within(t, "the new key in use", func() bool { return key() == `{"api_key":"two"}` })
	within(t, "the broken configuration in the log", func() bool {
		return strings.Contains(c.log.String(), "/chat-service/client-config/web is not a JSON object")
	})
}
