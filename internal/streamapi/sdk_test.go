package streamapi

import (
	"bytes"
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
		status, answer, _ := call(t, app, method, path+separator, "key", "jwt", token, body)
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
	if got := object(ask(http.MethodPatch, channel, `{"set":{"topic":"a b","cid":"x"},"unset":["frozen"]}`)["channel"]); got["topic"] != "a b" || got["cid"] != "messaging:general" || got["frozen"] != nil {
		t.Errorf("want a field set and one unset, got %v", got)
	}
	ask(http.MethodDelete, "/api/v2/chat/messages/"+id, "null")
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
	if status, answer, _ := call(t, app, http.MethodPost, "/api/v2/uploads/file?", "key", "jwt", token, `{"file":"a"}`); status != http.StatusBadRequest {
		t.Errorf("want an upload that is no form refused, got %d %v", status, answer)
	}
}
