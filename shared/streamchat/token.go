package streamchat

import (
	"errors"
	"time"

	"chat-service-backend/shared/userid"
)

// clockSkew is how far a user token's iat is in the past: Stream refuses a token from
// its future, and clocks differ.
const clockSkew = 5 * time.Second

// ServerToken returns the token of the app's own servers. It never expires and overrides
// all permissions, so it is worth as much as the secret.
func (c *Credentials) ServerToken() string { return c.serverToken() }

// UserToken returns a token with which a user can connect to Stream. The user need not
// exist. If the user's tokens were revoked, since is when: the token is not issued
// earlier, or Stream would refuse it. It lives for at most life, unless that is 0.
func (c *Credentials) UserToken(userID string, since time.Time, life time.Duration) (string, error) {
	if !userid.Valid(userID) {
		return "", errors.New("sign a user token: Stream does not accept this user id")
	}
	now := time.Now()
	var expires time.Time
	if life == 0 || c.tokenTTL > 0 && c.tokenTTL < life {
		life = c.tokenTTL
	}
	if life > 0 {
		expires = now.Add(life)
	}
	issued := now.Add(-clockSkew).Truncate(time.Second) // as in the token
	if issued.Before(since) {
		issued = since.Add(time.Second - 1) // which the token rounds down
	}
	return c.userToken(userID, expires, issued)
}
