// Package userid turns the ids that identity providers give their users into Stream
// user ids. examples/user-ids has the same rule in other languages.
package userid

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

const (
	alphabet  = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@_-"
	maxLength = 255
)

// Rule describes a valid user id, for an error message.
const Rule = "1 to 255 of the letters a to z and A to Z, digits, and the characters @ _ -"

// Valid reports whether Stream accepts id as a user id:
// ^[@A-Za-z0-9_-]{1,255}$.
func Valid(id string) bool {
	for i := range len(id) {
		if c := id[i]; !('a' <= c|' ' && c|' ' <= 'z' || '0' <= c && c <= '9' || c == '@' || c == '_' || c == '-') {
			return false
		}
	}
	return 1 <= len(id) && len(id) <= maxLength
}

// ValidPrefix reports whether prefix can be the prefix of an issuer:
// ^[A-Za-z0-9_-]{1,32}$.
func ValidPrefix(prefix string) bool {
	return len(prefix) <= 32 && Valid(prefix) && !strings.Contains(prefix, "@")
}

// Map returns the Stream user id of the user whom an issuer identifies by claim, which
// must not be empty. An issuer without a prefix keeps a claim that is a valid user id,
// unless it contains the marker @-.
//
// No two users get the same id:
//
//   - In a claim's own @-, the @ is escaped. An unescaped @ before an escape is followed
//     by the @ of that escape. So each @- that Map writes begins an escape, a hash or
//     the claim after a prefix, and nothing else contains one.
//   - Hence decoding the escapes from left to right returns the claim, byte for byte:
//     claims with the same id are the same claim.
//   - After @-, an escape has a digit or one of A to F, a hash has an s, and the end of a
//     prefix has a hyphen. So a hash is never an escaped claim, and hashes are equal only
//     if SHA-256 collides.
//   - A prefix has no @, so the first @-- ends it, and without a prefix there is no @--.
//     So users of issuers with different prefixes, or none, never share an id.
func Map(prefix, claim string) string {
	if prefix != "" {
		prefix += "@--"
	}
	var id strings.Builder
	id.WriteString(prefix)
	for i, b := range []byte(claim) {
		if strings.IndexByte(alphabet, b) >= 0 && !strings.HasPrefix(claim[i:], "@-") {
			id.WriteByte(b)
		} else {
			fmt.Fprintf(&id, "@-%02X", b)
		}
	}
	if id.Len() > maxLength {
		return fmt.Sprintf("%s@-sha256-%x", prefix, sha256.Sum256([]byte(claim)))
	}
	return id.String()
}
