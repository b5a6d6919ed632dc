// Package users copies users from their identity provider to Stream at sign-in, and
// refuses those who are banned, deactivated or deleted there.
package users

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
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

	// maxKept and maxKeptBytes bound the users that are kept.
	maxKept      = 10_000
	maxKeptBytes = 8 << 20

	// maxSessions is how many of a user's sessions are remembered.
	maxSessions = 20
)

// The fields of a user that this package keeps at Stream for itself.
const (
	// rolesIssued is when the token was issued whose role or teams the user has.
	rolesIssued = "roles_issued_at"
	// endedSessions are hashes of the sessions that ended with a revocation.
	endedSessions = "ended_sessions"
)

// Refused is a reason why a user gets no token, as an error of [Directory.SignIn].
type Refused string

const (
	// The reasons why we refuse a user; but for the last, REFUSE_USERS switches each off.
	ErrDeactivated Refused = "our rule RefuseUsers: the user is deactivated at Stream"
	ErrBanned      Refused = "our rule RefuseUsers: the user is banned from the app; Stream would let them connect"
	ErrDeleted     Refused = "our rule RefuseUsers: the user was deleted at Stream; only who was deleted softly can be restored"
	ErrRevoked     Refused = "our rule SyncUsers: the user's tokens, or the app's, were revoked at Stream after this sign-in"

	// ErrUnknown means that the user does not exist at Stream, and may not be created.
	ErrUnknown Refused = "our rule CreateUsers: the user does not exist at Stream"
)

func (r Refused) Error() string { return string(r) }

// ErrNotSynced means that Stream failed or was too slow. The User returned with it is what
// Stream last said, or else what the issuer says.
var ErrNotSynced = errors.New("the user could not be compared with Stream's")

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
	ranked bool     // fields has a role or teams
	create bool     // users who do not exist
	refuse []string // which of refusable

	mu   sync.Mutex
	kept map[string]*entry
	size int // of kept, in bytes
}

// An entry is Stream's last response about a user, and what the user's tokens have said.
type entry struct {
	ready   chan struct{} // closed when the calls in flight end; nil if there are none
	until   time.Time     // when it must be refreshed
	refused error
	user    User
	failed  error // of the last calls, matching ErrNotSynced
	size    int   // in bytes

	issued   time.Time            // when the newest token was
	sessions map[string]time.Time // when the first token of a session was issued
	ended    []string             // sessions that ended with a revocation
}

// refusable are the users whom we refuse by default. Stream itself refuses only those who
// are deactivated.
var refusable = []string{"banned", "deactivated", "deleted"}

// FromEnv returns the directory that the environment configures, or nil if SYNC_USERS
// is not true. USER_FIELDS (default name=name,image=picture) maps a user's fields to
// claims. CREATE_USERS=false refuses users who do not exist, REFUSE_USERS lists those
// who exist and are refused (default banned,deactivated,deleted). Stream is at STREAM_BASE_URL.
func FromEnv(getenv func(string) string) (*Directory, error) {
	fields, err := parseFields(getenv("USER_FIELDS"))
	if err != nil {
		return nil, err
	}
	base, err := settings.URL(getenv, "STREAM_BASE_URL", streamchat.DefaultBaseURL)
	if err != nil {
		return nil, err
	}
	create, err := settings.Bool(getenv, "CREATE_USERS", true)
	if err != nil {
		return nil, err
	}
	refuse := refusable
	if text := getenv("REFUSE_USERS"); text != "" {
		refuse = strings.Split(text, ",")
		for _, kind := range refuse {
			if kind != "none" && !slices.Contains(refusable, kind) {
				return nil, fmt.Errorf("REFUSE_USERS: %q is none of %s; list some of them, separated by commas, or none", kind, strings.Join(refusable, ", "))
			}
		}
	}
	sync, err := settings.Bool(getenv, "SYNC_USERS", false)
	if err == nil && !sync && !create {
		err = errors.New("CREATE_USERS: false needs SYNC_USERS=true; without it Stream creates users when they connect")
	}
	if err != nil || !sync {
		return nil, err
	}
	ranked := slices.ContainsFunc(fields, func(f field) bool { return f.name == "role" || f.name == "teams" })
	return &Directory{client: newClient(base), fields: fields, ranked: ranked, create: create, refuse: refuse, kept: map[string]*entry{}}, nil
}

// SignIn creates or updates a caller with a bearer token at Stream, as their claims say,
// and returns Stream's user. Stream's response is kept for a minute. The errors are
// those above; despite ErrNotSynced, the user may have a token.
func (d *Directory) SignIn(ctx context.Context, credentials *streamchat.Credentials, caller identity.Caller) (User, error) {
	e := d.entry(ctx, credentials, caller)
	if e.refused != nil {
		return User{}, e.refused
	}
	if since := d.client.appRevoked(ctx, credentials); since.After(e.user.TokensSince) {
		e.user.TokensSince = since
	}
	if e.user.TokensSince.IsZero() {
		return e.user, e.failed
	}
	session := session(caller.Claims)
	at, ok := signedIn(caller.Claims)
	if !ok {
		slog.WarnContext(ctx, "auth_time cannot be read, so the revocation of tokens at Stream counts against the user")
	}
	if first, seen := e.sessions[session]; seen && first.Before(at) {
		at = first
	}
	if !at.Before(e.user.TokensSince) && !slices.Contains(e.ended, session) {
		return e.user, e.failed
	}
	if session != "" && !slices.Contains(e.ended, session) {
		d.end(ctx, credentials, caller.UserID, session, e.ended)
	}
	return User{}, ErrRevoked
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
	issued, _ := caller.Claims.Issued()
	newer := e != nil && d.ranked && issued.After(e.issued) // it may take a role away
	if e != nil {
		d.see(caller, e, issued)
		if now().Before(e.until) && !newer {
			return e.copy()
		}
	}
	if e == nil {
		wanted, _ := d.wanted(caller)
		e = &entry{user: wanted.user()}
		d.kept[caller.UserID] = e
		d.see(caller, e, issued)
	}
	ready := make(chan struct{})
	e.ready = ready
	newest := e.issued
	d.mu.Unlock()

	// Other requests wait for these calls: they must outlive this one.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	found, err := d.sync(ctx, credentials, caller, issued, newest)
	if err == ErrDeleted && !slices.Contains(d.refuse, "deleted") { // learned when writing
		found, _ = d.wanted(caller)
		err = nil
	}
	cancel()

	d.mu.Lock()
	close(ready)
	e.ready = nil
	switch refused, ok := errors.AsType[Refused](err); {
	case err == nil:
		e.until, e.user, e.refused, e.failed = now().Add(keptFor), found.user(), nil, nil
	case ok:
		e.until, e.user, e.refused, e.failed = now().Add(keptFor), User{}, refused, nil
	default:
		e.until, e.failed = now().Add(pause), fmt.Errorf("%w: %w", ErrNotSynced, err)
		if found != nil { // but could not be changed
			e.refused, e.user = nil, found.user()
		}
	}
	if ended, ok := found[endedSessions].([]any); ok {
		e.ended = nil
		for _, session := range ended {
			if text, ok := session.(string); ok {
				e.ended = append(e.ended, text)
			}
		}
	}
	result := e.copy()
	d.resize(caller.UserID, e)
	return result
}

func (e *entry) copy() entry {
	c := *e
	c.sessions = maps.Clone(e.sessions)
	return c
}

// see remembers what a token says. d.mu is held.
func (d *Directory) see(caller identity.Caller, e *entry, issued time.Time) {
	if issued.After(e.issued) {
		e.issued = issued
	}
	session := session(caller.Claims)
	first, seen := e.sessions[session]
	if session == "" || seen && !issued.Before(first) {
		return
	}
	if e.sessions == nil {
		e.sessions = map[string]time.Time{}
	}
	e.sessions[session] = issued
	for other := range e.sessions {
		if len(e.sessions) <= maxSessions {
			break
		}
		if other != session {
			delete(e.sessions, other)
		}
	}
	d.resize(caller.UserID, e)
}

// resize measures an entry again, and makes room for it. d.mu is held.
func (d *Directory) resize(id string, e *entry) {
	const overhead, each = 400, 64 // of an entry and of a session
	size := overhead + len(id) + len(e.user.Name) + len(e.user.Image) + each*(len(e.sessions)+len(e.ended))
	d.size += size - e.size
	e.size = size
	full := func() bool { return len(d.kept) > maxKept || d.size > maxKeptBytes }
	for _, old := range []bool{true, false} {
		if !full() {
			return
		}
		for other, candidate := range d.kept {
			if !old && !full() {
				return
			}
			if other != id && candidate.ready == nil && (!old || !now().Before(candidate.until)) {
				d.size -= candidate.size
				delete(d.kept, other)
			}
		}
	}
}

// sync reads the user at Stream and changes what the claims say otherwise. With an
// error, it returns the user if it could read them. It turns a panic into an error, so
// that the requests that wait for the calls learn of their end.
func (d *Directory) sync(ctx context.Context, credentials *streamchat.Credentials, caller identity.Caller, issued, newest time.Time) (found document, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: a %T\n%s", p, debug.Stack()) // whose value may name the user
		}
	}()
	wanted, odd := d.wanted(caller)
	if len(odd) > 0 {
		slog.WarnContext(ctx, "claims cannot set their fields in USER_FIELDS", "claims", odd)
	}
	d.client.appRevoked(ctx, credentials) // first: it tells how many processes call Stream
	found, err = d.client.find(ctx, credentials, caller.UserID)
	switch {
	case err != nil:
		return nil, err
	case found == nil && !d.create:
		return nil, ErrUnknown
	case found == nil:
		made, err := d.client.create(ctx, credentials, caller.UserID, wanted.ranked(issued))
		if err != nil {
			return nil, err
		}
		return made, made.refused(d.refuse)
	case found.refused(d.refuse) != nil:
		return nil, found.refused(d.refuse)
	}
	// An older token must not give back what a newer one has taken away.
	if at, ok := moment(found[rolesIssued]); ok && at.After(newest) {
		newest = at
	}
	if issued.Before(newest) {
		for _, name := range []string{"role", "teams"} {
			if _, decided := caller.Set[name]; !decided {
				delete(wanted, name)
			}
		}
	}
	change := found.differing(wanted).ranked(issued)
	if len(change) == 0 {
		return found, nil
	}
	changed, err := d.client.change(ctx, credentials, caller.UserID, change)
	if err != nil {
		return found, err
	}
	return changed, changed.refused(d.refuse)
}

// ranked adds when the token was issued that sets a role or teams, if fields has one.
func (fields document) ranked(issued time.Time) document {
	_, role := fields["role"]
	_, teams := fields["teams"]
	if (role || teams) && !issued.IsZero() {
		fields[rolesIssued] = float64(issued.Unix())
	}
	return fields
}

// now returns the time by the wall clock. The monotonic clock may stand still
// while Lambda has the process stopped.
func now() time.Time { return time.Now().Round(0) }
