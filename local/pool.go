package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// maxProcesses is how many processes one function may have at a time; further
// requests wait.
const maxProcesses = 10

// Why a request has no answer.
var (
	errFunctionEnded    = errors.New("the process ended")
	errFunctionTimeout  = errors.New("the function's timeout passed")
	errFunctionFailed   = errors.New("the function reported an error")
	errAnswerTooLarge   = fmt.Errorf("the answer is over %d bytes", maxAnswerBytes)
	errNoAnswer         = errors.New("the function asked for the next event without answering")
	errServerStops      = errors.New("the server stops")
	errCallerGone       = errors.New("the caller is gone")
	errIntegrationLimit = errors.New("the gateway's time limit passed")
)

// invocation is one event on its way through a function.
type invocation struct {
	id      string // the Lambda request id, a UUID
	trace   string
	payload []byte
	stream  bool // the answer is passed on as it arrives

	answers chan *answer // capacity 1; gets at most one

	// The rest belongs to the pool's mutex.
	answered  bool
	abandoned bool // nobody waits for the answer any more
	starts    int  // processes that ended at their start while this waited
	timer     *time.Timer
}

// answer is what a function posted, or err.
type answer struct {
	contentType string
	body        []byte // when buffered
	err         error

	// Of a stream: the body as it arrives, the trailers (valid after io.EOF), a
	// way to make reads fail at once, and where the reader tells the Runtime API
	// that it is through (nil), or that the function's connection must break.
	stream  io.Reader
	trailer func() http.Header
	abort   func()
	done    chan error
}

// finish ends a stream. It must be called once.
func (a *answer) finish(err error) { a.done <- err }

// pool holds the processes of one function. One process answers one request at
// a time; requests beyond that wait in order of arrival.
type pool struct {
	fn    function
	arn   string
	start func(*pool) (*process, error)
	log   *lineLog

	mu       sync.Mutex
	idle     []*process // wait in /next; the most recently used is last
	waiting  []*invocation
	alive    map[*process]bool
	starting int // alive, but have not asked for an event yet
	// returning processes have answered, or begun to, and may ask for the next
	// event in a moment: whoever calls again at once must not start one more.
	returning int
	patience  *time.Timer // ends the wait for them
	closed    bool
	ended     sync.WaitGroup // one for each process
}

// invoke hands the event to a process and returns its answer, which the caller
// must finish if it is a stream. When ctx ends first, its cause is the error.
func (p *pool) invoke(ctx context.Context, inv *invocation) (*answer, error) {
	inv.answers = make(chan *answer, 1)
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, errServerStops
	}
	if n := len(p.idle); n > 0 {
		ready := p.idle[n-1]
		p.idle = p.idle[:n-1]
		ready.work <- inv
	} else {
		p.waiting = append(p.waiting, inv)
		p.grow()
	}
	p.mu.Unlock()

	select {
	case a := <-inv.answers:
		return a, a.err
	case <-ctx.Done():
	}
	p.mu.Lock()
	inv.abandoned = true
	if i := slices.Index(p.waiting, inv); i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	}
	p.mu.Unlock()
	select {
	case a := <-inv.answers: // it came in the same moment
		return a, a.err
	default:
		return nil, context.Cause(ctx)
	}
}

// grow starts as many processes as requests wait for. p.mu is held.
func (p *pool) grow() {
	if p.returning > 0 && len(p.waiting) > p.starting && p.patience == nil {
		p.patience = time.AfterFunc(returnTime, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.patience = nil
			p.growBeyond(0)
		})
	}
	p.growBeyond(p.returning)
}

// returnTime is beyond what a process needs after its answer to ask for the next
// event, unless it still streams.
const returnTime = 10 * time.Millisecond

// growBeyond starts processes for the requests that neither a starting process
// nor one of the others will take. p.mu is held.
func (p *pool) growBeyond(others int) {
	for !p.closed && p.starting+others < len(p.waiting) && len(p.alive) < maxProcesses {
		if _, err := p.add(); err != nil {
			p.log.printf("%s: %v", p.fn.name, err)
			if len(p.alive) > 0 {
				return // one of these will take the request
			}
			inv := p.waiting[0]
			p.waiting = p.waiting[1:]
			p.answer(inv, &answer{err: err})
		}
	}
}

// add starts one process. p.mu is held.
func (p *pool) add() (*process, error) {
	proc, err := p.start(p)
	if err != nil {
		return nil, err
	}
	p.alive[proc] = true
	p.starting++
	p.ended.Add(1)
	go func() {
		defer p.ended.Done()
		proc.wait()
		p.left(proc)
	}()
	return proc, nil
}

// next is a process's wish for an event. It blocks until there is one, or
// returns nil when ctx, the life of the process's connection, ends.
func (p *pool) next(ctx context.Context, proc *process) *invocation {
	p.mu.Lock()
	p.release(proc, errNoAnswer)
	if !proc.polled {
		proc.polled = true
		p.starting--
		close(proc.ready)
	}
	if len(p.waiting) > 0 {
		inv := p.waiting[0]
		p.waiting = p.waiting[1:]
		p.take(proc, inv)
		p.mu.Unlock()
		return inv
	}
	p.idle = append(p.idle, proc)
	p.mu.Unlock()

	select {
	case inv := <-proc.work:
		p.mu.Lock()
		defer p.mu.Unlock()
		p.take(proc, inv)
		return inv
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dismiss(proc)
	return nil
}

// take makes inv the event that proc works on. p.mu is held.
func (p *pool) take(proc *process, inv *invocation) {
	proc.current = inv
	inv.timer = time.AfterFunc(p.fn.Timeout, func() {
		p.log.printf("%s: %s Task timed out after %.2f seconds", p.fn.name, inv.id, p.fn.Timeout.Seconds())
		p.mu.Lock()
		p.answer(inv, &answer{err: errFunctionTimeout})
		p.mu.Unlock()
		proc.kill()
	})
}

// giveBack returns an event which proc could not be given to the others.
func (p *pool) giveBack(proc *process, inv *invocation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if proc.current == inv && !inv.answered {
		inv.timer.Stop()
		proc.current = nil
		p.requeue(inv)
	}
}

// requeue puts an event at the head of the queue. p.mu is held.
func (p *pool) requeue(inv *invocation) {
	if inv.abandoned || inv.answered {
		return
	}
	p.waiting = slices.Insert(p.waiting, 0, inv)
	if n := len(p.idle); n > 0 {
		ready := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.waiting = p.waiting[1:]
		ready.work <- inv
		return
	}
	p.grow()
}

// dismiss takes a process that waits for nothing any more out of the idle ones,
// and gives an event that it was handed but did not take to another. p.mu is held.
func (p *pool) dismiss(proc *process) {
	if i := slices.Index(p.idle, proc); i >= 0 {
		p.idle = slices.Delete(p.idle, i, i+1)
	}
	select {
	case inv := <-proc.work:
		p.requeue(inv)
	default:
	}
}

// release ends proc's current event, if any; unanswered, it fails with err.
// p.mu is held.
func (p *pool) release(proc *process, err error) {
	if proc.returning {
		proc.returning = false
		p.returning--
	}
	if inv := proc.current; inv != nil {
		inv.timer.Stop()
		proc.current = nil
		p.answer(inv, &answer{err: err})
	}
}

// answer gives inv its answer and reports whether somebody takes it: it is the
// first one and the caller is still there. p.mu is held.
func (p *pool) answer(inv *invocation, a *answer) bool {
	if inv.answered || inv.abandoned {
		return false
	}
	inv.answered = true
	inv.answers <- a
	return true
}

// post is answer for proc's current event with the given id; ok tells whether
// it has one.
func (p *pool) post(proc *process, id string, a *answer) (taken, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	inv := proc.current
	if inv == nil || inv.id != id || inv.answered {
		return false, false
	}
	taken = p.answer(inv, a)
	inv.answered = true
	proc.returning = true
	p.returning++
	return taken, true
}

// working returns proc's current event if it has that id and no answer yet.
func (p *pool) working(proc *process, id string) *invocation {
	p.mu.Lock()
	defer p.mu.Unlock()
	if inv := proc.current; inv != nil && inv.id == id && !inv.answered {
		return inv
	}
	return nil
}

// breakTime is what a function has to find out by itself that nobody takes its
// answer any more.
const breakTime = 200 * time.Millisecond

// abandon ends the work on a streamed answer whose caller has gone. A function
// that writes notices and ends; one that waits for a silent source cannot, so
// its process is killed, and with it the request to that source.
func (p *pool) abandon(inv *invocation) {
	time.AfterFunc(breakTime, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for proc := range p.alive {
			if proc.current == inv {
				proc.kill()
			}
		}
	})
}

// left clears up after a process that ended.
func (p *pool) left(proc *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.alive, proc)
	p.dismiss(proc)
	if proc.current != nil && !proc.current.answered && !p.closed {
		p.log.printf("%s: the process ended before it answered: %v", p.fn.name, proc.state())
	}
	p.release(proc, errFunctionEnded)
	if !proc.polled {
		p.starting--
		// Lambda, too, tries a failed start once more before it gives a request up.
		if len(p.waiting) > 0 {
			inv := p.waiting[0]
			if inv.starts++; inv.starts > 1 {
				p.waiting = p.waiting[1:]
				p.answer(inv, &answer{err: fmt.Errorf("%w at its start: %v", errFunctionEnded, proc.state())})
			}
		}
	}
	p.grow()
}

// close kills every process, waits until they are gone, and fails what waits.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	for proc := range p.alive {
		proc.kill()
	}
	for _, inv := range p.waiting {
		p.answer(inv, &answer{err: errServerStops})
	}
	p.waiting = nil
	p.mu.Unlock()
	p.ended.Wait()
}
