package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"
)

const (
	// userInfoTimeout bounds the request for a user's claims, and askAgain is the time
	// before the next for the same token, if it fails.
	userInfoTimeout = time.Second
	askAgain        = time.Minute
)

// Complete adds to a user's claims those of names that the token lacks and the issuer's
// userinfo endpoint has, if USER_INFO is true. The endpoint is asked once for a token. If it
// fails, the claims stay as they are, with a line in the log.
//
// https://openid.net/specs/openid-connect-core-1_0.html#UserInfo
func (c *Callers) Complete(ctx context.Context, caller Caller, names []string) Caller {
	i := c.issuers[caller.Issuer]
	if !c.userInfo || i == nil || caller.token == "" || len(names) == 0 {
		return caller
	}
	h := hashOf(caller.token)
	more, known := i.keys.more(h)
	if !known {
		var err error
		if more, err = i.keys.userInfo(ctx, caller); err != nil {
			slog.WarnContext(ctx, "the issuer does not say more about a user", "cause", err.Error())
		}
		i.keys.tell(h, more)
	}
	caller.Claims = maps.Clone(caller.Claims)
	for _, name := range names {
		if !caller.Claims.has(name) && len(more[name]) > 0 {
			caller.Claims[name] = more[name]
		}
	}
	return caller
}

// more returns what the userinfo endpoint has said for a token, and whether it need not be
// asked.
func (s *keySet) more(h hash) (Claims, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.seen[h]
	return known.more, known.more != nil || now().Before(known.ask)
}

// tell lets more find what the endpoint has said, or nil if it has failed.
func (s *keySet) tell(h hash, more Claims) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.seen[h]
	if !ok {
		return
	}
	known.more, known.ask = more, now().Add(askAgain)
	for name, raw := range more {
		known.size += len(name) + len(raw)
		s.size += len(name) + len(raw)
	}
	s.seen[h] = known
}

// userInfo asks the endpoint.
func (s *keySet) userInfo(ctx context.Context, caller Caller) (Claims, error) {
	ctx, cancel := context.WithTimeout(ctx, userInfoTimeout)
	defer cancel()
	defer s.client.CloseIdleConnections()
	s.mu.Lock()
	found := s.metadata
	s.mu.Unlock()
	if found.UserInfo == "" {
		if s.base == nil {
			return nil, errors.New("the issuer's metadata is nowhere; set OIDC_DISCOVERY_URL")
		}
		var err error
		if found, err = s.discover(ctx); err != nil {
			return nil, err
		}
		if found.UserInfo == "" {
			return nil, errors.New("the issuer's metadata has no userinfo_endpoint")
		}
		s.mu.Lock()
		s.metadata, s.read = found, now()
		s.mu.Unlock()
	}
	u, err := s.parse(found.UserInfo)
	if err != nil {
		return nil, fmt.Errorf("userinfo_endpoint in the issuer's metadata: %w", err)
	}
	var claims Claims
	if err := s.get(ctx, u, caller.token, &claims); err != nil {
		return nil, err
	}
	// The answer may be about another user if the token was exchanged.
	said, _ := claims.Text("sub")
	if sub, _ := caller.Claims.Text("sub"); sub != said || sub == "" {
		return nil, errors.New("the userinfo endpoint answers about another user, or nobody")
	}
	return claims, nil
}
