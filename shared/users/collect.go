package users

import (
	"context"
	"fmt"
	"maps"
	"runtime/debug"
	"time"

	"chat-service-backend/shared/streamchat"
)

// maxTogether is how many users one call is about: Stream takes no more.
const maxTogether = 100

// A collector makes one call about all users who are waiting for one. Somebody who is
// alone does not wait; the others wait for a pause between two calls.
type collector[T any] struct {
	pace
	call func(context.Context, *streamchat.Credentials, map[string]T) (map[string]document, error)

	next *flight[T] // mu guards it
}

// A flight is one call of a collector.
type flight[T any] struct {
	in   map[string]T // by user id
	out  map[string]document
	err  error
	done chan struct{}
}

// do returns the document of a user after a call, or nil. The first of a flight makes
// the call for all.
func (c *collector[T]) do(ctx context.Context, credentials *streamchat.Credentials, id string, in T) (document, error) {
	c.mu.Lock()
	f := c.next
	if f != nil && len(f.in) < maxTogether {
		f.in[id] = in
		c.mu.Unlock()
		<-f.done // a second at most: see timeout
		return f.out[id], f.err
	}
	begins := later(now(), c.free, c.paused)
	if end, ok := ctx.Deadline(); ok && end.Sub(begins) < timeout/4 { // too late for a call
		c.mu.Unlock()
		return nil, errPaused
	}
	f = &flight[T]{in: map[string]T{id: in}, done: make(chan struct{})}
	c.next = f
	c.free = begins.Add(c.every)
	c.mu.Unlock()
	defer close(f.done)
	select {
	case <-time.After(begins.Sub(now())):
	case <-ctx.Done():
	}
	c.mu.Lock()
	if c.next == f {
		c.next = nil
	}
	c.mu.Unlock()
	f.out, f.err = c.safely(ctx, credentials, f.in)
	return f.out[id], f.err
}

// safely turns a panic into an error, so that all who wait learn of the call's end.
func (c *collector[T]) safely(ctx context.Context, credentials *streamchat.Credentials, in map[string]T) (out map[string]document, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: a %T\n%s", p, debug.Stack()) // whose value may name a user
		}
	}()
	return c.call(ctx, credentials, maps.Clone(in))
}
