package identity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Claims are a token's claims. They are not a struct, because encoding/json would
// match a field's name in any case.
type Claims map[string]json.RawMessage

// Text returns a claim that is a string of Unicode characters.
func (c Claims) Text(name string) (text string, ok bool) {
	raw := c[name]
	ok = len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &text) == nil
	// encoding/json turns anything that is not a character into U+FFFD, and so
	// several users into one.
	if !ok || strings.ContainsRune(text, utf8.RuneError) && !wellFormed(raw) {
		return "", false
	}
	return text, true
}

// wellFormed reports whether a JSON string holds valid UTF-8, and no escape for half
// of a surrogate pair.
func wellFormed(raw []byte) bool {
	if !utf8.Valid(raw) {
		return false
	}
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		if i++; raw[i] != 'u' {
			continue
		}
		i += 4
		if unit := codeUnit(raw[i-3:]); utf16.IsSurrogate(unit) {
			if !bytes.HasPrefix(raw[i+1:], []byte(`\u`)) || utf16.DecodeRune(unit, codeUnit(raw[i+3:])) == utf8.RuneError {
				return false
			}
			i += 6
		}
	}
	return true
}

// codeUnit returns the value of the four hexadecimal digits that text begins with.
func codeUnit(text []byte) rune {
	n, _ := strconv.ParseUint(string(text[:4]), 16, 16) // encoding/json has checked them
	return rune(n)
}

// list returns a claim that is a string or a list of strings, as aud may be
// (RFC 7519 section 4.1.3), and nothing for any other.
func (c Claims) list(name string) []string {
	if text, ok := c.Text(name); ok {
		return []string{text}
	}
	var list []string
	if json.Unmarshal(c[name], &list) != nil {
		return nil
	}
	return list
}

// Time returns a claim that is a time: seconds since 1970, which may have a
// fraction (RFC 7519 section 2).
func (c Claims) Time(name string) (t time.Time, ok bool) {
	var seconds float64
	raw := c[name]
	if len(raw) == 0 || string(raw) == "null" || json.Unmarshal(raw, &seconds) != nil || math.Abs(seconds) > 1<<40 {
		return t, false
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)), true
}

// maxAhead is how far an issuer's clock may be ahead of ours.
const maxAhead = 5 * time.Minute

// Issued returns when the token was issued (iat), and false if it does not say or says
// that it will be: such a token would outlive its end, and every revocation.
func (c Claims) Issued() (t time.Time, ok bool) {
	t, ok = c.Time("iat")
	if ok && t.After(time.Now().Add(maxAhead)) {
		return time.Time{}, false
	}
	return t, ok
}

// kind describes the type of a claim's value.
func (c Claims) kind(name string) string {
	raw := bytes.TrimSpace(c[name])
	if len(raw) == 0 {
		return "absent"
	}
	switch raw[0] {
	case '"':
		return "a text"
	case '[':
		return "a list"
	case '{':
		return "an object"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	}
	return "a number"
}

// has reports whether a claim is there and not null.
func (c Claims) has(name string) bool { return len(c[name]) > 0 && string(c[name]) != "null" }

// empty reports whether a claim is a list without elements.
func (c Claims) empty(name string) bool {
	var list []json.RawMessage
	return json.Unmarshal(c[name], &list) == nil && list != nil && len(list) == 0
}

// oddType is the reason to refuse a token because of the type of a claim's value.
func (c Claims) oddType(name, want string) error {
	if strings.HasPrefix(want, c.kind(name)) {
		return badToken("claim " + name + " is not Unicode")
	}
	return badToken(fmt.Sprintf("claim %s is %s, not %s", name, c.kind(name), want))
}

// values returns what a claim says, as texts: the elements of a list, the words of a
// scope, the JSON of anything that is not a text.
func (c Claims) values(name string) []string {
	var list []json.RawMessage
	if json.Unmarshal(c[name], &list) != nil {
		list = []json.RawMessage{c[name]}
	}
	var values []string
	for _, raw := range list {
		element := Claims{name: raw}
		text, ok := element.Text(name)
		switch {
		case ok && (name == "scope" || name == "scp"):
			values = append(values, strings.Fields(text)...)
		case ok:
			values = append(values, text)
		case element.has(name) && raw[0] != '"':
			values = append(values, string(raw))
		}
	}
	return values
}

// anyOf reports whether two lists have an element in common.
func anyOf(values, wanted []string) bool {
	return slices.ContainsFunc(values, func(v string) bool { return slices.Contains(wanted, v) })
}
