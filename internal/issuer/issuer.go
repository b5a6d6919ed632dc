// Package issuer plays an OpenID Connect issuer that lets anyone sign in as any user:
// with the code flow and PKCE as apps do, or with one call.
package issuer

import (
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v4"

	"chat-service-backend/shared/httpjson"
)

// An Issuer publishes its metadata and its key below URL, and signs tokens.
type Issuer struct {
	URL, Audience string

	// Metadata and Keys, if set, are published instead of the issuer's own.
	Metadata map[string]any
	Keys     []any
	// Trusted reports whether a host may have this issuer's tokens; nil: any may.
	Trusted func(host string) bool

	grants sync.Map // of type grant, by code or refresh token
}

const (
	// BearerPath answers a GET, with the query ?user=NAME&claims=JSON, with a token.
	BearerPath = "/.local/bearer"
	// Life is how long a token is valid.
	Life = 12 * time.Hour

	keyID = "local"
)

// key is that of all issuers in this process, because it takes a tenth of a second to make.
var key = sync.OnceValue(func() *rsa.PrivateKey {
	made, _ := rsa.GenerateKey(rand.Reader, 2048) // never fails for this size
	return made
})

// jwk returns the public key as RFC 7517 writes it.
func (i *Issuer) jwk() map[string]string {
	encode, key := base64.RawURLEncoding.EncodeToString, key()
	return map[string]string{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": keyID, "n": encode(key.N.Bytes()), "e": encode(big.NewInt(int64(key.E)).Bytes()),
	}
}

func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	metadata := i.Metadata
	if metadata == nil {
		metadata = endpoints(i.base(r))
	}
	keysURL, _ := metadata["jwks_uri"].(string)
	flow := map[string]http.HandlerFunc{"authorize": i.authorize, "token": i.token, "userinfo": i.userInfo, "logout": i.logout}[path.Base(r.URL.Path)]
	switch path := r.URL.Path; {
	case flow != nil && (r.Method == http.MethodPost || r.Method == http.MethodGet):
		flow(w, r)
	case r.Method != http.MethodGet:
		http.Error(w, "use GET", http.StatusMethodNotAllowed)
	case path == BearerPath:
		claims, err := parseClaims(r.URL.Query().Get("claims"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, i.Bearer(cmp.Or(r.URL.Query().Get("user"), "alice"), claims))
	case strings.HasSuffix(path, "/.well-known/openid-configuration"):
		_ = httpjson.Write(w, http.StatusOK, metadata)
	case strings.HasSuffix(keysURL, path):
		keys := i.Keys
		if keys == nil {
			keys = []any{i.jwk()}
		}
		_ = httpjson.Write(w, http.StatusOK, map[string]any{"keys": keys})
	default:
		http.NotFound(w, r)
	}
}

// base is the issuer's name as the caller of a request knows it: a device may have
// another name for this machine.
func (i *Issuer) base(r *http.Request) string {
	u, err := url.Parse(i.URL)
	if err != nil || i.Trusted == nil || r.Host == "" {
		return i.URL
	}
	u.Host = r.Host
	return u.String()
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
func (i *Issuer) Bearer(user string, changes map[string]any) string {
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims(i.Claims(user, changes)))
	token.Header["kid"] = keyID
	signed, err := token.SignedString(key())
	if err != nil {
		panic(err) // claims that are JSON and a key of this size always work
	}
	return signed
}
