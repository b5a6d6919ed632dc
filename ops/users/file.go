package users

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/segmentio/encoding/json" // four times as fast as Go's own, and half of an import is JSON

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

// check returns what is wrong with the file, so that a wrong one changes nothing. It
// remembers eight bytes of each user.
func (f file) check() error {
	var hashes []uint64
	seed, ctx := maphash.MakeSeed(), context.Background()
	_, err := f.each(ctx, 1, 1, func(users []user) error {
		for _, u := range users {
			hashes = append(hashes, maphash.String(seed, u.id))
		}
		return nil
	})
	slices.Sort(hashes)
	twice := map[uint64]*user{}
	for i, hash := range hashes {
		if i > 0 && hash == hashes[i-1] {
			twice[hash] = nil
		}
	}
	if err != nil || len(twice) == 0 {
		return err
	}
	_, err = f.each(ctx, 1, 1, func(users []user) error {
		for _, u := range users {
			hash := maphash.String(seed, u.id)
			first, is := twice[hash]
			if is && first != nil && first.id == u.id {
				return fmt.Errorf("line %d: %s is also on line %d", u.line, u.id, first.line)
			} else if is {
				twice[hash] = &user{line: u.line, id: u.id}
			}
		}
		return nil
	})
	return err
}

// each calls do with the users from a line on, a batch at a time and several at once, until
// one fails or ctx ends. Their fields last until do returns. It returns the first line that
// is not done, and why.
func (f file) each(ctx context.Context, from, workers int, do func([]user) error) (undone int, failed error) {
	content, err := os.Open(f.name)
	if err != nil {
		return from, errors.Unwrap(err)
	}
	defer content.Close()
	if info, err := content.Stat(); err != nil || !info.Mode().IsRegular() {
		return from, errors.New("not a file: it is read twice, so save it as one first")
	}
	var mu sync.Mutex
	fail := func(line int, err error) (stop bool) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil && (failed == nil || line < undone) {
			undone, failed = line, err
		}
		return failed != nil
	}
	batches := make(chan lines)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for b := range batches {
				users, err := f.parse(b)
				if err == nil {
					err = do(users)
				}
				fail(b.first, err)
				texts.Put(&b.text)
			}
		})
	}
	in := reader{Reader: bufio.NewReaderSize(content, 64<<10)}
	for {
		b, err := in.read(from)
		if err == nil {
			err = context.Cause(ctx)
		}
		if b.users == 0 && err == io.EOF || fail(b.first, err) {
			break
		}
		batches <- b
	}
	close(batches)
	all.Wait()
	return undone, failed
}

// lines are those of a batch of users, and empty ones between.
type lines struct {
	first, users int
	text         []byte
}

var texts = sync.Pool{New: func() any { return new([]byte) }}

// A reader knows which line of the file it has read.
type reader struct {
	*bufio.Reader
	line int
}

// read returns the next lines of the file, from one on; io.EOF if there are no more.
func (r *reader) read(from int) (lines, error) {
	b := lines{first: r.line + 1, text: (*texts.Get().(*[]byte))[:0]}
	for b.users < batch {
		start := len(b.text)
		part, err := r.ReadSlice('\n')
		for ; err == bufio.ErrBufferFull; part, err = r.ReadSlice('\n') {
			b.text = append(b.text, part...)
		}
		b.text = append(b.text, part...)
		r.line++
		switch empty := len(bytes.TrimSpace(b.text[start:])) == 0; {
		case r.line < from || empty && b.users == 0:
			b.first, b.text = r.line+1, b.text[:0]
		case !empty:
			b.users++
		}
		if err == io.EOF && b.users > 0 {
			break
		} else if err != nil {
			return b, err
		}
	}
	return b, nil
}

// parse reads lines. The users' fields may share their memory.
func (f file) parse(b lines) ([]user, error) {
	users, known := make([]user, 0, b.users), new(reserved)
	for line := range bytes.Lines(b.text) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			u, err := f.parseLine(b.first, line, known)
			if err != nil {
				return nil, err
			}
			users = append(users, u)
		}
		b.first++
	}
	return users, nil
}

// reserved are the fields of a line that mean something here.
type reserved struct {
	ID     json.RawMessage `json:"id"`
	Claim  json.RawMessage `json:"claim"`
	Custom json.RawMessage `json:"custom"`
}

var quote = []byte{'"'}

// parseLine reads one of them, with known as its working memory.
func (f file) parseLine(n int, line []byte, known *reserved) (user, error) {
	u := user{line: n}
	if line = bytes.TrimPrefix(line, []byte("\ufeff")); !utf8.Valid(line) {
		return u, fmt.Errorf("line %d is not Unicode: save the file as UTF-8", n)
	}
	isObject := bytes.HasPrefix(line, []byte("{"))
	if f.plain && !isObject && len(line) > 0 {
		isObject = true
		line, _ = json.Marshal(map[string]string{"claim": string(line)})
	}
	*known = reserved{}
	rest, err := json.Parse(line, known, json.DontCopyRawMessage|json.DontMatchCaseInsensitiveStructFields)
	if !isObject || err != nil || len(rest) > 0 {
		return u, fmt.Errorf(`line %d is not one JSON object: write one such as {"id":"alice","name":"Alice"}`, n)
	}
	claim, isText := unquote(known.Claim)
	switch {
	case !isText:
		return u, fmt.Errorf("line %d: the claim is %s and not a text: put it in quotes", n, known.Claim)
	case strings.ContainsRune(claim, unicode.ReplacementChar): // which also stands for half of a surrogate pair
		return u, fmt.Errorf("line %d: the claim is not Unicode: export it again as UTF-8", n)
	}
	quotes := bytes.Count(line, quote)
	for _, value := range [][]byte{known.ID, known.Claim} {
		if value != nil {
			quotes -= 2 + bytes.Count(value, quote)
		}
	}
	u.bare = quotes == 0 // every field has a name
	u.id, _ = unquote(known.ID)
	if claim != "" && u.id == "" {
		u.id = userid.Map(f.prefix, claim)
	}
	if !userid.Valid(u.id) {
		return u, fmt.Errorf("line %d has neither a claim nor a valid id, but %s: an id is %s", n, cmp.Or(string(known.ID), "null"), userid.Rule)
	}
	if u.fields = line; known.Claim != nil || known.Custom != nil {
		var all map[string]json.RawMessage
		_ = json.Unmarshal(line, &all) // valid
		delete(all, "claim")           // it is not a field at Stream
		all["id"], _ = json.Marshal(u.id)
		if err := spread(all, known.Custom); err != nil {
			return u, fmt.Errorf("line %d: %w", n, err)
		}
		u.fields, _ = json.Marshal(all)
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
	if json.Unmarshal(custom, &own) != nil {
		kind := map[byte]string{'[': "a list", '"': "a text", 't': "true", 'f': "false"}[custom[0]]
		return fmt.Errorf("custom is %s: make it an object, such as {\"color\":\"red\"}", cmp.Or(kind, "a number"))
	}
	for name, value := range own {
		_, streams := streamspec.Objects()["FullUserResponse"][name]
		if _, twice := fields[name]; twice || streams {
			return fmt.Errorf("custom has %s, which is also a field of the user: give it another name", name)
		}
		fields[name] = value
	}
	return nil
}

// unquote returns the text that a JSON value is; "" for null or no value.
func unquote(value []byte) (string, bool) {
	switch n := len(value); {
	case n == 0:
		return "", true
	case n > 1 && value[0] == '"' && bytes.IndexByte(value, '\\') < 0:
		return string(value[1 : n-1]), true
	}
	var text string
	err := json.Unmarshal(value, &text)
	return text, err == nil
}
