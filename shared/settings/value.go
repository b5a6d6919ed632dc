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
	// retryAfter is how long, at most, a stale value is served before it is
	// fetched again. Where there is no value to serve, each access fetches.
	retryAfter = 10 * time.Second

	// renewAfter is how old a value must be to be fetched before it is due.
	renewAfter = 10 * time.Second

	// patience is how long a request without a value waits for one while SSM
	// answers that it has too many calls.
	patience = 5 * time.Second
)

// Forever lets a value be served stale for as long as SSM does not answer.
const Forever time.Duration = 1<<63 - 1

var (
	// ErrUnavailable is matched, by [errors.Is], by every error of
	// [Value.Get]: there is no value to work with right now.
	ErrUnavailable = errors.New("settings are unavailable")

	// ErrMissing is for a fetch to wrap when SSM did answer and what it
	// answered is no value: the parameter does not exist, or is empty. The
	// last good value is then not served any more.
	ErrMissing = errors.New("parameter is missing or empty")

	// ErrThrottled is SSM answering, for longer than there was time, that it
	// has had too many calls.
	ErrThrottled = errors.New("SSM has too many calls")
)

// unavailable marks an error as ErrUnavailable. Its text is the cause's.
type unavailable struct{ cause error }

func (e unavailable) Error() string   { return e.cause.Error() }
func (e unavailable) Unwrap() []error { return []error{ErrUnavailable, e.cause} }

// A Value is something made of parameters. Its methods are safe for concurrent
// use.
type Value[T any] struct {
	store    *Store
	staleFor time.Duration
	fetch    func(context.Context) (T, error)

	mu      sync.Mutex
	known   bool // current is good to serve
	current T
	good    time.Time     // when current was fetched
	fetched time.Time     // when the last fetch ended, good or not
	due     time.Time     // when to fetch again
	pending chan struct{} // closed when the fetch in flight has ended
	err     error         // of the last fetch
}

// Keep returns the value that fetch makes, kept for the store's time to live.
// While SSM does not answer, the last one is served for staleFor at most. It is
// fetched on first use; [Value.Load] does that early.
func Keep[T any](s *Store, staleFor time.Duration, fetch func(context.Context) (T, error)) *Value[T] {
	return &Value[T]{store: s, staleFor: staleFor, fetch: fetch}
}

// Load fetches the value ahead of its first use, in Lambda's init phase. While
// SSM has too many calls, Load waits its turn until ctx ends. A failure is
// logged and not final: the value is fetched again when needed.
func (v *Value[T]) Load(ctx context.Context) {
	patience := patience
	if deadline, ok := ctx.Deadline(); ok {
		patience = time.Until(deadline)
	}
	if _, err := v.get(ctx, patience); err != nil {
		slog.WarnContext(ctx, "settings not available at start, will ask again", "cause", err.Error())
	}
}

// Get returns the value, fetching it first if it is due. That takes 2 s at most,
// or 5 s while SSM has too many calls and there is no value to serve. Every error matches [ErrUnavailable].
func (v *Value[T]) Get(ctx context.Context) (T, error) { return v.get(ctx, patience) }

func (v *Value[T]) get(ctx context.Context, patience time.Duration) (T, error) {
	v.mu.Lock()
	switch {
	case v.known && (v.pending != nil || now().Before(v.due)):
		defer v.mu.Unlock()
		return v.result()
	case v.pending != nil:
		pending := v.pending
		v.mu.Unlock()
		return v.wait(ctx, pending)
	}
	v.pending = make(chan struct{})
	if v.known {
		ctx, patience = context.WithValue(ctx, refreshing{}, true), callTimeout
	}
	v.mu.Unlock()

	value, err := v.call(ctx, patience)

	v.mu.Lock()
	defer v.mu.Unlock()
	close(v.pending)
	v.pending, v.err, v.fetched = nil, err, now()
	switch {
	case err == nil:
		v.known, v.current, v.good = true, value, v.fetched
		// Jitter spreads the calls of functions that started together. It only
		// shortens: a new value is in use within the time to live.
		v.due = v.fetched.Add(v.store.ttl - rand.N(v.store.ttl/5+1))
	case errors.Is(err, ErrMissing), v.known && v.fetched.Sub(v.good) > v.staleFor:
		var none T
		v.known, v.current = false, none
	case v.known:
		v.due = v.fetched.Add(min(v.store.ttl, retryAfter))
		slog.WarnContext(ctx, "settings served stale", "cause", err.Error())
		if v.store.OnStale != nil {
			v.store.OnStale(ctx)
		}
	}
	return v.result()
}

// call runs one fetch. A panic in it is its error: whoever waits for the fetch
// must learn that it ended.
func (v *Value[T]) call(ctx context.Context, patience time.Duration) (value T, err error) {
	// Other requests wait for this fetch, too: it must not end with this one.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			// Only the panic's type: its value may quote a parameter.
			err = fmt.Errorf("fetch settings: panic: a %T\n%s", p, debug.Stack())
		}
	}()
	return v.fetch(ctx)
}

// result is what a caller gets as things stand. v.mu is held.
func (v *Value[T]) result() (T, error) {
	if v.known {
		return v.current, nil
	}
	return v.current, unavailable{v.err}
}

// Renew is [Value.Get] for a caller with reason to believe that the value has
// changed: it is fetched before it is due, unless that was done less than 10 s
// ago.
func (v *Value[T]) Renew(ctx context.Context) (T, error) {
	v.mu.Lock()
	if v.known && now().Sub(v.fetched) >= renewAfter {
		v.due = now()
	}
	v.mu.Unlock()
	return v.Get(ctx)
}

// wait returns the result of the fetch in flight.
func (v *Value[T]) wait(ctx context.Context, pending <-chan struct{}) (T, error) {
	select {
	case <-pending:
	case <-ctx.Done():
		var none T
		return none, unavailable{fmt.Errorf("wait for settings: %w", context.Cause(ctx))}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.result()
}

// now returns the time by the wall clock. The monotonic clock may stand still
// while Lambda has the process stopped.
func now() time.Time { return time.Now().Round(0) }
