// Package issuer plays an OpenID Connect issuer that gives anyone a bearer token
// for any user.
package issuer

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v4"
)

// An Issuer publishes its metadata and its key below URL, and signs tokens.
type Issuer struct {
	URL, Audience string

	once sync.Once
	made *rsa.PrivateKey
}

const (
	// BearerPath is where a GET, with the query ?user=NAME, gets a token.
	BearerPath = "/.local/bearer"
	// Life is how long a token is good for.
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
	switch below := r.URL.Path; {
	case r.Method != http.MethodGet:
		http.Error(w, "want GET", http.StatusMethodNotAllowed)
	case below == BearerPath:
		user := r.URL.Query().Get("user")
		if user == "" {
			user = "alice"
		}
		token, err := i.Bearer(user, nil)
		if err != nil {
			http.Error(w, "no token could be made", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, token)
	case strings.HasSuffix(below, "/.well-known/openid-configuration"):
		answer(w, map[string]any{
			"issuer":                                i.URL,
			"jwks_uri":                              i.URL + "/jwks.json",
			"authorization_endpoint":                i.URL + "/authorize",
			"response_types_supported":              []string{"id_token"},
			"subject_types_supported":               []string{"public"},
			"id_token_signing_alg_values_supported": []string{"RS256"},
		})
	case strings.HasSuffix(below, "/jwks.json"):
		encode := base64.RawURLEncoding.EncodeToString
		answer(w, map[string]any{"keys": []any{map[string]string{
			"kty": "RSA", "use": "sig", "alg": "RS256", "kid": keyID,
			"n": encode(i.key().N.Bytes()), "e": encode(big.NewInt(int64(i.key().E)).Bytes()),
		}}})
	default:
		http.NotFound(w, r)
	}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// Bearer returns a token for user, with claims over the usual ones; nil takes
// one out.
func (i *Issuer) Bearer(user string, claims map[string]any) (string, error) {
	now := time.Now()
	all := jwt.MapClaims{
		"iss": i.URL, "aud": i.Audience, "sub": user,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(Life).Unix(),
	}
	for name, v := range claims {
		if all[name] = v; v == nil {
			delete(all, name)
		}
	}
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, all)
	token.Header["kid"] = keyID
	return token.SignedString(i.key())
}
