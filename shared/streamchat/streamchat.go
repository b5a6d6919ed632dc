// Package streamchat holds the app's Stream Chat credentials, makes tokens with them and
// checks webhook signatures.
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

// The SSM parameters, below the store's prefix.
const (
	paramKey            = "stream/api-key"
	paramSecret         = "stream/api-secret"
	paramPreviousSecret = "stream/api-secret-previous"
)

// Names are the parameters that [Maker]'s function wants of a store.
var Names = []string{paramKey, paramSecret}

// clockSkew is how far a user token's iat is in the past: Stream refuses a token from
// its future, and clocks differ.
const clockSkew = 5 * time.Second

// DefaultBaseURL is the URL of Stream's REST API, and the default of STREAM_BASE_URL.
const DefaultBaseURL = "https://chat.stream-io-api.com"

// An App is the Stream app whose credentials are in SSM.
type App struct {
	credentials *settings.Value[*Credentials]
}

// StaleFor is how long credentials are used while SSM does not answer. An outage of
// Parameter Store must not end the chat, but a removed or rotated secret must be out of
// use within a day, whatever happens to SSM.
const StaleFor = 24 * time.Hour

// Open returns the app whose credentials are in store. EXPIRATION_TOKEN_DURATION is the
// lifetime of user tokens in seconds; if it is unset or empty, they do not expire.
func Open(store *settings.Store, getenv func(string) string) (*App, error) {
	return open(store, getenv, Names...)
}

// OpenForWebhooks is [Open] for a function that checks signatures. It also accepts those
// made with the secret before the last rotation, while the parameter
// stream/api-secret-previous exists.
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

// Maker returns a function that makes credentials from parameters by their names in
// store, for callers that read other parameters in the same call. The environment is
// that of [Open].
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

// Load fetches the credentials; see [settings.Value.Load].
func (a *App) Load(ctx context.Context) { a.credentials.Load(ctx) }

// Credentials returns the app's current credentials. Every error matches
// [settings.ErrUnavailable].
func (a *App) Credentials(ctx context.Context) (*Credentials, error) {
	return a.credentials.Get(ctx)
}

// ValidSignature is [Credentials.ValidSignature] for the app's current credentials. If
// the signature is not valid, the secret may have been rotated, so it is read again,
// unless it was read within the last 10 s. Every error matches
// [settings.ErrUnavailable].
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

// OpenKey returns the app's API key, kept fresh, for a function that may not read the
// secret.
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

// Credentials are an app's API key and secret. Functions hold the secret, not fields, so
// that printing or marshalling Credentials does not reveal it.
type Credentials struct {
	key         string
	tokenTTL    time.Duration
	serverToken func() string
	userToken   func(userID string, expires, issued time.Time) (string, error)
	secrets     func() []string
}

// NewCredentials returns the credentials made from an API key, a secret and the secret
// before it, which may be empty. White space around them, as left by copying and
// pasting, is ignored. An empty key or secret is an error that matches
// [settings.ErrMissing]: an empty secret would sign tokens that anybody can forge. User
// tokens expire after tokenTTL, in whole seconds; 0 means never.
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
	// The library does not export its own server token.
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

// Key returns the app's API key, which is public.
func (c *Credentials) Key() string { return c.key }

// ServerToken returns the token of the app's own servers. It never expires and overrides
// all permissions, so it is worth as much as the secret.
func (c *Credentials) ServerToken() string { return c.serverToken() }

// UserToken returns a token with which a user can connect to Stream. The user need not
// exist. If the user's tokens were revoked, since is when: the token is not issued
// earlier, or Stream would refuse it.
func (c *Credentials) UserToken(userID string, since time.Time) (string, error) {
	if !userid.Valid(userID) {
		return "", errors.New("sign a user token: want a user id that Stream accepts, got another")
	}
	now := time.Now()
	var expires time.Time
	if c.tokenTTL > 0 {
		expires = now.Add(c.tokenTTL)
	}
	issued := now.Add(-clockSkew).Truncate(time.Second) // as in the token
	if issued.Before(since) {
		issued = since.Add(time.Second - 1) // which the token rounds down
	}
	return c.userToken(userID, expires, issued)
}

// WellFormedSignature reports whether signature looks like one of Stream's: 64 hex digits
// of either case. Any other can be refused before its body costs anything.
func WellFormedSignature(signature string) bool {
	_, err := hex.DecodeString(signature)
	return err == nil && len(signature) == hex.EncodedLen(sha256.Size)
}

// ValidSignature reports whether signature is Stream's X-Signature of body: the
// HMAC-SHA256 of the uncompressed body under the secret, in hex digits of either case.
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
