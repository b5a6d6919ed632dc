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
	"testing/synctest"
	"time"

	stream "github.com/GetStream/stream-chat-go/v6"
	"github.com/golang-jwt/jwt/v4"

	"chat-service-backend/ops/streamspec"
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

// send calls an app without the client. The path ends in "?" or "&".
func send(t *testing.T, app *API, method, path, key, kind, token, body string) (status int, answer document, header http.Header) {
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
		{map[string]any{"role": "user"}, []string{"alice", "bob"}},
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

// Stream's client reads what was configured. It writes fields that the description
// lacks, such as a permission's "custom", so the writes are made without it.
func TestStreamsOwnClientReadsTheConfiguration(t *testing.T) {
	c, ctx := start(t), t.Context()
	app := New(func() (string, []string, error) { return "key", []string{"secret"}, nil })
	server := httptest.NewServer(app)
	t.Cleanup(server.Close)
	c.BaseURL = server.URL
	do := func(method, path, body string, want int) {
		t.Helper()
		if status, answer := request(t, app, method, path, body); status != want {
			t.Errorf("%s %s %s: want %d, got %d %v", method, path, body, want, status, answer)
		}
	}
	do("PATCH", "/app", `{"multi_tenant_enabled":true,"channel_hide_members_only":true,"grants":{"guest":["read-channel"]}}`, 200)
	got, err := c.GetAppSettings(ctx)
	if err != nil || *got.App.MultiTenantEnabled != true || got.App.Grants["guest"][0] != "read-channel" || len(got.App.Grants["user"]) == 0 || *got.App.DisableAuth || got.App.ChannelHideMembersOnly != nil {
		t.Errorf("want what was set changed and nothing else, got %+v, %v", got.App, err)
	}
	do("POST", "/roles", `{"name":"support"}`, 201)
	do("POST", "/permissions", `{"id":"own","name":"Own","action":"ReadChannel","condition":{},"owner":true}`, 201)
	do("POST", "/blocklists", `{"name":"rude","words":["darn"]}`, 201)
	do("PUT", "/blocklists/rude", `{"words":["darn","heck"]}`, 201)
	do("POST", "/commands", `{"name":"ticket","description":"opens a ticket"}`, 201)
	do("POST", "/channeltypes", `{"name":"ticketing","automod":"disabled","automod_behavior":"flag","max_message_length":200,"commands":["ticket"],"grants":{"support":["own"]}}`, 201)
	do("PUT", "/channeltypes/ticketing", `{"automod":"disabled","automod_behavior":"flag","max_message_length":200,"blocklist":"rude"}`, 201)
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
	do("DELETE", "/roles/support", "", 400) // it has grants
	for _, path := range []string{"/channeltypes/ticketing", "/blocklists/rude", "/commands/ticket", "/permissions/own", "/roles/support"} {
		do("DELETE", path, "", 200)
	}
	if roles, err := c.Permissions().ListRoles(ctx); err != nil || len(roles.Roles) != 9 {
		t.Errorf("want the built-in roles only, got %v, %v", roles, err)
	}
}

// request calls an app as a server does.
func request(t *testing.T, app *API, method, path, body string) (int, document) {
	t.Helper()
	path += map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")]
	status, answer, _ := send(t, app, method, path, "key", "jwt", serverToken(t, "secret", jwt.MapClaims{"server": true}), body)
	return status, answer
}

func TestRequestsThatTheDescriptionDoesNotAllowAreRefused(t *testing.T) {
	app := New(func() (string, []string, error) { return "key", []string{"secret"}, nil })
	for _, c := range []struct{ method, path, body, want string }{
		{"PATCH", "/app", `{"typing":true}`, "typing is not a known field"},
		{"PATCH", "/app", `{"event_hooks":[{"enabled":"yes"}]}`, "event_hooks[0].enabled must be a boolean"},
		{"PATCH", "/app", `{"event_hooks":[{"created_at":1759312800123456789}]}`, "event_hooks[0].created_at must be a string"},
		{"PATCH", "/app", `{"event_hooks":[{"hook_type":"webhook","tmeout_ms":1}]}`, "event_hooks.tmeout_ms is not a known field"},
		{"PATCH", "/app", `{"enforce_unique_usernames":""}`, "must be one of [no app team]"},
		{"PATCH", "/app", `{"cdn_expiration_seconds":60}`, "cdn_expiration_seconds must have at least 14400"},
		{"PATCH", "/app", `{"user_search_disallowed_roles":["1","2","3","4","5","6","7","8","9","10","11"]}`, "a length of at most 10"},
		{"PATCH", "/app", `{"grants":{"user":"all"}}`, "grants.user must be a list"},
		{"PUT", "/channeltypes/messaging", `{"automod":"disabled","automod_behavior":"flag"}`, "max_message_length is a required field"},
		{"POST", "/permissions", `{"id":"own","name":"Own","action":"ReadChannel"}`, "condition is a required field"},
		{"POST", "/users/delete", `{"user_ids":[]}`, "a length of at least 1"},
		{"GET", "/members?payload=" + url.QueryEscape(`{"type":"a","filter_conditions":{},"limit":301}`), "", "limit must have at most 300"},
		{"GET", "/blocklists?limit=500", "", "limit must have at most 200"},
		{"DELETE", "/devices", "", "id is a required field"},
		{"POST", "/devices", `{"id":"a","push_provider":"apn"}`, "user_id must be provided"},
		{"PATCH", "/app", `{"reminders_max_members":2147483648}`, "reminders_max_members must have at most 32 bits"},
		{"DELETE", "/moderation/ban?target_user_id=a&remove_future_channels_ban=maybe", "", "remove_future_channels_ban must be a boolean"},
		{"GET", "/commands/giphy?limit=1", "", "limit is not a known parameter"},
	} {
		if status, e := request(t, app, c.method, c.path, c.body); status != 400 || e["code"] != 4.0 || !strings.Contains(text(e["message"]), c.want) {
			t.Errorf("%s %s %s: want 400 with code 4 and %q, got %d %v", c.method, c.path, c.body, c.want, status, e)
		}
	}
}

func TestEachCallOfTheDescriptionIsPlayed(t *testing.T) {
	app := New(func() (string, []string, error) { return "key", []string{"secret"}, nil })
	for call := range streamspec.Calls() {
		method, path, _ := strings.Cut(call, " ")
		if _, answer := request(t, app, method, strings.NewReplacer("{", "", "}", "").Replace(path), "{}"); strings.Contains(text(answer["message"]), "does not play") {
			t.Errorf("%s: %v", call, answer["message"])
		}
	}
}

// null is no value, so it changes nothing, and comes back only where Stream has it.
func TestNullIsNoValue(t *testing.T) {
	app := New(func() (string, []string, error) { return "key", []string{"secret"}, nil })
	for _, body := range []string{`{"search":false,"partition_ttl":"24h0m0s"`, `{"search":null,"chat_preferences":null`, `{"partition_ttl":null`} {
		if status, answer := request(t, app, "PUT", "/channeltypes/messaging", body+`,"automod":"disabled","automod_behavior":"flag","max_message_length":200}`); status != 201 {
			t.Errorf("%s: want it taken, got %d %v", body, status, answer)
		}
	}
	request(t, app, "POST", "/users", `{"users":{"bob":{"id":"bob","name":null,"teams":null}}}`)
	_, got := request(t, app, "GET", "/channeltypes/messaging", "")
	_, settings := request(t, app, "GET", "/app", "")
	_, users := request(t, app, "GET", "/users?payload="+url.QueryEscape(`{"filter_conditions":{}}`), "")
	bob := object(list(users["users"])[0])
	events, has := object(settings["app"])["webhook_events"]
	if _, preferences := got["chat_preferences"]; preferences || got["search"] != false || got["partition_ttl"] != nil || !has || events != nil {
		t.Errorf("want search unchanged, no preferences and no ttl, and webhook_events null, got %v, %v", got, events)
	}
	if _, name := bob["name"]; name || bob["teams"] == nil {
		t.Errorf("want no name and no teams, got %v", bob)
	}
}

// A change takes Lag to be read back, and to be known to other calls.
func TestConfigurationIsSlowToAgreeWithItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := New(func() (string, []string, error) { return "key", []string{"secret"}, nil })
		app.Lag = 5 * time.Second
		roles := func() int {
			_, answer := request(t, app, "GET", "/roles", "")
			return len(list(answer["roles"])) - 9
		}
		request(t, app, "POST", "/roles", `{"name":"support"}`)
		if status, e := request(t, app, "POST", "/roles", `{"name":"support"}`); status != 400 {
			t.Errorf("want a name taken at once, got %d %v", status, e)
		}
		status, _ := request(t, app, "PATCH", "/app", `{"grants":{"support":["search-user"]}}`)
		if got := roles(); got != 0 || status != 400 {
			t.Errorf("want the role unknown, got %d, and its grants answered with %d", got, status)
		}
		time.Sleep(5 * time.Second)
		status, _ = request(t, app, "PATCH", "/app", `{"grants":{"support":["search-user"]}}`)
		if got := roles(); got != 1 || status != 200 {
			t.Errorf("want the role known, got %d, and its grants answered with %d", got, status)
		}
	})
}

func TestEachKindOfConfigurationIsSlowToAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := New(func() (string, []string, error) { return "key", []string{"secret"}, nil })
		app.Lag = 5 * time.Second
		const required = `"automod":"disabled","automod_behavior":"flag","max_message_length":200`
		for _, c := range []struct{ method, path, body, read, want string }{
			{"PATCH", "/app", `{"reminders_interval":77}`, "/app", `"reminders_interval":77`},
			{"PATCH", "/app", `{"event_hooks":[{"hook_type":"webhook","webhook_url":"https://plum"}]}`, "/app", "https://plum"},
			{"POST", "/roles", `{"name":"plum"}`, "/roles", `"plum"`},
			{"POST", "/commands", `{"name":"plum","description":"x"}`, "/commands", `"plum"`},
			{"PUT", "/commands/plum", `{"description":"a pear"}`, "/commands/plum", `"a pear"`},
			{"POST", "/channeltypes", `{"name":"plum",` + required + `}`, "/channeltypes", `"plum"`},
			{"PUT", "/channeltypes/plum", `{` + required + `,"message_retention":"a year"}`, "/channeltypes/plum", `"a year"`},
			{"POST", "/permissions", `{"id":"plum","name":"P","action":"ReadChannel","condition":{}}`, "/permissions", `"plum"`},
			{"POST", "/blocklists", `{"name":"plum","words":["x"]}`, "/blocklists", `"plum"`},
		} {
			if status, answer := request(t, app, c.method, c.path, c.body); status > 299 {
				t.Errorf("%s %s: want it taken, got %d %v", c.method, c.path, status, answer)
			}
			for _, known := range []bool{false, true} {
				_, answer := request(t, app, "GET", c.read, "")
				if got, _ := json.Marshal(answer); strings.Contains(string(got), c.want) != known {
					t.Errorf("%s %s: want it read back %v, got %s", c.method, c.path, known, got)
				}
				time.Sleep(5 * time.Second)
			}
		}
	})
}

func TestDeletionsInBatchesCanBeTakenBackIfSoft(t *testing.T) {
	app := New(func() (string, []string, error) { return "key", []string{"secret"}, nil })
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/users", `{"users":{"a":{"id":"a"},"b":{"id":"b"}}}`, 201},
		{"POST", "/users/delete", `{"user_ids":["a"],"user":"soft"}`, 201},
		{"POST", "/users/delete", `{"user_ids":["b"],"user":"hard"}`, 201},
		{"POST", "/users", `{"users":{"a":{"id":"a"}}}`, 404},
		{"POST", "/users/restore", `{"user_ids":["a"]}`, 201},
		{"POST", "/users/restore", `{"user_ids":["b"]}`, 404},
		{"POST", "/users/deactivate", `{"user_ids":["a"]}`, 201},
		{"POST", "/users/a/reactivate", `{}`, 201},
		{"POST", "/users/deactivate", `{"user_ids":["a","b"]}`, 404},
		{"POST", "/users", `{"users":{"a":{"id":"a"}}}`, 201},
	} {
		status, answer := request(t, app, c.method, c.path, c.body)
		if status != c.status {
			t.Errorf("%s %s: want %d, got %d %v", c.path, c.body, c.status, status, answer)
		}
		if id := text(answer["task_id"]); id != "" {
			if _, task := request(t, app, "GET", "/tasks/"+id, ""); task["status"] != "completed" {
				t.Errorf("want the task completed, got %v", task)
			}
		}
	}
}

// A hook without an id is a new one, and one that is left out is gone.
func TestEventHooksAreReplacedAsAWhole(t *testing.T) {
	app := New(func() (string, []string, error) { return "key", []string{"secret"}, nil })
	token := serverToken(t, "secret", jwt.MapClaims{"server": true})
	patch := func(hooks string, status int) []any {
		t.Helper()
		if got, answer, _ := send(t, app, "PATCH", "/app?", "key", "jwt", token, `{"event_hooks":[`+hooks+`]}`); got != status {
			t.Errorf("want status %d, got %d %v", status, got, answer)
		}
		_, answer, _ := send(t, app, "GET", "/app?", "key", "jwt", token, "")
		return list(object(answer["app"])["event_hooks"])
	}
	const a, b = `{"hook_type":"webhook","webhook_url":"https://a"}`, `{"hook_type":"webhook","webhook_url":"https://b"}`
	first := object(patch(a+","+b, 200)[0])["id"]
	if hooks := patch(a, 200); len(hooks) != 1 || object(hooks[0])["id"] == first || first == nil {
		t.Errorf("want one hook under a new id, got %v", hooks)
	}
}

func TestErrorsHaveStreamsShape(t *testing.T) {
	secrets := []string{"secret"}
	app := New(func() (string, []string, error) { return "key", secrets, nil })
	good := serverToken(t, "secret", jwt.MapClaims{"server": true})
	user := url.QueryEscape(`{"filter_conditions":{"id":{"$near":"a"}}}`)
	for _, c := range []struct {
		name, method, path, key, kind, token, body string
		status, code                               int
	}{
		{"unknown key", "GET", "/users?", "other", "jwt", good, "", 401, 2},
		{"no auth type", "GET", "/users?", "key", "anonymous", good, "", 401, 5},
		{"no token", "GET", "/users?", "key", "jwt", "", "", 401, 5},
		{"Bearer in front", "GET", "/users?", "key", "jwt", "Bearer " + good, "", 401, 43},
		{"another secret", "GET", "/users?", "key", "jwt", serverToken(t, "other", jwt.MapClaims{"server": true}), "", 401, 43},
		{"a token of nobody", "GET", "/users?", "key", "jwt", serverToken(t, "secret", jwt.MapClaims{"name": "alice"}), "", 401, 5},
		{"an expired token", "GET", "/users?", "key", "jwt", serverToken(t, "secret", jwt.MapClaims{"user_id": "alice", "exp": 1}), "", 401, 40},
		{"a token of the future", "GET", "/users?", "key", "jwt", serverToken(t, "secret", jwt.MapClaims{"user_id": "alice", "iat": 1 << 40}), "", 401, 42},
		{"a user's token for a server's call", "PATCH", "/app?", "key", "jwt", serverToken(t, "secret", jwt.MapClaims{"user_id": "alice"}), "{}", 403, 17},
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
		status, e, h := send(t, app, c.method, c.path, c.key, c.kind, c.token, c.body)
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
		if got, _, _ := send(t, app, "GET", "/users?", "key", "jwt", good, ""); got != status {
			t.Errorf("%q: want %d for a token of the old secret, got %d", now, status, got)
		}
	}
}

func TestUsersFilterAsAppsDo(t *testing.T) {
	app := New(func() (string, []string, error) { return "key", []string{"secret"}, nil })
	request(t, app, "POST", "/users", `{"users":{"al":{"id":"al","name":"Al Green","age":9},"bo":{"id":"bo","name":"Bo Derek","age":30},"cy":{"id":"cy"}}}`)
	token := serverToken(t, "secret", jwt.MapClaims{"user_id": "al"})
	for filter, want := range map[string]string{
		`{"id":{"$ne":"al"}}`:                     "bo cy",
		`{"id":{"$nin":["al","bo"]}}`:             "cy",
		`{"name":{"$autocomplete":"de"}}`:         "bo",
		`{"$or":[{"id":"al"},{"name":"x"}]}`:      "al",
		`{"$and":[{"id":"al"},{"name":"x"}]}`:     "",
		`{"$nor":[{"id":"al"},{"id":"cy"}]}`:      "bo",
		`{"name":{"$exists":false}}`:              "cy",
		`{"age":{"$gt":9}}`:                       "bo",
		`{"age":{"$gte":9}}`:                      "al bo",
		`{"age":{"$lt":30}}`:                      "al",
		`{"created_at":{"$lte":"2001-01-01T00"}}`: "",
	} {
		_, answer, _ := send(t, app, "GET", "/users?payload="+url.QueryEscape(`{"filter_conditions":`+filter+`}`)+"&", "key", "jwt", token, "")
		var ids []string
		for _, user := range list(answer["users"]) {
			ids = append(ids, text(object(user)["id"]))
		}
		if got := strings.Join(ids, " "); got != want || answer["code"] != nil {
			t.Errorf("%s: want %q, got %q, %v", filter, want, got, answer["message"])
		}
	}
	for _, path := range []string{"/polls/query?", "/users?payload=" + url.QueryEscape(`{"filter_conditions":{"a":{"$q":"b"}}}`) + "&"} {
		if status, answer, _ := send(t, app, "GET", path, "key", "jwt", token, ""); status != 404 && status != 400 || !strings.Contains(text(answer["message"]), "stand-in for Stream") {
			t.Errorf("%s: want a refusal that says what is missing, got %d %v", path, status, answer)
		}
	}
}

func TestWebhooksThatFailAreSentThreeTimes(t *testing.T) {
	attempts := make(chan [2]string, 9)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		attempts <- [2]string{r.Header.Get("X-Webhook-Id"), r.Header.Get("X-Webhook-Attempt")}
		if r.Header.Get("X-Webhook-Attempt") != "3" {
			w.WriteHeader(http.StatusTooManyRequests)
		}
	}))
	t.Cleanup(hook.Close)
	app := New(func() (string, []string, error) { return "key", []string{"secret"}, nil })
	if err := app.Configure(document{"event_hooks": []any{document{"hook_type": "webhook", "enabled": true, "event_types": []any{"message.new"}, "webhook_url": hook.URL}}}); err != nil {
		t.Fatal(err)
	}
	request(t, app, "POST", "/users", `{"users":{"alice":{"id":"alice"}}}`)
	request(t, app, "POST", "/channels/messaging/c/query", `{"data":{"created_by_id":"alice"}}`)
	request(t, app, "POST", "/channels/messaging/c/message", `{"message":{"text":"hi","user_id":"alice"}}`)
	first := <-attempts
	for _, number := range []string{"2", "3"} {
		if got := <-attempts; got != [2]string{first[0], number} || first[1] != "1" {
			t.Errorf("want attempt %s of %s, got %s of %s", number, first, got[1], got[0])
		}
	}
}

func TestMessagesComeInPagesWithTheirPeopleAndQuotes(t *testing.T) {
	app := New(func() (string, []string, error) { return "key", []string{"secret"}, nil })
	token := serverToken(t, "secret", jwt.MapClaims{"user_id": "al"})
	ask := func(method, path, body string) document {
		_, answer, _ := send(t, app, method, path, "key", "jwt", token, body)
		return answer
	}
	ask("POST", "/channels/messaging/a/query?", `{"data":{"members":["al","bo"]}}`)
	for _, id := range strings.Fields("0 1 2 3 4 5 6") {
		ask("POST", "/channels/messaging/a/message?", `{"message":{"id":"`+id+`","text":"x","mentioned_users":["bo"],"quoted_message_id":"0"}}`)
		ask("POST", "/channels/messaging/a/message?", `{"message":{"id":"r`+id+`","text":"x","parent_id":"0"}}`)
	}
	for page, want := range map[string]string{
		`"id_lt":"4"`: "1 2 3", `"id_gt":"1"`: "2 3 4", `"id_around":"3"`: "2 3 4", `"id_around":"6"`: "4 5 6", `"offset":0`: "4 5 6",
	} {
		answer := ask("GET", "/channels?payload="+url.QueryEscape(`{"filter_conditions":{"members":{"$in":["bo"]}},"message_limit":1}`)+"&", "")
		if len(list(answer["channels"])) != 1 {
			t.Fatalf("want one channel, got %v", answer)
		}
		for path, key := range map[string]string{"/channels/messaging/a/query?": "", "/messages/0/replies?limit=3&": "r"} {
			method, body := "POST", `{"messages":{"limit":3,`+page+`}}`
			if key != "" {
				method, path = "GET", path+strings.NewReplacer(`"id`, "id", `":"`, "=r", `":`, "=", `"`, "").Replace(page)+"&"
			}
			var got []string
			for _, v := range list(ask(method, path, body)["messages"]) {
				got = append(got, strings.TrimPrefix(text(object(v)["id"]), key))
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%s %s: want %s, got %v", path, page, want, got)
			}
		}
	}
	message := object(ask("GET", "/messages/1?", "")["message"])
	if mentioned := list(message["mentioned_users"]); len(mentioned) != 1 || object(mentioned[0])["id"] != "bo" || object(message["quoted_message"])["id"] != "0" {
		t.Errorf("want Bob and the quoted message, got %v", message)
	}
}
