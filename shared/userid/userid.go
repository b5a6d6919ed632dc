// Package userid makes Stream user ids of the ids that identity providers give
// their users. examples/user-ids has the rule in other languages.
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

// Rule is what a user id must look like, in words for a caller.
const Rule = "1 to 255 of the letters a to z and A to Z, digits, and the characters @ _ -"

// Valid reports whether Stream takes id as a user id:
// ^[@A-Za-z0-9_-]{1,255}$.
func Valid(id string) bool {
	return 1 <= len(id) && len(id) <= maxLength && strings.Trim(id, alphabet) == ""
}

// ValidPrefix reports whether prefix can set the users of one issuer apart:
// ^[A-Za-z0-9_-]{1,32}$.
func ValidPrefix(prefix string) bool {
	return len(prefix) <= 32 && Valid(prefix) && !strings.Contains(prefix, "@")
}

// Map returns the Stream user id of a user whose issuer calls them claim, which
// is not empty. Users of an issuer without a prefix keep a claim that Stream
// takes, unless it contains the marker @-.
//
// No two users get the same id:
//
//   - A claim's own @- loses its @ to an escape, and an @ before an escape is
//     followed by the escape's @. So each @- that Map writes begins an escape, a
//     hash or a claim behind a prefix, and nothing else looks like one.
//   - Hence undoing the escapes from left to right gives the claim back, byte
//     for byte: claims with the same id are the same claim.
//   - An escape goes on with a digit or one of A to F, a hash with an s, and the
//     end of a prefix with a hyphen. So a hash is never an escaped claim, and
//     hashes are equal only where SHA-256 collides.
//   - A prefix has no @, so the first @-- ends it, and without a prefix there is
//     no @--: users of issuers with different prefixes, or none, never meet.
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
