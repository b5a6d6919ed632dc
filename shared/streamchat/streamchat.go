// Package streamchat holds the app's Stream Chat credentials and what is done
// with them: user tokens, the server token, and webhook signatures.
package streamchat

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	stream "github.com/GetStream/stream-chat-go/v6"
	"github.com/golang-jwt/jwt/v4"

	"chat-service-backend/shared/settings"
	"chat-service-backend/shared/userid"
)

// The SSM parameters, relative to the store's prefix.
const (
	paramKey            = "stream/api-key"
	paramSecret         = "stream/api-secret"
	paramPreviousSecret = "stream/api-secret-previous"
)

// clockSkew is how far a user token's iat lies in the past: Stream refuses a
// token from its future, and clocks differ.
const clockSkew = 5 * time.Second

// DefaultBaseURL is where Stream's REST API is, unless STREAM_BASE_URL says
// otherwise.
const DefaultBaseURL = "https://chat.stream-io-api.com"

// An App is the Stream app whose credentials lie in SSM.
type App struct {
	credentials *settings.Value[*Credentials]
}

// StaleFor is how long credentials are used while SSM does not answer. An outage
// of Parameter Store must not end the chat; but an operator who has removed or
// rotated a secret can count on its end within a day, whatever happens to SSM.
const StaleFor = 24 * time.Hour

// Open returns the app whose credentials lie in store. EXPIRATION_TOKEN_DURATION
// is how many seconds a user token is good for; if it is unset or empty, tokens
// do not expire.
func Open(store *settings.Store, getenv func(string) string) (*App, error) {
	return open(store, getenv, paramKey, paramSecret)
}

// OpenForWebhooks is [Open] for a function that checks signatures: those made
// with the secret before the last rotation count, too, for as long as the
// parameter stream/api-secret-previous exists.
func OpenForWebhooks(store *settings.Store, getenv func(string) string) (*App, error) {
	return open(store, getenv, paramKey, paramSecret, paramPreviousSecret)
}

func open(store *settings.Store, getenv func(string) string, names ...string) (*App, error) {
	credentials, err := Maker(store, getenv)
	if err != nil {
		return nil, err
	}
	return &App{settings.Keep(store, StaleFor, func(ctx context.Context) (*Credentials, error) {
		values, err := store.Parameters(ctx, names...)
		if err != nil {
			return nil, err
		}
		return credentials(values)
	})}, nil
}

// Maker returns what makes credentials of the parameters in store, by their names
// there, for a function that reads more than these in one call. The environment
// is that of [Open].
func Maker(store *settings.Store, getenv func(string) string) (func(values map[string]string) (*Credentials, error), error) {
	ttl, err := settings.Seconds(getenv, "EXPIRATION_TOKEN_DURATION", 0)
	if err != nil {
		return nil, err
	}
	return func(values map[string]string) (*Credentials, error) {
		c, err := NewCredentials(values[paramKey], values[paramSecret], values[paramPreviousSecret], ttl)
		if err != nil {
			return nil, fmt.Errorf("parameters below %s: %w", store.Name("stream"), err)
		}
		return c, nil
	}, nil
}

// Load fetches the credentials ahead of their first use; see
// [settings.Value.Load].
func (a *App) Load(ctx context.Context) { a.credentials.Load(ctx) }

// Credentials returns the app's credentials as they are now. Every error matches
// [settings.ErrUnavailable].
func (a *App) Credentials(ctx context.Context) (*Credentials, error) {
	return a.credentials.Get(ctx)
}

// ValidSignature reports whether body bears a signature of the app: see
// [Credentials.ValidSignature]. If it seems not to, the secret may have been
// rotated since it was read, so it is read again, unless that was done a moment
// ago. Every error matches [settings.ErrUnavailable].
func (a *App) ValidSignature(ctx context.Context, body []byte, signature string) (bool, error) {
	c, err := a.Credentials(ctx)
	if err != nil {
		return false, err
	}
	if c.ValidSignature(body, signature) {
		return true, nil
	}
	if !WellFormedSignature(signature) {
		return false, nil
	}
	renewed, err := a.credentials.Renew(ctx)
	if err != nil || renewed == c {
		return false, err
	}
	return renewed.ValidSignature(body, signature), nil
}

// OpenKey returns the app's API key, kept fresh, for a function that may read
// the key and no secret.
func OpenKey(store *settings.Store) *settings.Value[string] {
	return settings.Keep(store, StaleFor, func(ctx context.Context) (string, error) {
		values, err := store.Parameters(ctx, paramKey)
		if err != nil {
			return "", err
		}
		key := strings.TrimSpace(values[paramKey])
		if key == "" {
			return "", fmt.Errorf("%s: want the app's API key: %w", store.Name(paramKey), settings.ErrMissing)
		}
		return key, nil
	})
}

// Credentials are an app's API key and secret. The secret is held by functions
// and not by fields, so that printing or marshalling Credentials shows none.
type Credentials struct {
	key         string
	tokenTTL    time.Duration
	serverToken func() string
	userToken   func(userID string, expires, issued time.Time) (string, error)
	secrets     func() []string
}

// NewCredentials returns the credentials made of an API key, a secret and the
// secret before it, which may be empty. White space around them, which copying
// and pasting leaves, does not count. An empty key or secret is an error that
// matches [settings.ErrMissing]: it would sign tokens that anybody can forge.
// User tokens are good for tokenTTL, in whole seconds; 0 means for ever.
func NewCredentials(key, secret, previousSecret string, tokenTTL time.Duration) (*Credentials, error) {
	key, secret, previousSecret = strings.TrimSpace(key), strings.TrimSpace(secret), strings.TrimSpace(previousSecret)
	if key == "" {
		return nil, fmt.Errorf("%s: want the app's API key: %w", paramKey, settings.ErrMissing)
	}
	if secret == "" {
		return nil, fmt.Errorf("%s: want the app's API secret: %w", paramSecret, settings.ErrMissing)
	}
	client, err := stream.NewClient(key, secret)
	if err != nil {
		return nil, fmt.Errorf("make a Stream client: %w", err)
	}
	// The library keeps its own server token to itself.
	server, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"server": true}).SignedString([]byte(secret))
	if err != nil {
		return nil, fmt.Errorf("sign the server token: %w", err)
	}
	secrets := []string{secret}
	if previousSecret != "" {
		secrets = append(secrets, previousSecret)
	}
	return &Credentials{
		key:         key,
		tokenTTL:    tokenTTL,
		serverToken: func() string { return server },
		userToken: func(userID string, expires, issued time.Time) (string, error) {
			return client.CreateToken(userID, expires, issued)
		},
		secrets: func() []string { return secrets },
	}, nil
}

// Key is the app's API key. It is public.
func (c *Credentials) Key() string { return c.key }

// ServerToken is the token of the app's own servers. It never expires and no
// permission binds it: it is worth as much as the secret.
func (c *Credentials) ServerToken() string { return c.serverToken() }

// UserToken returns a token with which a user may connect to Stream from now
// on. The user need not exist. If the user's tokens have been revoked, since says
// when: Stream takes none that was issued before.
func (c *Credentials) UserToken(userID string, since time.Time) (string, error) {
	if !userid.Valid(userID) {
		return "", errors.New("sign a user token: the user id is not one that Stream takes")
	}
	now := time.Now()
	var expires time.Time
	if c.tokenTTL > 0 {
		expires = now.Add(c.tokenTTL)
	}
	issued := now.Add(-clockSkew).Truncate(time.Second) // as a token has it
	if issued.Before(since) {
		issued = since.Add(time.Second - 1) // rounded down, not before
	}
	return c.userToken(userID, expires, issued)
}

// WellFormedSignature reports whether signature looks like one of Stream's: 64
// hex digits of either case. What does not is refused before its body costs
// anything.
func WellFormedSignature(signature string) bool {
	_, err := hex.DecodeString(signature)
	return err == nil && len(signature) == hex.EncodedLen(sha256.Size)
}

// ValidSignature reports whether signature is the X-Signature that Stream sends
// with body: the HMAC-SHA256 of the uncompressed body under the secret, as hex
// digits of either case.
//
// https://getstream.io/chat/docs/node/webhooks_overview/
func (c *Credentials) ValidSignature(body []byte, signature string) bool {
	got, err := hex.DecodeString(signature)
	if err != nil {
		return false
	}
	for _, secret := range c.secrets() {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		if hmac.Equal(got, mac.Sum(nil)) {
			return true
		}
	}
	return false
}
