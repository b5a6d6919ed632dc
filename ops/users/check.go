package users

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"chat-service-backend/ops/console"
	"chat-service-backend/ops/stack"
)

// maxQuery is how many bytes of a query a look-up may have. API Gateway takes 10,240 bytes
// of request line and headers, and a session's token can have more than 2,000.
const maxQuery = 5000

// existing returns which of the users exist at Stream, in as few calls as their ids allow.
func existing(ctx context.Context, service *stack.Service, users []user) (map[string]bool, error) {
	exists := map[string]bool{}
	for len(users) > 0 {
		ids, n := make([]byte, 0, maxQuery), 0
		for ; n < min(batch, len(users)); n++ {
			id := strings.ReplaceAll(users[n].id, "@", "%40") // needs no other escapes
			if len(ids)+len(id)+len(`%2C%22%22`) > maxQuery {
				break
			}
			ids = append(append(append(ids, "%2C%22"...), id...), "%22"...)
		}
		users = users[n:]
		query := url.QueryEscape(`{"filter_conditions":{"id":{"$in":[`) + string(ids[len("%2C"):]) +
			url.QueryEscape(fmt.Sprintf(`]}},"include_deactivated_users":true,"limit":%d}`, n))
		var found struct{ Users []struct{ ID string } }
		if _, err := service.Stream(ctx, http.MethodGet, "/users?payload="+query, nil, &found); err != nil {
			return nil, fmt.Errorf("find out which users exist: %w", err)
		}
		for _, u := range found.Users {
			exists[u.ID] = true
		}
	}
	return exists, nil
}

// maxExamples is how many users of either kind check shows.
const maxExamples = 5

func check(ctx context.Context, c *console.Console, at *stack.Target, f file) error {
	var users []user
	err := f.check()
	if err == nil {
		_, err = f.each(ctx, 1, 1, func(more []user) error {
			for _, u := range more {
				users = append(users, user{line: u.line, id: u.id})
			}
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	service, _, err := at.Service(ctx)
	if err != nil {
		return err
	}
	exists, err := existing(ctx, service, users)
	if err != nil {
		return err
	}
	c.Say("%d exist at Stream, %d would be new.", len(exists), len(users)-len(exists))
	examples := map[bool][]string{true: {}, false: {}}
	for _, u := range users {
		is := exists[u.id]
		if examples[is] = append(examples[is], u.id); len(examples[is]) <= maxExamples {
			c.Say("  %-6s  line %d: %s", map[bool]string{true: "exists", false: "new"}[is], u.line, u.id)
		}
	}
	if len(exists) == 0 && len(users) > 0 {
		c.Say("None of them exists. If your users have been at Stream before, their ids are made in another way: see docs/existing-users.md")
	}
	if c.JSON {
		short := func(ids []string) []string { return ids[:min(len(ids), maxExamples)] }
		return c.PrintJSON(map[string]any{"exist": len(exists), "new": len(users) - len(exists),
			"examples": map[string]any{"exist": short(examples[true]), "new": short(examples[false])}})
	}
	return nil
}
