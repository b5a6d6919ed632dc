package runtimeapi

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync/atomic"
	"time"
)

// A Config describes what to start. Only Binary is required.
type Config struct {
	Binary string
	Name   string            // of the function
	Env    map[string]string // over the variables that Lambda sets
	Output io.Writer         // gets stdout and stderr; closed at the end if it is an io.Closer
}

// A Process is one running instance of a function. It answers one event at a time.
type Process struct {
	OS *os.Process

	arn     string
	events  chan *invocation // nil: the process need only ask for one
	ended   chan struct{}
	current atomic.Pointer[invocation] // without an answer
}

// Start starts a process with the environment that Lambda and c define, and nothing
// of this process's own. It ends when its Runtime API does.
func Start(c Config) (*Process, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c.Name = cmp.Or(c.Name, "function")
	p := &Process{arn: "arn:aws:lambda:us-east-1:000000000000:function:" + c.Name, events: make(chan *invocation), ended: make(chan struct{})}
	// Nobody else on this machine may take events or answer them.
	path := "/" + rand.Text()
	api := &http.Server{Handler: http.StripPrefix(path, p), ErrorLog: log.New(io.Discard, "", 0)} // Ended reports a process that exits
	go api.Serve(listener)
	cmd := exec.Command(c.Binary)
	cmd.Dir, cmd.Env = "/", c.environment(listener.Addr().String()+path)
	// One writer for both keeps the lines in order.
	cmd.Stdout, cmd.Stderr = c.Output, c.Output
	// Wait must not wait for a grandchild that keeps the pipe open.
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		api.Close()
		return nil, err
	}
	p.OS = cmd.Process
	go func() {
		_ = cmd.Wait()
		if output, ok := c.Output.(io.Closer); ok {
			output.Close()
		}
		api.Close()
		p.finish(fmt.Errorf("%w: %s", ErrEnded, cmd.ProcessState))
		close(p.ended)
	}()
	return p, nil
}

// Ended is closed when the process is gone and its last output is written.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Kill kills the process.
func (p *Process) Kill() { _ = p.OS.Kill() }

// Stop kills the process and returns once it is gone.
func (p *Process) Stop() {
	p.Kill()
	<-p.ended
}

// environment returns the variables that Lambda sets, with c.Env.
//
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
func (c *Config) environment(api string) (env []string) {
	vars := map[string]string{
		"AWS_LAMBDA_RUNTIME_API":          api,
		"AWS_LAMBDA_FUNCTION_NAME":        c.Name,
		"AWS_LAMBDA_FUNCTION_VERSION":     "$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/" + c.Name,
		"AWS_LAMBDA_LOG_STREAM_NAME":      "2026/01/31/[$LATEST]example",
		"AWS_LAMBDA_LOG_FORMAT":           "JSON",
		"AWS_LAMBDA_LOG_LEVEL":            "INFO",
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_EXECUTION_ENV":               "AWS_Lambda_provided.al2023",
		"AWS_REGION":                      "us-east-1",
		"AWS_DEFAULT_REGION":              "us-east-1",
		"_HANDLER":                        "bootstrap",
		"LAMBDA_TASK_ROOT":                "/var/task",
		"TZ":                              ":UTC",
		"LANG":                            "en_US.UTF-8",
		"PATH":                            "/usr/local/bin:/usr/bin:/bin:/opt/bin",
	}
	maps.Copy(vars, c.Env)
	for name, value := range vars {
		env = append(env, name+"="+value)
	}
	return env
}
