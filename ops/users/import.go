package users

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"chat-service-backend/ops/console"
	"chat-service-backend/ops/stack"
	"chat-service-backend/shared/streamrest"
)

// workers is how many batches are under way at once. Stream's limits, not this, end the
// rate of a real import.
const workers = 16

type importer struct {
	*console.Console `json:"-"`
	service          *stack.Service

	mu       sync.Mutex
	Created  int `json:"created"`
	Updated  int `json:"updated"`
	Refused  int `json:"refused"`
	reported time.Time
}

// importFile creates and updates the users of a file, several batches at once.
func importFile(ctx context.Context, c *console.Console, at *stack.Target, f file, from int) error {
	if err := f.check(); err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	service, _, err := at.Service(ctx)
	if err != nil {
		return err
	}
	i := &importer{Console: c, service: service, reported: time.Now()}
	undone, err := f.each(ctx, from, workers, func(users []user) error { return i.put(ctx, users) })
	if err != nil {
		err = fmt.Errorf("the import is incomplete, go on with -from %d: %w", undone, err)
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

// put creates the users that do not exist. Of those that do, it sets only the fields in
// the file, so that the other fields survive.
func (i *importer) put(ctx context.Context, users []user) error {
	exists, err := existing(ctx, i.service, users)
	if err != nil {
		return err
	}
	create, update := make([]user, 0, len(users)), []user(nil)
	for _, u := range users {
		if !exists[u.id] {
			create = append(create, u)
		} else if !u.bare {
			update = append(update, u)
		}
	}
	err = errors.Join(i.send(ctx, http.MethodPost, create, &i.Created, created), i.send(ctx, http.MethodPatch, update, &i.Updated, updated))
	i.mu.Lock()
	defer i.mu.Unlock()
	if time.Since(i.reported) >= time.Second {
		i.reported = time.Now()
		i.Progress("line %d: %d created, %d updated, %d refused", users[len(users)-1].line, i.Created, i.Updated, i.Refused)
	}
	return err
}

// created and updated are the users in the form of their calls.

func created(users []user) json.RawMessage {
	size := len(`{"users":}}`)
	for _, u := range users {
		size += len(`{"":`) + len(u.id) + len(u.fields)
	}
	body := append(make([]byte, 0, size), `{"users":`...)
	for n, u := range users {
		body = append(append(append(body, "{,"[min(n, 1)], '"'), u.id...), `":`...)
		body = append(body, u.fields...)
	}
	return append(body, "}}"...)
}

func updated(users []user) json.RawMessage {
	all := make([]map[string]any, len(users))
	for n, u := range users {
		var set map[string]json.RawMessage
		_ = json.Unmarshal(u.fields, &set) // as when it was read
		delete(set, "id")
		all[n] = map[string]any{"id": u.id, "set": set}
	}
	body, _ := json.Marshal(map[string]any{"users": all})
	return body
}

// send sends users. Stream takes all or none, so after a refusal send tries each half,
// down to the single users whom Stream refuses.
func (i *importer) send(ctx context.Context, method string, users []user, count *int, body func([]user) json.RawMessage) error {
	if len(users) == 0 {
		return nil
	}
	_, err := i.service.Stream(ctx, method, "/users", body(users), nil)
	var r *streamrest.Error
	switch {
	case err == nil:
		i.mu.Lock()
		defer i.mu.Unlock()
		*count += len(users)
		return nil
	case !errors.As(err, &r) || r.Status >= 500 || r.Status == http.StatusTooManyRequests || r.Status == http.StatusUnauthorized || r.Status == http.StatusForbidden && r.Code == 0:
		return err
	case len(users) == 1:
		i.mu.Lock()
		defer i.mu.Unlock()
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
