package main

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// process is one running copy of a function, known by the listener on which it
// has a Runtime API of its own.
type process struct {
	pool  *pool
	cmd   *exec.Cmd
	api   *http.Server
	ready chan struct{} // closed at the first poll for an event
	done  chan struct{} // closed when the process is gone
	work  chan *invocation

	// These belong to the pool's mutex.
	polled    bool
	returning bool
	current   *invocation
}

// startProcess runs binary with the environment env and a Runtime API.
func startProcess(p *pool, binary string, env []string) (*process, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("Runtime API: %w", err)
	}
	proc := &process{
		pool:  p,
		ready: make(chan struct{}),
		done:  make(chan struct{}),
		work:  make(chan *invocation, 1),
	}
	proc.api = &http.Server{Handler: proc, ErrorLog: discardLog}
	go proc.api.Serve(listener)

	output := p.log.prefixed(p.fn.name)
	proc.cmd = exec.Command(binary)
	proc.cmd.Dir = "/"
	proc.cmd.Env = append([]string{"AWS_LAMBDA_RUNTIME_API=" + listener.Addr().String()}, env...)
	// One writer for both keeps the order of the lines.
	proc.cmd.Stdout, proc.cmd.Stderr = output, output
	proc.cmd.SysProcAttr = ownGroup()
	// A grandchild that keeps the pipe open must not keep wait waiting.
	proc.cmd.WaitDelay = time.Second
	if err := proc.cmd.Start(); err != nil {
		proc.api.Close()
		return nil, fmt.Errorf("start: %w", err)
	}
	return proc, nil
}

// wait returns when the process is gone and its last line is logged.
func (proc *process) wait() {
	proc.cmd.Wait()
	if c, ok := proc.cmd.Stdout.(io.Closer); ok {
		c.Close()
	}
	proc.api.Close()
	close(proc.done)
}

// kill ends the process and all it started, at once.
func (proc *process) kill() { killGroup(proc.cmd.Process) }

// state says how the process ended.
func (proc *process) state() string {
	if proc.cmd.ProcessState == nil {
		return "running"
	}
	return proc.cmd.ProcessState.String()
}

// environment is what a function sees: Lambda's reserved variables, what the
// template sets, and of the developer's own only what it takes to reach the
// endpoints: trusted certificates, and AWS endpoints and credentials.
func environment(f function, root, region string, getenv func(string) string, extra map[string]string) []string {
	vars := map[string]string{
		"AWS_LAMBDA_FUNCTION_NAME":        f.Name,
		"AWS_LAMBDA_FUNCTION_VERSION":     "$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(f.MemorySize),
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/" + f.Name,
		"AWS_LAMBDA_LOG_STREAM_NAME":      time.Now().UTC().Format("2006/01/02") + "/[$LATEST]" + strings.ReplaceAll(newUUID(), "-", ""),
		"AWS_LAMBDA_LOG_FORMAT":           "JSON",
		"AWS_LAMBDA_LOG_LEVEL":            f.LogLevel,
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_EXECUTION_ENV":               "AWS_Lambda_provided.al2023",
		"AWS_REGION":                      region,
		"AWS_DEFAULT_REGION":              region,
		"_HANDLER":                        "bootstrap",
		"LAMBDA_TASK_ROOT":                root,
		"TZ":                              ":UTC",
		"LANG":                            "en_US.UTF-8",
		"PATH":                            "/usr/local/bin:/usr/bin:/bin:/opt/bin",
	}
	for _, more := range []map[string]string{credentials(getenv), f.Environment, extra} {
		maps.Copy(vars, more)
	}
	env := make([]string, 0, len(vars))
	for name, v := range vars {
		env = append(env, name+"="+v)
	}
	return env
}

// credentials are the developer's AWS_* ones, or some that mean nothing, which
// is enough for the stand-ins.
func credentials(getenv func(string) string) map[string]string {
	names := []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
	c := map[string]string{}
	for _, name := range names {
		if v := getenv(name); v != "" {
			c[name] = v
		} else if getenv("AWS_ACCESS_KEY_ID") == "" {
			c[name] = "local"
		}
	}
	return c
}
