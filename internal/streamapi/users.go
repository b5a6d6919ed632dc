package streamapi

import (
	"crypto/rand"
	"net/http"
	"slices"
	"strings"

	"chat-service-backend/ops/streamspec"
)

// userID is what a user's id may have, 1 to 255 of it.
const userID = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@_-"

func (s *API) upsertUsers(c *call) (document, error) {
	users := object(c.body["users"])
	for id, v := range users {
		for name := range object(v) {
			if !c.newest { // what is custom may be beside the other fields only where Stream's older SDKs call
				break
			} else if _, known := streamspec.Objects()["UserRequest"][name]; !known {
				return nil, badInput(`UpdateUsers failed with error: "users.%s.%s is not a known field"`, id, name)
			}
		}
		switch {
		case object(v)["id"] != id:
			return nil, badInput(`UpdateUsers failed with error: the key and the id of "users.%s" must be equal`, id)
		case id == "" || len(id) > 255 || strings.Trim(id, userID) != "":
			return nil, badInput("UpdateUsers failed with error: id %q has characters other than a-z, 0-9, @, _ and -", id)
		case s.deleted[id] != nil:
			return nil, notFound("UpdateUsers failed with error: user %q was deleted", id)
		}
	}
	now := any(s.now())
	for id, v := range users {
		s.putUser(id, object(v), now)
	}
	return document{"users": users, "membership_deletion_task_id": ""}, nil
}

// putUser replaces the fields of a user that a caller may set. It keeps user.
func (s *API) putUser(id string, user document, now any) document {
	before := s.users[id]
	if user["role"] == nil {
		user["role"] = "user"
	}
	user["id"], user["created_at"], user["updated_at"], user["banned"] = id, now, now, false
	for _, field := range []string{"created_at", "banned", "deactivated_at", "revoke_tokens_issued_before"} {
		if v, ok := before[field]; ok {
			user[field] = v
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

func (s *API) patchUsers(c *call) (document, error) {
	patched := document{}
	for _, v := range list(c.body["users"]) {
		update := object(v)
		id := text(update["id"])
		if s.users[id] == nil {
			return nil, notFound("UpdateUsersPartial failed with error: user %q does not exist", id)
		}
		set, unset := c.inCustom("UserResponse", s.users[id], object(update["set"]), list(update["unset"]))
		patched[id] = s.change(s.users, id, set, unset...)
	}
	return document{"users": patched}, nil
}

func (s *API) deactivate(_ *call, id string) {
	s.change(s.users, id, document{"deactivated_at": s.now()})
}
func (s *API) reactivate(_ *call, id string) { s.change(s.users, id, nil, "deactivated_at") }

// one returns an answer that changes the user whom a call names, and batch those of its list, in a task.
func (s *API) one(change func(*call, string)) answer {
	return func(c *call) (document, error) {
		change(c, c.id)
		return document{"user": s.users[c.id]}, nil
	}
}

func (s *API) batch(change func(*call, string)) answer {
	return func(c *call) (document, error) {
		result := document{}
		for _, id := range list(c.body["user_ids"]) {
			if s.users[text(id)] == nil {
				return nil, notFound("user %q does not exist", id)
			}
			result[text(id)] = document{"status": "ok"}
		}
		for id := range result {
			change(c, id)
		}
		return s.task(result), nil
	}
}

func (s *API) queryUsers(c *call) (document, error) {
	found, err := pick(s.users, c.body)
	found = slices.DeleteFunc(found, func(user document) bool {
		return user["deactivated_at"] != nil && c.body["include_deactivated_users"] != true
	})
	return document{"users": page(found, c.body, 30)}, err
}

// deleteUser also deletes the user's messages if the query says so. The id cannot
// be used again.
func (s *API) deleteUser(c *call) (document, error) {
	hard := c.query.Get("hard_delete") == "true"
	s.removeUser(c.id, hard, hard || c.query.Get("mark_messages_deleted") == "true")
	return document{"user": s.deleted[c.id]}, nil
}

func (s *API) removeUser(id string, hard, messages bool) {
	s.deleted[id] = changed(s.users[id], document{"deleted_at": s.now()})
	if hard {
		s.deleted[id] = document{"id": id, "deleted_at": s.now()} // which nobody can restore
	}
	delete(s.users, id)
	for _, message := range s.find(func(message document) bool { return messages && message["user_id"] == id }) {
		s.change(s.messages, text(message["id"]), document{"type": "deleted", "deleted_at": s.now()})
	}
}

func (s *API) exportUsers(*call) (document, error) {
	return s.task(document{"url": "https://exports.example.com/" + rand.Text()}), nil
}

// task stores the result of something that Stream does after its answer.
func (s *API) task(result document) document {
	id := rand.Text()
	s.tasks[id] = document{"task_id": id, "status": "completed", "result": result, "created_at": s.now(), "updated_at": s.now()}
	return document{"task_id": id}
}

func (s *API) restoreUsers(c *call) (document, error) {
	for _, id := range list(c.body["user_ids"]) {
		if user := s.deleted[text(id)]; user["created_at"] == nil {
			return nil, notFound("RestoreUsers failed with error: user %q was not deleted softly", id)
		}
	}
	for _, v := range list(c.body["user_ids"]) {
		id := text(v)
		s.users[id] = s.change(s.deleted, id, nil, "deleted_at")
		delete(s.deleted, id)
	}
	return nil, nil
}

// ban bans a user (POST), or takes that back (DELETE).
func (s *API) ban(c *call) (document, error) {
	id := c.author(c.body["target_user_id"], c.query.Get("target_user_id"))
	if s.users[id] == nil {
		return nil, notFound("Ban failed with error: user %q does not exist", id)
	}
	s.change(s.users, id, document{"banned": c.Method == http.MethodPost})
	return nil, nil
}

func (s *API) exportUser(c *call) (document, error) {
	messages := s.find(func(message document) bool { return message["user_id"] == c.id })
	return document{"user": s.users[c.id], "messages": s.showAll("", messages), "reactions": []document{}}, nil
}

// ownDevices serves a user's devices: it adds one (POST), removes one (DELETE) or lists them.
func (s *API) ownDevices(c *call) (document, error) {
	query := c.query
	user := c.author(c.body["user_id"], object(c.body["user"])["id"], query.Get("user_id"))
	if user == "" {
		return nil, badInput("user_id must be provided when using server side auth")
	}
	if s.users[user] == nil {
		return nil, notFound("user %q does not exist", user)
	}
	devices := s.devices[user]
	switch c.Method {
	case http.MethodGet:
		return document{"devices": append([]document{}, devices...)}, nil
	case http.MethodPost:
		s.devices[user] = append(devices, document{"id": c.body["id"], "push_provider": c.body["push_provider"], "user_id": user, "created_at": s.now()})
		return nil, nil
	}
	s.devices[user] = slices.DeleteFunc(slices.Clone(devices), func(d document) bool { return d["id"] == query.Get("id") })
	if len(s.devices[user]) == len(devices) {
		return nil, notFound("DeleteDevice failed with error: there is no such device")
	}
	return nil, nil
}
