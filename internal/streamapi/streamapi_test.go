package streamapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	stream "github.com/GetStream/stream-chat-go/v6"
	"github.com/golang-jwt/jwt/v4"
)

// start starts an app, and returns Stream's own client for it: the measure of
// what the stand-in answers.
func start(t *testing.T) *stream.Client {
	t.Helper()
	server := httptest.NewServer(New(func() (string, []string, error) { return "key", []string{"secret"}, nil }))
	t.Cleanup(server.Close)
	c, err := stream.NewClient("key", "secret")
	if err != nil {
		t.Fatal(err)
	}
	c.BaseURL = server.URL
	return c
}

// call calls an app without the client. The path ends in "?" or "&".
func call(t *testing.T, app *API, method, path, key, kind, token, body string) (status int, answer document, header http.Header) {
	t.Helper()
	r := httptest.NewRequest(method, path+"api_key="+key, strings.NewReader(body))
	r.Header = http.Header{"Authorization": {token}, "Stream-Auth-Type": {kind}}
	w := httptest.NewRecorder()
	app.ServeHTTP(w, r)
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("want JSON, got %s", w.Body)
	}
	return w.Code, answer, w.Header()
}

func serverToken(t *testing.T, secret string, claims jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestStreamsOwnClientWorks(t *testing.T) {
	c, ctx := start(t), t.Context()
	if _, err := c.UpsertUsers(ctx, &stream.User{ID: "alice", Name: "Alice", ExtraData: map[string]any{"team": "red"}}, &stream.User{ID: "bob"}); err != nil {
		t.Fatal(err)
	}
	ids := func(filter map[string]any) []string {
		t.Helper()
		got, err := c.QueryUsers(ctx, &stream.QueryOption{Filter: filter})
		if err != nil {
			t.Fatal(err)
		}
		all := []string{}
		for _, u := range got.Users {
			all = append(all, u.ID)
		}
		return all
	}
	for _, q := range []struct {
		filter map[string]any
		want   []string
	}{
		{nil, []string{"alice", "bob"}},
		{map[string]any{"id": "bob"}, []string{"bob"}},
		{map[string]any{"team": map[string]any{"$eq": "red"}}, []string{"alice"}},
		{map[string]any{"id": map[string]any{"$in": []string{"bob", "carl"}}}, []string{"bob"}},
		{map[string]any{"id": "alice", "team": "blue"}, []string{}},
	} {
		if got := ids(q.filter); !slices.Equal(got, q.want) {
			t.Errorf("%v: want %v, got %v", q.filter, q.want, got)
		}
	}
	u, err := c.PartialUpdateUser(ctx, stream.PartialUserUpdate{ID: "alice", Set: map[string]any{"name": "A."}, Unset: []string{"team"}})
	if err != nil || u.Name != "A." || u.ExtraData["team"] != nil {
		t.Errorf("want the name changed and no team, got %+v, %v", u, err)
	}
	ch, err := c.CreateChannel(ctx, "messaging", "general", "alice", &stream.ChannelRequest{Members: []string{"alice", "bob"}})
	if err != nil || ch.Channel.CID != "messaging:general" || len(ch.Channel.Members) != 2 || ch.Channel.CreatedBy.ID != "alice" {
		t.Fatalf("want a channel with two members, got %+v, %v", ch, err)
	}
	sent, err := ch.Channel.SendMessage(ctx, &stream.Message{Text: "hello"}, "bob")
	if err != nil || sent.Message.User.ID != "bob" {
		t.Fatalf("want a message of bob, got %+v, %v", sent, err)
	}
	if got, err := c.GetMessage(ctx, sent.Message.ID); err != nil || got.Message.Text != "hello" {
		t.Errorf("want the message back, got %+v, %v", got, err)
	}
	again, err := c.CreateChannel(ctx, "messaging", "general", "bob", nil)
	if err != nil || len(again.Channel.Messages) != 1 || again.Channel.CreatedBy.ID != "alice" {
		t.Errorf("want the channel there is, got %+v, %v", again, err)
	}
	found, err := c.QueryChannels(ctx, &stream.QueryOption{Filter: map[string]any{"type": "messaging", "members": map[string]any{"$in": []string{"bob"}}}})
	if err != nil || len(found.Channels) != 1 || len(found.Channels[0].Messages) != 1 || found.RateLimitInfo.Limit == 0 {
		t.Errorf("want one channel with its message and rate limits, got %+v, %v", found, err)
	}
	if _, err := c.DeleteUser(ctx, "bob"); err != nil {
		t.Error(err)
	}
	if got, err := c.GetMessage(ctx, sent.Message.ID); err != nil || got.Message.User.ID != "bob" {
		t.Errorf("want bob's message kept, got %+v, %v", got, err)
	}
	if got := ids(map[string]any{"id": "bob"}); len(got) != 0 {
		t.Errorf("want no bob, got %v", got)
	}
}

func TestStreamsOwnClientConfiguresTheApp(t *testing.T) {
	c, ctx := start(t), t.Context()
	do := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	do(c.UpdateAppSettings(ctx, stream.NewAppSettings().SetMultiTenant(true).SetGrants(map[string][]string{"guest": {"read-channel"}})))
	app, err := c.GetAppSettings(ctx)
	if err != nil || *app.App.MultiTenantEnabled != true || app.App.Grants["guest"][0] != "read-channel" || len(app.App.Grants["user"]) == 0 || *app.App.DisableAuth {
		t.Errorf("want what was set changed and nothing else, got %+v, %v", app.App, err)
	}
	do(c.Permissions().CreateRole(ctx, "support"))
	do(c.Permissions().CreatePermission(ctx, &stream.Permission{ID: "own", Name: "Own", Action: "ReadChannel", Owner: true}))
	do(c.CreateBlocklist(ctx, &stream.BlocklistCreateRequest{BlocklistBase: stream.BlocklistBase{Name: "rude", Words: []string{"darn"}}}))
	do(c.UpdateBlocklist(ctx, "rude", []string{"darn", "heck"}))
	do(c.CreateCommand(ctx, &stream.Command{Name: "ticket", Description: "opens a ticket"}))
	kind := stream.NewChannelType("ticketing")
	kind.Commands = []*stream.Command{{Name: "ticket"}}
	kind.Grants = map[string][]string{"support": {"own"}}
	do(c.CreateChannelType(ctx, kind))
	do(c.UpdateChannelType(ctx, "ticketing", map[string]any{"blocklist": "rude", "typing_events": true}))
	types, err := c.ListChannelTypes(ctx)
	if err != nil || len(types.ChannelTypes) != 6 {
		t.Fatalf("want five types and ours, got %v, %v", types, err)
	}
	if got := types.ChannelTypes["ticketing"]; got.BlockList != "rude" || !got.TypingEvents || len(got.Commands) != 1 || got.Commands[0].Description == "" ||
		got.Grants["support"][0] != "own" || len(got.Grants["user"]) == 0 {
		t.Errorf("want the channel type as created and changed, got %+v", got)
	}
	if lists, err := c.ListBlocklists(ctx); err != nil || len(lists.Blocklists) != 1 || len(lists.Blocklists[0].Words) != 2 {
		t.Errorf("want a blocklist of two words, got %+v, %v", lists, err)
	}
	do(c.DeleteChannelType(ctx, "ticketing"))
	do(c.DeleteBlocklist(ctx, "rude"))
	do(c.DeleteCommand(ctx, "ticket"))
	do(c.Permissions().DeletePermission(ctx, "own"))
	do(c.Permissions().DeleteRole(ctx, "support"))
	if roles, err := c.Permissions().ListRoles(ctx); err != nil || len(roles.Roles) != 7 {
		t.Errorf("want the built-in roles only, got %v, %v", roles, err)
	}
}

// A hook without an id is a new one, and one that is left out is gone.
func TestEventHooksAreReplacedAsAWhole(t *testing.T) {
	app := New(func() (string, []string, error) { return "key", []string{"secret"}, nil })
	token := serverToken(t, "secret", jwt.MapClaims{"server": true})
	patch := func(hooks string, status int) []any {
		t.Helper()
		if got, answer, _ := call(t, app, "PATCH", "/app?", "key", "jwt", token, `{"event_hooks":[`+hooks+`]}`); got != status {
			t.Errorf("want status %d, got %d %v", status, got, answer)
		}
		_, answer, _ := call(t, app, "GET", "/app?", "key", "jwt", token, "")
		return list(object(answer["app"])["event_hooks"])
	}
	const a, b = `{"hook_type":"webhook","webhook_url":"https://a"}`, `{"hook_type":"webhook","webhook_url":"https://b"}`
	first := object(patch(a+","+b, 200)[0])["id"]
	if hooks := patch(a, 200); len(hooks) != 1 || object(hooks[0])["id"] == first || first == nil {
		t.Errorf("want one hook under a new id, got %v", hooks)
	}
	patch(`{"hook_type":"webhook","created_at":1759312800123456789}`, 400)
}

func TestErrorsHaveStreamsShape(t *testing.T) {
	secrets := []string{"secret"}
	app := New(func() (string, []string, error) { return "key", secrets, nil })
	good := serverToken(t, "secret", jwt.MapClaims{"server": true})
	user := url.QueryEscape(`{"filter_conditions":{"id":{"$gt":"a"}}}`)
	for _, c := range []struct {
		name, method, path, key, kind, token, body string
		status, code                               int
	}{
		{"unknown key", "GET", "/users?", "other", "jwt", good, "", 401, 2},
		{"no auth type", "GET", "/users?", "key", "anonymous", good, "", 401, 5},
		{"no token", "GET", "/users?", "key", "jwt", "", "", 401, 5},
		{"Bearer in front", "GET", "/users?", "key", "jwt", "Bearer " + good, "", 401, 43},
		{"another secret", "GET", "/users?", "key", "jwt", serverToken(t, "other", jwt.MapClaims{"server": true}), "", 401, 43},
		{"a user's token", "GET", "/users?", "key", "jwt", serverToken(t, "secret", jwt.MapClaims{"user_id": "alice"}), "", 401, 5},
		{"no such thing", "GET", "/campaigns?", "key", "jwt", good, "", 404, 16},
		{"no such message", "GET", "/messages/x?", "key", "jwt", good, "", 404, 16},
		{"no such channel", "POST", "/channels/a/b/message?", "key", "jwt", good, `{"message":{"text":"x"}}`, 404, 16},
		{"no users", "POST", "/users?", "key", "jwt", good, `{}`, 400, 4},
		{"bad id", "POST", "/users?", "key", "jwt", good, `{"users":{"a b":{"id":"a b"}}}`, 400, 4},
		{"another id", "POST", "/users?", "key", "jwt", good, `{"users":{"a":{"id":"b"}}}`, 400, 4},
		{"no JSON", "POST", "/users?", "key", "jwt", good, `{`, 400, 4},
		{"unknown operator", "GET", "/users?payload=" + user + "&", "key", "jwt", good, "", 400, 4},
		{"no author", "POST", "/channels/a/b/query?", "key", "jwt", good, `{"data":{}}`, 400, 4},
	} {
		status, e, h := call(t, app, c.method, c.path, c.key, c.kind, c.token, c.body)
		if status != c.status || e["code"] != float64(c.code) || e["StatusCode"] != float64(c.status) || e["message"] == "" ||
			!strings.HasSuffix(fmt.Sprint(e["duration"]), "ms") || e["more_info"] == nil || e["details"] == nil {
			t.Errorf("%s: want %d with code %d, got %d %v", c.name, c.status, c.code, status, e)
		}
		for _, name := range []string{"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} {
			if h.Get(name) == "" {
				t.Errorf("%s: want %s", c.name, name)
			}
		}
	}
	// During a rotation both secrets count, afterwards only the new one.
	for status, now := range map[int][]string{200: {"new", "secret"}, 401: {"new"}} {
		secrets = now
		if got, _, _ := call(t, app, "GET", "/users?", "key", "jwt", good, ""); got != status {
			t.Errorf("%q: want %d for a token of the old secret, got %d", now, status, got)
		}
	}
}
