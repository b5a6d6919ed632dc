package streamapi

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
)

// userID is Stream's rule for user ids.
var userID = regexp.MustCompile(`^[@\w-]{1,255}$`)

func (s *API) upsertUsers(_ *http.Request, body document) (document, error) {
	users := object(body["users"])
	if len(users) == 0 || len(users) > 100 {
		return nil, badInput(`UpdateUsers failed with error: "users" must have 1 to 100 items`)
	}
	for id, v := range users {
		switch {
		case object(v)["id"] != id:
			return nil, badInput(`UpdateUsers failed with error: the key and the id of "users.%s" must be equal`, id)
		case !userID.MatchString(id):
			return nil, badInput("UpdateUsers failed with error: id %q has characters other than a-z, 0-9, @, _ and -", id)
		case s.deleted[id] != nil:
			return nil, notFound("UpdateUsers failed with error: user %q was deleted", id)
		}
	}
	stored := document{}
	for id, v := range users {
		stored[id] = s.putUser(id, object(v))
	}
	return document{"users": stored, "membership_deletion_task_id": ""}, nil
}

// putUser replaces the fields of a user that a caller may set.
func (s *API) putUser(id string, fields document) document {
	user := changed(document{"role": "user"}, fields)
	maps.Copy(user, document{"id": id, "created_at": now(), "updated_at": now(), "banned": false, "online": false})
	for _, field := range []string{"created_at", "banned", "deactivated_at", "revoke_tokens_issued_before"} {
		if before, ok := s.users[id][field]; ok {
			user[field] = before
		}
	}
	s.users[id] = user
	return user
}

// known returns a user, who may be deleted, and creates one if there never was
// one, as Stream does.
func (s *API) known(id string) document {
	if user, ok := s.users[id]; ok {
		return user
	}
	if user, ok := s.deleted[id]; ok {
		return user
	}
	return s.putUser(id, nil)
}

func (s *API) patchUsers(_ *http.Request, body document) (document, error) {
	patched := document{}
	for _, v := range list(body["users"]) {
		update := object(v)
		user, err := s.changeUser("UpdateUsersPartial", text(update["id"]), object(update["set"]), list(update["unset"])...)
		if err != nil {
			return nil, err
		}
		patched[text(update["id"])] = user["user"]
	}
	if len(patched) == 0 {
		return nil, badInput(`UpdateUsersPartial failed with error: "users" is a required field`)
	}
	return document{"users": patched}, nil
}

// changeUser sets and removes fields of a user, and returns the answer to call.
func (s *API) changeUser(call, id string, set document, unset ...any) (document, error) {
	if s.users[id] == nil {
		return nil, notFound("%s failed with error: user %q does not exist", call, id)
	}
	user := changed(s.users[id], set)
	for _, field := range unset {
		delete(user, text(field))
	}
	user["id"], user["updated_at"] = id, now()
	s.users[id] = user
	return document{"user": user}, nil
}

func (s *API) queryUsers(r *http.Request, _ document) (document, error) {
	query, err := payload(r)
	if err != nil {
		return nil, err
	}
	users := maps.Clone(s.users)
	if query["include_deactivated_users"] != true {
		maps.DeleteFunc(users, func(_ string, user document) bool { return user["deactivated_at"] != nil })
	}
	found, err := pick(users, query, 30)
	return document{"users": found}, err
}

// deleteUser also deletes the user's messages if the query says so. The id cannot
// be used again.
func (s *API) deleteUser(r *http.Request, _ document) (document, error) {
	id, query := r.PathValue("id"), r.URL.Query()
	answer, err := s.changeUser("DeleteUser", id, document{"deleted_at": now()})
	if err != nil {
		return nil, err
	}
	delete(s.users, id)
	s.deleted[id] = object(answer["user"])
	if query.Get("mark_messages_deleted") == "true" || query.Get("hard_delete") == "true" {
		for i, message := range s.messages {
			if message["user_id"] == id {
				s.messages[i] = changed(message, document{"type": "deleted", "deleted_at": now()})
			}
		}
	}
	return answer, nil
}

func (s *API) deactivateUser(r *http.Request, _ document) (document, error) {
	return s.changeUser("DeactivateUser", r.PathValue("id"), document{"deactivated_at": now()})
}

func (s *API) reactivateUser(r *http.Request, _ document) (document, error) {
	return s.changeUser("ReactivateUser", r.PathValue("id"), nil, "deactivated_at")
}

func (s *API) ban(_ *http.Request, body document) (document, error) {
	return s.changeUser("Ban", text(body["target_user_id"]), document{"banned": true})
}

func (s *API) unban(r *http.Request, _ document) (document, error) {
	return s.changeUser("Unban", r.URL.Query().Get("target_user_id"), document{"banned": false})
}

func (s *API) exportUser(r *http.Request, _ document) (document, error) {
	id := r.PathValue("id")
	user, ok := s.users[id]
	if !ok {
		return nil, notFound("ExportUser failed with error: user %q does not exist", id)
	}
	messages := s.find(func(message document) bool { return message["user_id"] == id })
	return document{"user": user, "messages": messages, "reactions": []document{}}, nil
}

func (s *API) listDevices(r *http.Request, _ document) (document, error) {
	if id := r.URL.Query().Get("user_id"); s.users[id] == nil {
		return nil, notFound("GetDevices failed with error: user %q does not exist", id)
	}
	return document{"devices": append([]document{}, s.devices[r.URL.Query().Get("user_id")]...)}, nil
}

func (s *API) addDevice(_ *http.Request, body document) (document, error) {
	user := text(body["user_id"])
	if s.users[user] == nil {
		return nil, notFound("CreateDevice failed with error: user %q does not exist", user)
	}
	s.devices[user] = append(s.devices[user], document{"id": body["id"], "push_provider": body["push_provider"], "user_id": user, "created_at": now()})
	return document{}, nil
}

func (s *API) removeDevice(r *http.Request, _ document) (document, error) {
	user, id := r.URL.Query().Get("user_id"), r.URL.Query().Get("id")
	devices := s.devices[user]
	s.devices[user] = slices.DeleteFunc(slices.Clone(devices), func(d document) bool { return d["id"] == id })
	if len(s.devices[user]) == len(devices) {
		return nil, notFound("DeleteDevice failed with error: there is no such device")
	}
	return document{}, nil
}
