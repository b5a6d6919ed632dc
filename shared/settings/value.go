package settings

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"
)

const (
	// askAgainAfter is the time between refreshes that fail, at most. Where there is
	// no value to serve, each access fetches: there is no negative caching.
	askAgainAfter = 10 * time.Second

	// renewAfter is the time since the last fetch before [Value.Renew] fetches.
	renewAfter = 10 * time.Second

	// refreshTimeout bounds a refresh where there is a value to serve: its request waits
	// for it, and Stream does not wait long for an answer to a hook.
	refreshTimeout = 500 * time.Millisecond

	// patience bounds how long a request waits for a value while SSM throttles.
	patience = 3 * time.Second
)

// Forever lets a value be served stale for as long as SSM does not answer.
const Forever time.Duration = 1<<63 - 1

var (
	// ErrUnavailable matches every error of [Value.Get] and [Value.Renew].
	ErrUnavailable = errors.New("settings are unavailable")

	// ErrMissing is for a fetch to return, wrapped, when SSM answered but a
	// parameter does not exist or is empty. The last good value is then dropped.
	ErrMissing = errors.New("parameter is missing or empty")

	// ErrThrottled means that SSM throttled a call until there was no time left.
	ErrThrottled = errors.New("SSM throttles calls")
)

// A Value is made from parameters. Its methods are safe for concurrent use.
type Value[T any] struct {
	store    *Store
	staleFor time.Duration
	fetch    func(context.Context) (T, error)

	mu      sync.Mutex
	known   bool // current may be served
	current T
	good    time.Time     // when current was fetched
	fetched time.Time     // when the last fetch ended, successful or not
	due     time.Time     // for the next fetch
	pending chan struct{} // closed when the fetch in flight ends; nil if there is none
	err     error         // of the last fetch
	stale   error         // likewise, if no request has reported yet that the old value stays in use
}

// Keep returns the value that fetch makes, kept for the store's time to live. While
// SSM does not answer, it is served stale for up to staleFor. It is fetched on first
// use, or by [Value.Load].
func Keep[T any](s *Store, staleFor time.Duration, fetch func(context.Context) (T, error)) *Value[T] {
	return &Value[T]{store: s, staleFor: staleFor, fetch: fetch}
}

// Load fetches the value in Lambda's init phase, at a cold start. While SSM throttles, it waits its
// turn until ctx ends. It logs a failure, and leaves the fetch to the next access.
func (v *Value[T]) Load(ctx context.Context) {
	patience := patience
	if deadline, ok := ctx.Deadline(); ok {
		patience = time.Until(deadline)
	}
	if _, err := v.get(ctx, patience, false); err != nil {
		slog.WarnContext(ctx, "settings not available at start, will ask again", "cause", err.Error())
	}
}

// Get returns the value, and fetches it first if it is due. That takes up to 2 s, or
// up to 3 s if SSM throttles, while there is no value; where there is one, it takes up to
// 500 ms, and other requests do not wait. Every error matches [ErrUnavailable].
func (v *Value[T]) Get(ctx context.Context) (T, error) { return v.get(ctx, patience, false) }

// Renew is [Value.Get] for a caller that has reason to believe that the value has
// changed. It fetches before the value is due, unless the last fetch was less than
// 10 s ago, and takes up to 2 s. If the last fetch failed, that is an error, even where
// there is a value: nobody knows whether it has changed.
func (v *Value[T]) Renew(ctx context.Context) (T, error) { return v.get(ctx, patience, true) }

// get returns the value, after a fetch if one is due, which may take patience where
// there is no value.
func (v *Value[T]) get(ctx context.Context, patience time.Duration, renew bool) (T, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.known && renew:
		patience = callTimeout
	case v.known:
		patience = refreshTimeout
	}
	switch {
	case v.pending != nil && v.known && !renew:
		// The old value is good enough meanwhile.
	case v.pending != nil:
		pending := v.pending
		v.mu.Unlock()
		select {
		case <-pending:
		case <-ctx.Done():
		}
		v.mu.Lock()
		if !v.known && v.pending != nil {
			var none T
			return none, fmt.Errorf("%w: wait for the fetch: %w", ErrUnavailable, context.Cause(ctx))
		}
	case !v.known, !now().Before(v.due), renew && now().Sub(v.fetched) >= renewAfter:
		v.fetchOnce(ctx, patience)
	}
	return v.result(ctx, renew)
}

// fetchOnce fetches the value. v.mu is held, but not while fetching.
func (v *Value[T]) fetchOnce(ctx context.Context, patience time.Duration) {
	v.pending = make(chan struct{})
	v.mu.Unlock()
	// Other requests wait for this fetch: it must outlive this one.
	value, err := v.call(context.WithoutCancel(ctx), patience)
	v.mu.Lock()
	close(v.pending)
	v.pending, v.err, v.stale, v.fetched = nil, err, nil, now()
	switch {
	case err == nil:
		v.known, v.current, v.good = true, value, v.fetched
		// Jitter spreads the calls of processes that started together. It only
		// shortens, so a new value is in use within the time to live.
		v.due = v.fetched.Add(v.store.ttl - rand.N(v.store.ttl/5+1))
	case errors.Is(err, ErrMissing), v.known && v.fetched.Sub(v.good) > v.staleFor:
		var none T
		v.known, v.current = false, none
	case v.known:
		v.due = v.fetched.Add(min(v.store.ttl, askAgainAfter))
		v.stale = err
	}
}

// result returns what the value is now, unless renew needs one of a fetch that succeeded. It
// reports a refresh that has failed to the log line and metrics of ctx. v.mu is held.
func (v *Value[T]) result(ctx context.Context, renew bool) (T, error) {
	if v.stale != nil {
		slog.WarnContext(ctx, "settings served stale", "cause", v.stale.Error())
		if v.store.OnStale != nil {
			v.store.OnStale(ctx)
		}
		v.stale = nil
	}
	if v.known && (v.err == nil || !renew) {
		return v.current, nil
	}
	return v.current, fmt.Errorf("%w: %w", ErrUnavailable, v.err)
}

// call runs one fetch. It turns a panic into an error, so that the requests that wait
// for the fetch learn of its end.
func (v *Value[T]) call(ctx context.Context, patience time.Duration) (value T, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			// Only the panic's type: its value may quote a parameter.
			err = fmt.Errorf("fetch settings: panic: a %T\n%s", p, debug.Stack())
		}
	}()
	return v.fetch(ctx)
}

// now returns the time by the wall clock. The monotonic clock may stand still
// while Lambda has the process stopped.
func now() time.Time { return time.Now().Round(0) }
