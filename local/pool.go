package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"chat-service-backend/internal/runtimeapi"
)

// maxProcesses is how many processes one function may have at a time; further
// requests wait.
const maxProcesses = 10

// returnTime is how long a request waits for a busy process before one more is
// started. A process asks for its next event a moment after its answer: whoever
// calls again at once must not start another.
const returnTime = 10 * time.Millisecond

// pool holds the processes of one function. One process answers one request at
// a time; requests beyond that wait in order of arrival.
type pool struct {
	start func() (*runtimeapi.Process, error)

	mu       sync.Mutex
	idle     []*runtimeapi.Process // the most recently used is last
	waiting  []chan turn           // each of capacity 1
	alive    map[*runtimeapi.Process]bool
	starting int // alive, but have not asked for an event yet
	closed   bool
	ended    sync.WaitGroup // one for each process
}

func newPool() *pool { return &pool{alive: map[*runtimeapi.Process]bool{}} }

// turn is a process for a request that has waited, or why there is none.
type turn struct {
	*runtimeapi.Process
	error
}

var errServerStops = errors.New("the server stops")

// invoke hands the event to a process and returns its answer. When ctx ends
// first, its cause is the error.
func (p *pool) invoke(ctx context.Context, e runtimeapi.Event) (*runtimeapi.Answer, error) {
	for {
		proc, err := p.acquire(ctx)
		if err != nil {
			return nil, err
		}
		answer, err := proc.Invoke(ctx, e)
		if errors.Is(err, runtimeapi.ErrNotTaken) {
			continue
		}
		go func() {
			if proc.Idle(context.Background()) == nil {
				p.mu.Lock()
				defer p.mu.Unlock()
				p.offer(proc)
			}
		}()
		return answer, err
	}
}

// acquire waits for a process.
func (p *pool) acquire(ctx context.Context) (*runtimeapi.Process, error) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		proc := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return proc, nil
	}
	mine := make(chan turn, 1)
	p.waiting = append(p.waiting, mine)
	if len(p.alive) == 0 {
		p.grow()
	}
	p.mu.Unlock()
	late := time.AfterFunc(returnTime, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.grow()
	})
	defer late.Stop()
	select {
	case t := <-mine:
		return t.Process, t.error
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.waiting, mine); i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	} else if t := <-mine; t.error == nil { // it came in the same moment
		p.offer(t.Process)
	}
	return nil, context.Cause(ctx)
}

// offer gives a process that waits for an event to the first request that waits
// for a process. p.mu is held.
func (p *pool) offer(proc *runtimeapi.Process) {
	if p.alive[proc] && !p.give(turn{Process: proc}) {
		p.idle = append(p.idle, proc)
	}
}

// give ends the wait of the first request, if one waits. p.mu is held.
func (p *pool) give(t turn) bool {
	if len(p.waiting) == 0 {
		return false
	}
	p.waiting[0] <- t
	p.waiting = p.waiting[1:]
	return true
}

// grow starts a process for a request that waits for none that starts. p.mu is
// held.
func (p *pool) grow() {
	if p.closed {
		for p.give(turn{error: errServerStops}) {
		}
	}
	if len(p.waiting) <= p.starting || len(p.alive) >= maxProcesses {
		return
	}
	if _, err := p.add(); err != nil && len(p.alive) == 0 {
		p.give(turn{error: err})
	}
}

// add starts a process. p.mu is held.
func (p *pool) add() (*runtimeapi.Process, error) {
	proc, err := p.start()
	if err != nil {
		return nil, err
	}
	p.alive[proc] = true
	p.starting++
	p.ended.Go(func() {
		started := proc.Idle(context.Background()) == nil
		p.mu.Lock()
		p.starting--
		if started {
			p.offer(proc)
		}
		p.mu.Unlock()
		<-proc.Ended()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.alive, proc)
		p.idle = slices.DeleteFunc(p.idle, func(idle *runtimeapi.Process) bool { return idle == proc })
		if !started {
			p.give(turn{error: fmt.Errorf("the process ended at its start: %s", proc.State())})
		}
		p.grow()
	})
	return proc, nil
}

// close kills every process, waits until they are gone, and fails what waits.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	for proc := range p.alive {
		proc.Kill()
	}
	p.grow()
	p.mu.Unlock()
	p.ended.Wait()
}
