package users

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"iter"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"chat-service-backend/ops/streamspec"
	"chat-service-backend/shared/userid"
)

// A user is one line of the file.
type user struct {
	line   int
	id     string
	fields json.RawMessage // with the id
	bare   bool            // has nothing but the id
}

// A file has one JSON object a line. A user has an id, or the claim from which the id at
// Stream is made, with the issuer's prefix. If plain, a line that is no JSON object is a
// claim.
type file struct {
	name, prefix string
	plain        bool
}

// check returns the first line that is wrong, so that a wrong file changes nothing. It
// remembers a few bytes of each user.
func (f file) check() error {
	seed, seen := maphash.MakeSeed(), map[uint64]int32{}
	return f.each(func(u user) error {
		id := maphash.String(seed, u.id)
		if seen[id] > 0 {
			return fmt.Errorf("line %d: %s is also on line %d", u.line, u.id, seen[id])
		}
		seen[id] = int32(u.line)
		return nil
	})
}

// each calls do with the users one by one, until it fails. Their fields are do's until it
// returns.
func (f file) each(do func(user) error) error {
	content, err := os.Open(f.name)
	if err != nil {
		return errors.Unwrap(err)
	}
	defer content.Close()
	if info, err := content.Stat(); err != nil || !info.Mode().IsRegular() {
		return errors.New("not a file: it is read twice, so save it as one first")
	}
	lines := bufio.NewReaderSize(content, 64<<10)
	var line []byte
	for n := 1; ; n++ {
		line = line[:0]
		var err error
		for more := true; more; {
			var part []byte
			part, err = lines.ReadSlice('\n')
			line = append(line, part...)
			more = err == bufio.ErrBufferFull
		}
		if err != nil && err != io.EOF {
			return err
		}
		if text := bytes.TrimSpace(line); len(text) > 0 {
			u, err := f.parse(n, text)
			if err == nil {
				err = do(u)
			}
			if err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
	}
}

// parse reads a line. The user's fields may share its memory.
func (f file) parse(n int, line []byte) (user, error) {
	u := user{line: n}
	if line = bytes.TrimPrefix(line, []byte("\ufeff")); !utf8.Valid(line) {
		return u, fmt.Errorf("line %d is not Unicode: save the file as UTF-8", n)
	}
	if f.plain && line[0] != '{' {
		line, _ = json.Marshal(map[string]string{"claim": string(line)})
	}
	if line[0] != '{' || !json.Valid(line) {
		return u, fmt.Errorf(`line %d is not one JSON object: write one such as {"id":"alice","name":"Alice"}`, n)
	}
	var id, claimed, custom []byte
	u.bare = true
	for name, value := range members(line) {
		switch string(name) { // which allocates nothing
		case "id":
			id = value
		case "claim":
			claimed = value
		case "custom":
			custom, u.bare = value, false
		default:
			u.bare = false
		}
	}
	claim, isText := unquote(claimed)
	switch {
	case !isText:
		return u, fmt.Errorf("line %d: the claim is %s and not a text: put it in quotes", n, claimed)
	case strings.ContainsRune(claim, unicode.ReplacementChar): // which also stands for half of a surrogate pair
		return u, fmt.Errorf("line %d: the claim is not Unicode: export it again as UTF-8", n)
	}
	u.id, _ = unquote(id)
	if claim != "" && u.id == "" {
		u.id = userid.Map(f.prefix, claim)
	}
	if !userid.Valid(u.id) {
		return u, fmt.Errorf("line %d has neither a claim nor a valid id, but %s: an id is %s", n, cmp.Or(string(id), "null"), userid.Rule)
	}
	if u.fields = line; claimed != nil || custom != nil {
		var fields map[string]json.RawMessage
		_ = json.Unmarshal(line, &fields) // valid
		delete(fields, "claim")           // it is not a field at Stream
		fields["id"], _ = json.Marshal(u.id)
		if err := spread(fields, custom); err != nil {
			return u, fmt.Errorf("line %d: %w", n, err)
		}
		u.fields, _ = json.Marshal(fields)
	}
	return u, nil
}

// spread puts what is in custom beside the other fields. POST and PATCH /users take it there,
// as Stream's own SDKs for these paths send it (stream-chat-go's ExtraData). Its description
// has custom, which is what the SDKs for /api/v2/users send: here it might become a field of
// that name.
func spread(fields map[string]json.RawMessage, custom []byte) error {
	if custom == nil {
		return nil
	}
	delete(fields, "custom")
	var own map[string]json.RawMessage
	if err := json.Unmarshal(custom, &own); err != nil {
		return fmt.Errorf("custom is %s and not an object", custom)
	}
	for name, value := range own {
		_, streams := streamspec.Objects["FullUserResponse"][name]
		if _, twice := fields[name]; twice || streams {
			return fmt.Errorf("custom has %s, which is also a field of the user: give it another name", name)
		}
		fields[name] = value
	}
	return nil
}

// members returns the names and values in a valid JSON object. It takes a quarter of the
// time that decoding takes.
func members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for rest := object[1:]; ; {
			name := bytes.IndexByte(rest, '"')
			if name < 0 {
				return
			}
			end := name + valueLength(rest[name:])
			text := rest[name+1 : end-1]
			if bytes.IndexByte(text, '\\') >= 0 {
				plain, _ := unquote(rest[name:end])
				text = []byte(plain)
			}
			for end++; rest[end-1] != ':'; end++ {
			}
			value := bytes.TrimSpace(rest[end:])
			length := valueLength(value)
			if !yield(text, bytes.TrimSpace(value[:length])) {
				return
			}
			rest = value[length:]
		}
	}
}

// valueLength returns the length of the JSON value that text begins with.
func valueLength(text []byte) int {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
			continue
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case depth == 0 && (c == ',' || c == '}' || c == ']'): // after a number, true, false or null
			return i
		case c == '}' || c == ']':
			depth--
		default:
			continue
		}
		if depth == 0 && !quoted {
			return i + 1
		}
	}
	return len(text)
}

// unquote returns the text that a JSON value is; "" for null or no value.
func unquote(value []byte) (text string, ok bool) {
	if n := len(value); n > 1 && value[0] == '"' && bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : n-1]), true
	}
	return text, value == nil || json.Unmarshal(value, &text) == nil
}
