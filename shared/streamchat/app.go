// Package streamchat holds the app's Stream Chat credentials, makes tokens with them and
// checks webhook signatures.
package streamchat

import (
	"context"
	"fmt"
	"strings"
	"time"

	"chat-service-backend/shared/settings"
)

// The SSM parameters, below the store's prefix. The previous ones exist during a rotation
// and for as long as webhooks signed before it may arrive.
const (
	paramKey            = "stream/api-key"
	paramSecret         = "stream/api-secret"
	paramPreviousKey    = "stream/api-key-previous"
	paramPreviousSecret = "stream/api-secret-previous"
)

// Names are the parameters that credentials are made from, below a store's prefix.
var Names = []string{paramKey, paramSecret, paramPreviousKey, paramPreviousSecret}

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
	credentials, err := Maker(store, getenv)
	if err != nil {
		return nil, err
	}
	return &App{settings.Keep(store, StaleFor, func(ctx context.Context) (*Credentials, error) {
		values, err := store.Parameters(ctx, Names...)
		if err != nil {
			return nil, err
		}
		return credentials(values)
	})}, nil
}

// Maker returns a function that makes credentials from the parameters [Names], for
// callers that read other parameters at the same time. The environment is that of
// [Open].
func Maker(store *settings.Store, getenv func(string) string) (func(values map[string]string) (*Credentials, error), error) {
	ttl, err := settings.Seconds(getenv, "EXPIRATION_TOKEN_DURATION", 0)
	if err != nil {
		return nil, err
	}
	return func(values map[string]string) (*Credentials, error) {
		c, err := NewCredentials(Pair{values[paramKey], values[paramSecret]}, Pair{values[paramPreviousKey], values[paramPreviousSecret]}, ttl)
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

// Verify returns the app's credentials if accepts reports true for them. If it does not,
// key or secret may have been rotated, so they are read again, unless that was done
// within the last 10 s. Without an error, nil means that
// they were refused. Every error matches [settings.ErrUnavailable].
func (a *App) Verify(ctx context.Context, accepts func(*Credentials) bool) (*Credentials, error) {
	c, err := a.Credentials(ctx)
	if err != nil || accepts(c) {
		return c, err
	}
	renewed, err := a.credentials.Renew(ctx)
	if err != nil || renewed == c || !accepts(renewed) {
		return nil, err
	}
	return renewed, nil
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
			return "", fmt.Errorf("%s has no API key: %w", store.Name(paramKey), settings.ErrMissing)
		}
		return key, nil
	})
}
