package streamapi

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// lives answers what becomes of users after they were made: deactivated, banned,
// deleted, exported, with devices, as members.
func (s *API) lives(method string, parts []string, query url.Values, body document) (int, document, error) {
	path := method + " " + strings.Join(parts, "/")
	if parts[0] == "users" && len(parts) > 1 {
		path = method + " " + strings.Join(append([]string{"users", "{id}"}, parts[2:]...), "/")
	}
	switch path {
	case "DELETE users/{id}":
		return s.deleteUser(parts[1], query)
	case "POST users/{id}/deactivate":
		return s.withUser("DeactivateUser", parts[1], func(user document) { user["deactivated_at"] = now() })
	case "POST users/{id}/reactivate":
		return s.withUser("ReactivateUser", parts[1], func(user document) { delete(user, "deactivated_at") })
	case "GET users/{id}/export":
		return s.export(parts[1])
	case "POST moderation/ban":
		id, _ := body["target_user_id"].(string)
		return s.withUser("Ban", id, func(user document) { user["banned"] = true })
	case "DELETE moderation/ban":
		return s.withUser("Unban", query.Get("target_user_id"), func(user document) { user["banned"] = false })
	case "POST devices", "GET devices", "DELETE devices":
		return s.devicesOf(method, query, body)
	case "GET members":
		return s.queryMembers(query.Get("payload"))
	}
	return 0, nil, notFound("the stand-in for Stream has no %s /%s", method, strings.Join(parts, "/"))
}

// withUser changes a user, and is done.
func (s *API) withUser(call, id string, change func(document)) (int, document, error) {
	before, ok := s.users[id]
	if !ok {
		return 0, nil, notFound("%s failed with error: user %q does not exist", call, id)
	}
	user := maps.Clone(before)
	change(user)
	user["updated_at"] = now()
	s.users[id] = user
	return http.StatusCreated, document{"user": user}, nil
}

// deleteUser takes the user's messages along where the query says so. Nobody
// gets the id again.
func (s *API) deleteUser(id string, query url.Values) (int, document, error) {
	status, answer, err := s.withUser("DeleteUser", id, func(user document) { user["deleted_at"] = now() })
	if err != nil {
		return status, answer, err
	}
	delete(s.users, id)
	s.deleted[id] = true
	if query.Get("mark_messages_deleted") == "true" || query.Get("hard_delete") == "true" {
		for _, message := range s.messages {
			if message["user_id"] == id {
				message["type"], message["deleted_at"] = "deleted", now()
			}
		}
	}
	return http.StatusOK, answer, nil
}

func (s *API) export(id string) (int, document, error) {
	user, ok := s.users[id]
	if !ok {
		return 0, nil, notFound("ExportUser failed with error: user %q does not exist", id)
	}
	messages := []document{}
	for _, cid := range slices.Sorted(maps.Keys(s.perCID)) {
		for _, message := range s.perCID[cid] {
			if s.messages[message]["user_id"] == id {
				messages = append(messages, s.message(s.messages[message]))
			}
		}
	}
	return http.StatusOK, document{"user": user, "messages": messages, "reactions": []document{}}, nil
}

// devicesOf keeps a user's devices, for push.
func (s *API) devicesOf(method string, query url.Values, body document) (int, document, error) {
	user := query.Get("user_id")
	if method == http.MethodPost {
		user, _ = body["user_id"].(string)
	}
	if s.users[user] == nil {
		return 0, nil, notFound("user %q does not exist", user)
	}
	devices := s.devices[user]
	switch method {
	case http.MethodGet:
		return http.StatusOK, document{"devices": append([]document{}, devices...)}, nil
	case http.MethodPost:
		device := document{"id": body["id"], "push_provider": body["push_provider"], "user_id": user, "created_at": now()}
		s.devices[user] = append(devices[:len(devices):len(devices)], device)
		return http.StatusCreated, document{}, nil
	}
	i := slices.IndexFunc(devices, func(d document) bool { return d["id"] == query.Get("id") })
	if i < 0 {
		return 0, nil, notFound("DeleteDevice failed with error: there is no such device")
	}
	s.devices[user] = slices.Delete(slices.Clone(devices), i, i+1)
	return http.StatusOK, document{}, nil
}

// queryMembers pages through the members of a channel, in order of their ids.
func (s *API) queryMembers(payload string) (int, document, error) {
	query, err := decodeDocument([]byte(payload))
	if err != nil {
		return 0, nil, badInput("QueryMembers failed with error: payload is not a JSON object")
	}
	kind, _ := query["type"].(string)
	id, _ := query["id"].(string)
	channel, ok := s.channels[kind+":"+id]
	if !ok {
		return 0, nil, notFound("QueryMembers failed with error: channel %s:%s does not exist", kind, id)
	}
	all := map[string]document{}
	ids, _ := channel["members"].([]any)
	for _, v := range ids {
		if id, ok := v.(string); ok {
			all[id] = document{"user_id": id, "user": s.known(id), "channel_role": "channel_member"}
		}
	}
	found, err := pick(all, query, 30)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, document{"members": found}, nil
}
