package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"chat-service-backend/internal/runtimeapi"
)

// maxProcesses is the most processes that one function may have; further requests
// wait.
const maxProcesses = 10

// pool holds the processes of one function. As at AWS, each answers one request
// at a time, and a request that finds none idle starts another.
type pool struct {
	start func() (*runtimeapi.Process, error)
	slots chan struct{} // holds one element for each request in progress

	mu    sync.Mutex
	idle  []*runtimeapi.Process // the most recently used last
	alive map[*runtimeapi.Process]bool
	ended sync.WaitGroup
}

func newPool() *pool {
	return &pool{slots: make(chan struct{}, maxProcesses), alive: map[*runtimeapi.Process]bool{}}
}

// invoke sends the event to a process and returns its answer. If ctx ends first,
// the error is its cause.
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
			p.put(proc) // it asks for its next event in a moment
			return answer, nil
		}
		go func() {
			_ = proc.Idle(context.Background()) // fails if it has ended
			p.put(proc)
		}()
		return answer, err
	}
}

// take returns an idle process or starts one.
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

// put marks a process as idle and frees its slot.
func (p *pool) put(proc *runtimeapi.Process) {
	p.mu.Lock()
	if p.alive[proc] {
		p.idle = append(p.idle, proc)
	}
	p.mu.Unlock()
	<-p.slots
}

// add starts a process. The caller holds p.mu.
func (p *pool) add() (*runtimeapi.Process, error) {
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

// replace kills every process and starts another one.
func (p *pool) replace(start func() (*runtimeapi.Process, error)) (*runtimeapi.Process, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.start = start
	for proc := range p.alive {
		proc.Kill()
	}
	p.idle = nil
	proc, err := p.add()
	if err == nil {
		p.idle = append(p.idle, proc)
	}
	return proc, err
}

// close kills every process, waits for them to end, and starts no more.
func (p *pool) close() {
	_, _ = p.replace(func() (*runtimeapi.Process, error) { return nil, errors.New("the server stops") })
	p.ended.Wait()
}
