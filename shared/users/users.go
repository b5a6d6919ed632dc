// Package users copies users from their identity provider to Stream at sign-in, and
// refuses those whom Stream would refuse.
package users

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"chat-service-backend/shared/identity"
	"chat-service-backend/shared/settings"
	"chat-service-backend/shared/streamchat"
)

const (
	// keptFor is how long Stream's response about a user is kept.
	keptFor = time.Minute

	// pause is how long calls are paused after a failure.
	pause = 10 * time.Second

	// timeout bounds the calls for one user together.
	timeout = time.Second

	// maxKept is how many users are kept.
	maxKept = 10_000
)

// The errors of [Directory.SignIn], matched by [errors.Is].
var (
	// The reasons why Stream would refuse a user.
	ErrDeactivated = errors.New("the user is deactivated at Stream")
	ErrBanned      = errors.New("the user is banned from the app at Stream")
	ErrDeleted     = errors.New("the user was deleted at Stream, which never reuses an id")
	ErrRevoked     = errors.New("the user's tokens were revoked at Stream after this sign-in")

	// ErrNotSynced means that Stream failed or was too slow. The User returned with
	// it is what Stream last said, or else what the issuer says.
	ErrNotSynced = errors.New("the user could not be compared with Stream's")
)

// Reason returns the name, in a metric, of the reason why Stream would refuse a user, or
// "" if err is not one.
func Reason(err error) string {
	for reason, refusal := range map[string]error{"Deactivated": ErrDeactivated, "Banned": ErrBanned, "Deleted": ErrDeleted, "SignedOut": ErrRevoked} {
		if errors.Is(err, refusal) {
			return reason
		}
	}
	return ""
}

// A User is a user at Stream.
type User struct {
	Name, Image string
	// TokensSince is when the user's tokens were last revoked. Those issued before are
	// worthless.
	TokensSince time.Time
}

// A Directory keeps users at Stream in step with their identity provider.
type Directory struct {
	client *client
	fields []field

	mu   sync.Mutex
	kept map[string]*entry
}

// An entry is Stream's last response about a user.
type entry struct {
	ready   chan struct{} // closed when the calls in flight end; nil if there are none
	until   time.Time     // when it must be refreshed
	refusal error
	user    User
	failed  error // of the last calls, matching ErrNotSynced
}

// FromEnv returns the directory that the environment configures, or nil if SYNC_USERS
// is not true. USER_FIELDS (default name=name,image=picture) maps a user's fields to
// claims. Stream is at STREAM_BASE_URL.
func FromEnv(getenv func(string) string) (*Directory, error) {
	fields, err := parseFields(getenv("USER_FIELDS"))
	if err != nil {
		return nil, err
	}
	base, err := settings.URL(getenv, "STREAM_BASE_URL", streamchat.DefaultBaseURL)
	if err != nil {
		return nil, err
	}
	sync, err := settings.Bool(getenv, "SYNC_USERS", false)
	if err != nil || !sync {
		return nil, err
	}
	return &Directory{client: newClient(base), fields: fields, kept: map[string]*entry{}}, nil
}

// SignIn creates or updates a caller with a bearer token at Stream, as their claims say,
// and returns Stream's user. Stream's response is kept for a minute. The errors are
// those above; despite ErrNotSynced, the user may have a token.
func (d *Directory) SignIn(ctx context.Context, credentials *streamchat.Credentials, caller identity.Caller) (User, error) {
	e := d.entry(ctx, credentials, caller)
	switch {
	case e.refusal != nil:
		return User{}, e.refusal
	case signedIn(caller.Claims).Before(e.user.TokensSince):
		return User{}, ErrRevoked
	}
	return e.user, e.failed
}

// signedIn returns when a token's user signed in, which a refreshed token may be younger
// than.
func signedIn(c identity.Claims) time.Time {
	if at, ok := c.Time("auth_time"); ok {
		return at
	}
	at, _ := c.Time("iat")
	return at
}

// entry returns a copy of the caller's entry, after refreshing it if it is due.
// Concurrent requests for the same user share one refresh.
func (d *Directory) entry(ctx context.Context, credentials *streamchat.Credentials, caller identity.Caller) entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.kept[caller.UserID]
	for e != nil && e.ready != nil {
		ready := e.ready
		d.mu.Unlock()
		<-ready // in a second at most
		d.mu.Lock()
		e = d.kept[caller.UserID]
	}
	if e != nil && now().Before(e.until) {
		return *e
	}
	if e == nil {
		d.drop()
		e = &entry{user: d.wanted(caller.Claims).user()}
		d.kept[caller.UserID] = e
	}
	ready := make(chan struct{})
	e.ready = ready
	d.mu.Unlock()

	// Other requests wait for these calls: they must outlive this one.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	found, err := d.sync(ctx, credentials, caller)
	cancel()

	d.mu.Lock()
	close(ready)
	switch {
	case err == nil:
		*e = entry{until: now().Add(keptFor), user: found.user()}
	case Reason(err) != "":
		*e = entry{until: now().Add(keptFor), refusal: err}
	default:
		e.ready, e.until, e.failed = nil, now().Add(pause), fmt.Errorf("%w: %w", ErrNotSynced, err)
		if found != nil { // but could not be changed
			e.refusal, e.user = nil, found.user()
		}
	}
	return *e
}

// drop makes room for another entry. d.mu is held.
func (d *Directory) drop() {
	if len(d.kept) < maxKept {
		return
	}
	for id, e := range d.kept {
		if e.ready == nil && !now().Before(e.until) {
			delete(d.kept, id)
		}
	}
	for id, e := range d.kept {
		if len(d.kept) < maxKept {
			return
		}
		if e.ready == nil {
			delete(d.kept, id)
		}
	}
}

// sync reads the user at Stream and changes what the claims say otherwise. With an
// error, it returns the user if it could read them. It turns a panic into an error, so
// that the requests that wait for the calls learn of their end.
func (d *Directory) sync(ctx context.Context, credentials *streamchat.Credentials, caller identity.Caller) (found document, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: a %T\n%s", p, debug.Stack()) // whose value may name the user
		}
	}()
	wanted := d.wanted(caller.Claims)
	found, err = d.client.find(ctx, credentials, caller.UserID)
	switch {
	case err != nil:
		return nil, err
	case found == nil:
		made, err := d.client.create(ctx, credentials, caller.UserID, wanted)
		if err != nil {
			return nil, err
		}
		return made, made.refusal()
	case found.refusal() != nil:
		return nil, found.refusal()
	}
	change := found.differing(wanted)
	if len(change) == 0 {
		return found, nil
	}
	changed, err := d.client.change(ctx, credentials, caller.UserID, change)
	if err != nil {
		return found, err
	}
	return changed, changed.refusal()
}

// now returns the time by the wall clock. The monotonic clock may stand still
// while Lambda has the process stopped.
func now() time.Time { return time.Now().Round(0) }
