// Package issuer plays an OpenID Connect issuer that gives anyone a bearer token
// for any user.
package issuer

import (
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// An Issuer publishes its metadata and its key below URL, and signs tokens.
type Issuer struct {
	URL, Audience string

	// Metadata and Keys, if set, are published instead of the issuer's own.
	Metadata map[string]any
	Keys     []any

	once sync.Once
	made *rsa.PrivateKey
}

const (
	// BearerPath answers a GET, with the query ?user=NAME, with a token.
	BearerPath = "/.local/bearer"
	// Life is how long a token is valid.
	Life = 12 * time.Hour

	keyID = "local"
)

func (i *Issuer) key() *rsa.PrivateKey {
	i.once.Do(func() {
		var err error
		if i.made, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			panic(err)
		}
	})
	return i.made
}

func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	metadata := i.Metadata
	if metadata == nil {
		metadata = map[string]any{
			"issuer":                                i.URL,
			"jwks_uri":                              i.URL + "/jwks.json",
			"authorization_endpoint":                i.URL + "/authorize",
			"response_types_supported":              []string{"id_token"},
			"subject_types_supported":               []string{"public"},
			"id_token_signing_alg_values_supported": []string{"RS256"},
		}
	}
	keysURL, _ := metadata["jwks_uri"].(string)
	switch path := r.URL.Path; {
	case r.Method != http.MethodGet:
		http.Error(w, "want GET", http.StatusMethodNotAllowed)
	case path == BearerPath:
		token, err := i.Bearer(cmp.Or(r.URL.Query().Get("user"), "alice"), nil)
		if err != nil {
			http.Error(w, "the token cannot be signed", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, token)
	case strings.HasSuffix(path, "/.well-known/openid-configuration"):
		answer(w, metadata)
	case strings.HasSuffix(keysURL, path):
		keys := i.Keys
		if keys == nil {
			keys = []any{jose.JSONWebKey{Key: i.key().Public(), KeyID: keyID, Algorithm: "RS256", Use: "sig"}}
		}
		answer(w, map[string]any{"keys": keys})
	default:
		http.NotFound(w, r)
	}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// Claims returns the claims of user's token with changes applied; a nil value
// removes a claim.
func (i *Issuer) Claims(user string, changes map[string]any) map[string]any {
	now := time.Now()
	claims := map[string]any{"iss": i.URL, "aud": i.Audience, "sub": user, "iat": now.Unix(), "exp": now.Add(Life).Unix()}
	for name, v := range changes {
		if claims[name] = v; v == nil {
			delete(claims, name)
		}
	}
	return claims
}

// Bearer returns a token for user with the claims that [Issuer.Claims] returns.
func (i *Issuer) Bearer(user string, changes map[string]any) (string, error) {
	claims, err := json.Marshal(i.Claims(user, changes))
	if err != nil {
		return "", err
	}
	return Sign(jose.RS256, i.key(), map[string]any{"kid": keyID, "typ": "JWT"}, claims)
}

// Sign returns a token. Beyond "alg", the header is the caller's, and the payload
// need not make sense.
func Sign(algorithm jose.SignatureAlgorithm, key any, header map[string]any, payload []byte) (string, error) {
	options := &jose.SignerOptions{}
	for name, value := range header {
		options.WithHeader(jose.HeaderKey(name), value)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, options)
	if err != nil {
		return "", err
	}
	token, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return token.CompactSerialize()
}
