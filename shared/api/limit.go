package api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"chat-service-backend/shared/identity"
)

// ErrTooMany means that a user requests more tokens than anyone needs.
var ErrTooMany = errors.New("the user is over TOKENS_PER_MINUTE")

// A limiter limits the tokens that a user gets from this process, since a broken client
// may request them endlessly.
type limiter struct {
	every time.Duration // a user may get a token

	mu  sync.Mutex
	due map[string]time.Time // when a user's tokens so far would be used up at that pace
}

// limiterFromEnv returns the limiter that TOKENS_PER_MINUTE configures, or nil if
// it is unset or empty.
func limiterFromEnv(getenv func(string) string) (*limiter, error) {
	text := getenv("TOKENS_PER_MINUTE")
	if text == "" {
		return nil, nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return nil, fmt.Errorf("TOKENS_PER_MINUTE: %q is not a whole number from 1 to 65535", text)
	}
	return &limiter{every: time.Minute / time.Duration(n), due: map[string]time.Time{}}, nil
}

// allow returns an error, and sets Retry-After in w, if the caller is a user who has used
// up a minute's tokens.
func (l *limiter) allow(w http.ResponseWriter, r *http.Request, caller identity.Caller) error {
	if l == nil || caller.Kind != identity.User {
		return nil
	}
	now := time.Now().Round(0) // the wall clock: the monotonic one may stand still while Lambda stops the process
	l.mu.Lock()
	defer l.mu.Unlock()
	due := l.due[caller.UserID]
	if due.Before(now) {
		due = now
	}
	if wait := due.Add(l.every).Sub(now) - time.Minute; wait > 0 {
		countRefused(r.Context(), ErrTooMany)
		w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
		return ErrTooMany
	}
	if len(l.due) >= 10_000 {
		for id, due := range l.due {
			if due.Before(now) {
				delete(l.due, id)
			}
		}
	}
	l.due[caller.UserID] = due.Add(l.every)
	return nil
}
