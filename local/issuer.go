package main

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v4"
)

// issuer is an OpenID issuer for development: it gives a bearer token to
// whoever asks, for any user. Its key lives as long as the server.
type issuer struct {
	url      string
	audience string
	key      *rsa.PrivateKey
}

const (
	issuerPath = "/.local/issuer"
	bearerPath = "/.local/bearer"
	issuerKey  = "local"
	bearerLife = 12 * time.Hour
)

func newIssuer(url, audience string) (*issuer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	return &issuer{url: url, audience: audience, key: key}, nil
}

// ServeHTTP answers below /.local/.
func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	switch {
	case r.Method != http.MethodGet:
		http.Error(w, "want GET", http.StatusMethodNotAllowed)
	case r.URL.Path == issuerPath+"/.well-known/openid-configuration":
		i.json(w, map[string]any{
			"issuer":                                i.url,
			"jwks_uri":                              i.url + "/jwks.json",
			"authorization_endpoint":                i.url + "/authorize",
			"response_types_supported":              []string{"id_token"},
			"subject_types_supported":               []string{"public"},
			"id_token_signing_alg_values_supported": []string{"RS256"},
		})
	case r.URL.Path == issuerPath+"/jwks.json":
		i.json(w, map[string]any{"keys": []any{map[string]string{
			"kty": "RSA",
			"use": "sig",
			"alg": "RS256",
			"kid": issuerKey,
			"n":   base64.RawURLEncoding.EncodeToString(i.key.N.Bytes()),
			"e":   base64.RawURLEncoding.EncodeToString(big.NewInt(int64(i.key.E)).Bytes()),
		}}})
	case r.URL.Path == bearerPath:
		user := r.URL.Query().Get("user")
		if user == "" {
			user = "alice"
		}
		token, err := i.bearer(user, nil)
		if err != nil {
			http.Error(w, "no token could be made", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, token)
	default:
		http.NotFound(w, r)
	}
}

func (i *issuer) json(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

// bearer is a token for user, with claims over the usual ones; nil takes one out.
func (i *issuer) bearer(user string, claims map[string]any) (string, error) {
	now := time.Now()
	all := jwt.MapClaims{
		"iss": i.url,
		"aud": i.audience,
		"sub": user,
		"iat": now.Unix(),
		"nbf": now.Unix(),
		"exp": now.Add(bearerLife).Unix(),
	}
	for name, v := range claims {
		if v == nil {
			delete(all, name)
		} else {
			all[name] = v
		}
	}
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, all)
	token.Header["kid"] = issuerKey
	return token.SignedString(i.key)
}
