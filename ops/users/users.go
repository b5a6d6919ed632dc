// Package users creates users at Stream before they sign in.
package users

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/urfave/cli/v3"

	"chat-service-backend/ops/console"
	"chat-service-backend/ops/stack"
	"chat-service-backend/ops/streamfile"
	"chat-service-backend/shared/userid"
)

// batch is the most users that Stream takes in a call.
const batch = 100

// Commands are those on users.
func Commands(c *console.Console, at *stack.Target) *cli.Command {
	return &cli.Command{Name: "users", Usage: "works on many users at once", Commands: []*cli.Command{{
		Name:        "import",
		ArgsUsage:   "FILE",
		Usage:       "creates users at Stream, or updates those that exist",
		Description: "ops users import -env prod users.jsonl\nops users import -env prod -from 2001 users.jsonl",
		Flags: []cli.Flag{
			issuerPrefix(),
			&cli.IntFlag{Name: "from", Value: 1, Usage: "first `LINE` to import, as printed by an import that ended early"},
		},
		Action: func(ctx context.Context, flags *cli.Command) error {
			return importFile(ctx, c, at, flags.Args().First(), flags.String("issuer-prefix"), flags.Int("from"))
		},
	}, {
		Name:        "check",
		ArgsUsage:   "FILE",
		Usage:       "says which users of a file exist at Stream, and changes nothing",
		Description: "ops users check -env prod users.jsonl\nops users check -env prod -issuer-prefix staff claims.txt",
		Flags:       []cli.Flag{issuerPrefix()},
		Action: func(ctx context.Context, flags *cli.Command) error {
			return check(ctx, c, at, flags.Args().First(), flags.String("issuer-prefix"))
		},
	}}}
}

func issuerPrefix() cli.Flag {
	return &cli.StringFlag{Name: "issuer-prefix", Usage: "the issuer's `PREFIX` in OidcIssuer, for claims", Validator: func(s string) error {
		if s != "" && !userid.ValidPrefix(s) {
			return errors.New("a prefix is 1 to 32 letters, digits, _ and -")
		}
		return nil
	}}
}

func importFile(ctx context.Context, c *console.Console, at *stack.Target, name, prefix string, from int) error {
	users, err := readUsers(name, prefix, false)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	service, _, err := at.Service(ctx)
	if err != nil {
		return err
	}
	i := &importer{Console: c, service: service}
	users = slices.DeleteFunc(users, func(u user) bool { return u.line < from })
	for chunk := range slices.Chunk(users, batch) {
		if err = context.Cause(ctx); err == nil {
			err = i.put(ctx, chunk)
		}
		if err != nil {
			err = fmt.Errorf("the import is incomplete, go on with -from %d: %w", chunk[0].line, err)
			break
		}
		c.Progress("line %d: %d created, %d updated, %d refused", chunk[len(chunk)-1].line, i.Created, i.Updated, i.Refused)
	}
	c.Say("%d created, %d updated, %d refused", i.Created, i.Updated, i.Refused)
	if c.JSON {
		err = errors.Join(err, c.PrintJSON(i))
	}
	if err == nil && i.Refused > 0 {
		err = errors.New("Stream refused some users: the reasons are above")
	}
	return err
}

// A user is one line of the file.
type user struct {
	line   int
	id     string
	fields map[string]any
}

// readUsers reads a file with one JSON object a line. It refuses the whole file if one
// line is wrong. A user has an id, or the claim from which the id at Stream is made. If
// plain, a line that is no JSON object is a claim.
func readUsers(name, prefix string, plain bool) (users []user, err error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	seen := map[string]int{}
	n := 0
	for line := range bytes.Lines(content) {
		n++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if line = bytes.TrimPrefix(line, []byte("\ufeff")); !utf8.Valid(line) {
			return nil, fmt.Errorf("line %d is not Unicode: save the file as UTF-8", n)
		}
		u := user{line: n}
		if plain && line[0] != '{' {
			line, _ = json.Marshal(map[string]string{"claim": string(line)})
		}
		if stack.Unmarshal(line, &u.fields) != nil || u.fields == nil {
			return nil, fmt.Errorf(`line %d is not one JSON object: write one such as {"id":"alice","name":"Alice"}`, n)
		}
		claim, isText := u.fields["claim"].(string)
		switch {
		case u.fields["claim"] != nil && !isText:
			return nil, fmt.Errorf("line %d: the claim is %s and not a text: put it in quotes", n, streamfile.Show(u.fields["claim"]))
		case strings.ContainsRune(claim, unicode.ReplacementChar): // which also stands for half of a surrogate pair
			return nil, fmt.Errorf("line %d: the claim is not Unicode: export it again as UTF-8", n)
		}
		delete(u.fields, "claim") // it is not a field at Stream
		if u.id = streamfile.Text(u.fields["id"]); claim != "" && u.id == "" {
			u.id = userid.Map(prefix, claim)
			u.fields["id"] = u.id
		}
		if !userid.Valid(u.id) {
			return nil, fmt.Errorf("line %d has neither a claim nor a valid id, but %s: an id is %s", n, streamfile.Show(u.fields["id"]), userid.Rule)
		}
		if seen[u.id] > 0 {
			return nil, fmt.Errorf("line %d: %s is also on line %d", n, u.id, seen[u.id])
		}
		seen[u.id] = n
		users = append(users, u)
	}
	return users, nil
}

type importer struct {
	*console.Console `json:"-"`
	service          *stack.Service

	Created int `json:"created"`
	Updated int `json:"updated"`
	Refused int `json:"refused"`
}

// put creates the users that do not exist. Of those that do, it sets only the fields in
// the file, so that the other fields survive.
func (i *importer) put(ctx context.Context, users []user) error {
	exists, err := existing(ctx, i.service, users)
	if err != nil {
		return err
	}
	var create, update []user
	for _, u := range users {
		if !exists[u.id] {
			create = append(create, u)
		} else if len(u.fields) > 1 { // than the id
			update = append(update, u)
		}
	}
	return errors.Join(
		i.send(ctx, http.MethodPost, create, &i.Created, func(users []user) any {
			all := map[string]any{}
			for _, u := range users {
				all[u.id] = u.fields
			}
			return all
		}),
		i.send(ctx, http.MethodPatch, update, &i.Updated, func(users []user) any {
			all := []map[string]any{}
			for _, u := range users {
				set := maps.Clone(u.fields)
				delete(set, "id")
				all = append(all, map[string]any{"id": u.id, "set": set})
			}
			return all
		}))
}

// send sends users. Stream takes all or none, so after a refusal send tries each half,
// down to the single users whom Stream refuses.
func (i *importer) send(ctx context.Context, method string, users []user, count *int, body func([]user) any) error {
	if len(users) == 0 {
		return nil
	}
	_, err := i.service.Stream(ctx, method, "/users", map[string]any{"users": body(users)}, nil)
	var r *stack.Refusal
	switch {
	case err == nil:
		*count += len(users)
		return nil
	case !errors.As(err, &r) || r.Status >= 500 || r.Status == http.StatusTooManyRequests || r.Status == http.StatusUnauthorized || r.Status == http.StatusForbidden && r.Code == 0:
		return err
	case len(users) == 1:
		i.Refused++
		i.Progress("line %d: %s: %v", users[0].line, users[0].id, err)
		return nil
	}
	half := len(users) / 2
	if err := i.send(ctx, method, users[:half], count, body); err != nil {
		return err
	}
	return i.send(ctx, method, users[half:], count, body)
}
