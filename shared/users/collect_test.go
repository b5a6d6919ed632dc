package users

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A limited Stream answers 429 above its limits, as X-RateLimit-* says: in a minute, and a
// thirtieth of that in a second. All its users exist and have no fields.
type limitedStream struct {
	mu            sync.Mutex
	endpoints     map[string]*endpoint
	refused, most int // 429s; users in one call
}

type endpoint struct {
	limit           int // a minute
	minute, second  int // calls
	at              time.Time
	calls           int
	perMinute, peak int // the most
}

func (s *limitedStream) answer(r *http.Request) (*http.Response, error) {
	time.Sleep(20 * time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.endpoints[r.Method+r.URL.Path]
	header, ok := e.count()
	if !ok {
		s.refused++
		return &http.Response{StatusCode: http.StatusTooManyRequests, Header: header, Body: io.NopCloser(bytes.NewBufferString(`{"code":9}`))}, nil
	}
	var out any
	switch {
	case strings.HasSuffix(r.URL.Path, "/app"):
		out = map[string]any{"app": map[string]any{}}
	case r.Method != http.MethodGet:
		var in struct{ Users []document }
		_ = json.NewDecoder(r.Body).Decode(&in)
		users := map[string]document{}
		for _, u := range in.Users {
			users[u["id"].(string)] = document{"id": u["id"]}
		}
		out = map[string]any{"users": users}
		s.most = max(s.most, len(users))
	default:
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

func (e *endpoint) count() (http.Header, bool) {
	now := time.Now()
	if now.Truncate(time.Minute).After(e.at) {
		e.minute = 0
	}
	if now.Truncate(time.Second).After(e.at) {
		e.second = 0
	}
	e.at = now
	ok := e.minute < e.limit && e.second < e.limit/30
	if ok {
		e.calls, e.minute, e.second = e.calls+1, e.minute+1, e.second+1
		e.perMinute, e.peak = max(e.perMinute, e.minute), max(e.peak, e.second)
	}
	header := http.Header{}
	header.Set("X-RateLimit-Limit", fmt.Sprint(e.limit))
	header.Set("X-RateLimit-Remaining", fmt.Sprint(e.limit-e.minute))
	header.Set("X-RateLimit-Reset", fmt.Sprint(now.Truncate(time.Minute).Add(time.Minute).Unix()))
	return header, ok
}

// The endpoints of a limited Stream.
const app, reads, writes = "GET/app", "GET/users", "PATCH/users"

func limited(s *stream) *limitedStream {
	l := &limitedStream{endpoints: map[string]*endpoint{app: {limit: 10_000}, reads: {limit: 1000}, writes: {limit: 300}, "POST/users": {limit: 300}}}
	s.fault, s.app = l.answer, l.answer
	return l
}

func TestUsersWhoSignInTogetherAreReadAndWrittenTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := start(t, "")
		l := limited(s)
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
		if l.refused > 0 || l.most > maxTogether {
			t.Errorf("want no refusal, got %d, up to %d users in a call", l.refused, l.most)
		}
	})
}

// Processes know nothing of each other. Lambda's serve one request at a time, and it starts
// one for each that finds none free; others, 10 to 100 of them, serve all that come.
func TestManyProcessesStayBelowStreamsLimits(t *testing.T) {
	for _, processes := range []int{0, 1, 10, 100} {
		synctest.Test(t, func(t *testing.T) {
			_, s := start(t, "")
			l := limited(s)
			process := func() *Directory {
				d, _ := start(t, "")
				d.client.http.Transport = s
				return d
			}
			var all []*Directory
			for range processes {
				all = append(all, process())
			}
			time.Sleep(30 * time.Second) // of the limits' minute
			began := time.Now()
			var wg sync.WaitGroup
			var mu sync.Mutex
			var took []time.Duration
			started, checked := processes, 0
			const people = 10_000
			for i := range people { // of whom a third comes within the first fifth of a minute
				time.Sleep(time.Duration(math.Pow(float64(i)/people, 1.5)*float64(time.Minute)) - time.Since(began))
				wg.Go(func() {
					began := time.Now()
					mu.Lock()
					var d *Directory
					switch {
					case processes > 0:
						d = all[i%processes]
						mu.Unlock()
					case len(all) > 0:
						d, all = all[len(all)-1], all[:len(all)-1]
						mu.Unlock()
					default:
						started++
						mu.Unlock()
						time.Sleep(200 * time.Millisecond)
						d = process()
					}
					_, err := d.SignIn(t.Context(), credentials(), caller(fmt.Sprint("u", i), `{"name":"U"}`))
					time.Sleep(3 * time.Millisecond)
					mu.Lock()
					defer mu.Unlock()
					if processes == 0 {
						all = append(all, d)
					}
					took = append(took, time.Since(began))
					if err == nil {
						checked++
					}
				})
			}
			wg.Wait()
			slices.Sort(took)
			p99 := took[len(took)*99/100]
			t.Logf("%d processes: %d of %d checked, p99 %v", started, checked, people, p99)
			for name, e := range l.endpoints {
				t.Logf("  %s: %d calls, at most %d a minute, %d a second", name, e.calls, e.perMinute, e.peak)
			}
			if l.refused > 2 || p99 > timeout+300*time.Millisecond {
				t.Errorf("%d processes: want no call refused, a stray one aside, and nobody delayed, got %d and %v", started, l.refused, p99)
			}
		})
	}
}

func TestAloneNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := start(t, "")
		limited(s)
		for i := range 3 {
			began := time.Now()
			signIn(t, d, caller(fmt.Sprint("u", i), `{"name":"U"}`))
			calls := time.Duration(2) // a read and a write
			if i == 0 {
				calls++ // the app, once a minute
			}
			if took := time.Since(began); took != calls*20*time.Millisecond {
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
		l := limited(s)
		l.endpoints[reads].minute = 950
		l.endpoints[reads].at = time.Now()
		signIn(t, d, caller("u1", `{"name":"U"}`))
		for i := range 100 {
			time.Sleep(200 * time.Millisecond)
			if _, err := d.SignIn(t.Context(), credentials(), caller(fmt.Sprint("u", 10+i), `{"name":"U"}`)); !errors.Is(err, ErrNotSynced) {
				t.Fatalf("want %v, got %v", ErrNotSynced, err)
			}
		}
		time.Sleep(time.Minute)
		signIn(t, d, caller("u10", `{"name":"U"}`))
		if l.endpoints[reads].calls != 2 || l.refused != 0 {
			t.Errorf("want 2 reads, got %d", l.endpoints[reads].calls)
		}
	})
}

func TestOddLimitsAreNoFailure(t *testing.T) {
	p := pace{limit: 300, every: time.Second}
	for range 2 {
		for _, limit := range []string{"1", "0", "-1", "60", "9223372036854775807", "x"} {
			for _, remaining := range []string{"5000", "0", "-9223372036854775808", "9223372036854775807"} {
				p.heed(time.Now(), http.Header{"X-Ratelimit-Limit": {limit}, "X-Ratelimit-Remaining": {remaining}, "X-Ratelimit-Reset": {"1"}})
				for _, among := range []int64{0, 1, 2, 10_000} {
					p.began = time.Time{}
					p.share(among)
				}
				if wait := time.Until(later(p.free, p.paused)); wait > time.Minute {
					t.Fatalf("limit %s, remaining %s: want a minute at most, got %v", limit, remaining, wait)
				}
			}
		}
	}
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

func TestARevocationOfTheAppThatNobodyCanReadCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := start(t, "")
		s.app = func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(`{"app":{"revoke_tokens_issued_before":"soon"}}`))}, nil
		}
		wantRefused(t, d, caller("u1", fmt.Sprintf(`{"iat":%d}`, time.Now().Add(-time.Hour).Unix())), ErrRevoked)
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

// Stream shows a deleted user to nobody, and refuses to create one with the id.
func TestDeletedUsersGetATokenIfTheSettingSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for setting, refused := range map[string]bool{"deleted": true, "none": false, "banned,deactivated": false} {
			d, s := start(t, "")
			d.refuse = strings.Split(setting, ",")
			s.do("POST", "/users", `{"users":{"u1":{"id":"u1"}}}`)
			s.do("DELETE", "/users/u1", "")
			user := caller("u1", `{"name":"Jane"}`)
			if refused {
				wantRefused(t, d, user, ErrDeleted)
			} else if got := signIn(t, d, user); got.Name != "Jane" {
				t.Errorf("%s: want the issuer's Jane, got %+v", setting, got)
			}
		}
	})
}
