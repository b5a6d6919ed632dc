package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

const (
	// minRSA is the least size of an RSA key, in bits (RFC 7518 section 3.3). maxRSA
	// bounds what a signature costs.
	minRSA = 2048
	maxRSA = 16384
)

// A key is one of an issuer's public keys.
type key struct {
	id         string // its kid, or "" if that is not a text
	public     crypto.PublicKey
	algorithms []string // that its alg, kty and crv allow
}

// same reports whether two keys are the same in everything that counts.
func (k key) same(other key) bool {
	public, ok := k.public.(interface{ Equal(crypto.PublicKey) bool })
	return k.id == other.id && slices.Equal(k.algorithms, other.algorithms) && ok && public.Equal(other.public)
}

// The algorithms of each type of key, asymmetric ones only: with a symmetric one, whoever
// can verify a token can also forge one. Ed25519 is what RFC 9864 calls EdDSA.
var (
	rsaAlgorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	edAlgorithms  = []string{"EdDSA", "Ed25519"}
	curves        = map[string]struct {
		curve     elliptic.Curve
		algorithm string
	}{
		"P-256": {elliptic.P256(), "ES256"},
		"P-384": {elliptic.P384(), "ES384"},
		"P-521": {elliptic.P521(), "ES512"},
	}
)

// privateMembers are those of which one is enough to know the private key.
//
// https://www.rfc-editor.org/rfc/rfc7518#section-6.3.2
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi"}

// parseKey reads a JSON Web Key as it is published. It reads only what a signature needs:
// issuers publish thumbprints (x5t) that do not fit their certificate, keys with a
// certificate (x5c) and no more, and keys without kid or alg. The error says why tokens
// cannot be verified with the key.
//
// https://www.rfc-editor.org/rfc/rfc7517#section-4
func parseKey(raw json.RawMessage) (key, error) {
	var members Claims
	if json.Unmarshal(raw, &members) != nil || members == nil {
		return key{}, errors.New("it is not a JSON object")
	}
	text := func(name string) string {
		value, _ := members.Text(name)
		return value
	}
	var operations []string
	_ = json.Unmarshal(members["key_ops"], &operations)
	k := key{id: text("kid")}
	switch kind := text("kty"); {
	case text("use") == "enc", len(operations) > 0 && !slices.Contains(operations, "verify") && !slices.Contains(operations, "sign"):
		return k, errors.New("it is for encryption")
	case slices.ContainsFunc(privateMembers, func(name string) bool { return text(name) != "" }):
		return k, errors.New("its private half is published too, so anybody could sign with it")
	case kind != "" && kind != "RSA" && kind != "EC" && kind != "OKP":
		return k, fmt.Errorf("its type is %.20q; it must be RSA, EC or OKP", kind)
	default:
		var err error
		if k.public, err = publicKey(kind, text, members["x5c"]); err != nil {
			return k, err
		}
	}
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < minRSA || bits > maxRSA {
			return k, fmt.Errorf("it has %d bits; it must have %d to %d", bits, minRSA, maxRSA)
		}
		if public.E < 3 || public.E%2 == 0 {
			return k, errors.New("its exponent (e) is not an odd number from 3 on, in Base64url")
		}
		k.algorithms = rsaAlgorithms
	case *ecdsa.PublicKey:
		if c, ok := curves[public.Curve.Params().Name]; ok {
			k.algorithms = []string{c.algorithm}
		}
	case ed25519.PublicKey:
		k.algorithms = edAlgorithms
	}
	if own := text("alg"); own != "" {
		if !slices.Contains(k.algorithms, own) {
			return k, fmt.Errorf("its alg is %.20q; for such a key it must be one of %s", own, strings.Join(k.algorithms, ", "))
		}
		if !slices.Contains(edAlgorithms, own) { // two names of one algorithm
			k.algorithms = []string{own}
		}
	}
	if len(k.algorithms) == 0 {
		return k, errors.New("it is of a type that cannot be used here")
	}
	return k, nil
}

// publicKey returns the key in the members of a JSON Web Key, or else in its certificate.
func publicKey(kind string, text func(string) string, x5c json.RawMessage) (crypto.PublicKey, error) {
	number := func(name string) *big.Int { return new(big.Int).SetBytes(bytesOf(text(name))) }
	curve := text("crv")
	switch {
	case kind == "RSA" && text("n") != "":
		e := number("e")
		if !e.IsInt64() || e.Int64() > 1<<31-1 {
			return nil, errors.New("its exponent is too large")
		}
		return &rsa.PublicKey{N: number("n"), E: int(e.Int64())}, nil
	case kind == "EC" && text("x") != "":
		c, ok := curves[curve]
		if !ok {
			return nil, fmt.Errorf("its curve is %.20q; it must be P-256, P-384 or P-521", curve)
		}
		size := (c.curve.Params().BitSize + 7) / 8
		point := make([]byte, 1+2*size) // uncompressed, as in SEC 1 section 2.3.3
		point[0] = 4
		x, y := number("x"), number("y")
		if x.BitLen() > 8*size || y.BitLen() > 8*size {
			return nil, errors.New("it is not a point of its curve")
		}
		x.FillBytes(point[1 : 1+size])
		y.FillBytes(point[1+size:])
		public, err := ecdsa.ParseUncompressedPublicKey(c.curve, point)
		if err != nil {
			return nil, errors.New("it is not a point of its curve")
		}
		return public, nil
	case kind == "OKP" && text("x") != "":
		if curve != "Ed25519" {
			return nil, fmt.Errorf("its curve is %.20q; it must be Ed25519", curve)
		}
		x := bytesOf(text("x"))
		if len(x) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("it has %d bytes; it must have %d", len(x), ed25519.PublicKeySize)
		}
		return ed25519.PublicKey(x), nil
	}
	return certified(kind, x5c)
}

// certified returns the key in the first certificate of a JSON Web Key.
func certified(kind string, x5c json.RawMessage) (crypto.PublicKey, error) {
	var chain []string
	if json.Unmarshal(x5c, &chain) != nil || len(chain) == 0 {
		return nil, errors.New("it has neither the members of its type nor a certificate")
	}
	// Some issuers leave PEM's armour in it.
	body := strings.NewReplacer("-----BEGIN CERTIFICATE-----", "", "-----END CERTIFICATE-----", "", "\n", "", "\r", "", " ", "").Replace(chain[0])
	certificate, err := x509.ParseCertificate(bytesOf(body))
	if err != nil {
		return nil, errors.New("its certificate cannot be read")
	}
	public := certificate.PublicKey
	switch public.(type) {
	case *rsa.PublicKey:
		if kind == "" || kind == "RSA" {
			return public, nil
		}
	case *ecdsa.PublicKey:
		if kind == "" || kind == "EC" {
			return public, nil
		}
	case ed25519.PublicKey:
		if kind == "" || kind == "OKP" {
			return public, nil
		}
	}
	return nil, errors.New("its certificate is for a key of another type")
}

// bytesOf decodes Base64url, and tolerates Base64 and padding. It returns nil for
// anything else.
func bytesOf(text string) []byte {
	text = strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(text, "="))
	decoded, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	return decoded
}
