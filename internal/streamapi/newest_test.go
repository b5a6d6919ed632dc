package streamapi

import (
	"bytes"
	"encoding/json"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v4"
)

// What getstream-go 5.3, node-sdk 0.7 and the Python SDKs call and read.
func TestNewestSDKsFindTheirCalls(t *testing.T) {
	t.Parallel()
	app := New(func() (string, []string, error) { return "key", []string{"secret"}, nil })
	token := serverToken(t, "secret", jwt.MapClaims{"server": true})
	ask := func(method, path, body string) document {
		t.Helper()
		separator := "?"
		if strings.Contains(path, "?") {
			separator = "&"
		}
		status, answer, _ := send(t, app, method, path+separator, "key", "jwt", token, body)
		if status >= 300 {
			t.Errorf("%s %s: want an answer, got %d %v", method, path, status, answer)
		}
		return answer
	}
	const channel = "/api/v2/chat/channels/messaging/general"
	if at, _ := object(object(ask(http.MethodPost, "/api/v2/users", `{"users":{"bob":{"id":"bob"}}}`)["users"])["bob"])["created_at"].(float64); at < 1e18 {
		t.Errorf("want a time in nanoseconds below /api/v2, got %v", at)
	}
	if at := text(object(object(ask(http.MethodPost, "/users", `{"users":{"bob":{"id":"bob"}}}`)["users"])["bob"])["created_at"]); !strings.HasSuffix(at, "Z") {
		t.Errorf("want a time as text elsewhere, got %q", at)
	}
	if got := list(ask(http.MethodPost, channel+"/query", `{"watch":false,"presence":false,"data":{"created_by_id":"bob","members":[{"user_id":"bob"}]}}`)["members"]); len(got) != 1 {
		t.Errorf("want the member that is given as an object, got %v", got)
	}
	id := text(object(ask(http.MethodPost, channel+"/message", `{"message":{"text":"Hello big world","user_id":"bob"}}`)["message"])["id"])
	for query, want := range map[string]int{"big hello": 1, "small": 0} {
		payload := url.QueryEscape(`{"filter_conditions":{"cid":"messaging:general"},"query":"` + query + `"}`)
		for _, path := range []string{"/search", "/api/v2/chat/search"} {
			if got := list(ask(http.MethodGet, path+"?payload="+payload, "")["results"]); len(got) != want {
				t.Errorf("%s %q: want %d messages, got %v", path, query, want, got)
			}
		}
	}
	if got := list(ask(http.MethodGet, channel+"/messages?ids="+id+",other", "")["messages"]); len(got) != 1 {
		t.Errorf("want the message by its id, got %v", got)
	}
	if got := object(ask(http.MethodPatch, channel, `{"set":{"topic":"a b","cid":"x"},"unset":["frozen"]}`)["channel"]); object(got["custom"])["topic"] != "a b" || got["cid"] != "messaging:general" || got["frozen"] != nil {
		t.Errorf("want a field set and one unset, got %v", got)
	}
	ask(http.MethodDelete, "/api/v2/chat/messages/"+id, "null")
	for path, want := range map[string]int{"/api/v2/users?": http.StatusBadRequest, "/users?": http.StatusCreated} {
		if status, answer, _ := send(t, app, http.MethodPost, path, "key", "jwt", token, `{"users":{"eve":{"id":"eve","color":"red"}}}`); status != want {
			t.Errorf("POST %s with a custom field beside the others: want %d, got %d %v", path, want, status, answer)
		}
	}
	for _, path := range []string{"/api/v2/uploads/file", channel + "/image", "/channels/messaging/general/file"} {
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		part, _ := form.CreateFormFile("file", "a b.bin")
		_, _ = part.Write([]byte{0, 0xff})
		form.Close()
		r := httptest.NewRequest(http.MethodPost, path+"?api_key=key", &body)
		r.Header = http.Header{"Authorization": {token}, "Stream-Auth-Type": {"jwt"}, "Content-Type": {form.FormDataContentType()}}
		w := httptest.NewRecorder()
		app.ServeHTTP(w, r)
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "/a%20b.bin") {
			t.Errorf("%s: want the file's address, got %d %s", path, w.Code, w.Body)
		}
	}
	if status, answer, _ := send(t, app, http.MethodPost, "/api/v2/uploads/file?", "key", "jwt", token, `{"file":"a"}`); status != http.StatusBadRequest {
		t.Errorf("want an upload that is no form refused, got %d %v", status, answer)
	}
}

func TestPartialUpdatesOfTheNewestSDKsChangeCustom(t *testing.T) {
	t.Parallel()
	app := New(func() (string, []string, error) { return "key", []string{"secret"}, nil })
	token := serverToken(t, "secret", jwt.MapClaims{"server": true})
	const channel = "/channels/messaging/general"
	for _, step := range []struct{ method, path, body, want string }{
		{"POST", "/users", `{"users":{"bob":{"id":"bob","flat":1}}}`, ""},
		{"POST", channel + "/query", `{"data":{"created_by_id":"bob","flat":1}}`, ""},
		{"PATCH", "/api/v2/users", `{"users":[{"id":"bob","set":{"color":"red","size":1,"flat":2,"name":"Bob"}}]}`, `{"color":"red","flat":2,"size":1}`},
		{"PATCH", "/api/v2/users", `{"users":[{"id":"bob","set":{"color":"blue"},"unset":["size","flat"]}]}`, `{"color":"blue"}`},
		{"PATCH", "/api/v2/users", `{"users":[{"id":"bob","set":{"custom":{"a":1},"b":2}}]}`, `{"a":1,"b":2}`},
		{"PATCH", "/api/v2/chat" + channel, `{"set":{"color":"red","flat":2,"frozen":true}}`, `{"color":"red","flat":2}`},
		{"PATCH", "/api/v2/chat" + channel, `{"unset":["color"]}`, `{"flat":2}`},
	} {
		status, answer, _ := send(t, app, step.method, step.path+"?", "key", "jwt", token, step.body)
		got := object(object(answer["users"])["bob"])
		if got == nil {
			got = object(answer["channel"])
		}
		custom, _ := json.Marshal(got["custom"])
		if status >= 300 || step.want != "" && (string(custom) != step.want || got["color"] != nil || got["flat"] != nil) {
			t.Errorf("%s %s: want %s in custom only, got %d %v", step.path, step.body, step.want, status, answer)
		}
		if strings.HasSuffix(step.body, `"Bob"}}]}`) && got["name"] != "Bob" || strings.Contains(step.body, "frozen") && got["frozen"] != true {
			t.Errorf("%s: want Stream's own fields outside custom, got %v", step.body, got)
		}
	}
}
