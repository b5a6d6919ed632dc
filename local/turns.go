package main

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// turnTime is how long a request keeps its turn at most: what takes longer
// waits for somebody else, and leaves the processors to others.
const turnTime = 50 * time.Millisecond

// turns let requests begin in the order in which they came, whichever function
// they are for. Without that, requests for quick functions would overtake all
// that wait for a slow one, on processors that have to serve both.
type turns chan struct{}

// newTurns returns turns for as many requests at a time as keep this machine's
// processors busy.
func newTurns() turns { return make(turns, 4*runtime.GOMAXPROCS(0)) }

// take waits for a turn. The function it returns ends the turn; turnTime does,
// too. When ctx ends first, its cause is the error.
func (t turns) take(ctx context.Context) (end func(), err error) {
	select {
	case t <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	free := sync.OnceFunc(func() { <-t })
	timer := time.AfterFunc(turnTime, free)
	return func() {
		timer.Stop()
		free()
	}, nil
}
