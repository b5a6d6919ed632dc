package signin

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chat-service-backend/shared/identity"
	"chat-service-backend/shared/lambdainvoke"
)

// A function is a team's function that answers with answer.
type function struct {
	mu     sync.Mutex
	answer string
	err    error
	takes  time.Duration
	asked  []string
}

func (f *function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, string(payload))
	if f.takes > 0 {
		f.mu.Unlock()
		defer f.mu.Lock()
		select {
		case <-time.After(f.takes):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return []byte(f.answer), f.err
}

func rule(f *function, failClosed bool) *Rule {
	return &Rule{function: f, failClosed: failClosed, kept: map[string]*answer{}}
}

func caller(token string) identity.Caller {
	return identity.Caller{Kind: identity.User, UserID: "u1", Claim: "u1", Issuer: "https://i", Token: token, Claims: identity.Claims{"sub": json.RawMessage(`"u1"`), "n": json.RawMessage(`1.50`)}}
}

func TestAnswerDecides(t *testing.T) {
	for answer, want := range map[string]identity.Caller{
		``: {UserID: "u1"}, `null`: {UserID: "u1"}, `{}`: {UserID: "u1"}, `{"allow":true,"other":1,"name":null}`: {UserID: "u1"}, `{"allow":null,"USERID":"x"}`: {UserID: "u1"},
		`{"userId":"4711","expiresIn":60}`: {UserID: "4711", Life: time.Minute},
		`{"name":"Jane","image":"https://i","teams":["red"],"role":"vip","custom":{"plan":{"a":1},"none":null}}`: {UserID: "u1", Set: map[string]any{
			"name": "Jane", "image": "https://i", "teams": []any{"red"}, "role": "vip", "plan": map[string]any{"a": 1.0},
		}},
		`{"teams":[]}`: {UserID: "u1", Set: map[string]any{"teams": []any{}}},
	} {
		got, err := rule(&function{answer: answer}, true).Apply(t.Context(), caller("t"), "web", "GET /config")
		if err != nil || got.UserID != want.UserID || got.Life != want.Life || len(got.Set)+len(want.Set) > 0 && !reflect.DeepEqual(got.Set, want.Set) || got.Claim != "u1" {
			t.Errorf("%s: want %+v, got %+v, %v", answer, want, got, err)
		}
	}
	for answer, want := range map[string]string{`{"allow":false}`: "", `{"allow":false,"message":"Renew your plan."}`: "Renew your plan."} {
		_, err := rule(&function{answer: answer}, false).Apply(t.Context(), caller("t"), "", "")
		if refusal, ok := errors.AsType[*Refusal](err); !ok || refusal.Message != want || !errors.Is(err, identity.ErrNotAllowed) {
			t.Errorf("%s: want a refusal with %q, got %v", answer, want, err)
		}
	}
}

func TestFunctionLearnsWhoSignsInAndHow(t *testing.T) {
	f := &function{}
	r := rule(f, true)
	if _, err := r.Apply(t.Context(), caller("t"), "web", "GET /config"); err != nil {
		t.Fatal(err)
	}
	want := `{"claims":{"n":1.50,"sub":"u1"},"issuer":"https://i","clientType":"web","route":"GET /config"}`
	if len(f.asked) != 1 || f.asked[0] != want {
		t.Errorf("want %s, got %q", want, f.asked)
	}
	for _, kind := range []identity.Kind{identity.Anonymous, identity.Service} {
		if got, err := r.Apply(t.Context(), identity.Caller{Kind: kind}, "", ""); err != nil || got.Kind != kind || len(f.asked) != 1 {
			t.Errorf("want no question about %s, got %+v, %v", kind, got, err)
		}
	}
	var none *Rule
	if got, err := none.Apply(t.Context(), caller("t"), "", ""); err != nil || got.UserID != "u1" {
		t.Errorf("want no rule, got %+v, %v", got, err)
	}
}

func TestOneWrongMemberMakesAnAnswerUseless(t *testing.T) {
	for _, answer := range []string{
		`[]`, `"x"`, `{`, `{"allow":"false"}`, `{"allow":0}`, `{"userId":""}`, `{"userId":"a b"}`, `{"userId":7}`, `{"userId":"` + strings.Repeat("x", 256) + `"}`,
		`{"role":"admin"}`, `{"role":"Admin"}`, `{"role":"global_admin"}`, `{"role":""}`, `{"role":["vip"]}`, `{"teams":"red"}`, `{"teams":[1]}`, `{"teams":[""]}`,
		`{"custom":{"banned":false}}`, `{"custom":{"Role":"admin"}}`, `{"custom":{"role":"admin"}}`, `{"custom":{"teams_role":{}}}`, `{"custom":{"a.b":1}}`, `{"custom":[]}`,
		`{"expiresIn":0}`, `{"expiresIn":-1}`, `{"expiresIn":1.5}`, `{"expiresIn":"60"}`, `{"expiresIn":1e20}`, `{"name":7}`, `{"image":{}}`,
		`{"allow":false,"message":"a\nb"}`, `{"allow":false,"message":"` + strings.Repeat("x", 501) + `"}`,
	} {
		if got, err := rule(&function{answer: answer}, true).Apply(t.Context(), caller("t"), "", ""); err != ErrNoAnswer || got.UserID != "" {
			t.Errorf("%s: want %v, got %+v, %v", answer, ErrNoAnswer, got, err)
		}
		if got, err := rule(&function{answer: answer}, false).Apply(t.Context(), caller("t"), "", ""); err != nil || got.UserID != "u1" || got.Set != nil {
			t.Errorf("%s: want the plain rule, got %+v, %v", answer, got, err)
		}
	}
}

func TestAnswersAreRememberedForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &function{answer: `{"userId":"x"}`, takes: time.Second}
		r := rule(f, true)
		ask := func(token string, want error, calls int) {
			t.Helper()
			if _, err := r.Apply(t.Context(), caller(token), "", ""); !errors.Is(err, want) || len(f.asked) != calls {
				t.Errorf("want %v after %d calls, got %v after %d", want, calls, err, len(f.asked))
			}
		}
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { ask("a", nil, 1) })
		}
		all.Wait()
		ask("b", nil, 2)
		time.Sleep(keptFor - 2*time.Second)
		ask("a", nil, 2)
		time.Sleep(2 * time.Second)
		ask("a", nil, 3)

		f.err = &lambdainvoke.Error{Reason: lambdainvoke.Throttled}
		ask("c", ErrNoAnswer, 4)
		ask("c", ErrNoAnswer, 4)
		f.err = nil
		time.Sleep(failedFor)
		ask("c", nil, 5)

		f.takes = time.Hour
		start := time.Now()
		ask("d", ErrNoAnswer, 6)
		if took := time.Since(start); took != timeout {
			t.Errorf("want an end after %v, got %v", timeout, took)
		}
	})
}

func TestAnswersKeptAreBounded(t *testing.T) {
	for _, size := range []int{1, 50_000} {
		r := rule(&function{answer: `{"name":"` + strings.Repeat("x", size) + `"}`}, true)
		for n := range maxKept + 10 {
			if _, err := r.Apply(t.Context(), caller(strconv.Itoa(n)), "", ""); err != nil {
				t.Fatal(err)
			}
		}
		if len(r.kept) > maxKept || r.size > maxKeptBytes || r.size < size {
			t.Errorf("want at most %d answers and %d bytes, got %d and %d", maxKept, maxKeptBytes, len(r.kept), r.size)
		}
	}
}
