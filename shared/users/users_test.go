package users

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chat-service-backend/internal/streamapi"
	"chat-service-backend/shared/identity"
	"chat-service-backend/shared/streamchat"
)

// A stream is Stream without a network, for tests in a synctest bubble.
type stream struct {
	t     *testing.T
	api   *streamapi.API
	fault func(*http.Request) (*http.Response, error) // passes on the calls for which it returns nil
	app   func(*http.Request) (*http.Response, error) // likewise, for reading the app

	mu    sync.Mutex
	calls []string
}

func (s *stream) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	fault := s.fault
	if strings.HasSuffix(r.URL.Path, "/app") {
		fault = s.app
	} else {
		s.calls = append(s.calls, r.Method)
	}
	s.mu.Unlock()
	if fault != nil {
		if response, err := fault(r); response != nil || err != nil {
			return response, err
		}
	}
	w := httptest.NewRecorder()
	s.api.ServeHTTP(w, r)
	return w.Result(), nil
}

// wantCalls checks the methods of the calls since the last check.
func (s *stream) wantCalls(want ...string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if got := strings.Join(s.calls, " "); got != strings.Join(want, " ") {
		s.t.Errorf("want the calls %q, got %s", want, got)
	}
	s.calls = nil
}

var credentials = sync.OnceValue(func() *streamchat.Credentials {
	c, err := streamchat.NewCredentials(streamchat.Pair{Key: "key", Secret: "secret"}, streamchat.Pair{}, 0)
	if err != nil {
		panic(err)
	}
	return c
})

// start returns a directory and its Stream.
func start(t *testing.T, fields string) (*Directory, *stream) {
	t.Helper()
	env := map[string]string{"SYNC_USERS": "true", "USER_FIELDS": fields}
	d, err := FromEnv(func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	s := &stream{t: t, api: streamapi.New(func() (string, []string, error) { return "key", []string{"secret"}, nil })}
	d.client.http.Transport = s
	return d, s
}

// do makes a service's call to Stream and returns the response.
func (s *stream) do(method, path, body string) map[string]any {
	s.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	query := r.URL.Query()
	query.Set("api_key", "key")
	r.URL.RawQuery = query.Encode()
	r.Header.Set("Authorization", credentials().ServerToken())
	r.Header.Set("Stream-Auth-Type", "jwt")
	w := httptest.NewRecorder()
	s.api.ServeHTTP(w, r)
	if w.Code >= 300 {
		s.t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	var answer map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		s.t.Fatal(err)
	}
	return answer
}

func (s *stream) user(id string) map[string]any {
	s.t.Helper()
	payload := `{"filter_conditions":{"id":"` + id + `"},"include_deactivated_users":true}`
	users, _ := s.do("GET", "/users?payload="+url.QueryEscape(payload), "")["users"].([]any)
	if len(users) != 1 {
		return nil
	}
	return users[0].(map[string]any)
}

// caller returns a user who has just signed in, with claims in JSON.
func caller(id, claims string) identity.Caller {
	c := identity.Claims{"iat": json.RawMessage(strconv.FormatInt(time.Now().Unix(), 10))}
	if err := json.Unmarshal([]byte(claims), &c); err != nil {
		panic(err)
	}
	return identity.Caller{Kind: identity.User, UserID: id, Claims: c}
}

func signIn(t *testing.T, d *Directory, c identity.Caller) User {
	t.Helper()
	user, err := d.SignIn(t.Context(), credentials(), c)
	if err != nil {
		t.Fatal(err)
	}
	return user
}

func wantRefused(t *testing.T, d *Directory, c identity.Caller, want error) {
	t.Helper()
	if user, err := d.SignIn(t.Context(), credentials(), c); !errors.Is(err, want) || user != (User{}) {
		t.Errorf("want the error %q, got %+v, %v", want, user, err)
	}
}

func TestFirstSignInCreatesTheUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := start(t, "name=nickname,image=picture,teams=org,role=chat_role,plan=plan,age=age")
		got := signIn(t, d, caller("u1", `{"nickname":"Jane","picture":"https://i","org":"red","chat_role":"vip","plan":{"a":1},"age":null,"email":"e"}`))
		if got != (User{Name: "Jane", Image: "https://i"}) {
			t.Errorf("want name and image, got %+v", got)
		}
		s.wantCalls("GET", "POST")
		u := s.user("u1")
		teams, _ := json.Marshal(u["teams"])
		plan, _ := json.Marshal(u["plan"])
		_, age := u["age"]
		_, email := u["email"]
		if u["name"] != "Jane" || u["image"] != "https://i" || string(teams) != `["red"]` || u["role"] != "vip" || string(plan) != `{"a":1}` || age || email {
			t.Errorf("want the mapped claims, got %v", u)
		}
	})
}

func TestUnchangedUserIsReadOnceAMinuteAndNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := start(t, "")
		jane := caller("u1", `{"name":"Jane"}`)
		signIn(t, d, jane)
		s.wantCalls("GET", "POST")
		for range 10 {
			signIn(t, d, jane)
		}
		time.Sleep(keptFor - time.Second)
		signIn(t, d, jane)
		s.wantCalls()
		time.Sleep(time.Second)
		signIn(t, d, jane)
		s.wantCalls("GET")
	})
}

func TestFieldsOfOthersSurvive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := start(t, "")
		s.do("POST", "/users", `{"users":{"u1":{"id":"u1","name":"J","department":"x","teams":["red"],"role":"admin"}}}`)
		signIn(t, d, caller("u1", `{"name":"Jane","role":"user"}`))
		s.wantCalls("GET", "PATCH")
		if u := s.user("u1"); u["name"] != "Jane" || u["department"] != "x" || u["role"] != "admin" || u["teams"] == nil {
			t.Errorf("want only the name changed, got %v", u)
		}
		// An absent claim removes nothing.
		time.Sleep(keptFor)
		if got := signIn(t, d, caller("u1", `{"name":""}`)); got.Name != "Jane" {
			t.Errorf("want the name at Stream, got %+v", got)
		}
		s.wantCalls("GET")
	})
}

func TestClaimMakesNobodyAnAdmin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := start(t, "role=role")
		for id, role := range map[string]string{"u1": `"admin"`, "u2": `"global_admin"`, "u3": `["admin"]`} {
			signIn(t, d, caller(id, `{"role":`+role+`}`))
			if u := s.user(id); u["role"] != "user" {
				t.Errorf("%s: want role user, got %v", role, u)
			}
		}
		s.do("POST", "/users", `{"users":{"u4":{"id":"u4","role":"admin"}}}`)
		signIn(t, d, caller("u4", `{"role":"user"}`))
		if u := s.user("u4"); u["role"] != "admin" {
			t.Errorf("want role admin kept, got %v", u)
		}
	})
}

func TestUserWhomStreamRefusesIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := start(t, "")
		jane := caller("u1", `{"name":"Jane"}`)
		signIn(t, d, jane)
		for _, test := range []struct {
			method, path, body string
			want               error
		}{
			{"POST", "/users/u1/deactivate", `{}`, ErrDeactivated},
			{"POST", "/users/u1/reactivate", `{}`, nil},
			{"POST", "/moderation/ban", `{"target_user_id":"u1"}`, ErrBanned},
			{"DELETE", "/moderation/ban?target_user_id=u1", ``, nil},
			{"PATCH", "/users", `{"users":[{"id":"u1","set":{"banned":true,"ban_expires":"2000-01-02T00:00:00Z"}}]}`, ErrBanned},
			{"PATCH", "/users", `{"users":[{"id":"u1","set":{"banned":true,"ban_expires":"2000-01-01T00:00:00Z"}}]}`, nil},
			{"DELETE", "/users/u1", ``, ErrDeleted},
		} {
			s.do(test.method, test.path, test.body)
			time.Sleep(keptFor)
			for range 2 {
				if test.want != nil {
					wantRefused(t, d, jane, test.want)
				} else {
					signIn(t, d, jane)
				}
			}
		}
	})
}

func TestTokensFromBeforeARevocationAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := start(t, "")
		for _, revoked := range []string{`"2000-01-01T00:01:00.5Z"`, `946684860500000000`} {
			s.do("POST", "/users", `{"users":{"u1":{"id":"u1","revoke_tokens_issued_before":`+revoked+`}}}`)
			time.Sleep(keptFor)
			const minute = 946684860 // 2000-01-01T00:01:00Z
			for claims, want := range map[string]error{
				`{"iat":946684861}`:                       nil,
				`{"iat":946684860}`:                       ErrRevoked,
				`{"iat":946684999,"auth_time":946684860}`: ErrRevoked,
				`{"iat":946684999,"auth_time":946684861}`: nil,
				`{"iat":null}`:                            ErrRevoked,
				`{"iat":4102444800}`:                      ErrRevoked,
			} {
				user, err := d.SignIn(t.Context(), credentials(), caller("u1", claims))
				if !errors.Is(err, want) || err == nil && user.TokensSince.UnixMilli() != minute*1000+500 {
					t.Errorf("%s: want %v, got %+v, %v", claims, want, user, err)
				}
			}
		}
	})
}

func TestSilentStreamDelaysOneRequestOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := start(t, "")
		s.fault = func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		notSynced := func(id string, took time.Duration) {
			t.Helper()
			began := time.Now()
			user, err := d.SignIn(t.Context(), credentials(), caller(id, `{"name":"Jane"}`))
			if !errors.Is(err, ErrNotSynced) || user.Name != "Jane" || time.Since(began) != took {
				t.Errorf("want Jane, not synced, after %v, got %+v, %v after %v", took, user, err, time.Since(began))
			}
			if err != nil && (strings.Contains(err.Error(), id) || strings.Contains(err.Error(), "key")) {
				t.Errorf("want neither user nor key in the error, got %v", err)
			}
		}
		notSynced("u1", timeout)
		notSynced("u1", 0)
		notSynced("u2", 0)
		s.wantCalls("GET")
		s.fault = nil
		time.Sleep(pause)
		signIn(t, d, caller("u1", `{"name":"Jane"}`))
		s.wantCalls("GET", "POST")
	})
}

// fail makes calls with one of these methods, or all calls without any, fail.
func (s *stream) fail(status int, header http.Header, methods ...string) {
	s.fault = func(r *http.Request) (*http.Response, error) {
		if len(methods) > 0 && !slices.Contains(methods, r.Method) {
			return nil, nil
		}
		return &http.Response{StatusCode: status, Header: header, Body: http.NoBody}, nil
	}
}

func wantNotSynced(t *testing.T, d *Directory, c identity.Caller) {
	t.Helper()
	if _, err := d.SignIn(t.Context(), credentials(), c); !errors.Is(err, ErrNotSynced) {
		t.Errorf("%s: want %q, got %v", c.UserID, ErrNotSynced, err)
	}
}

func TestRateLimitOfWritesLeavesRefusalsInForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := start(t, "")
		s.do("POST", "/users", `{"users":{"bad":{"id":"bad"},"old":{"id":"old","name":"Old"}}}`)
		s.do("POST", "/users/bad/deactivate", `{}`)
		reset := strconv.FormatInt(time.Now().Add(40*time.Second).Unix(), 10)
		s.fail(http.StatusTooManyRequests, http.Header{"X-Ratelimit-Reset": {reset}}, "POST", "PATCH")
		for _, id := range []string{"new", "old", "newer"} {
			wantNotSynced(t, d, caller(id, `{"name":"Jane"}`))
		}
		s.wantCalls("GET", "POST", "GET", "PATCH", "GET") // each has its own limit
		wantRefused(t, d, caller("bad", `{}`), ErrDeactivated)
		s.fault = nil
		time.Sleep(39 * time.Second)
		s.wantCalls("GET")
		wantNotSynced(t, d, caller("old", `{"name":"Jane"}`)) // before the limit's end
		time.Sleep(pause)
		if got := signIn(t, d, caller("old", `{"name":"Jane"}`)); got.Name != "Jane" {
			t.Errorf("want the new name, got %+v", got)
		}
	})
}

func TestRefusalEndsEvenIfWritesFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := start(t, "")
		s.do("POST", "/users", `{"users":{"u1":{"id":"u1"}}}`)
		s.do("POST", "/users/u1/deactivate", `{}`)
		jane := caller("u1", `{"name":"Jane"}`)
		wantRefused(t, d, jane, ErrDeactivated)
		s.do("POST", "/users/u1/reactivate", `{}`)
		s.fail(http.StatusBadGateway, nil, "POST", "PATCH")
		time.Sleep(keptFor)
		wantNotSynced(t, d, jane)
	})
}

func TestRefusalIsKeptWhileStreamIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := start(t, "")
		jane := caller("u1", `{}`)
		signIn(t, d, jane)
		s.do("POST", "/users/u1/deactivate", `{}`)
		time.Sleep(keptFor)
		wantRefused(t, d, jane, ErrDeactivated)
		s.fail(http.StatusBadGateway, nil)
		time.Sleep(keptFor)
		wantRefused(t, d, jane, ErrDeactivated)
		s.wantCalls("GET", "POST", "GET", "GET")
		wantNotSynced(t, d, caller("u2", `{}`)) // without a call
		s.wantCalls()
	})
}

func TestFailureOfOneUserDoesNotPauseCallsForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := start(t, "")
		s.fail(http.StatusBadRequest, nil, "POST")
		wantNotSynced(t, d, caller("u1", `{}`))
		wantNotSynced(t, d, caller("u2", `{}`))
		s.wantCalls("GET", "POST", "GET", "POST")
	})
}

// answerWrites makes Stream answer writes with body.
func (s *stream) answerWrites(body string) {
	s.fault = func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodGet {
			return nil, nil
		}
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}

func TestRefusalInTheResponseToAWriteCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := start(t, "")
		s.do("POST", "/users", `{"users":{"old":{"id":"old"}}}`)
		s.answerWrites(`{"users":{"new":{"id":"new","banned":true},"old":{"id":"old","banned":true}}}`)
		wantRefused(t, d, caller("new", `{}`), ErrBanned)
		wantRefused(t, d, caller("old", `{"name":"Jane"}`), ErrBanned)
	})
}

// Such a response would also lack a ban or a revocation.
func TestResponseToAWriteWithoutTheUserIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := start(t, "")
		s.do("POST", "/users", `{"users":{"u1":{"id":"u1","revoke_tokens_issued_before":"2000-01-01T00:01:00Z"}}}`)
		s.answerWrites(`{"users":{}}`)
		wantRefused(t, d, caller("u1", `{"name":"Jane","iat":946684859}`), ErrRevoked)
		wantNotSynced(t, d, caller("u1", `{"name":"Jane","iat":946684861}`))
	})
}

func TestPanicFailsItsRequestOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := start(t, "")
		s.fault = func(*http.Request) (*http.Response, error) { panic("u1") }
		if _, err := d.SignIn(t.Context(), credentials(), caller("u1", `{}`)); !errors.Is(err, ErrNotSynced) || strings.Contains(err.Error(), "u1") {
			t.Errorf("want %q without the panic's value, got %v", ErrNotSynced, err)
		}
		s.fault = nil
		time.Sleep(pause)
		signIn(t, d, caller("u1", `{}`))
	})
}

func TestConcurrentRequestsOfAUserShareTheCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := start(t, "")
		s.fault = func(*http.Request) (*http.Response, error) {
			time.Sleep(timeout / 4)
			return nil, nil
		}
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { signIn(t, d, caller("u1", `{}`)) })
		}
		wg.Wait()
		s.wantCalls("GET", "POST")
	})
}

func TestUsersKeptAreBoundedInNumberAndBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, size := range []int{0, 100_000} {
			d, _ := start(t, "")
			d.mu.Lock()
			name := strings.Repeat("x", size)
			for i := range maxKept + 10 {
				e := &entry{until: now().Add(keptFor), user: User{Name: name}}
				d.kept[strconv.Itoa(i)] = e
				d.resize(strconv.Itoa(i), e)
			}
			total := 0
			for _, e := range d.kept {
				total += e.size
			}
			if len(d.kept) > maxKept || total != d.size || total > maxKeptBytes || total < size {
				t.Errorf("want at most %d users and %d bytes, got %d and %d, counted as %d", maxKept, maxKeptBytes, len(d.kept), total, d.size)
			}
		}
	})
}

func TestRolesAndTeamsAreTheNewestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := start(t, "name=name,role=role,teams=teams")
		want := func(d *Directory, claims, role, teams string) {
			t.Helper()
			signIn(t, d, caller("u1", claims))
			u := s.user("u1")
			if text, _ := json.Marshal(u["teams"]); u["role"] != role || string(text) != teams {
				t.Errorf("%s: want role %s and teams %s, got %v, %s", claims, role, teams, u["role"], text)
			}
		}
		old, newer := `{"iat":946684000,"role":"moderator","teams":["red","blue"]}`, `{"iat":946684100,"role":"user","teams":["red"]}`
		want(d, old, "moderator", `["red","blue"]`)
		want(d, newer, "user", `["red"]`) // at once
		want(d, old, "user", `["red"]`)
		time.Sleep(keptFor)
		want(d, old, "user", `["red"]`)
		want(d, `{"iat":null,"role":"moderator"}`, "user", `["red"]`)
		want(d, `{"iat":4102444800,"role":"moderator"}`, "user", `["red"]`) // which cannot be
		elsewhere, _ := start(t, "name=name,role=role,teams=teams")         // another process
		elsewhere.client.http.Transport = s
		want(elsewhere, old, "user", `["red"]`)
		want(elsewhere, `{"iat":946684200,"role":"moderator","teams":["red"]}`, "moderator", `["red"]`)
	})
}

func TestTeamsThatArriveAsATextAreAListOrNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := start(t, "teams=teams,role=role")
		for n, test := range []struct{ teams, want string }{
			{`"red"`, `["red"]`}, {`["red","blue","red"]`, `["red","blue"]`}, {`"[\"red\",\"blue\"]"`, `["red","blue"]`}, {`" [\"red\"]"`, `["red"]`},
			{`"[red, blue]"`, ``}, {`"red,blue"`, ``}, {`"[\"red\",7]"`, ``}, {`"[]"`, `[]`}, {`[]`, `[]`}, {`["red",7]`, ``}, {`{"red":true}`, ``}, {`7`, ``}, {`[""]`, ``},
		} {
			id := "u" + strconv.Itoa(n)
			c := caller(id, `{"teams":`+test.teams+`,"role":"[\"moderator\"]"}`)
			wanted, odd := d.wanted(c)
			text, _ := json.Marshal(wanted["teams"])
			if got := strings.TrimPrefix(string(text), "null"); got != test.want || slices.Contains(odd, "teams") == (test.want != "") || !slices.Contains(odd, "role") {
				t.Errorf("%s: want %s, else the claim named, got %s, %q", test.teams, test.want, got, odd)
			}
		}
		s.do("POST", "/users", `{"users":{"u1":{"id":"u1","teams":["blue","red"]}}}`)
		signIn(t, d, caller("u1", `{"teams":["red","blue"]}`))
		s.wantCalls("GET") // the order is no change
	})
}

func TestWhatCannotBeReadCountsAgainstTheUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it is 2000-01-01
		for user, want := range map[string]error{
			`{"banned":"true"}`: ErrBanned, `{"banned":1}`: ErrBanned, `{"banned":{}}`: ErrBanned, `{"banned":[]}`: ErrBanned, `{"banned":"yes"}`: ErrBanned,
			`{"banned":false}`: nil, `{"banned":null}`: nil, `{"banned":"false"}`: nil, `{"banned":""}`: nil, `{"banned":0}`: nil, `{}`: nil,
			`{"banned":true,"ban_expires":null}`: ErrBanned, `{"banned":true,"ban_expires":""}`: ErrBanned, `{"banned":true,"ban_expires":0}`: ErrBanned,
			`{"banned":true,"ban_expires":"0001-01-01T00:00:00Z"}`: ErrBanned, `{"banned":true,"ban_expires":"soon"}`: ErrBanned, `{"banned":true,"ban_expires":{}}`: ErrBanned,
			`{"banned":true,"ban_expires":"1999-12-31 00:00:00"}`: ErrBanned, `{"banned":true,"ban_expires":-1}`: ErrBanned, `{"banned":true,"ban_expires":"NaN"}`: ErrBanned,
			`{"banned":true,"ban_expires":946684801}`: ErrBanned, `{"banned":true,"ban_expires":946684801000}`: ErrBanned, `{"banned":true,"ban_expires":"946684801000000000"}`: ErrBanned,
			`{"banned":true,"ban_expires":946684799}`: nil, `{"banned":true,"ban_expires":946684799000}`: nil, `{"banned":true,"ban_expires":946684799000000}`: nil,
			`{"banned":true,"ban_expires":946684799000000000}`: nil, `{"banned":true,"ban_expires":253402300799}`: ErrBanned, `{"banned":true,"ban_expires":1e30}`: ErrBanned,
			`{"deleted_at":"x"}`: ErrDeleted, `{"deleted_at":""}`: nil, `{"deleted_at":"0001-01-01T00:00:00Z"}`: nil, `{"deactivated_at":7}`: ErrDeactivated,
		} {
			var d document
			if err := json.Unmarshal([]byte(user), &d); err != nil {
				t.Fatal(err)
			}
			if got := d.refused(refusable); got != want {
				t.Errorf("%s: want %v, got %v", user, want, got)
			}
		}
		d, s := start(t, "")
		s.do("POST", "/users", `{"users":{"u1":{"id":"u1","revoke_tokens_issued_before":"2000-01-01T00:00:00Z"}}}`)
		time.Sleep(time.Minute)
		for claims, want := range map[string]error{
			`{}`: nil, `{"auth_time":946684801}`: nil, `{"auth_time":946684799}`: ErrRevoked,
			`{"auth_time":"946684801"}`: ErrRevoked, `{"auth_time":null}`: ErrRevoked, `{"auth_time":946684801000}`: ErrRevoked, `{"auth_time":true}`: ErrRevoked,
			`{"auth_time":946684990,"iat":946684799}`:                                   ErrRevoked, // not after its token
			`{"amr":[{"method":"password","timestamp":946684799}]}`:                     ErrRevoked, // Supabase
			`{"amr":[{"timestamp":946684799},{"method":"totp","timestamp":946684802}]}`: nil,
			`{"fva":[5,-1]}`: ErrRevoked, `{"fva":[0,-1]}`: nil, `{"amr":["pwd"]}`: nil, // Clerk
		} {
			if _, err := d.SignIn(t.Context(), credentials(), caller("u1", claims)); !errors.Is(err, want) {
				t.Errorf("%s: want %v, got %v", claims, want, err)
			}
		}
	})
}

func TestASessionFromBeforeARevocationStaysOut(t *testing.T) {
	for _, name := range []string{"sid", "session_id", "origin_jti"} {
		synctest.Test(t, func(t *testing.T) {
			d, s := start(t, "")
			token := func(session string) identity.Caller {
				time.Sleep(time.Second)
				return caller("u1", `{"`+name+`":"`+session+`"}`)
			}
			signIn(t, d, token("a"))
			signIn(t, d, token("b"))
			time.Sleep(keptFor)
			s.do("PATCH", "/users", `{"users":[{"id":"u1","set":{"revoke_tokens_issued_before":"`+time.Now().Format(time.RFC3339)+`"}}]}`)
			time.Sleep(keptFor)
			wantRefused(t, d, token("a"), ErrRevoked) // renewed in silence
			signIn(t, d, token("c"))
			elsewhere, _ := start(t, "") // another process
			elsewhere.client.http.Transport = s
			wantRefused(t, elsewhere, token("a"), ErrRevoked)
			signIn(t, elsewhere, token("c"))
			if u, _ := json.Marshal(s.user("u1")); strings.Contains(string(u), `"a"`) {
				t.Errorf("want no session id at Stream, got %s", u)
			}
		})
	}
}

func TestUsersAreNotCreatedIfTheyMayNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := start(t, "")
		d.create = false
		wantRefused(t, d, caller("u1", `{}`), ErrUnknown)
		s.wantCalls("GET")
		s.do("POST", "/users", `{"users":{"u1":{"id":"u1"}}}`)
		time.Sleep(keptFor)
		signIn(t, d, caller("u1", `{"name":"Jane"}`))
		s.wantCalls("GET", "PATCH")
	})
}

func TestBadSettingIsAnErrorThatNamesIt(t *testing.T) {
	for _, test := range []struct{ name, value string }{
		{"SYNC_USERS", "yes"}, {"STREAM_BASE_URL", "http://chat.example.com"},
		{"USER_FIELDS", "name"}, {"USER_FIELDS", "name="}, {"USER_FIELDS", "=name"}, {"USER_FIELDS", "name=a,"}, {"USER_FIELDS", "name=a,name=b"},
		{"USER_FIELDS", "a.b=c"}, {"USER_FIELDS", "id=sub"}, {"USER_FIELDS", "banned=banned"}, {"USER_FIELDS", "teams_role=r"},
		{"USER_FIELDS", "Banned=b"}, {"USER_FIELDS", "Teams_Role=r"}, {"USER_FIELDS", "Role=r"}, {"USER_FIELDS", "TEAMS=t"}, {"USER_FIELDS", "roles_issued_at=r"},
		{"USER_FIELDS", "bypass_moderation=b"}, {"CREATE_USERS", "no"}, {"REFUSE_USERS", "banned, deleted"}, {"REFUSE_USERS", "everybody"},
	} {
		for _, sync := range []string{"true", ""} {
			env := map[string]string{"SYNC_USERS": sync}
			env[test.name] = test.value
			_, err := FromEnv(func(name string) string { return env[name] })
			if err == nil || !strings.HasPrefix(err.Error(), test.name+":") {
				t.Errorf("%s=%q: want an error that names it, got %v", test.name, test.value, err)
			}
		}
	}
	if _, err := FromEnv(func(name string) string { return map[string]string{"CREATE_USERS": "false"}[name] }); err == nil {
		t.Error("want CREATE_USERS=false refused without SYNC_USERS, got nil")
	}
	if d, err := FromEnv(func(string) string { return "" }); d != nil || err != nil {
		t.Errorf("want no directory by default, got %v, %v", d, err)
	}
}
