package streamapi

import (
	"cmp"
	"crypto/rand"
	"net/http"
	"regexp"
	"slices"

	"chat-service-backend/ops/streamspec"
)

// userID is Stream's rule for user ids.
var userID = regexp.MustCompile(`^[@\w-]{1,255}$`)

func (s *API) upsertUsers(r *http.Request, body document) (document, error) {
	users := object(body["users"])
	for id, v := range users {
		for name := range object(v) { // what is custom is beside the other fields only where Stream's older SDKs call
			if _, known := streamspec.Objects["UserRequest"][name]; !known && r != nil && r.Context().Value(newest{}) != nil {
				return nil, badInput(`UpdateUsers failed with error: "users.%s.%s is not a known field"`, id, name)
			}
		}
		switch {
		case object(v)["id"] != id:
			return nil, badInput(`UpdateUsers failed with error: the key and the id of "users.%s" must be equal`, id)
		case !userID.MatchString(id):
			return nil, badInput("UpdateUsers failed with error: id %q has characters other than a-z, 0-9, @, _ and -", id)
		case s.deleted[id] != nil:
			return nil, notFound("UpdateUsers failed with error: user %q was deleted", id)
		}
	}
	stored, now := document{}, s.now()
	for id, v := range users {
		stored[id] = s.putUser(id, object(v), now)
	}
	return document{"users": stored, "membership_deletion_task_id": ""}, nil
}

// putUser replaces the fields of a user that a caller may set. It keeps user.
func (s *API) putUser(id string, user document, now string) document {
	if user["role"] == nil {
		user["role"] = "user"
	}
	user["id"], user["created_at"], user["updated_at"], user["banned"] = id, now, now, false
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
	return s.putUser(id, document{}, s.now())
}

func (s *API) patchUsers(r *http.Request, body document) (document, error) {
	patched := document{}
	for _, v := range list(body["users"]) {
		update := object(v)
		id := text(update["id"])
		set, unset := inCustom(r, "UserResponse", s.users[id], object(update["set"]), list(update["unset"]))
		user, err := s.changeUser("UpdateUsersPartial", id, set, unset...)
		if err != nil {
			return nil, err
		}
		patched[id] = user["user"]
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
	user["id"], user["updated_at"] = id, s.now()
	s.users[id] = user
	return document{"user": user}, nil
}

func (s *API) queryUsers(_ *http.Request, query document) (document, error) {
	found, err := pick(s.users, query, 30, func(user document) bool {
		return user["deactivated_at"] != nil && query["include_deactivated_users"] != true
	})
	return document{"users": found}, err
}

// deleteUser also deletes the user's messages if the query says so. The id cannot
// be used again.
func (s *API) deleteUser(r *http.Request, _ document) (document, error) {
	query := r.URL.Query()
	hard := query.Get("hard_delete") == "true"
	return s.removeUser(r.PathValue("user_id"), hard, hard || query.Get("mark_messages_deleted") == "true")
}

func (s *API) removeUser(id string, hard, messages bool) (document, error) {
	answer, err := s.changeUser("DeleteUser", id, document{"deleted_at": s.now()})
	if err != nil {
		return nil, err
	}
	delete(s.users, id)
	s.deleted[id] = changed(object(answer["user"]), document{"hard": hard})
	if messages {
		for i, message := range s.messages {
			if message["user_id"] == id {
				s.messages[i] = changed(message, document{"type": "deleted", "deleted_at": s.now()})
			}
		}
	}
	return answer, nil
}

// deleteUsers answers with a task, as does [API.exportUsers].
func (s *API) deleteUsers(_ *http.Request, body document) (document, error) {
	for _, id := range list(body["user_ids"]) {
		if s.users[text(id)] == nil {
			return nil, notFound("DeleteUsers failed with error: user %q does not exist", id)
		}
	}
	result := document{}
	for _, id := range list(body["user_ids"]) {
		if _, err := s.removeUser(text(id), body["user"] == "hard", body["messages"] != nil); err != nil {
			return nil, err
		}
		result[text(id)] = document{"status": "ok"}
	}
	return s.task(result), nil
}

func (s *API) exportUsers(_ *http.Request, body document) (document, error) {
	return s.task(document{"url": "https://exports.example.com/" + rand.Text()}), nil
}

// task stores the result of something that Stream does after its answer.
func (s *API) task(result document) document {
	id := rand.Text()
	s.tasks[id] = document{"task_id": id, "status": "completed", "result": result, "created_at": s.now(), "updated_at": s.now()}
	return document{"task_id": id}
}

func (s *API) getTask(r *http.Request, _ document) (document, error) {
	if task := s.tasks[r.PathValue("id")]; task != nil {
		return task, nil
	}
	return nil, notFound("GetTask failed with error: there is no such task")
}

func (s *API) restoreUsers(_ *http.Request, body document) (document, error) {
	for _, id := range list(body["user_ids"]) {
		if user := s.deleted[text(id)]; user == nil || user["hard"] == true {
			return nil, notFound("RestoreUsers failed with error: user %q was not deleted softly", id)
		}
	}
	for _, v := range list(body["user_ids"]) {
		id := text(v)
		user := changed(s.deleted[id], nil)
		delete(user, "deleted_at")
		delete(user, "hard")
		s.users[id] = user
		delete(s.deleted, id)
	}
	return document{}, nil
}

func (s *API) deactivateUser(r *http.Request, _ document) (document, error) {
	return s.changeUser("DeactivateUser", r.PathValue("user_id"), document{"deactivated_at": s.now()})
}

func (s *API) reactivateUser(r *http.Request, _ document) (document, error) {
	return s.changeUser("ReactivateUser", r.PathValue("user_id"), nil, "deactivated_at")
}

func (s *API) ban(_ *http.Request, body document) (document, error) {
	return s.changeUser("Ban", text(body["target_user_id"]), document{"banned": true})
}

func (s *API) unban(r *http.Request, _ document) (document, error) {
	return s.changeUser("Unban", r.URL.Query().Get("target_user_id"), document{"banned": false})
}

// maxExport is how many messages the export of one user has at most.
const maxExport = 10_000

func (s *API) exportUser(r *http.Request, _ document) (document, error) {
	id := r.PathValue("user_id")
	user, ok := s.users[id]
	if !ok {
		return nil, notFound("ExportUser failed with error: user %q does not exist", id)
	}
	messages := s.show("", s.find(func(message document) bool { return message["user_id"] == id })...)
	if len(messages) > maxExport {
		return nil, badInput("ExportUser failed with error: the user has more than %d messages: use POST /export/users", maxExport)
	}
	return document{"user": user, "messages": messages, "reactions": []document{}}, nil
}

func (s *API) listDevices(r *http.Request, _ document) (document, error) {
	user := cmp.Or(caller(r), r.URL.Query().Get("user_id"))
	if s.users[user] == nil {
		return nil, notFound("GetDevices failed with error: user %q does not exist", user)
	}
	return document{"devices": append([]document{}, s.devices[user]...)}, nil
}

func (s *API) addDevice(r *http.Request, body document) (document, error) {
	user := cmp.Or(caller(r), text(body["user_id"]))
	if s.users[user] == nil {
		return nil, notFound("CreateDevice failed with error: user %q does not exist", user)
	}
	s.devices[user] = append(s.devices[user], document{"id": body["id"], "push_provider": body["push_provider"], "user_id": user, "created_at": s.now()})
	return document{}, nil
}

func (s *API) removeDevice(r *http.Request, _ document) (document, error) {
	user, id := cmp.Or(caller(r), r.URL.Query().Get("user_id")), r.URL.Query().Get("id")
	devices := s.devices[user]
	s.devices[user] = slices.DeleteFunc(slices.Clone(devices), func(d document) bool { return d["id"] == id })
	if len(s.devices[user]) == len(devices) {
		return nil, notFound("DeleteDevice failed with error: there is no such device")
	}
	return document{}, nil
}
