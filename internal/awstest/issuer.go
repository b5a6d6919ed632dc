package awstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v4"
)

// Audience is who an issuer's tokens are for.
const Audience = "chat-app"

// An Issuer publishes its metadata and its key, and signs bearer tokens.
type Issuer struct {
	URL string

	t      testing.TB
	key    *ecdsa.PrivateKey
	server *httptest.Server
}

// NewIssuer starts an issuer that runs until t ends.
func NewIssuer(t testing.TB) *Issuer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &Issuer{t: t, key: key}
	i.server = httptest.NewServer(i)
	t.Cleanup(i.server.Close)
	i.URL = i.server.URL
	return i
}

// Env is the environment of a function to which this issuer's tokens count.
func (i *Issuer) Env() map[string]string {
	return map[string]string{"OIDC_ISSUER": i.URL, "OIDC_AUDIENCE": Audience}
}

// Stop makes the issuer unreachable.
func (i *Issuer) Stop() { i.server.Close() }

// Bearer returns the Authorization field of a user whose token is good for an
// hour. Claims are added, or take the place of the usual ones.
func (i *Issuer) Bearer(userID string, claims map[string]any) string {
	all := jwt.MapClaims{
		"iss": i.URL,
		"aud": Audience,
		"sub": userID,
		"exp": time.Now().Add(time.Hour).Unix(),
	}
	maps.Copy(all, claims)
	token := jwt.NewWithClaims(jwt.SigningMethodES256, all)
	token.Header["kid"] = "test"
	signed, err := token.SignedString(i.key)
	if err != nil {
		i.t.Fatal(err)
	}
	return "Bearer " + signed
}

func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": i.URL, "jwks_uri": i.URL + "/keys"})
	case "/keys":
		point, err := i.key.PublicKey.Bytes() // 4, then x and y
		if err != nil {
			panic(err)
		}
		encode := base64.RawURLEncoding.EncodeToString
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []map[string]string{{
			"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "test",
			"x": encode(point[1:33]), "y": encode(point[33:]),
		}}})
	default:
		http.NotFound(w, r)
	}
}
