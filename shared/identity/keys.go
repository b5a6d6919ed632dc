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

	// refetchAfter is how long a fetch for a key id that nobody knew keeps the
	// next such fetch away: anybody can make up key ids.
	refetchAfter = time.Minute

	// firstRetry and lastRetry bound how long a failed fetch keeps the next one
	// away while there are no keys at all: anybody can make up tokens.
	firstRetry = time.Second
	lastRetry  = 30 * time.Second

	// maxVerified is how many tokens are remembered. Each user sends the same one
	// for up to an hour.
	maxVerified = 1000

	// maxDocument is the most bytes that an issuer's metadata or keys may be.
	maxDocument = 1 << 20
)

// A keySet is the public keys of one issuer.
type keySet struct {
	issuer string // as its tokens name it
	client *http.Client
	url    *url.URL // of the issuer

	mu       sync.Mutex
	keys     []jose.JSONWebKey
	edition  int                          // of keys
	verified map[[sha256.Size]byte]Caller // by token, whose signature these keys fit
	next     time.Time                    // when the issuer may be asked again
	wait     time.Duration                // after the last failure, while there are no keys
	failed   error                        // why the last fetch did not work, or nil
}

func newKeySet(issuer string, u *url.URL) *keySet {
	return &keySet{
		issuer: issuer,
		url:    u,
		client: &http.Client{
			// Fetches are far between: a kept connection would have died.
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

// get returns the issuer's keys of that id, or all if id is empty. If it has
// none of that id, it asks the issuer, at most once a minute. Without any keys,
// it asks 1 s after the first failure, and doubles that up to 30 s. The edition
// tells these keys from those before.
func (s *keySet) get(ctx context.Context, id string) (_ []jose.JSONWebKey, edition int, _ error) {
	s.mu.Lock() // while fetching, too: others wait for the same keys
	defer s.mu.Unlock()
	if matching := s.matching(id); len(matching) > 0 {
		return matching, s.edition, nil
	}
	if now().Before(s.next) {
		// If the issuer did not answer, nobody knows whether the key is its.
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
		s.failed = fmt.Errorf("get the issuer's keys: %w", err)
		return nil, 0, s.failed
	}
	s.keys, s.failed = keys, nil
	s.edition++
	s.verified = nil
	return s.matching(id), s.edition, nil
}

// seen returns whose token has that hash, if the present keys fit it.
func (s *keySet) seen(hash [sha256.Size]byte) (Caller, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	caller, ok := s.verified[hash]
	return caller, ok
}

// remember makes a token seen, unless there are newer keys by now.
func (s *keySet) remember(hash [sha256.Size]byte, caller Caller, edition int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if edition != s.edition {
		return
	}
	if s.verified == nil {
		s.verified = map[[sha256.Size]byte]Caller{}
	}
	for other := range s.verified { // any
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

// fetch asks the issuer where its keys are, and then for them.
//
// https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfig
func (s *keySet) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	// Other requests wait for these keys, too: the fetch does not end with one.
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
		// A kind of key that is unknown here is one that cannot be used here.
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

// document decodes the JSON document at u.
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
