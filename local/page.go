package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"chat-service-backend/internal/eventbus"
	"chat-service-backend/internal/issuer"
	"chat-service-backend/internal/standin"
)

//go:embed page
var pageFiles embed.FS

// pagePath is where the Client API's address has the page, and what it needs.
const pagePath = "/.local/"

// A page shows the whole service in a browser, and switches it.
type page struct {
	*server
	standIns map[string]*standin.Switch // those that are played
	mu       sync.Mutex
	off      map[string]bool // which are switched off
}

func newPage(s *server) *page {
	p := &page{server: s, standIns: map[string]*standin.Switch{}, off: map[string]bool{}}
	if s.ssm != nil {
		p.standIns["SSM"] = &s.faults.ssm
	}
	if s.stream != nil {
		p.standIns["Stream"] = &s.faults.stream
	}
	if s.events != nil {
		p.standIns["event bus"] = &s.events.Fault[eventbus.EventBridge]
	}
	if s.issuer != nil {
		p.standIns["issuer"] = &s.faults.issuer
	}
	return p
}

// handler returns what answers below pagePath.
func (p *page) handler() http.Handler {
	files, _ := fs.Sub(pageFiles, "page") // a valid path never fails
	mux := http.NewServeMux()
	mux.HandleFunc(pagePath, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'; img-src data:; frame-ancestors 'none'")
		w.Header().Set("Cache-Control", "no-cache")
		http.StripPrefix(pagePath, http.FileServerFS(files)).ServeHTTP(w, r)
	})
	mux.HandleFunc("GET "+pagePath+"state", p.state)
	mux.HandleFunc("GET "+pagePath+"events", p.feed.ServeHTTP)
	mux.HandleFunc("PUT "+pagePath+"stand-ins/{name}", told(p.switchStandIn))
	mux.HandleFunc("PUT "+pagePath+"parameters/{name...}", told(p.writeParameter))
	mux.HandleFunc("DELETE "+pagePath+"parameters/{name...}", told(p.deleteParameter))
	mux.HandleFunc("PUT "+pagePath+"settings/{name}", told(p.set))
	mux.HandleFunc("POST "+pagePath+"rotate", told(p.rotate))
	mux.HandleFunc("POST "+pagePath+"webhook", p.sendWebhook)
	mux.HandleFunc("POST "+pagePath+"call", p.call)
	// The Service API on the page's own origin, for Swagger UI: it takes no
	// request of another origin's page.
	mux.HandleFunc(pagePath+"service/", func(w http.ResponseWriter, r *http.Request) {
		r.RequestURI = strings.TrimPrefix(r.RequestURI, pagePath+"service")
		p.restAPI.ServeHTTP(w, r)
	})
	p.docs(mux)
	return mux
}

// told answers with the sentence that f returns, or with its error.
func told(f func(*http.Request) (string, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		text, err := f(r)
		if err != nil {
			text = err.Error()
		}
		answerJSON(w, map[string]any{"ok": err == nil, "text": text})
	}
}

func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(v)
}

type pageParameter struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Secret bool   `json:"secret"`
}

type pageSetting struct {
	Name        string `json:"name"`
	Value       string `json:"value"`
	Description string `json:"description"`
}

type pageStandIn struct {
	Name string `json:"name"`
	On   bool   `json:"on"`
}

// state is what the page shows besides what happens. It holds no secret.
func (p *page) state(w http.ResponseWriter, _ *http.Request) {
	prefix := p.prefix() + "/"
	p.mu.Lock()
	defer p.mu.Unlock()
	state := struct {
		StandIns   []pageStandIn   `json:"standIns"`
		Parameters []pageParameter `json:"parameters"`
		Settings   []pageSetting   `json:"settings"`
		Functions  []string        `json:"functions"`
	}{
		[]pageStandIn{}, []pageParameter{}, []pageSetting{}, slices.Sorted(maps.Keys(p.pools)),
	}
	for _, name := range slices.Sorted(maps.Keys(p.standIns)) {
		state.StandIns = append(state.StandIns, pageStandIn{name, !p.off[name]})
	}
	values, _ := p.values() // an error is the SSM endpoint's: there is nothing to show
	for _, name := range slices.Sorted(maps.Keys(values)) {
		short, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		shown := pageParameter{Name: short, Value: values[name], Secret: strings.Contains(short, "secret")}
		if shown.Secret {
			shown.Value = ""
		}
		state.Parameters = append(state.Parameters, shown)
	}
	for _, name := range p.settings() {
		declared, _ := p.template.Section("Parameters")[name].(map[string]any)
		description, _ := declared["Description"].(string)
		state.Settings = append(state.Settings, pageSetting{name, p.stack.Parameter(name), description})
	}
	answerJSON(w, state)
}

// parameter is the value of a template parameter as the functions have it now.
func (p *page) parameter(name string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stack.Parameter(name)
}

func (p *page) prefix() string { return p.parameter("ParameterPrefix") }

// settings are the template parameters that reach the functions' environment,
// but for those that say where the stand-ins are.
func (p *page) settings() []string {
	used := []any{member(p.template.Section("Globals"), "Function", "Environment")}
	for _, resource := range p.template.Section("Resources") {
		used = append(used, member(resource, "Properties", "Environment"))
	}
	environments, _ := json.Marshal(used) // what was YAML always encodes
	var names []string
	for _, name := range slices.Sorted(maps.Keys(p.template.Section("Parameters"))) {
		fixed := slices.Contains([]string{"ParameterPrefix", "StreamBaseUrl", "OidcIssuer", "Environment"}, name)
		if !fixed && bytes.Contains(environments, []byte(`{"Ref":"`+name+`"}`)) {
			names = append(names, name)
		}
	}
	return names
}

func (p *page) switchStandIn(r *http.Request) (string, error) {
	name := r.PathValue("name")
	body, err := io.ReadAll(io.LimitReader(r.Body, 16))
	played := p.standIns[name]
	if err != nil || played == nil || string(body) != "on" && string(body) != "off" {
		return "", fmt.Errorf("want on or off for one of %q", slices.Sorted(maps.Keys(p.standIns)))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.off[name] = string(body) == "off"
	if p.off[name] {
		played.Set(standin.HangUp)
		return name + " hangs up on every call. Values that are known stay in use: see what callers get.", nil
	}
	played.Set(nil)
	return name + " answers again.", nil
}

// ownValues returns an error if the server's values come from elsewhere.
func (p *page) ownValues() error {
	if p.memory == nil {
		return fmt.Errorf("these values come from %s: change them there", cmp.Or(p.parameters, p.ssmURL))
	}
	return nil
}

func (p *page) writeParameter(r *http.Request) (string, error) {
	if err := p.ownValues(); err != nil {
		return "", err
	}
	value, err := io.ReadAll(io.LimitReader(r.Body, 8<<10))
	if err != nil || len(value) == 0 {
		return "", errors.New("want a value of 1 to 8192 bytes")
	}
	p.memory.Set(p.prefix()+"/"+r.PathValue("name"), string(value))
	return "Written. " + p.inUse(), nil
}

func (p *page) deleteParameter(r *http.Request) (string, error) {
	if err := p.ownValues(); err != nil {
		return "", err
	}
	p.memory.Delete(p.prefix() + "/" + r.PathValue("name"))
	return "Deleted. " + p.inUse(), nil
}

// inUse tells the user when a change takes effect.
func (p *page) inUse() string {
	return "In use within " + p.parameter("ParameterTtl") + " s, without a restart."
}

// rotate makes a new API secret; the old one still verifies webhooks.
func (p *page) rotate(*http.Request) (string, error) {
	if err := p.ownValues(); err != nil {
		return "", err
	}
	values, _ := p.memory.Values()
	secret := p.prefix() + "/stream/api-secret"
	p.memory.Set(secret+"-previous", values[secret])
	p.memory.Set(secret, rand.Text())
	return "There is a new secret. Webhooks signed with the old one still pass. " + p.inUse(), nil
}

// set changes a template parameter and restarts the functions, as a deployment
// would.
func (p *page) set(r *http.Request) (string, error) {
	name := r.PathValue("name")
	if !slices.Contains(p.settings(), name) {
		return "", fmt.Errorf("want one of %q", p.settings())
	}
	value, err := io.ReadAll(io.LimitReader(r.Body, 4<<10))
	if err != nil {
		return "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.overrides
	p.overrides = maps.Clone(before)
	p.overrides[name] = string(value)
	if err := p.deploy(r.Context()); err != nil {
		p.overrides = before
		return "", err
	}
	if err := p.startFunctions(r.Context()); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s is %q now.", name, value), nil
}

// call sends the request that the page describes, as the caller it names.
func (p *page) call(w http.ResponseWriter, r *http.Request) {
	var in struct{ Who, User, API, Method, Path, Body string }
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&in); err != nil {
		answerJSON(w, exchange{Status: "Not sent: the page's request cannot be read"})
		return
	}
	e := exchange{url: p.clientURL + in.Path, method: in.Method, body: in.Body}
	if in.API == "service" {
		e.url = p.serviceURL + in.Path
		if name, value := p.userHeader(in.User); in.Who != "nobody" {
			e.header = append(e.header, [2]string{name, value})
		}
	} else if in.Who != "nobody" {
		bearer, err := p.bearer(in.Who, in.User)
		if err != nil {
			answerJSON(w, exchange{Status: "Not sent: " + err.Error()})
			return
		}
		e.header = append(e.header, [2]string{"Authorization", "Bearer " + bearer})
	}
	if in.Method == http.MethodGet {
		e.body = ""
	}
	if e.body != "" {
		e.header = append(e.header, [2]string{"Content-Type", "application/json"})
	}
	e.send(r.Context(), []byte(e.body))
	answerJSON(w, e)
}

// userHeader is how a service names a user: in a header field, or in the JSON
// object that one holds.
func (p *page) userHeader(user string) (name, value string) {
	parts := strings.Split(p.parameter("UserIdHeaderKey"), ".")
	if value = user; len(parts) > 1 {
		var object any = user
		for _, member := range slices.Backward(parts[1:]) {
			object = map[string]any{member: object}
		}
		encoded, _ := json.Marshal(object) // texts always encode
		value = string(encoded)
	}
	return parts[0], value
}

// bearer is a token of the issuer that the server plays, or one that only looks
// like it.
func (p *page) bearer(who, user string) (string, error) {
	switch {
	case p.issuer == nil:
		return "", errors.New("the server plays no issuer: ask yours for a token, and call with curl")
	case who == "forged":
		return (&issuer.Issuer{URL: p.issuer.URL, Audience: p.issuer.Audience}).Bearer(user, nil)
	case who == "expired":
		return p.issuer.Bearer(user, map[string]any{"exp": time.Now().Add(-time.Hour).Unix()})
	}
	return p.issuer.Bearer(user, nil)
}

// sendWebhook plays Stream: it signs the event as the query's kind says, and
// sends it to the webhook's address.
func (p *page) sendWebhook(w http.ResponseWriter, r *http.Request) {
	event, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	values, err := p.values()
	if err != nil {
		answerJSON(w, exchange{Status: "Not sent: no secret to sign with: " + err.Error()})
		return
	}
	kind, secret := r.URL.Query().Get("kind"), values[p.prefix()+"/stream/api-secret"]
	if kind == "forged" {
		secret = "somebody else's"
	}
	e := exchange{url: p.clientURL + "/webhook", method: http.MethodPost, body: string(event)}
	if kind == "large" {
		event = append(event, bytes.Repeat([]byte(" "), maxEvent)...)
		e.body = fmt.Sprintf("(the event, and %d spaces)", maxEvent)
	}
	e.header = [][2]string{
		{"Content-Type", "application/json"}, {"X-Signature", signature(secret, event)},
		{"X-Api-Key", values[p.prefix()+"/stream/api-key"]}, {"X-Webhook-Id", standin.UUID()}, {"X-Webhook-Attempt", "1"},
	}
	sent := event
	if kind == "gzip" {
		var compressed bytes.Buffer
		z := gzip.NewWriter(&compressed)
		_, _ = z.Write(event) // a Buffer takes everything
		_ = z.Close()
		sent = compressed.Bytes()
		e.header = append(e.header, [2]string{"Content-Encoding", "gzip"})
	}
	e.send(r.Context(), sent)
	if kind == "gzip" {
		e.Curl = "printf %s " + quote(e.body) + " | gzip | " + strings.Replace(e.Curl, "-d "+quote(e.body), "--data-binary @-", 1)
	}
	answerJSON(w, e)
}

// signature returns Stream's signature of a webhook.
func signature(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// An exchange is a request that the server sent for the page, and its answer.
type exchange struct {
	Status string  `json:"status"`
	MS     float64 `json:"ms"`
	Sent   string  `json:"sent"`
	Got    string  `json:"got"`
	Curl   string  `json:"curl"`

	url, method, body string // the body as it is shown
	header            [][2]string
}

// send sends the request with a body, and fills in what the page shows of it.
func (e *exchange) send(ctx context.Context, body []byte) {
	request, err := http.NewRequestWithContext(ctx, e.method, e.url, bytes.NewReader(body))
	if err != nil {
		e.Status = "Not sent: " + err.Error()
		return
	}
	e.Sent = e.method + " " + request.URL.RequestURI() + "\n"
	e.Curl = "curl -i"
	if e.method != http.MethodGet {
		e.Curl += " -X " + e.method
	}
	for _, h := range e.header {
		request.Header.Set(h[0], h[1])
		e.Sent += h[0] + ": " + h[1] + "\n"
		e.Curl += " -H " + quote(h[0]+": "+h[1])
	}
	if e.body != "" {
		e.Sent += "\n" + e.body
		e.Curl += " -d " + quote(e.body)
	}
	e.Curl += " " + quote(e.url)
	began := time.Now()
	response, err := http.DefaultClient.Do(request)
	e.MS = float64(time.Since(began).Microseconds()) / 1000
	if err != nil {
		e.Status = "No answer: " + err.Error()
		return
	}
	defer response.Body.Close()
	e.Status = response.Status
	var got bytes.Buffer
	_ = response.Header.Write(&got) // a Buffer takes everything
	got.WriteByte('\n')
	_, _ = io.Copy(&got, io.LimitReader(response.Body, 1<<20))
	e.Got = strings.ReplaceAll(got.String(), "\r\n", "\n")
}

// quote quotes text for a shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// A feed passes on what happens to the pages that are open. The last of it comes
// first to a page that opens.
type feed struct {
	mu      sync.Mutex
	last    []string // each an event in the form of server-sent events
	watched map[chan string]bool
}

// maxFeed is how many events are kept, and how far a page may be behind.
const maxFeed = 200

func (f *feed) send(name string, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		return
	}
	event := "event: " + name + "\ndata: " + string(data) + "\n\n"
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last = append(f.last, event); len(f.last) > maxFeed {
		f.last = f.last[1:]
	}
	for page := range f.watched {
		select {
		case page <- event:
		default: // too slow: it misses this one
		}
	}
}

// ServeHTTP sends events for as long as the page is open.
//
// https://html.spec.whatwg.org/multipage/server-sent-events.html
func (f *feed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	mine := make(chan string, 2*maxFeed)
	f.mu.Lock()
	for _, event := range f.last {
		mine <- event
	}
	if f.watched == nil {
		f.watched = map[chan string]bool{}
	}
	f.watched[mine] = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.watched, mine)
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	control := http.NewResponseController(w)
	for {
		if control.Flush() != nil {
			return
		}
		select {
		case event := <-mine:
			if _, err := io.WriteString(w, event); err != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

// sendLog passes on a line that a function wrote.
func (f *feed) sendLog(function, line string) {
	var fields struct {
		RequestID string `json:"requestId"`
	}
	_ = json.Unmarshal([]byte(line), &fields) // a line that is not JSON belongs to no request
	f.send("log", map[string]string{"id": fields.RequestID, "function": function, "line": line})
}

// sendEvent passes on an event that the bus took.
func (f *feed) sendEvent(e eventbus.Entry) {
	f.send("bus", map[string]string{"type": e.DetailType, "text": e.Detail})
}
