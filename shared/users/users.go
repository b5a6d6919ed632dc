// Package users makes the users at Stream what they are at their identity
// provider, and refuses those whom Stream would refuse.
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
	// keptFor is how long it is believed what Stream said of a user.
	keptFor = time.Minute

	// pause is how long Stream is left alone after it has failed.
	pause = 10 * time.Second

	// timeout bounds the calls for one user together.
	timeout = time.Second

	// maxKept is how many users are kept before those are dropped who were asked
	// for the longest time ago.
	maxKept = 10_000
)

// The errors of [Directory.SignIn], matched by [errors.Is].
var (
	// Why Stream refuses a user, or would.
	ErrDeactivated = errors.New("the user is deactivated at Stream")
	ErrBanned      = errors.New("the user is banned from the app at Stream")
	ErrDeleted     = errors.New("the user was deleted at Stream, which never gives an id out again")
	ErrRevoked     = errors.New("the user's tokens were revoked at Stream after this sign-in")

	// ErrNotSynced means that Stream did not answer, or not in time. The user
	// that comes with it is what was known before, or what the issuer says.
	ErrNotSynced = errors.New("the user could not be compared with Stream's")
)

// Reason returns the name, for a metric, of why Stream refuses a user, or "" if
// err is none of that.
func Reason(err error) string {
	for reason, refusal := range map[string]error{"Deactivated": ErrDeactivated, "Banned": ErrBanned, "Deleted": ErrDeleted, "SignedOut": ErrRevoked} {
		if errors.Is(err, refusal) {
			return reason
		}
	}
	return ""
}

// A User is what Stream knows of a user.
type User struct {
	Name, Image string
	// TokensSince is when the user's tokens were revoked; those issued before
	// are worth nothing.
	TokensSince time.Time
}

// A Directory is the users at Stream.
type Directory struct {
	client *client
	fields []field

	mu   sync.Mutex
	kept map[string]*entry
}

// An entry is one user: what Stream last said.
type entry struct {
	ready   chan struct{} // closed when the calls in flight have ended; nil without any
	until   time.Time     // when to ask again
	refusal error
	user    User
	failed  error // of the last call, matching ErrNotSynced
}

// FromEnv returns the directory that the environment configures, or nil if
// SYNC_USERS is not true. USER_FIELDS (default name=name,image=picture) says which
// field of a user is made of which claim. Stream is at STREAM_BASE_URL.
func FromEnv(getenv func(string) string) (*Directory, error) {
	fields, err := parseFields(getenv("USER_FIELDS"))
	if err != nil {
		return nil, err
	}
	base, err := settings.URL(getenv, "STREAM_BASE_URL", streamchat.DefaultBaseURL)
	if err != nil {
		return nil, err
	}
	switch sync := getenv("SYNC_USERS"); sync {
	case "", "false":
		return nil, nil
	case "true":
		return &Directory{client: newClient(base), fields: fields, kept: map[string]*entry{}}, nil
	default:
		return nil, fmt.Errorf("SYNC_USERS: want true or false, got %q", sync)
	}
}

// SignIn makes the caller, who is known by a bearer token, a user at Stream with
// what the issuer says of them, and returns what Stream knows. For a minute after
// that, Stream is not asked again. The errors are those above; with ErrNotSynced
// the user may have a token all the same.
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

// signedIn is when a token's user signed in: a token that was refreshed
// is younger than that.
func signedIn(c identity.Claims) time.Time {
	if at, ok := c.Time("auth_time"); ok {
		return at
	}
	at, _ := c.Time("iat")
	return at
}

// entry returns a copy of the caller's entry, after asking Stream where it is
// due. Others who want the same wait for the same answer.
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

	// Others wait for it, too: the call does not end with this request.
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
		if found != nil { // and not written
			e.refusal, e.user = nil, found.user()
		}
	}
	return *e
}

// drop makes room for another user. d.mu is held.
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

// sync reads the user at Stream and writes what the issuer says otherwise. With
// an error, it returns the user whom it could read, if any. A panic is its error:
// whoever waits for it must learn that it ended.
func (d *Directory) sync(ctx context.Context, credentials *streamchat.Credentials, caller identity.Caller) (found document, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: a %T\n%s", p, debug.Stack()) // its value may be anything, a user included
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
