package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func lines(from, to int) string {
	var b strings.Builder
	for i := from; i <= to; i++ {
		fmt.Fprintf(&b, "{\"id\":\"user-%03d\",\"name\":\"User %d\",\"big\":9007199254740993}\n", i, i)
	}
	return b.String()
}

func (a *app) users(ids string) []any {
	a.t.Helper()
	return a.call("GET", "/users?payload="+ids, nil)["users"].([]any)
}

var everybody = url.QueryEscape(`{"filter_conditions":{},"limit":100,"include_deactivated_users":true}`)

func TestUsersAreImportedInBatches(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.file("users.jsonl", lines(1, 230))
	a.fail(2, http.StatusTooManyRequests, "")
	a.run("users import", a.dir+"/users.jsonl").want(t, 0, "waiting 1s", "230 created, 0 updated, 0 refused")
	var sizes []int
	for i, made := range a.requests() {
		if i != 1 { // the one that was answered 429
			sizes = append(sizes, len(made.Body["users"].(map[string]any)))
		}
	}
	if slices.Sort(sizes); !slices.Equal(sizes, []int{30, 100, 100}) {
		t.Errorf("want batches of 100, 100 and 30, got %d", sizes)
	}
	if user := a.users(everybody)[0].(map[string]any); user["id"] != "user-001" || user["name"] != "User 1" {
		t.Errorf("want the line's fields, got %v", user)
	}
}

func TestImportKeepsTheOtherFieldsOfAUserWhoExists(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.call("POST", "/users", map[string]any{"users": map[string]any{
		"alice": map[string]any{"id": "alice", "name": "A.", "color": "red"}, "bob": map[string]any{"id": "bob", "name": "B."}}})
	a.call("POST", "/users/alice/deactivate", map[string]any{}) // and so not in the usual queries
	a.file("users.jsonl", `{"id":"alice","name":"Alice"}`+"\n\n"+`{"id":"bob"}`+"\n"+`{"id":"carol"}`)
	a.run("users import", "-json", a.dir+"/users.jsonl").want(t, 0, `"created": 1`, `"updated": 1`)
	alice, bob := a.users(everybody)[0].(map[string]any), a.users(everybody)[1].(map[string]any)
	if alice["name"] != "Alice" || alice["color"] != "red" || bob["name"] != "B." {
		t.Errorf("want only what the file has changed, got %v and %v", alice, bob)
	}
}

func TestImportSendsCustomFieldsBesideTheOthers(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.call("POST", "/users", map[string]any{"users": map[string]any{"bob": map[string]any{"id": "bob", "size": 1}}})
	a.requests()
	a.file("users.jsonl", `{"id":"alice","color":"red","custom":{"size":2}}`+"\n"+`{"id":"bob","custom":{"color":"blue"}}`)
	a.run("users import", a.dir+"/users.jsonl").want(t, 0, "1 created, 1 updated")
	if sent := fmt.Sprint(a.requests()); !strings.Contains(sent, "alice:map[color:red id:alice size:2]") || !strings.Contains(sent, "id:bob set:map[color:blue]") {
		t.Errorf("want custom fields beside the others, got %s", sent)
	}
	for custom, want := range map[string]string{`{"role":"admin"}`: "line 1: custom has role, which is also a field of the user", `{"x":1},"x":2`: "custom has x, which", `["secret"]`: "custom is a list: make it an object", `7`: "custom is a number", `"x"`: "custom is a text"} {
		a.file("users.jsonl", `{"id":"eve","custom":`+custom+`}`)
		a.run("users import", a.dir+"/users.jsonl").want(t, 1, want)
	}
}

func TestImportMakesIDsOfClaims(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.file("users.jsonl", `{"claim":"auth0|507f","name":"Alice"}`)
	a.run("users import", a.dir+"/users.jsonl").want(t, 0)
	a.run("users import", "-issuer-prefix", "staff", a.dir+"/users.jsonl").want(t, 0, "1 created")
	a.run("users import", "-issuer-prefix", "st@ff", a.dir+"/users.jsonl").want(t, 2, "a prefix is 1 to 32 letters")
	a.file("users.jsonl", `{"id":"bob","claim":"auth0|bob"}`)
	a.run("users import", a.dir+"/users.jsonl").want(t, 0, "1 created")
	users := a.users(everybody)
	if len(users) != 3 || users[2].(map[string]any)["claim"] != nil || users[0].(map[string]any)["id"] != "auth0@-7C507f" || users[1].(map[string]any)["claim"] != nil {
		t.Errorf("want ids as /token makes them, got %v", users)
	}
}

func TestImportNamesTheUsersWhomStreamRefuses(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.file("users.jsonl", lines(1, 8))
	a.intercept(func(w http.ResponseWriter, r *http.Request, n int) bool {
		if n == 0 || !a.lastNames("user-003") {
			return false
		}
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"code":16,"message":"user was deleted"}`)
		return true
	})
	a.run("users import", a.dir+"/users.jsonl").want(t, 1, "line 3: user-003: 400: user was deleted", "7 created, 0 updated, 1 refused")
}

// lastNames reports whether the request that has just come names a user.
func (a *app) lastNames(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	users, _ := a.made[len(a.made)-1].Body["users"].(map[string]any)
	return users[id] != nil
}

func TestImportCanBeResumed(t *testing.T) {
	t.Parallel()
	const users = 5000
	for name, end := range map[string]func(a *app, w http.ResponseWriter) bool{
		"after a failure": func(_ *app, w http.ResponseWriter) bool {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		},
		"after Ctrl-C": func(a *app, _ http.ResponseWriter) bool {
			a.ctrlC(errCtrlC)
			return false
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t)
			a.file("users.jsonl", lines(1, users))
			a.intercept(func(w http.ResponseWriter, r *http.Request, n int) bool { return n == 3 && end(a, w) })
			r := a.run("users import", a.dir+"/users.jsonl")
			r.want(t, 1, "the import is incomplete, go on with -from ")
			_, rest, _ := strings.Cut(r.stderr, "-from ")
			from, _, _ := strings.Cut(rest, ":")
			if line, err := strconv.Atoi(from); err != nil || line%100 != 1 || line > users-100 {
				t.Errorf("want the first line of a batch, got %q", from)
			}
			a.intercept(nil)
			a.ctx = t.Context()
			a.run("users import", "-from", from, a.dir+"/users.jsonl").want(t, 0, " 0 refused")
			a.run("users check", a.dir+"/users.jsonl").want(t, 0, "5000 exist at Stream, 0 would be new.")
		})
	}
}

// A limit that Stream tells of is waited for once, by all calls of its kind.
func TestImportHeedsStreamsLimits(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.file("users.jsonl", lines(1, 3000))
	var refused atomic.Int32
	var reset atomic.Int64 // 0 until Stream first refuses
	a.intercept(func(w http.ResponseWriter, r *http.Request, n int) bool {
		if n <= 10 {
			return false
		}
		reset.CompareAndSwap(0, time.Now().Add(2*time.Second).Unix())
		if time.Now().Unix() >= reset.Load() {
			return false
		}
		refused.Add(1)
		w.Header().Set("X-RateLimit-Remaining", "0")
		w.Header().Set("X-RateLimit-Reset", strconv.FormatInt(reset.Load(), 10))
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	a.run("users import", a.dir+"/users.jsonl").want(t, 0, "3000 created, 0 updated, 0 refused", "Stream limits the calls: waiting ")
	if refused.Load() > 16 {
		t.Errorf("want no call while Stream wants none, got %d refused", refused.Load())
	}
}

// Once a second had too many calls, the seconds after it get no more than a thirtieth of a
// minute's.
func TestImportHeedsTheLimitOfASecond(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.file("users.jsonl", lines(1, 1200))
	var refused, first, last atomic.Int64 // when calls were, in nanoseconds since 1970
	a.intercept(func(w http.ResponseWriter, r *http.Request, _ int) bool {
		at := time.Now()
		refused.CompareAndSwap(0, at.UnixNano())
		if r.Method == http.MethodGet {
			return false
		} else if at.UnixNano() < refused.Load()+int64(time.Second/2) {
			for name, value := range map[string]int64{"Limit": 600, "Remaining": 580, "Reset": at.Unix() + 60} {
				w.Header().Set("X-RateLimit-"+name, strconv.FormatInt(value, 10))
			}
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}
		first.CompareAndSwap(0, at.UnixNano())
		last.Store(at.UnixNano())
		return false
	})
	a.run("users import", a.dir+"/users.jsonl").want(t, 0, "1200 created, 0 updated, 0 refused", "waiting 1s")
	if took := time.Duration(last.Load() - first.Load()); took < 10*time.Second/25 {
		t.Errorf("want a twentieth of a second between two of 12 calls, got all in %s", took)
	}
}

func TestFileOfUsersThatCannotBeRightIsRefusedWhole(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for text, want := range map[string]string{
		`[{"id":"a"}]`:                   "line 1 is not one JSON object",
		"{\"id\":\"a\"}\nnonsense":       "line 2 is not one JSON object",
		"{\"id\":\"a\"}\n{\"id\":\"a\"}": "line 2: a is also on line 1",
		lines(1, 150) + lines(7, 7):      "line 151: user-007 is also on line 7",
		"\n" + lines(1, 150) + "\n{":     "line 153 is not one JSON object",
		`{"id":"a b"}`:                   "line 1 has neither a claim nor a valid id",
		`{"id":1}`:                       "line 1 has neither a claim nor a valid id",
		`{"id":"a"} {"id":"b"}`:          "line 1 is not one JSON object",
		`{"claim":4711}`:                 "line 1: the claim is 4711 and not a text",
		`{"claim":"a\ud800b"}`:           "line 1: the claim is not Unicode",
		"{\"claim\":\"caf\xe9\"}":        "line 1 is not Unicode",
		`{"name":"nobody"}`:              "line 1 has neither a claim nor a valid id",
	} {
		a.file("users.jsonl", text)
		a.run("users import", a.dir+"/users.jsonl").want(t, 1, want)
	}
	if made := a.requests(); len(made) != 0 {
		t.Errorf("want nobody created, got %v", made)
	}
	a.run("users import", a.dir+"/none.jsonl").want(t, 1, "none.jsonl: no such file")
}

func TestCheckSaysWhoExistsAndChangesNothing(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.call("POST", "/users", map[string]any{"users": map[string]any{"alice": map[string]any{"id": "alice"}, "auth0@-7C1": map[string]any{"id": "auth0@-7C1"}}})
	a.requests()
	a.file("users", "alice\n{\"claim\":\"auth0|1\"}\n{\"id\":\"bob\"}\nauth0|2\n")
	a.run("users check", a.dir+"/users").want(t, 0, "2 exist at Stream, 2 would be new.", "exists  line 1: alice", "exists  line 2: auth0@-7C1", "new     line 3: bob", "new     line 4: auth0@-7C2")
	a.run("users check", "-json", a.dir+"/users").want(t, 0, `"exist": 2`, `"new": 2`)
	a.file("users", "carol")
	a.run("users check", a.dir+"/users").want(t, 0, "0 exist at Stream, 1 would be new.", "None of them exists")
	if made := a.requests(); len(made) > 0 {
		t.Errorf("want nothing changed, got %v", made)
	}
}

func TestLookUpsFitIntoWhatAPIGatewayTakes(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	var b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&b, `{"claim":"cn=Plum %03d,ou=people,ou=emea,dc=corp,dc=example,dc=com, the %s"}`+"\n", i, strings.Repeat("=", 50))
	}
	a.file("users.jsonl", b.String())
	a.intercept(func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if n := len(r.RequestURI); n > 10240-4500 { // the rest is for a signature and a session's token
			t.Errorf("want a short request line, got %d bytes", n)
		}
		return false
	})
	a.run("users import", a.dir+"/users.jsonl").want(t, 0, "100 created")
	a.intercept(func(w http.ResponseWriter, r *http.Request, n int) bool {
		if n == 0 {
			panic(http.ErrAbortHandler)
		}
		return false
	})
	r := a.run("users import", a.dir+"/users.jsonl")
	r.want(t, 1, "the import is incomplete, go on with -from 1: find out which users exist")
	r.hides(t, "payload", "%22")
}
