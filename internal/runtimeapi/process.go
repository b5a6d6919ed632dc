package runtimeapi

import (
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync/atomic"
	"time"
)

// A Process is one running instance of a function. It answers one event at a time.
type Process struct {
	OS *os.Process

	events  chan *invocation // nil: the process need only ask for one
	ended   chan struct{}
	current atomic.Pointer[invocation] // without an answer
}

// Start starts a binary with env over the variables that Lambda sets, and nothing of this
// process's own. It ends when its Runtime API does. output gets stdout and stderr.
func Start(binary string, env map[string]string, output io.Writer) (*Process, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Process{events: make(chan *invocation), ended: make(chan struct{})}
	// Nobody else on this machine may take events or answer them.
	path := "/" + rand.Text()
	api := &http.Server{Handler: http.StripPrefix(path, p), ErrorLog: log.New(io.Discard, "", 0)} // whoever waits gets ErrEnded
	go api.Serve(listener)
	cmd := exec.Command(binary)
	cmd.Dir, cmd.Env = "/", environment(listener.Addr().String()+path, env)
	// One writer for both keeps the lines in order.
	cmd.Stdout, cmd.Stderr = output, output
	// Wait must not wait for a grandchild that keeps the pipe open.
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		api.Close()
		return nil, err
	}
	p.OS = cmd.Process
	go func() {
		_ = cmd.Wait()
		api.Close()
		p.finish(fmt.Errorf("%w: %s", ErrEnded, cmd.ProcessState))
		close(p.ended)
	}()
	return p, nil
}

// Stop kills the process, and returns once it is gone and its last output is written.
func (p *Process) Stop() {
	_ = p.OS.Kill()
	<-p.ended
}

// environment returns the variables of Lambda that somebody reads, with others over them.
//
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
func environment(api string, others map[string]string) (env []string) {
	env = []string{
		"AWS_LAMBDA_RUNTIME_API=" + api, "AWS_LAMBDA_FUNCTION_NAME=function", "AWS_LAMBDA_LOG_LEVEL=INFO",
		"AWS_REGION=us-east-1", "TZ=:UTC", "PATH=/usr/local/bin:/usr/bin:/bin:/opt/bin",
	}
	for name, value := range others {
		env = append(env, name+"="+value) // of two with one name, exec.Cmd takes the last
	}
	return env
}
