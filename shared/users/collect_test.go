package users

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A limited Stream answers 429 above its limits, as X-RateLimit-* says. All its users
// exist and have no fields.
type limitedStream struct {
	left, calls   map[bool]int // of reads (false) and writes (true)
	limit         map[bool]int // a minute
	refused, most int          // 429s; users in one call
	mu            sync.Mutex
}

func (s *limitedStream) answer(r *http.Request) (*http.Response, error) {
	time.Sleep(20 * time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	write := r.Method != http.MethodGet
	reset := time.Now().Truncate(time.Minute).Add(time.Minute)
	header := http.Header{}
	header.Set("X-RateLimit-Limit", fmt.Sprint(s.limit[write]))
	header.Set("X-RateLimit-Remaining", fmt.Sprint(max(0, s.left[write]-1)))
	header.Set("X-RateLimit-Reset", fmt.Sprint(reset.Unix()))
	if s.left[write]--; s.left[write] < 0 {
		s.refused++
		return &http.Response{StatusCode: http.StatusTooManyRequests, Header: header, Body: io.NopCloser(bytes.NewBufferString(`{"code":9}`))}, nil
	}
	s.calls[write]++
	var out any
	if write {
		var in struct{ Users []document }
		_ = json.NewDecoder(r.Body).Decode(&in)
		users := map[string]document{}
		for _, u := range in.Users {
			users[u["id"].(string)] = document{"id": u["id"]}
		}
		out = map[string]any{"users": users}
		s.most = max(s.most, len(users))
	} else {
		var in struct {
			Filter struct{ ID map[string][]string } `json:"filter_conditions"`
		}
		_ = json.Unmarshal([]byte(r.URL.Query().Get("payload")), &in)
		users := []document{}
		for _, id := range in.Filter.ID["$in"] {
			users = append(users, document{"id": id})
		}
		out = map[string]any{"users": users}
		s.most = max(s.most, len(users))
	}
	text, _ := json.Marshal(out)
	return &http.Response{StatusCode: http.StatusOK, Header: header, Body: io.NopCloser(bytes.NewReader(text))}, nil
}

func limited(s *stream, reads, writes int) *limitedStream {
	l := &limitedStream{calls: map[bool]int{}, limit: map[bool]int{false: reads, true: writes}, left: map[bool]int{false: reads, true: writes}}
	s.fault = l.answer
	return l
}

func TestUsersWhoSignInTogetherAreReadAndWrittenTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := start(t, "")
		l := limited(s, 1000, 300)
		var wg sync.WaitGroup
		const minute = 10_000
		for i := range minute {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Minute / minute)
				began := time.Now()
				if _, err := d.SignIn(t.Context(), credentials(), caller(fmt.Sprint("u", i), `{"name":"U"}`)); err != nil {
					t.Errorf("user %d: %v", i, err)
				}
				if took := time.Since(began); took > 800*time.Millisecond {
					t.Errorf("user %d: want the answer soon, got it after %v", i, took)
				}
			})
		}
		wg.Wait()
		if l.refused > 0 || l.calls[false] > 900 || l.calls[true] > 270 || l.most > maxTogether {
			t.Errorf("want less than Stream's limits, got %v calls of up to %d users, %d refused", l.calls, l.most, l.refused)
		}
	})
}

func TestAloneNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := start(t, "")
		limited(s, 1000, 300)
		for i := range 3 {
			began := time.Now()
			signIn(t, d, caller(fmt.Sprint("u", i), `{"name":"U"}`))
			if took := time.Since(began); took != 40*time.Millisecond { // a read and a write
				t.Errorf("want no wait, got %v", took)
			}
			time.Sleep(time.Second)
		}
	})
}

// Other processes use up the same limit.
func TestCallsPauseBeforeTheLimitIsUsedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := start(t, "")
		l := limited(s, 1000, 300)
		l.left[false] = 50
		signIn(t, d, caller("u1", `{"name":"U"}`))
		for i := range 100 {
			time.Sleep(200 * time.Millisecond)
			if _, err := d.SignIn(t.Context(), credentials(), caller(fmt.Sprint("u", 10+i), `{"name":"U"}`)); !errors.Is(err, ErrNotSynced) {
				t.Fatalf("want %v, got %v", ErrNotSynced, err)
			}
		}
		l.left[false] = 1000
		time.Sleep(time.Minute)
		signIn(t, d, caller("u10", `{"name":"U"}`))
		if l.calls[false] != 2 || l.refused != 0 {
			t.Errorf("want 2 reads, got %d", l.calls[false])
		}
	})
}

// Stream refuses a call whole because of one of its users.
func TestOneUserDoesNotFailTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := start(t, "")
		s.do("POST", "/users", `{"users":{"gone":{"id":"gone"}}}`)
		s.do("DELETE", "/users/gone?hard_delete=true", "")
		signIn(t, d, caller("first", `{"name":"U"}`)) // so that the next ones collect
		var wg sync.WaitGroup
		for _, id := range []string{"a", "gone", "b"} {
			wg.Go(func() {
				_, err := d.SignIn(t.Context(), credentials(), caller(id, `{"name":"U"}`))
				if want := map[string]error{"gone": ErrDeleted}[id]; !errors.Is(err, want) {
					t.Errorf("%s: want %v, got %v", id, want, err)
				}
			})
		}
		wg.Wait()
		if s.user("a") == nil || s.user("b") == nil {
			t.Error("want the others created, got them lost")
		}
	})
}

func TestARevocationForTheWholeAppCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := start(t, "")
		signIn(t, d, caller("u1", `{}`))
		revoked := time.Now().Add(30 * time.Second)
		s.do("PATCH", "/app", `{"revoke_tokens_issued_before":"`+revoked.Format(time.RFC3339)+`"}`)
		time.Sleep(keptFor)
		old := fmt.Sprintf(`{"iat":%d}`, revoked.Add(-time.Second).Unix())
		wantRefused(t, d, caller("u1", old), ErrRevoked)
		wantRefused(t, d, caller("u2", old), ErrRevoked)
		if user := signIn(t, d, caller("u1", `{}`)); !user.TokensSince.Equal(revoked) {
			t.Errorf("want tokens since %v, got %v", revoked, user.TokensSince)
		}
	})
}

func TestWhomWeRefuseIsASetting(t *testing.T) {
	users := map[string]document{
		"banned": {"banned": true}, "deactivated": {"deactivated_at": "2026-01-01T00:00:00Z"}, "deleted": {"deleted_at": "2026-01-01T00:00:00Z"},
	}
	for setting, refused := range map[string]map[string]error{
		"":                   {"banned": ErrBanned, "deactivated": ErrDeactivated, "deleted": ErrDeleted},
		"banned":             {"banned": ErrBanned},
		"deactivated,banned": {"banned": ErrBanned, "deactivated": ErrDeactivated},
		"none":               {},
	} {
		d, err := FromEnv(func(name string) string {
			return map[string]string{"SYNC_USERS": "true", "REFUSE_USERS": setting}[name]
		})
		if err != nil {
			t.Fatal(err)
		}
		for kind, user := range users {
			if got := user.refused(d.refuse); got != refused[kind] {
				t.Errorf("%q, %s: want %v, got %v", setting, kind, refused[kind], got)
			}
		}
	}
}
