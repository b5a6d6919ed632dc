package streamchat

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
)

// WellFormedSignature reports whether signature looks like one of Stream's: 64 hex digits
// of either case. Any other can be refused before its body costs anything.
func WellFormedSignature(signature string) bool {
	_, err := hex.DecodeString(signature)
	return err == nil && len(signature) == hex.EncodedLen(sha256.Size)
}

// Knows reports whether key is one whose webhooks these credentials verify.
func (c *Credentials) Knows(key string) bool {
	return slices.ContainsFunc(c.pairs(), func(p Pair) bool { return p.Key == key })
}

// ValidSignature reports whether signature is Stream's X-Signature of body: the
// HMAC-SHA256 of the uncompressed body, in hex digits of either case, under the secret
// attached to key or, if key is empty, under any.
//
// https://getstream.io/chat/docs/node/webhooks_overview/
func (c *Credentials) ValidSignature(key string, body []byte, signature string) bool {
	got, err := hex.DecodeString(signature)
	if err != nil {
		return false
	}
	for _, pair := range c.pairs() {
		if key != "" && key != pair.Key {
			continue
		}
		mac := hmac.New(sha256.New, []byte(pair.Secret))
		mac.Write(body)
		if hmac.Equal(got, mac.Sum(nil)) {
			return true
		}
	}
	return false
}
