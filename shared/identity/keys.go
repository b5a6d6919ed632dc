package identity

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"chat-service-backend/shared/settings"
)

const (
	// fetchTimeout bounds the fetch of the issuer's metadata and keys together, and
	// refreshTimeout that of keys for which there are older ones.
	fetchTimeout   = 3 * time.Second
	refreshTimeout = time.Second

	// startDelay bounds how long a function's start waits for keys.
	startDelay = 500 * time.Millisecond

	// defaultMaxAge is the default of OIDC_KEY_MAX_AGE, and staleFor how old keys may
	// get while the issuer does not answer.
	defaultMaxAge = time.Hour
	staleFor      = 24 * time.Hour

	// refetchAfter is the time between fetches for tokens that no key fits, which
	// anybody can make up (negative caching), and of an issuer that is down.
	refetchAfter = time.Minute

	// firstRetry and lastRetry bound the time between fetches while there are no
	// keys at all, since anybody can make up tokens.
	firstRetry = time.Second
	lastRetry  = 30 * time.Second

	// maxVerified and maxVerifiedBytes bound the verified tokens that are remembered. A
	// user sends the same one for up to an hour.
	maxVerified      = 1000
	maxVerifiedBytes = 4 << 20

	// maxDocument is the maximum size of an issuer's metadata or keys, in bytes.
	maxDocument = 1 << 20

	// maxGone is the number of withdrawn keys that are remembered.
	maxGone = 16
)

// A hash is the hash of a token.
type hash [sha256.Size]byte

func hashOf(token string) hash { return sha256.Sum256([]byte(token)) }

// A verified token is remembered with its user.
type verified struct {
	caller Caller
	size   int       // of the token and more, in bytes
	more   Claims    // of the userinfo endpoint, or nil
	ask    time.Time // the endpoint again
}

// A keySet holds the public keys of one issuer, and the tokens verified with them.
type keySet struct {
	names  []string // one of which the metadata must have as issuer
	base   *url.URL // the metadata is below this; nil if there is none
	fixed  *url.URL // where the keys are, if the metadata need not say it
	maxAge time.Duration
	client *http.Client

	mu       sync.Mutex
	pending  chan struct{} // closed when the fetch in flight ends; nil if there is none
	keys     []key
	gone     []key    // withdrawn by the issuer
	skipped  []string // keys that cannot be used, and why
	edition  int      // counts the changes of keys
	fetched  time.Time
	due      time.Time     // of the next fetch
	next     time.Time     // of a fetch for a token that no key fits, at the earliest; while there are no keys, of any
	wait     time.Duration // before the next fetch, while there are no keys
	failed   error         // of the last fetch, or nil
	rotated  bool          // the last fetch for a token brought other keys
	seen     map[hash]verified
	size     int // of the tokens in seen, in bytes
	metadata metadata
	read     time.Time // when metadata was
}

// metadata is what counts of an issuer's metadata.
//
// https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata
type metadata struct {
	Issuer   string `json:"issuer"`
	KeyURL   string `json:"jwks_uri"`
	UserInfo string `json:"userinfo_endpoint"`
}

func newKeySet(maxAge time.Duration) *keySet {
	s := &keySet{maxAge: maxAge, seen: map[hash]verified{}}
	s.client = &http.Client{
		Transport: new(http.Transport),
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if err := s.allowed(r.URL); err != nil {
				return fmt.Errorf("redirect: %w", err)
			}
			if len(via) >= 3 {
				return errors.New("it redirects more than 3 times; set the address at the end")
			}
			return nil
		},
	}
	return s
}

// address returns the configured address.
func (s *keySet) address() *url.URL {
	if s.fixed != nil {
		return s.fixed
	}
	return s.base
}

// allowed returns an error unless documents may be fetched from u. What an issuer
// publishes must not lead to loopback, where Lambda's Runtime API is, unless the
// configuration itself does, as in development.
func (s *keySet) allowed(u *url.URL) error {
	switch {
	case loopback(s.address()) && settings.Secure(u):
		return nil
	case u.Scheme != "https" || u.Host == "":
		return errors.New("its URL is not https; the issuer must publish an https one")
	case loopback(u):
		return errors.New("its URL is on this machine, and the issuer is not; the issuer must publish a public one")
	}
	return nil
}

func loopback(u *url.URL) bool {
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip.IsLoopback() || ip.IsUnspecified()
}

// verify returns nil if a key of the issuer fits a token, and the edition of keys for
// [keySet.remember]. It fetches keys that are due. If no key fits, it fetches them again,
// at most once a minute, since an issuer may have replaced a key, even under the same id.
func (s *keySet) verify(ctx context.Context, fits func(key) bool) (edition int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for asked := false; ; {
		due := len(s.keys) == 0 || !now().Before(s.due)
		switch {
		case s.pending != nil && (len(s.keys) == 0 || !slices.ContainsFunc(s.keys, fits)):
			if err := s.await(ctx); err != nil {
				return 0, err
			}
			continue
		case due && s.pending == nil && len(s.keys) == 0 && now().Before(s.next):
			return 0, s.failed
		case due && s.pending == nil:
			s.update(ctx, false)
			if len(s.keys) == 0 {
				return 0, s.failed
			}
			continue
		case slices.ContainsFunc(s.keys, fits):
			return s.edition, nil
		case slices.ContainsFunc(s.gone, fits):
			return 0, errWithdrawn
		case asked || now().Before(s.next):
			switch {
			case s.failed != nil: // nobody knows whether the key is the issuer's
				return 0, s.failed
			case s.rotated && !asked:
				return 0, errTooSoon
			}
			return 0, errSignature
		}
		asked = true
		s.next = now().Add(refetchAfter)
		before := s.edition
		s.update(ctx, true)
		s.rotated = s.edition != before
	}
}

// await waits for the fetch in flight. s.mu is held, but not meanwhile.
func (s *keySet) await(ctx context.Context) error {
	pending := s.pending
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-pending:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: wait for the fetch: %w", ErrUnavailable, context.Cause(ctx))
	}
}

// update fetches the keys and takes them into use. all says that the metadata is read
// again. If the fetch fails, the keys stay in use, for 24 h at most; while there are
// none, the next fetch is 1 s after the first failure, then after twice as long each
// time, up to 30 s. s.mu is held, but not while fetching.
func (s *keySet) update(ctx context.Context, all bool) {
	limit := fetchTimeout
	if len(s.keys) > 0 && !all {
		limit = refreshTimeout
	}
	if err := s.try(ctx, all, limit); err != nil {
		s.failed = fmt.Errorf("%w: %w", ErrUnavailable, err)
		if len(s.keys) > 0 && now().Sub(s.fetched) > staleFor {
			s.edition++
			s.keys, s.seen, s.size = nil, map[hash]verified{}, 0
		}
		if len(s.keys) == 0 {
			s.wait = max(firstRetry, min(2*s.wait, lastRetry))
			s.next = now().Add(s.wait)
			return
		}
		if !now().Before(s.due) {
			s.due = now().Add(refetchAfter)
			slog.WarnContext(ctx, "the issuer's keys are served stale", "cause", err.Error())
		}
	}
}

// try is [keySet.update] without consequences if it fails.
func (s *keySet) try(ctx context.Context, all bool, limit time.Duration) error {
	pending := make(chan struct{})
	s.pending = pending
	last := s.metadata
	if all || now().Sub(s.read) > staleFor {
		last = metadata{}
	}
	s.mu.Unlock()
	keys, skipped, found, err := s.fetch(ctx, last, limit)
	s.mu.Lock()
	s.pending = nil
	close(pending)
	if err != nil {
		return err
	}
	if found != last {
		s.metadata, s.read = found, now()
	}
	if !slices.EqualFunc(keys, s.keys, key.same) {
		s.edition++
		s.seen, s.size = map[hash]verified{}, 0
		s.gone = slices.DeleteFunc(append(slices.Clone(s.keys), s.gone...), func(k key) bool { return slices.ContainsFunc(keys, k.same) })
		s.gone = s.gone[:min(len(s.gone), maxGone)]
	}
	s.keys, s.skipped, s.failed, s.wait = keys, skipped, nil, 0
	s.fetched = now()
	// Jitter spreads the calls of processes that started together.
	s.due = s.fetched.Add(s.maxAge - rand.N(s.maxAge/5+1))
	return nil
}

// load fetches the keys in Lambda's init phase. The first token does it again if that
// fails.
func (s *keySet) load(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending != nil || len(s.keys) > 0 {
		return
	}
	if err := s.try(ctx, true, fetchTimeout); err != nil {
		slog.WarnContext(ctx, "the issuer's keys are not available at start, will ask again", "cause", err.Error())
	}
}

// user returns the caller whose token has this hash, if the present keys have verified
// it and are not due.
func (s *keySet) user(h hash) (Caller, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.seen[h]
	return known.caller, ok && now().Before(s.due)
}

// remember lets user find a token verified with the keys of that edition, unless
// they have been replaced since.
func (s *keySet) remember(h hash, caller Caller, size, edition int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if edition != s.edition || size > maxVerifiedBytes {
		return
	}
	s.size += size - s.seen[h].size
	s.seen[h] = verified{caller: caller, size: size}
	for other, known := range s.seen {
		if len(s.seen) <= maxVerified && s.size <= maxVerifiedBytes {
			break
		}
		if other != h {
			s.size -= known.size
			delete(s.seen, other)
		}
	}
}

// now returns the time by the wall clock. The monotonic clock may stand still
// while Lambda has the process stopped.
func now() time.Time { return time.Now().Round(0) }

// fetch reads the issuer's keys, over one connection if they are on the same host as the
// metadata. It goes to the address in last without asking again, if that still has keys.
//
// https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfig
func (s *keySet) fetch(ctx context.Context, last metadata, limit time.Duration) (keys []key, skipped []string, found metadata, err error) {
	defer func() {
		if p := recover(); p != nil { // requests wait for the end of this fetch
			err = fmt.Errorf("fetch keys: panic: a %T\n%s", p, debug.Stack())
		}
	}()
	// Other requests wait for these keys: the fetch must outlive this one.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	guessed := func() guesses { return nil }
	defer func() {
		go func() { // unused guesses delay nobody
			guessed().wait()
			cancel()
			// Fetches are far apart: a connection kept until the next would be dead.
			s.client.CloseIdleConnections()
		}()
	}()
	if s.fixed != nil {
		keys, skipped, err = s.keySet(ctx, s.fixed)
		return keys, skipped, last, err
	}
	if last.KeyURL != "" {
		if u, err := s.parse(last.KeyURL); err == nil {
			if keys, skipped, err := s.keySet(ctx, u); err == nil {
				return keys, skipped, last, nil
			}
		}
	}
	var asking context.Context
	asking, guessed = s.meanwhile(ctx)
	if found, err = s.discover(asking); err != nil {
		return nil, nil, found, err
	}
	u, err := s.parse(found.KeyURL)
	if err != nil {
		return nil, nil, found, fmt.Errorf("jwks_uri in the issuer's metadata: %w", err)
	}
	if keys, skipped = guessed().at(u); keys != nil {
		return keys, skipped, found, nil
	}
	keys, skipped, err = s.keySet(ctx, u)
	return keys, skipped, found, err
}

// usualKeys returns where the keys of the issuer at base are, most likely.
func usualKeys(base *url.URL) (places []*url.URL) {
	// Amazon Cognito, Auth0, Clerk, Supabase, Ory; oidc-provider, Logto; Dex; Spring.
	paths := []string{".well-known/jwks.json", "jwks", "keys", "oauth2/jwks"}
	switch {
	case strings.Contains(base.Path, "/realms/"): // Keycloak
		paths = []string{"protocol/openid-connect/certs"}
	case strings.HasSuffix(base.Host, ".okta.com"):
		paths = []string{"v1/keys"}
	case strings.HasSuffix(base.Host, ".zitadel.cloud"):
		paths = []string{"oauth/v2/keys"}
	case base.Host == "appleid.apple.com":
		paths = []string{"auth/keys"}
	case base.Host == "login.microsoftonline.com": // Entra ID, whose URL ends in v2.0
		paths = []string{"../discovery/v2.0/keys"}
	}
	for _, path := range paths {
		places = append(places, base.JoinPath(path))
	}
	return places
}

// guesses are requests for keys at the usual places, while the metadata is on its way.
type guesses []*guess

type guess struct {
	place   string
	done    chan struct{} // closed once keys are there, or not
	keys    []key
	skipped []string
}

// meanwhile returns a context for the request for an issuer's metadata. If that goes over
// HTTP/2, keys are asked for at once over the same connection, which saves a round trip.
// guessed returns those requests, or none.
func (s *keySet) meanwhile(ctx context.Context) (asking context.Context, guessed func() guesses) {
	var shared atomic.Bool
	var all atomic.Pointer[guesses]
	asking = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(got httptrace.GotConnInfo) {
			c, ok := got.Conn.(*tls.Conn)
			shared.Store(ok && c.ConnectionState().NegotiatedProtocol == "h2")
		},
		WroteRequest: func(httptrace.WroteRequestInfo) {
			if !shared.Load() || all.Load() != nil {
				return
			}
			var asked guesses
			for _, u := range usualKeys(s.base) {
				g := &guess{place: u.String(), done: make(chan struct{})}
				asked = append(asked, g)
				go func() {
					defer close(g.done)
					defer func() { _ = recover() }() // they are asked for again
					g.keys, g.skipped, _ = s.keySet(ctx, u)
				}()
			}
			all.Store(&asked)
		},
	})
	return asking, func() guesses {
		if asked := all.Load(); asked != nil {
			return *asked
		}
		return nil
	}
}

// at returns the keys at a place, or none.
func (all guesses) at(u *url.URL) (keys []key, skipped []string) {
	for _, g := range all {
		if g.place == u.String() {
			<-g.done
			return g.keys, g.skipped
		}
	}
	return nil, nil
}

// wait returns when all have been answered.
func (all guesses) wait() {
	for _, g := range all {
		<-g.done
	}
}

// discover reads the issuer's metadata.
func (s *keySet) discover(ctx context.Context) (found metadata, err error) {
	if err := s.document(ctx, s.base.JoinPath(wellKnown), &found); err != nil {
		return found, err
	}
	if !slices.Contains(s.names, found.Issuer) {
		return found, fmt.Errorf("%w: the metadata is of issuer %q and not of %q; set the issuer as its metadata spells it", ErrOtherIssuer, found.Issuer, strings.Join(s.names, "|"))
	}
	return found, nil
}

// wellKnown is where an issuer's metadata is, below its base URL.
const wellKnown = ".well-known/openid-configuration"

// parse returns an address in the issuer's metadata.
func (s *keySet) parse(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("it is not a URL")
	}
	return u, s.allowed(u)
}

// keySet reads the keys at u. Keys that cannot be used do not harm the others.
func (s *keySet) keySet(ctx context.Context, u *url.URL) (keys []key, skipped []string, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := s.document(ctx, u, &set); err != nil {
		return nil, nil, err
	}
	for n, raw := range set.Keys {
		k, err := parseKey(raw)
		if err != nil {
			skipped = append(skipped, fmt.Sprintf("key %d (kid %.64q): %v", n+1, k.id, err))
			continue
		}
		keys = append(keys, k)
	}
	switch {
	case len(set.Keys) == 0:
		return nil, nil, fmt.Errorf("%w at %s: its member keys is missing or empty", ErrNoKeys, u)
	case len(keys) == 0:
		return nil, nil, fmt.Errorf("%w at %s; %d cannot be used: %s", ErrNoKeys, u, len(skipped), strings.Join(skipped, "; "))
	}
	return keys, skipped, nil
}

// ErrOtherIssuer means that an issuer's metadata is that of another.
var ErrOtherIssuer = errors.New("another name")

// ErrNoKeys means that an issuer answers, and publishes no key that can be used.
var ErrNoKeys = errors.New("there is no public key for signatures")

// document fetches and decodes the JSON document at u.
func (s *keySet) document(ctx context.Context, u *url.URL, v any) error {
	return s.get(ctx, u, "", v)
}

// get is document with a bearer token, if that is not "".
func (s *keySet) get(ctx context.Context, u *url.URL, bearer string, v any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/json")
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	response, err := s.client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusTooManyRequests {
		return fmt.Errorf("GET %s: %w", u, ErrThrottled)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: status %d; it must be 200", u, response.StatusCode)
	}
	document, err := io.ReadAll(io.LimitReader(response.Body, maxDocument+1))
	if err != nil {
		return fmt.Errorf("GET %s: %w", u, err)
	}
	if len(document) > maxDocument {
		return fmt.Errorf("GET %s: the answer is over %d bytes", u, maxDocument)
	}
	// Files that were saved on Windows may begin with a byte order mark.
	err = json.Unmarshal(bytes.TrimPrefix(document, []byte("\ufeff")), v)
	if other, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("GET %s: the answer is another kind of document: it has an unexpected %s; set the address of the metadata or the keys", u, other.Value)
	}
	if err != nil {
		return fmt.Errorf("GET %s: the answer is not JSON: %w", u, err)
	}
	return nil
}
