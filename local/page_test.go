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

// A tab is a browser's, and what it did that it should not.
type tab struct {
	context.Context
	mu       sync.Mutex
	mistakes []string
}

// openTab starts a headless browser.
func openTab(t *testing.T) *tab {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		awstest.Missing(t, "chromium is not installed")
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1400, 1100))...)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 5*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
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

// wantNoMistakes checks that the browser had nothing to complain about.
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

// text is an expression that is true once an element's text has a part.
func text(id, part string) string {
	return fmt.Sprintf("document.getElementById(%q).textContent.includes(%q)", id, part)
}

// press clicks what an XPath expression finds. It does so in the page: a mouse
// would miss what moves while an answer comes in.
func (b *tab) press(t *testing.T, path string) {
	t.Helper()
	b.do(t, chromedp.Evaluate(fmt.Sprintf("document.evaluate(%q, document, null, 9).singleNodeValue.click()", path), nil))
}

// click clicks a button of the page and waits for the text that comes of it.
func (b *tab) click(t *testing.T, label, id, part string) {
	t.Helper()
	if id != "bus" {
		// What an earlier click left there is not what comes of this one.
		b.do(t, chromedp.Evaluate(fmt.Sprintf(`document.getElementById(%q).textContent = ""`, id), nil))
	}
	b.press(t, fmt.Sprintf("//button[normalize-space()='%s']", label))
	b.want(t, text(id, part))
}

// clickUntil clicks a button until that shows a text: values take their time.
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

// startPage starts the server as make run does.
func startPage(t *testing.T) *server {
	t.Helper()
	c, err := startConversation(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.server.close)
	return c.server
}

func TestPageShowsAndSwitchesTheWholeService(t *testing.T) {
	t.Parallel()
	s := startPage(t)
	b := openTab(t)
	b.do(t, network.Enable(), cdplog.Enable(), chromedp.Navigate(s.clientURL+pagePath), chromedp.WaitVisible("#routes button", chromedp.ByQuery))

	// Who calls makes the difference.
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

	// What is switched off is missed, and found again.
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

// TestPageInLightAndDark also makes the README's pictures, where PICTURES names
// their folder: see make pictures.
func TestPageInLightAndDark(t *testing.T) {
	t.Parallel()
	s := startPage(t)
	b := openTab(t)
	for _, scheme := range []string{"light", "dark"} {
		var picture []byte
		b.do(t,
			emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
			chromedp.Navigate(s.clientURL+pagePath), chromedp.WaitVisible("#routes button", chromedp.ByQuery))
		b.be(t, "alice")
		b.click(t, "Send a webhook", "status", "200")
		b.want(t, text("bus", "message.new"))
		b.click(t, "Configuration", "got", "userToken")
		b.do(t, chromedp.CaptureScreenshot(&picture))
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

func TestSwaggerUITriesBothAPIsOut(t *testing.T) {
	t.Parallel()
	s := startPage(t)
	b := openTab(t)
	for path, operation := range map[string]string{"docs/client/": "getToken", "docs/service/": "verifyWebhook"} {
		status := map[string]string{"getToken": "201", "verifyWebhook": "200"}[operation]
		b.do(t, network.Enable(), cdplog.Enable(), chromedp.Navigate(s.clientURL+pagePath+path))
		block := fmt.Sprintf("[id$=%s]", operation)
		b.do(t,
			chromedp.Click(block+" .opblock-summary-control", chromedp.ByQuery),
			chromedp.Click(block+" .try-out__btn", chromedp.ByQuery),
			chromedp.Click(block+" .execute", chromedp.ByQuery),
		)
		b.want(t, fmt.Sprintf(`document.querySelector(%q)?.textContent.startsWith(%q)`, block+" .live-responses-table tbody .response-col_status", status))
	}
	b.wantNoMistakes(t)
}

func TestPageWorksOnAPhonesWidthAndByKeyboard(t *testing.T) {
	t.Parallel()
	s := startPage(t)
	b := openTab(t)
	b.do(t, emulation.SetDeviceMetricsOverride(360, 740, 1, true), chromedp.Navigate(s.clientURL+pagePath), chromedp.WaitVisible("#routes button", chromedp.ByQuery))
	b.want(t, `document.documentElement.scrollWidth <= 360`)
	b.do(t, chromedp.Focus("#routes button", chromedp.ByQuery), chromedp.KeyEvent("\r"))
	b.want(t, text("status", "200"))
}

func TestForeignPageCanReadAndDoNothing(t *testing.T) {
	t.Parallel()
	s := startPage(t)
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><link rel=icon href=data:,>")
	}))
	defer foreign.Close()
	b := openTab(t)
	b.do(t, chromedp.Navigate(foreign.URL))
	for _, attempt := range []string{
		`fetch(%q, {method: "POST", body: "{}"})`, `fetch(%q, {method: "POST", mode: "no-cors", body: "{}"})`,
		`fetch(%q)`, `fetch(%q, {method: "PUT", body: "off"})`,
	} {
		for _, path := range []string{"call", "rotate", "state", "webhook", "stand-ins/SSM", "service/proxy/users"} {
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
