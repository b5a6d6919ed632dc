package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"chat-service-backend/internal/runtimeapi"
)

// maxProcesses is how many processes one function may have at a time; further
// requests wait.
const maxProcesses = 10

// pool holds the processes of one function. As at AWS, each answers one request
// at a time, and a request that finds none free starts another.
type pool struct {
	start func() (*runtimeapi.Process, error)
	slots chan struct{} // one taken for each request in progress

	mu     sync.Mutex
	idle   []*runtimeapi.Process // the most recently used is last
	alive  map[*runtimeapi.Process]bool
	closed bool
	ended  sync.WaitGroup // one for each process
}

func newPool() *pool {
	return &pool{slots: make(chan struct{}, maxProcesses), alive: map[*runtimeapi.Process]bool{}}
}

var errServerStops = errors.New("the server stops")

// invoke hands the event to a process and returns its answer. When ctx ends
// first, its cause is the error.
func (p *pool) invoke(ctx context.Context, e runtimeapi.Event) (*runtimeapi.Answer, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	for {
		proc, started, err := p.take()
		if err != nil {
			<-p.slots
			return nil, err
		}
		answer, err := proc.Invoke(ctx, e)
		if errors.Is(err, runtimeapi.ErrNotTaken) {
			if !started {
				continue // it ended while it was idle
			}
			<-proc.Ended()
			err = fmt.Errorf("the process ended at its start: %s", proc.State())
		}
		if err == nil && !e.Stream {
			p.put(proc) // which asks for its next event in a moment
			return answer, nil
		}
		go func() {
			_ = proc.Idle(context.Background()) // or it has ended
			p.put(proc)
		}()
		return answer, err
	}
}

// take returns an idle process, or one that it started.
func (p *pool) take() (proc *runtimeapi.Process, started bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.idle); n > 0 {
		proc, p.idle = p.idle[n-1], p.idle[:n-1]
		return proc, false, nil
	}
	proc, err = p.add()
	return proc, true, err
}

// put makes a process idle, and its slot free.
func (p *pool) put(proc *runtimeapi.Process) {
	p.mu.Lock()
	if p.alive[proc] {
		p.idle = append(p.idle, proc)
	}
	p.mu.Unlock()
	<-p.slots
}

// add starts a process. p.mu is held.
func (p *pool) add() (*runtimeapi.Process, error) {
	if p.closed {
		return nil, errServerStops
	}
	proc, err := p.start()
	if err != nil {
		return nil, err
	}
	p.alive[proc] = true
	p.ended.Go(func() {
		<-proc.Ended()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.alive, proc)
	})
	return proc, nil
}

// replace kills every process, and starts the first of their successors.
func (p *pool) replace(start func() (*runtimeapi.Process, error)) (*runtimeapi.Process, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.start = start
	for proc := range p.alive {
		proc.Kill()
	}
	proc, err := p.add()
	if err != nil {
		return nil, err
	}
	p.idle = []*runtimeapi.Process{proc}
	return proc, nil
}

// close kills every process and waits until they are gone.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	for proc := range p.alive {
		proc.Kill()
	}
	p.mu.Unlock()
	p.ended.Wait()
}
