package identity

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"chat-service-backend/shared/settings"
)

const (
	// fetchTimeout bounds the fetch of the issuer's metadata and keys together.
	fetchTimeout = 3 * time.Second

	// refetchAfter is the time between fetches for unknown key ids, which anybody
	// can make up.
	refetchAfter = time.Minute

	// firstRetry and lastRetry bound the time between fetches while there are no
	// keys at all, since anybody can make up tokens.
	firstRetry = time.Second
	lastRetry  = 30 * time.Second

	// maxVerified is the number of verified tokens that are remembered. A user
	// sends the same one for up to an hour.
	maxVerified = 1000

	// maxDocument is the maximum size of an issuer's metadata or keys, in bytes.
	maxDocument = 1 << 20
)

// A keySet holds the public keys of one issuer, and the tokens verified with them.
type keySet struct {
	issuer string   // the iss claim of its tokens
	url    *url.URL // its metadata is below this
	client *http.Client

	mu       sync.Mutex
	keys     []jose.JSONWebKey
	edition  int                          // counts successful fetches
	verified map[[sha256.Size]byte]Caller // by the hash of a token that keys verified
	next     time.Time                    // of the next fetch, at the earliest
	wait     time.Duration                // before the next fetch, while there are no keys
	failed   error                        // of the last fetch, or nil
}

func newKeySet(issuer string, u *url.URL) *keySet {
	return &keySet{
		issuer: issuer,
		url:    u,
		client: &http.Client{
			// Fetches are far apart: a kept connection would be dead by the next.
			Transport: &http.Transport{DisableKeepAlives: true},
			CheckRedirect: func(r *http.Request, via []*http.Request) error {
				if !settings.Secure(r.URL) {
					return errors.New("want an https URL, got a redirect to another scheme")
				}
				if len(via) >= 3 {
					return errors.New("want at most 3 redirects, got more")
				}
				return nil
			},
		},
	}
}

// get returns the issuer's keys with this id, or all if id is empty. If there is
// none, it fetches the keys, at most once a minute; while there are no keys at all,
// 1 s after the first failure, then twice as long each time, up to 30 s. The
// edition is for [keySet.remember].
func (s *keySet) get(ctx context.Context, id string) (_ []jose.JSONWebKey, edition int, _ error) {
	s.mu.Lock() // held while fetching, since the others need the same keys
	defer s.mu.Unlock()
	if matching := s.matching(id); len(matching) > 0 {
		return matching, s.edition, nil
	}
	if now().Before(s.next) {
		// After a failure, nobody knows whether the key is the issuer's.
		return nil, 0, s.failed
	}
	known := len(s.keys) > 0
	if known {
		s.next = now().Add(refetchAfter)
	}
	keys, err := s.fetch(ctx)
	if err != nil {
		if !known {
			s.wait = max(firstRetry, min(2*s.wait, lastRetry))
			s.next = now().Add(s.wait)
		}
		s.failed = fmt.Errorf("%w: %w", ErrUnavailable, err)
		return nil, 0, s.failed
	}
	s.keys, s.failed, s.verified = keys, nil, make(map[[sha256.Size]byte]Caller)
	s.edition++
	return s.matching(id), s.edition, nil
}

// matching returns the keys with this id, or all if id is empty.
func (s *keySet) matching(id string) []jose.JSONWebKey {
	if id == "" {
		return s.keys
	}
	var matching []jose.JSONWebKey
	for _, key := range s.keys {
		if key.KeyID == id {
			matching = append(matching, key)
		}
	}
	return matching
}

// seen returns the caller whose token has this hash, if the present keys have
// verified it.
func (s *keySet) seen(hash [sha256.Size]byte) (Caller, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	caller, ok := s.verified[hash]
	return caller, ok
}

// remember lets seen find a token verified with the keys of that edition, unless
// they have been replaced since.
func (s *keySet) remember(hash [sha256.Size]byte, caller Caller, edition int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if edition != s.edition {
		return
	}
	for other := range s.verified {
		if len(s.verified) < maxVerified {
			break
		}
		delete(s.verified, other)
	}
	s.verified[hash] = caller
}

// now returns the time by the wall clock. The monotonic clock may stand still
// while Lambda has the process stopped.
func now() time.Time { return time.Now().Round(0) }

// fetch reads the issuer's metadata, and then the keys at the URL given there.
//
// https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfig
func (s *keySet) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	// Other requests wait for these keys: the fetch must outlive this one.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	defer cancel()
	var metadata struct {
		Issuer string `json:"issuer"`
		KeyURL string `json:"jwks_uri"`
	}
	if err := s.document(ctx, s.url.JoinPath(".well-known/openid-configuration"), &metadata); err != nil {
		return nil, err
	}
	if metadata.Issuer != s.issuer {
		return nil, fmt.Errorf("want the metadata of issuer %q, got that of %q", s.issuer, metadata.Issuer)
	}
	keyURL, err := url.Parse(metadata.KeyURL)
	if err != nil || !settings.Secure(keyURL) {
		return nil, errors.New("want an https URL as jwks_uri in the issuer's metadata, got something else")
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := s.document(ctx, keyURL, &set); err != nil {
		return nil, err
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		// Keys of an unknown type are of no use here.
		if json.Unmarshal(raw, &key) != nil || !key.Valid() || !key.IsPublic() || key.Use == "enc" {
			continue
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("want public keys at %s, got none", keyURL)
	}
	return keys, nil
}

// document fetches and decodes the JSON document at u.
func (s *keySet) document(ctx context.Context, u *url.URL, v any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/json")
	response, err := s.client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusTooManyRequests {
		return fmt.Errorf("GET %s: %w", u, ErrThrottled)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: want status 200, got %d", u, response.StatusCode)
	}
	document, err := io.ReadAll(io.LimitReader(response.Body, maxDocument))
	if err != nil {
		return fmt.Errorf("GET %s: %w", u, err)
	}
	if err := json.Unmarshal(document, v); err != nil {
		return fmt.Errorf("GET %s: want JSON: %w", u, err)
	}
	return nil
}
