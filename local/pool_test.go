package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/internal/runtimeapi"
)

func TestProcessesAreAtMostTen(t *testing.T) {
	t.Parallel()
	s, _ := startTest(t)
	gate := newGate(t)
	type result struct {
		body string
		err  error
	}
	results := make(chan result, 100)
	const callers = 25
	for range callers {
		go func() {
			g, err := tryCall(context.Background(), "GET", s.clientURL+"/echo/wait?gate="+gate.url, "")
			results <- result{g.body, err}
		}()
	}
	for range maxProcesses {
		<-gate.arrived
	}
	p := s.pools["echo"]
	p.mu.Lock()
	alive, busy := len(p.alive), len(gate.arrived)
	p.mu.Unlock()
	if alive != maxProcesses || busy != 0 {
		t.Errorf("want %d processes with one request each, got %d and %d more requests", maxProcesses, alive, busy)
	}
	close(gate.open)
	pids := map[string]bool{}
	for range callers {
		r := <-results
		if r.err != nil {
			t.Fatal(r.err)
		}
		pids[r.body] = true
	}
	if len(pids) > maxProcesses {
		t.Errorf("want at most %d processes, got %d", maxProcesses, len(pids))
	}
}

func TestDeadProcessIsReplaced(t *testing.T) {
	t.Parallel()
	s, log := startTest(t)
	before := call(t, "GET", s.clientURL+"/echo/pid", "").body
	if g := call(t, "GET", s.clientURL+"/echo/die", ""); g.status != 502 || g.body != `{"message":"Internal server error"}` {
		t.Errorf("want 502 for the request of a process that died, got %+v", g)
	}
	if after := call(t, "GET", s.clientURL+"/echo/pid", ""); after.status != 200 || after.body == before {
		t.Errorf("want another process than %s, got %+v", before, after)
	}
	if !strings.Contains(log.String(), "the process ended before it answered: exit status 7") {
		t.Errorf("want the exit status in the log, got %s", log)
	}
}

func TestProcessKilledWhileIdleCostsNoRequest(t *testing.T) {
	t.Parallel()
	s, _ := startTest(t)
	for range 5 {
		pid, err := strconv.Atoi(call(t, "GET", s.clientURL+"/echo/pid", "").body)
		if err != nil {
			t.Fatal(err)
		}
		proc := onlyProcess(t, s.pools["echo"])
		syscall.Kill(pid, syscall.SIGKILL)
		<-proc.Ended()
		if g := call(t, "GET", s.clientURL+"/echo/pid", ""); g.status != 200 || g.body == strconv.Itoa(pid) {
			t.Fatalf("want an answer of another process than %d, got %+v", pid, g)
		}
	}
}

func TestRequestFailsWhenNoProcessCanBeStarted(t *testing.T) {
	t.Parallel()
	p := newPool()
	p.start = func() (*runtimeapi.Process, error) { return nil, errors.New("out of processes") }
	if _, err := p.invoke(t.Context(), runtimeapi.Event{}); err == nil || !strings.Contains(err.Error(), "out of processes") {
		t.Fatalf("want the reason, got %v", err)
	}
}

func TestFunctionTimeoutEndsTheProcess(t *testing.T) {
	t.Parallel()
	s, log := startTest(t, func(o *options) { o.overrides["TimeoutSeconds"] = "1" })
	pid := call(t, "GET", s.serviceURL+"/echo/pid", "").body
	if g := call(t, "GET", s.serviceURL+"/echo/hang", ""); g.status != 502 || g.body != `{"message":"Internal server error"}` {
		t.Errorf("want 502, got %+v", g)
	}
	if g := call(t, "GET", s.serviceURL+"/echo/pid", ""); g.status != 200 || g.body == pid {
		t.Errorf("want a new process, got %+v", g)
	}
	if text := log.String(); !strings.Contains(text, "Task timed out after 1.00 seconds") || !strings.Contains(text, "echo | hanging") {
		t.Errorf("want the timeout and the function's own line in the log, got %s", text)
	}
}

func TestFunctionSeesLambdasEnvironmentOnly(t *testing.T) {
	t.Setenv("DEVELOPERS_OWN", "x")
	s, _ := startTest(t, func(o *options) {
		o.getenv = func(name string) string {
			return map[string]string{"AWS_REGION": "eu-west-3", "SSL_CERT_FILE": "/certs", "AWS_ENDPOINT_URL_SQS": "http://sqs.test", "HOME": "/home/x"}[name]
		}
	})
	got := map[string]string{}
	for _, line := range strings.Split(call(t, "GET", s.clientURL+"/echo/env", "").body, "\n") {
		name, v, _ := strings.Cut(line, "=")
		got[name] = v
	}
	for name, want := range map[string]string{
		"AWS_LAMBDA_FUNCTION_NAME":        "chat-service-local-EchoFunction",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
		"AWS_LAMBDA_LOG_LEVEL":            "DEBUG",
		"AWS_REGION":                      "eu-west-3",
		"AWS_ACCESS_KEY_ID":               s.env["AWS_ACCESS_KEY_ID"],
		"AWS_SECRET_ACCESS_KEY":           s.env["AWS_SECRET_ACCESS_KEY"],
		"AWS_ENDPOINT_URL_SSM":            s.ssmURL,
		"AWS_ENDPOINT_URL_SQS":            "http://sqs.test",
		"SSL_CERT_FILE":                   "/certs",
		"TZ":                              ":UTC",
		"STREAM_BASE_URL":                 s.streamURL,
		"OIDC_ISSUER":                     s.issuer.URL,
		"OIDC_AUDIENCE":                   "local",
	} {
		if got[name] != want {
			t.Errorf("%s: want %q, got %q", name, want, got[name])
		}
	}
	for _, name := range []string{"AWS_SESSION_TOKEN", "DEVELOPERS_OWN", "HOME", "GOPATH", "USER"} {
		if v, ok := got[name]; ok {
			t.Errorf("%s: want nothing from the developer's environment, got %q", name, v)
		}
	}
}

func TestInvocationHasItsContext(t *testing.T) {
	t.Parallel()
	s, _ := sharedTest(t)
	got := event[struct {
		ID, Arn, Trace string
		Left           float64
	}](t, call(t, "GET", s.clientURL+"/echo/context", ""))
	if len(got.ID) != 36 || got.Arn != "arn:aws:lambda:us-east-1:000000000000:function:chat-service-local-EchoFunction" ||
		!strings.HasPrefix(got.Trace, "Root=1-") || got.Left <= 0 || got.Left > 5 {
		t.Errorf("want id, ARN, trace and a deadline within 5 s, got %+v", got)
	}
}

func TestManyCallersGetTheirOwnAnswers(t *testing.T) {
	t.Parallel()
	s, _ := startTest(t)
	const callers, requests = 30, 10
	var all sync.WaitGroup
	failures := make(chan error, callers*requests)
	for i := range callers {
		all.Go(func() {
			for j := range requests {
				name := fmt.Sprintf("caller-%d-%d", i, j)
				g, err := tryCall(t.Context(), "GET", s.clientURL+"/echo/"+name, "")
				if err != nil || g.status != 200 || !strings.Contains(g.body, `"rawPath":"/echo/`+name+`"`) {
					failures <- fmt.Errorf("%s: got %d %s, %v", name, g.status, g.body, err)
				}
			}
		})
	}
	all.Wait()
	close(failures)
	for err := range failures {
		t.Error(err)
	}
}

func TestCloseLeavesNoProcessAndNoFile(t *testing.T) {
	before := ours()
	s, _ := startTest(t)
	gate := newGate(t)
	for range 3 {
		go tryCall(context.Background(), "GET", s.clientURL+"/echo/wait?gate="+gate.url, "")
	}
	for range 3 {
		<-gate.arrived
	}
	var procs []*runtimeapi.Process
	for _, p := range s.pools {
		p.mu.Lock()
		for proc := range p.alive {
			procs = append(procs, proc)
		}
		p.mu.Unlock()
	}
	if len(procs) < 4 {
		t.Fatalf("want 3 processes and one of the other function, got %d", len(procs))
	}
	s.close()
	for _, proc := range procs {
		if err := syscall.Kill(proc.OS.Pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d: want it gone, got %v", proc.OS.Pid, err)
		}
	}
	if _, err := os.Stat(s.temporary); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("want %s removed, got %v", s.temporary, err)
	}
	if _, err := tryCall(t.Context(), "GET", s.clientURL+"/echo/pid", ""); err == nil {
		t.Error("want nobody to listen any more")
	}
	// A goroutine ends a moment after what it waits for.
	for deadline := time.Now().Add(10 * time.Second); ours() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("want no goroutine left of the %d more than before", ours()-before)
		}
	}
}

// ours counts the goroutines of functions and gateways: another test's server may
// have some.
func ours() (n int) {
	stacks := make([]byte, 1<<20)
	for text := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
		if strings.Contains(text, "runtimeapi.(*Process).") || strings.Contains(text, "local.(*pool).") || strings.Contains(text, "local.(*gateway).") {
			n++
		}
	}
	return n
}

func TestLogLinesAreWholeAndNamed(t *testing.T) {
	t.Parallel()
	var log awstest.Output
	l := &lineLog{w: &log}
	var passed []string
	w := l.prefixed("token", func(_, line string) { passed = append(passed, line) })
	for _, part := range []string{"one\ntw", "o", "\n\nla", "st"} {
		w.Write([]byte(part))
	}
	w.Close()
	if log.String() != "token | one\ntoken | two\ntoken | \ntoken | last\n" || !slices.Equal(passed, []string{"one", "two", "", "last"}) {
		t.Errorf("want four lines with the name in front, got %q and %q", log.String(), passed)
	}
}
