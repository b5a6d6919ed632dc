package users

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

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

// each calls do with the users one by one, until it fails.
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

// parse reads a line. The user does not share memory with it.
func (f file) parse(n int, line []byte) (user, error) {
	u := user{line: n}
	if line = bytes.TrimPrefix(line, []byte("\ufeff")); !utf8.Valid(line) {
		return u, fmt.Errorf("line %d is not Unicode: save the file as UTF-8", n)
	}
	if f.plain && line[0] != '{' {
		line, _ = json.Marshal(map[string]string{"claim": string(line)})
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(line, &fields) != nil || fields == nil {
		return u, fmt.Errorf(`line %d is not one JSON object: write one such as {"id":"alice","name":"Alice"}`, n)
	}
	var claim string
	raw, claimed := fields["claim"]
	switch {
	case claimed && json.Unmarshal(raw, &claim) != nil:
		return u, fmt.Errorf("line %d: the claim is %s and not a text: put it in quotes", n, raw)
	case strings.ContainsRune(claim, unicode.ReplacementChar): // which also stands for half of a surrogate pair
		return u, fmt.Errorf("line %d: the claim is not Unicode: export it again as UTF-8", n)
	}
	_ = json.Unmarshal(fields["id"], &u.id)
	if claim != "" && u.id == "" {
		u.id = userid.Map(f.prefix, claim)
	}
	if !userid.Valid(u.id) {
		id := fields["id"]
		if id == nil {
			id = []byte("null")
		}
		return u, fmt.Errorf("line %d has neither a claim nor a valid id, but %s: an id is %s", n, id, userid.Rule)
	}
	if u.fields = bytes.Clone(line); claimed {
		delete(fields, "claim") // it is not a field at Stream
		fields["id"], _ = json.Marshal(u.id)
		u.fields, _ = json.Marshal(fields)
	}
	u.bare = len(fields) == 1
	return u, nil
}
