package streamapi

import (
	"net/http"
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
	ask(http.MethodDelete, "/api/v2/chat/messages/"+id, "null")
	for path, want := range map[string]int{"/api/v2/users?": http.StatusBadRequest, "/users?": http.StatusCreated} {
		if status, answer, _ := send(t, app, http.MethodPost, path, "key", "jwt", token, `{"users":{"eve":{"id":"eve","color":"red"}}}`); status != want {
			t.Errorf("POST %s with a custom field beside the others: want %d, got %d %v", path, want, status, answer)
		}
	}
}
