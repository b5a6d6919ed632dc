package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v4"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/internal/streamapi"
)

// A result is what a run of the program came to.
type result struct {
	status         int
	stdout, stderr string
}

// A screen keeps what a program writes, for others to see while it runs.
type screen struct {
	changed *sync.Cond
	text    []byte
}

func newScreen() *screen { return &screen{changed: sync.NewCond(new(sync.Mutex))} }

func (s *screen) Write(b []byte) (int, error) {
	s.changed.L.Lock()
	defer s.changed.L.Unlock()
	s.text = append(s.text, b...)
	s.changed.Broadcast()
	return len(b), nil
}

func (s *screen) String() string {
	s.changed.L.Lock()
	defer s.changed.L.Unlock()
	return string(s.text)
}

// await returns once a program has written this.
func await(cmd *exec.Cmd, text string) {
	s := cmd.Stderr.(*screen)
	s.changed.L.Lock()
	defer s.changed.L.Unlock()
	for !strings.Contains(string(s.text), text) {
		s.changed.Wait()
	}
}

// start prepares a run: in dir, with nothing of this process's environment that
// AWS's SDK would look at.
func start(t testing.TB, dir string, env []string, stdin string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), awstest.Binaries(t, "./ops")["./ops"], args...)
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull, "AWS_EC2_METADATA_DISABLED=true"}, env...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Stdout, cmd.Stderr = newScreen(), newScreen()
	return cmd
}

// runAndTell runs a program and closes started once it has a process, for others
// who signal it.
func runAndTell(cmd *exec.Cmd, started chan<- struct{}) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	close(started)
	return cmd.Wait()
}

func finish(t testing.TB, cmd *exec.Cmd, err error) result {
	t.Helper()
	if _, ok := err.(*exec.ExitError); err != nil && !ok {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), fmt.Sprint(cmd.Stdout), fmt.Sprint(cmd.Stderr)}
}

// want fails unless a run ended with this status and said all of this.
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

// An app is one at Stream, behind a Service API that signs for it.
type app struct {
	t    testing.TB
	dir  string
	url  string
	mu   sync.Mutex
	made []request                                                // that were not to read
	hook func(w http.ResponseWriter, r *http.Request, n int) bool // n counts those that are not to read, from 1; true: answered
}

type request struct {
	Method, Path string
	Body         map[string]any
}

func newApp(t testing.TB) *app {
	t.Helper()
	api := streamapi.New(func() (string, []string, error) { return "key", []string{"secret"}, nil })
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"server": true}).SignedString([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	a := &app{t: t, dir: t.TempDir()}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, ok := strings.CutPrefix(r.URL.EscapedPath(), "/proxy")
		if !ok {
			fmt.Fprint(w, `{"api_key":"key"}`)
			return
		}
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		a.mu.Lock()
		n, hook := 0, a.hook
		if r.Method != http.MethodGet {
			made := request{Method: r.Method, Path: path}
			_ = json.Unmarshal(body, &made.Body)
			a.made = append(a.made, made)
			n = len(a.made)
		}
		a.mu.Unlock()
		if hook != nil && hook(w, r, n) {
			return
		}
		query := r.URL.Query()
		query.Set("api_key", "key")
		r.URL.Path, r.URL.RawPath, r.URL.RawQuery = path, "", query.Encode()
		r.Header.Set("Authorization", token)
		r.Header.Set("Stream-Auth-Type", "jwt")
		api.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	a.url = server.URL
	return a
}

// intercept has a function see each request first, and answer it or not.
func (a *app) intercept(hook func(w http.ResponseWriter, r *http.Request, n int) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hook = hook
}

// requests are those that have been made since the last call, but for those that read.
func (a *app) requests() []request {
	a.mu.Lock()
	defer a.mu.Unlock()
	made := a.made
	a.made = nil
	return made
}

func (a *app) file(name, text string) string {
	a.t.Helper()
	if err := os.WriteFile(filepath.Join(a.dir, name), []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return name
}

const hookURL = "https://chat.example.com/webhook"

func (a *app) command(env []string, stdin, command string, args ...string) *exec.Cmd {
	words := append(strings.Fields(command), "-service-url", a.url, "-output", "WebhookUrl="+hookURL)
	return start(a.t, a.dir, env, stdin, append(words, args...)...)
}

// run runs a command against the app, with stream.yaml.
func (a *app) run(command string, args ...string) result {
	a.t.Helper()
	cmd := a.command(nil, "", command, args...)
	return finish(a.t, cmd, cmd.Run())
}

// call calls Stream directly.
func (a *app) call(method, path string, body any) map[string]any {
	a.t.Helper()
	text, _ := json.Marshal(body)
	r, err := http.NewRequestWithContext(a.t.Context(), method, a.url+"/proxy"+path, bytes.NewReader(text))
	if err != nil {
		a.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode > 299 {
		a.t.Fatalf("%s %s: want success, got %d %v %v", method, path, resp.StatusCode, answer, err)
	}
	return answer
}

func (a *app) hooks() []any {
	a.t.Helper()
	return a.call("GET", "/app", nil)["app"].(map[string]any)["event_hooks"].([]any)
}

func TestCommandLineThatCannotBeRightIsStatus2(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, want string }{
		{"", "want a command"},
		{"dance", `got "dance"`},
		{"plan -nonsense", "-nonsense"},
		{"plan more", `got "more"`},
		{"users import", "FILE"},
		{"users export x", `got "users"`},
		{"plan -service-url nonsense", "want a URL"},
		{"plan -output nonsense", "NAME=VALUE"},
	} {
		cmd := start(t, t.TempDir(), nil, "", strings.Fields(c.args)...)
		finish(t, cmd, cmd.Run()).want(t, 2, c.want)
	}
}

func TestHelpNamesEachCommandAndItsFlags(t *testing.T) {
	t.Parallel()
	for _, c := range commands {
		cmd := start(t, t.TempDir(), nil, "", "-h")
		finish(t, cmd, cmd.Run()).want(t, 0, "  "+c.name+" ", c.summary)
		cmd = start(t, t.TempDir(), nil, "", append(strings.Fields(c.name), "-h")...)
		finish(t, cmd, cmd.Run()).want(t, 0, "ops "+c.name, "-env", "-json")
	}
}

func TestMakeHasATargetForEachCommandOnAnEnvironment(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("make is not installed")
	}
	for target, want := range map[string][]string{
		"doctor": {"doctor -env qa -json"}, "plan": {"plan -env qa -json"}, "apply": {"apply -env qa -json"}, "pull": {"pull -env qa -json"},
		"params": {"params -env qa -json"}, "rotate": {"rotate -env qa -json"}, "redrive": {"redrive -env qa -json"},
		"connect": {"doctor -env qa -before-connect", "apply -env qa -json", "doctor -env qa"},
	} {
		cmd := exec.CommandContext(t.Context(), "make", "-n", "-C", "..", "--no-print-directory", target, "ENV=qa", "ARGS=-json")
		// Not what make tells its children: this test may run in one.
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != "go run ./ops "+strings.Join(want, "\ngo run ./ops ") {
			t.Errorf("make %s: want %q, got %v\n%s", target, want, err, got)
		}
	}
}
