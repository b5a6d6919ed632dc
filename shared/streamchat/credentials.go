package streamchat

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	stream "github.com/GetStream/stream-chat-go/v6"
	"github.com/golang-jwt/jwt/v4"

	"chat-service-backend/shared/settings"
)

// A Pair is an API key and the secret attached to it.
type Pair struct{ Key, Secret string }

// String omits the secret.
func (p Pair) String() string { return p.Key }

// GoString omits the secret.
func (p Pair) GoString() string { return p.Key }

// trimmed returns the pair without white space around its parts, as left by copying and
// pasting.
func (p Pair) trimmed() Pair { return Pair{strings.TrimSpace(p.Key), strings.TrimSpace(p.Secret)} }

// Credentials are an app's API key and secret. Functions hold the secrets, not fields, so
// that printing or marshalling Credentials does not reveal them.
type Credentials struct {
	key         string
	tokenTTL    time.Duration
	serverToken func() string
	userToken   func(userID string, expires, issued time.Time) (string, error)
	pairs       func() []Pair
}

// NewCredentials returns the credentials of the current pair, which also verify webhooks
// of the one before it. A part of previous that is empty is as in current: a rotation may
// bring another secret for the same key. White space is ignored. An empty key or secret
// in current is an error that matches [settings.ErrMissing]: an empty secret would sign
// tokens that anybody can forge. User tokens expire after tokenTTL, in whole seconds; 0
// means never.
//
// A rotation to another key writes first the previous pair, then the secret, then the
// key. Between those two, the key is that of the previous pair, whose secret then makes the
// tokens. Webhooks of either secret are verified: somebody may have written all four for a
// rotation that keeps the key.
func NewCredentials(current, previous Pair, tokenTTL time.Duration) (*Credentials, error) {
	current, previous = current.trimmed(), previous.trimmed()
	if current.Key == "" {
		return nil, fmt.Errorf("%s has no API key: %w", paramKey, settings.ErrMissing)
	}
	if current.Secret == "" {
		return nil, fmt.Errorf("%s has no API secret: %w", paramSecret, settings.ErrMissing)
	}
	pairs := []Pair{current}
	if previous.Secret != "" {
		if previous.Key == current.Key {
			current = previous
		}
		previous.Key = cmp.Or(previous.Key, current.Key)
		pairs = append(pairs, previous)
	}
	client, err := stream.NewClient(current.Key, current.Secret)
	if err != nil {
		return nil, fmt.Errorf("make a Stream client: %w", err)
	}
	// The library does not export its own server token.
	server, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"server": true}).SignedString([]byte(current.Secret))
	if err != nil {
		return nil, fmt.Errorf("sign the server token: %w", err)
	}
	return &Credentials{
		key:         current.Key,
		tokenTTL:    tokenTTL,
		serverToken: func() string { return server },
		userToken: func(userID string, expires, issued time.Time) (string, error) {
			return client.CreateToken(userID, expires, issued)
		},
		pairs: func() []Pair { return pairs },
	}, nil
}

// Key returns the app's API key, which is public.
func (c *Credentials) Key() string { return c.key }
