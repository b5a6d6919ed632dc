package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/golang-jwt/jwt/v4"
	"github.com/urfave/cli/v3"

	"chat-service-backend/internal/streamapi"
	"chat-service-backend/ops/console"
	"chat-service-backend/ops/stack"
)

// TestMain lets this binary be the program, for the tests of what only a process can show.
func TestMain(m *testing.M) {
	if os.Getenv("RUN_OPS") != "" {
		main()
	}
	flag.Parse()
	_ = flag.Set("test.parallel", "8")             // they wait more than they work
	os.Setenv("HTTPS_PROXY", "http://127.0.0.1:1") // no test calls Stream
	os.Exit(m.Run())
}

// process prepares a run of the program as a process, with none of this process's
// environment.
func process(t testing.TB, env []string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(env, "RUN_OPS=1", "HOME="+t.TempDir())
	return cmd
}

// A result is the outcome of a run.
type result struct {
	status         int
	stdout, stderr string
}

// want fails unless a run ended with this status and printed all of this.
func (r result) want(t testing.TB, status int, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(r.stdout+r.stderr, word) {
			t.Errorf("want %q, got\n%s%s", word, r.stdout, r.stderr)
		}
	}
	if r.status != status {
		t.Errorf("want status %d, got %d\n%s%s", status, r.status, r.stdout, r.stderr)
	}
}

// hides fails if a run printed a secret.
func (r result) hides(t testing.TB, secrets ...string) {
	t.Helper()
	for _, s := range secrets {
		if strings.Contains(r.stdout+r.stderr, s) {
			t.Errorf("want %q not shown, got\n%s%s", s, r.stdout, r.stderr)
		}
	}
}

// A screen may be written to and read at the same time.
type screen struct {
	mu      sync.Mutex
	text    []byte
	changed chan struct{} // holds a value after a write
}

func newScreen() *screen { return &screen{changed: make(chan struct{}, 1)} }

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = append(s.text, b...)
	select {
	case s.changed <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.text)
}

// A tool runs commands in this process.
type tool struct {
	dir string // template.yaml is here or in a folder above
	env map[string]string
	aws func(context.Context) (aws.Config, error)
	// wait replaces the time that passes while the program waits for Stream.
	wait func(context.Context, time.Duration) error
}

func (l tool) run(ctx context.Context, stdin string, args ...string) result {
	stdout, stderr := newScreen(), newScreen()
	if l.wait == nil {
		l.wait = func(ctx context.Context, _ time.Duration) error { return context.Cause(ctx) }
	}
	e := environment{getenv: func(name string) string { return l.env[name] }, loadAWS: l.aws, dir: l.dir, wait: l.wait, stdin: strings.NewReader(stdin), stdout: stdout, stderr: stderr}
	status := e.run(context.WithValue(ctx, commandKey{}, strings.Join(args[:min(len(args), 1)], "")), args)
	return result{status, stdout.String(), stderr.String()}
}

// errCtrlC is what main's context ends with on Ctrl-C.
var errCtrlC = errors.Join(errors.New("interrupt signal received"), context.Canceled)

// An app is one at Stream, behind a Service API that signs for it.
type app struct {
	tool
	t     testing.TB
	ctx   context.Context
	ctrlC context.CancelCauseFunc // ends ctx
	url   string
	mu    sync.Mutex
	made  []request                                                // other than GETs
	hook  func(w http.ResponseWriter, r *http.Request, n int) bool // n counts the requests in made; true: answered
	twist func(path string, answer map[string]any)                 // changes what Stream answers to GETs
}

type request struct {
	Method, Path string
	Body         map[string]any
}

func newApp(t testing.TB) *app {
	t.Helper()
	api := streamapi.New(func() (string, []string, error) { return "key", []string{"secret"}, nil })
	api.Lag = 5 * time.Second
	var ahead atomic.Int64 // of the clock
	api.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"server": true}).SignedString([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	a := &app{t: t, tool: tool{dir: t.TempDir(), env: map[string]string{}}}
	a.wait = func(ctx context.Context, d time.Duration) error {
		ahead.Add(int64(d))
		return context.Cause(ctx)
	}
	a.ctx, a.ctrlC = context.WithCancelCause(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, ok := strings.CutPrefix(r.URL.EscapedPath(), "/proxy")
		if !ok {
			fmt.Fprintf(w, `{"api_key":"key","clientUrl":%q}`, strings.TrimSuffix(hookURL, "/webhook"))
			return
		}
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		a.mu.Lock()
		n, hook := 0, a.hook
		if r.Method != http.MethodGet {
			made := request{Method: r.Method, Path: path}
			_ = json.Unmarshal(body, &made.Body)
			if at := nullIn(made.Body); at != "" {
				t.Errorf("%s %s has null in %s", made.Method, path, at)
			}
			a.made = append(a.made, made)
			n = len(a.made)
		}
		a.mu.Unlock()
		if hook != nil && hook(w, r, n) {
			return
		}
		query := r.URL.Query()
		query.Set("api_key", "key")
		r.URL.Path, _ = url.PathUnescape(path)
		r.URL.RawPath, r.URL.RawQuery = path, query.Encode()
		r.Header.Set("Authorization", token)
		r.Header.Set("Stream-Auth-Type", "jwt")
		if a.twist == nil || r.Method != http.MethodGet {
			api.ServeHTTP(w, r)
			return
		}
		recorded := httptest.NewRecorder()
		api.ServeHTTP(recorded, r)
		var answer map[string]any
		_ = json.Unmarshal(recorded.Body.Bytes(), &answer)
		a.twist(path, answer)
		w.WriteHeader(recorded.Code)
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	a.url = server.URL
	return a
}

// nullIn returns where a request has null that Stream did not answer itself, or "".
func nullIn(v any) string {
	switch v := v.(type) {
	case nil:
		return "."
	case map[string]any:
		for name, v := range v {
			if at := nullIn(v); at != "" && !slices.Contains([]string{"partition_ttl", "event_hooks", "condition"}, name) {
				return name + at
			}
		}
	case []any:
		for _, v := range v {
			if at := nullIn(v); at != "" {
				return "[]" + at
			}
		}
	}
	return ""
}

// intercept lets a function see each request first and perhaps answer it.
func (a *app) intercept(hook func(w http.ResponseWriter, r *http.Request, n int) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hook = hook
}

// fail answers the n-th request with an error, once.
func (a *app) fail(n, status int, body string) {
	failed := false
	a.intercept(func(w http.ResponseWriter, r *http.Request, i int) bool {
		if i != n || failed {
			return false
		}
		failed = true
		if status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "1")
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
		return true
	})
}

// requests returns those made since the last call, other than GETs.
func (a *app) requests() []request {
	a.mu.Lock()
	defer a.mu.Unlock()
	made := a.made
	a.made = nil
	return made
}

// file writes a file and returns its path.
func (a *app) file(name, text string) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

const hookURL = "https://chat.example.com/webhook"

// args is the command line of a command for the app.
func (a *app) args(command string, args ...string) []string {
	words := append(strings.Fields(command), "-service-url", a.url)
	if !strings.HasPrefix(command, "users") {
		words = append(words, "-file", filepath.Join(a.dir, "stream.yaml"))
	}
	return append(words, args...)
}

func (a *app) run(command string, args ...string) result { return a.answer("", command, args...) }

// answer is run with answers on standard input.
func (a *app) answer(stdin, command string, args ...string) result {
	return a.tool.run(a.ctx, stdin, a.args(command, args...)...)
}

// call calls Stream directly.
func (a *app) call(method, path string, body any) map[string]any {
	a.t.Helper()
	text, _ := json.Marshal(body)
	resp, err := stack.Fetch(a.t.Context(), method, a.url+"/proxy"+path, nil, text)
	if err != nil {
		a.t.Fatal(err)
	}
	if method != http.MethodGet {
		_ = a.wait(a.t.Context(), 5*time.Second) // until Stream agrees
	}
	var out map[string]any
	if err := json.Unmarshal(resp.Body, &out); err != nil || resp.Status > 299 {
		a.t.Fatalf("%s %s: want success, got %d %s", method, path, resp.Status, resp.Body)
	}
	return out
}

func (a *app) hooks() []any {
	a.t.Helper()
	return a.call("GET", "/app", nil)["app"].(map[string]any)["event_hooks"].([]any)
}

func TestBadCommandLineExitsWithStatus2(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"", "ops: no command is given: add one of doctor, "},
		{"dance", `ops: there is no command "dance": it is one of doctor, `},
		{"plan -nonsense", "-nonsense"},
		{"plan more", "ops plan: \"more\" is too much after ops plan\n"},
		{"users import", "FILE is missing"},
		{"users export x", `there is no command "export"`},
		{"plan -service-url nonsense", "not a URL"},
		{"plan -output nonsense", `"nonsense" is missing separator "="`},
	} {
		tool{}.run(t.Context(), "", strings.Fields(c.args)...).want(t, 2, c.want)
	}
}

func TestHelpNamesEachCommandAndItsFlags(t *testing.T) {
	help := tool{}.run(t.Context(), "", "help")
	tool{}.run(t.Context(), "", "--version").want(t, 0, "ops version dev")
	var check func(path []string, all []*cli.Command)
	check = func(path []string, all []*cli.Command) {
		for _, c := range all {
			path := append(slices.Clone(path), c.Name)
			if len(c.Commands) > 0 {
				check(path, c.Commands)
				continue
			}
			r := tool{}.run(t.Context(), "", append(path, "-h")...)
			r.want(t, 0, c.Usage, "Examples:", "--env", "--json")
			for _, f := range c.Flags {
				r.want(t, 0, "--"+f.Names()[0])
			}
		}
	}
	all := commands(&console.Console{}, &stack.Target{Getenv: func(string) string { return "" }})
	for _, c := range all {
		help.want(t, 0, c.Name, c.Usage)
	}
	check(nil, all)
}

func TestMakeHasATargetForEachCommandOnAnEnvironment(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("make is not installed")
	}
	targets := []string{"doctor", "plan", "apply", "pull", "params", "rotate", "redrive", "connect"}
	cmd := exec.CommandContext(t.Context(), "make", append([]string{"-n", "-C", "..", "--no-print-directory", "ENV=qa", "ARGS=-json"}, targets...)...)
	// Without make's own variables: this test may run in one.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	out, err := cmd.CombinedOutput()
	want := ""
	for _, target := range targets[:7] {
		want += "go run ./ops " + target + ` -env "$ENV" -json` + "\n"
	}
	want += strings.ReplaceAll("go run ./ops doctor -env ENV -before-connect\ngo run ./ops apply -env ENV -json\ngo run ./ops doctor -env ENV\n", "ENV", `"$ENV"`)
	if err != nil || string(out) != want {
		t.Errorf("want\n%s\ngot %v\n%s", want, err, out)
	}
}
