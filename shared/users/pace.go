package users

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"chat-service-backend/shared/streamrest"
)

// A pace spaces the calls to one of Stream's endpoints so that all processes together stay
// below its rate limit, which they share. They do not know each other, but Stream tells
// how many calls all of them have made.
//
// https://getstream.io/docs/platform/rate-limits/
type pace struct {
	limit int64         // of calls a minute
	every time.Duration // between the beginnings of two calls, whoever makes them

	mu          sync.Mutex
	turn        time.Duration // in which each process may make one, before there is a response
	free        time.Time     // when this one may make the next
	paused      time.Time     // likewise, after a failure
	began       time.Time     // the last call
	left, reset int64         // what it said
}

var errPaused = errors.New("this call to Stream has to wait: it failed a moment ago, or its rate limit is nearly used up")

// share tells a process that has made no call lately how many others make calls.
func (p *pace) share(among int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now().Sub(p.began) < 2*recount {
		return
	}
	p.turn = 2 * time.Duration(among-1) * p.every
	free := now()
	if among > max(1, p.limit/300) { // a moment at random: they have all just learned it
		free = free.Add(p.turn/3 + rand.N(p.turn))
	}
	if !p.free.After(now()) || free.Before(p.free) {
		p.free = soon(free)
	}
}

// heed keeps the pace after a response to a call that began at a time: by then, all
// processes had made as many calls since this one's last, or since the minute began.
func (p *pace) heed(began time.Time, header http.Header) {
	l, ok := streamrest.Limit(header)
	if !ok || l.Limit <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	limit := min(l.Limit, 1_000_000)
	p.every, p.limit = max(1, p.every*time.Duration(p.limit)/time.Duration(limit)), limit
	calls, since := l.Limit-l.Remaining, l.ResetTime().Add(-time.Minute)
	if l.Reset == p.reset {
		calls = p.left - l.Remaining
	}
	calls = min(max(calls, 1), limit) // Stream may change a limit at any time
	if p.began.After(since) {
		since = p.began
	}
	due := time.Duration(calls) * p.every // what that many should have taken
	p.free = soon(later(p.free, began.Add(min(due, 2*due-began.Sub(since))), began.Add(p.turn)))
	if 10*l.Remaining < l.Limit { // others wait for the same moment
		p.pause(l.ResetTime().Add(rand.N(time.Duration(calls+1) * p.every)))
	}
	p.began, p.left, p.reset, p.turn = began, l.Remaining, l.Reset, 0
}

func later(times ...time.Time) time.Time { return slices.MaxFunc(times, time.Time.Compare) }

// soon is a minute from now at the latest: then Stream counts anew.
func soon(t time.Time) time.Time {
	if most := now().Add(time.Minute); t.After(most) {
		return most
	}
	return t
}

// fail pauses calls after a failure, so that users do not wait for a timeout one by one.
func (p *pace) fail(until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pause(later(until, now().Add(pause)))
}

// pause allows no call before a time. p.mu is held.
func (p *pace) pause(until time.Time) { p.paused = soon(later(p.paused, until)) }
