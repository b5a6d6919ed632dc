package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"

	"chat-service-backend/shared/userid"
)

// batch is the most users that Stream takes in a call.
const batch = 100

func setUpUsers(o *ops, f *flag.FlagSet) func(context.Context) error {
	prefix := f.String("issuer-prefix", "", "the issuer's `PREFIX` in OidcIssuer, for lines with a claim")
	from := f.Int("from", 1, "first `LINE` to import, as printed by an import that ended early")
	return func(ctx context.Context) error {
		users, err := readUsers(o.args[0], *prefix)
		if err != nil {
			return fmt.Errorf("%s: %w", o.args[0], err)
		}
		service, _, err := o.service(ctx)
		if err != nil {
			return err
		}
		i := &importer{ops: o, service: service}
		users = slices.DeleteFunc(users, func(u user) bool { return u.line < *from })
		for chunk := range slices.Chunk(users, batch) {
			if err = context.Cause(ctx); err == nil {
				err = i.put(ctx, chunk)
			}
			if err != nil {
				err = fmt.Errorf("%w\nthe import is incomplete: go on with -from %d", err, chunk[0].line)
				break
			}
			o.progress("line %d: %d created, %d updated, %d refused", chunk[len(chunk)-1].line, i.Created, i.Updated, i.Refused)
		}
		o.say("%d created, %d updated, %d refused", i.Created, i.Updated, i.Refused)
		if o.json {
			err = errors.Join(err, o.printJSON(i))
		}
		if err == nil && i.Refused > 0 {
			err = errors.New("Stream refused some users: the reasons are above")
		}
		return err
	}
}

// A user is one line of the file.
type user struct {
	line   int
	id     string
	fields document
}

// readUsers reads a file with one JSON object a line. It refuses the whole file if one
// line is wrong. A user has an id, or the claim from which the id at Stream is made.
func readUsers(name, prefix string) (users []user, err error) {
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
		u := user{line: n}
		if unmarshal(line, &u.fields) != nil || u.fields == nil {
			return nil, fmt.Errorf(`line %d: want one JSON object such as {"id":"alice","name":"Alice"}`, n)
		}
		claim := text(u.fields["claim"])
		if u.id = text(u.fields["id"]); claim != "" && u.id == "" {
			u.id = userid.Map(prefix, claim)
			u.fields["id"] = u.id
			delete(u.fields, "claim")
		}
		if !userid.Valid(u.id) {
			return nil, fmt.Errorf("line %d: want a claim or an id (%s), got %s", n, userid.Rule, compact(u.fields["id"]))
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
	*ops    `json:"-"`
	service *service

	Created int `json:"created"`
	Updated int `json:"updated"`
	Refused int `json:"refused"`
}

// put creates the users that do not exist. Of those that do, it sets only the fields in
// the file, so that the other fields survive.
func (i *importer) put(ctx context.Context, users []user) error {
	ids := []string{}
	for _, u := range users {
		ids = append(ids, u.id)
	}
	payload, err := json.Marshal(document{"filter_conditions": document{"id": document{"$in": ids}}, "limit": batch, "include_deactivated_users": true})
	if err != nil {
		return err
	}
	var found struct{ Users []struct{ ID string } }
	if _, err := i.service.stream(ctx, http.MethodGet, "/users?payload="+url.QueryEscape(string(payload)), nil, &found); err != nil {
		return fmt.Errorf("find out which users exist: %w", err)
	}
	exists := map[string]bool{}
	for _, u := range found.Users {
		exists[u.ID] = true
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
			all := document{}
			for _, u := range users {
				all[u.id] = u.fields
			}
			return all
		}),
		i.send(ctx, http.MethodPatch, update, &i.Updated, func(users []user) any {
			all := []document{}
			for _, u := range users {
				set := maps.Clone(u.fields)
				delete(set, "id")
				all = append(all, document{"id": u.id, "set": set})
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
	_, err := i.service.stream(ctx, method, "/users", document{"users": body(users)}, nil)
	var r *refusal
	switch {
	case err == nil:
		*count += len(users)
		return nil
	case !errors.As(err, &r) || r.status >= 500 || r.status == http.StatusTooManyRequests || r.status == http.StatusUnauthorized || r.status == http.StatusForbidden && r.code == 0:
		return err
	case len(users) == 1:
		i.Refused++
		i.progress("line %d: %s: %v", users[0].line, users[0].id, err)
		return nil
	}
	half := len(users) / 2
	if err := i.send(ctx, method, users[:half], count, body); err != nil {
		return err
	}
	return i.send(ctx, method, users[half:], count, body)
}
