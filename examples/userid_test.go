package examples_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/shared/userid"
)

var streamsRule = regexp.MustCompile(`^[@A-Za-z0-9_-]{1,255}$`)

// A user is the input of Map.
type user struct {
	Prefix string `json:"prefix,omitempty"`
	Claim  string `json:"claim"`
}

// vectors returns the test vectors that docs/user-ids.md links to.
func vectors(t testing.TB) map[user]string {
	t.Helper()
	text, err := os.ReadFile("user-ids/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []struct {
		user
		ID string `json:"id"`
	}
	if err := json.Unmarshal(text, &list); err != nil || len(list) < 20 {
		t.Fatalf("want test vectors, got %d, %v", len(list), err)
	}
	all := make(map[user]string, len(list))
	for _, v := range list {
		all[v.user] = v.ID
	}
	return all
}

func TestMapMatchesTheTestVectors(t *testing.T) {
	for u, want := range vectors(t) {
		if got := userid.Map(u.Prefix, u.Claim); got != want {
			t.Errorf("%+q: want %s, got %s", u, want, got)
		}
	}
}

// example returns the code in a file of examples/user-ids.
func example(t *testing.T, file string) string {
	t.Helper()
	code, err := os.ReadFile("user-ids/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return string(code)
}

// programs read a JSON list of users and write a list of ids.
var programs = map[string]struct {
	command []string
	around  func(code string) string
}{
	"user_id.mjs": {[]string{"node", "--input-type=module", "-e"}, func(code string) string {
		return code + `
import { readFileSync } from 'node:fs';
console.log(JSON.stringify(JSON.parse(readFileSync(0)).map((u) => streamUserId(u.claim, u.prefix))));`
	}},
	"user_id.py": {[]string{"python3", "-c"}, func(code string) string {
		return "import json, sys\n" + code + `
print(json.dumps([stream_user_id(u["claim"], u.get("prefix", "")) for u in json.load(sys.stdin)]))`
	}},
}

// manyUsers returns the users of the test vectors and thousands of others.
func manyUsers(t *testing.T) []user {
	users := slices.Collect(maps.Keys(vectors(t)))
	for range 3_000 {
		users = append(users, randomUser())
	}
	return users
}

func TestExamplesAgree(t *testing.T) {
	users := manyUsers(t)
	in, err := json.Marshal(users)
	if err != nil {
		t.Fatal(err)
	}
	for file, program := range programs {
		t.Run(file, func(t *testing.T) {
			need(t, program.command[0])
			cmd := exec.CommandContext(t.Context(), program.command[0], append(program.command[1:], program.around(example(t, file)))...)
			cmd.Stdin, cmd.Stderr = bytes.NewReader(in), t.Output()
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			if err := json.Unmarshal(out, &ids); err != nil || len(ids) != len(users) {
				t.Fatalf("want %d ids, got %d, %v", len(users), len(ids), err)
			}
			agree(t, users, ids)
		})
	}
}

func agree(t *testing.T, users []user, ids []string) {
	t.Helper()
	for i, u := range users {
		if want := userid.Map(u.Prefix, u.Claim); ids[i] != want {
			t.Fatalf("%+q: want %s, got %s", u, want, ids[i])
		}
	}
}

// need skips the test if a program is missing, or fails it if CI=true.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		awstest.Missing(t, "%v", err)
	}
}

// pieces are what collisions could be made of: markers, escapes, ends of prefixes,
// hashes, and parts of each.
var pieces = []string{
	"@", "-", "@-", "@--", "@-40", "@-40-", "@-7C", "|", "%", "7C", "sha256", "s", "staff", "staff@--", "a", "", "\x00", "\ufffd",
	"@-sha256-" + strings.Repeat("0", 64), strings.Repeat("x", 250),
}

func randomUser() user {
	var u user
	if rand.N(4) == 0 {
		u.Prefix = []string{"staff", "a", "-", "-a", "sha256-"}[rand.N(5)]
	}
	var claim strings.Builder
	for range 1 + rand.N(12) {
		if rand.N(3) > 0 {
			claim.WriteString(pieces[rand.N(len(pieces))])
			continue
		}
		claim.WriteRune(rand.Int32N(unicode.MaxRune + 1)) // for a surrogate, U+FFFD
	}
	if u.Claim = claim.String(); u.Claim == "" {
		return randomUser()
	}
	return u
}

// unmap is the inverse of Map. If the id is a hash, the claim is that hash.
func unmap(t *testing.T, id string) (u user, hashed bool) {
	if i := strings.Index(id, "@--"); i >= 0 {
		u.Prefix, id = id[:i], id[i+3:]
	}
	if hash, ok := strings.CutPrefix(id, "@-sha256-"); ok {
		return user{u.Prefix, hash}, true
	}
	var claim []byte
	for len(id) > 0 {
		if escape, ok := strings.CutPrefix(id, "@-"); ok {
			b, err := hex.DecodeString(escape[:2])
			if err != nil {
				t.Fatalf("want an escape after each @-, got %q", id)
			}
			claim, id = append(claim, b...), escape[2:]
		} else {
			claim, id = append(claim, id[0]), id[1:]
		}
	}
	return user{u.Prefix, string(claim)}, false
}

// check checks everything that Map promises about one user's id.
func check(t *testing.T, u user) {
	t.Helper()
	id := userid.Map(u.Prefix, u.Claim)
	if !streamsRule.MatchString(id) {
		t.Errorf("%+q: want an id that Stream takes, got %q", u, id)
	}
	if keeps := u.Prefix == "" && streamsRule.MatchString(u.Claim) && !strings.Contains(u.Claim, "@-"); keeps != (id == u.Claim) {
		t.Errorf("%+q: want the claim unchanged: %t, got %s", u, keeps, id)
	}
	got, hashed := unmap(t, id)
	want := u
	if hashed {
		hash := sha256.Sum256([]byte(u.Claim))
		want.Claim = hex.EncodeToString(hash[:])
	}
	if got != want {
		t.Errorf("%+q: want an id of this user only, but %s is also that of %+q", u, id, got)
	}
}

func TestNoTwoUsersGetTheSameID(t *testing.T) {
	owners := map[string]user{}
	for range 20_000 {
		u := randomUser()
		check(t, u)
		id := userid.Map(u.Prefix, u.Claim)
		if other, taken := owners[id]; taken && other != u {
			t.Fatalf("want different ids for %+q and %+q, got %s", u, other, id)
		}
		owners[id] = u
		// One user's id may be another user's claim.
		check(t, user{"", id})
		check(t, user{"staff", id})
	}
}

func FuzzIDBelongsToOneUser(f *testing.F) {
	for u := range vectors(f) {
		f.Add(u.Prefix, u.Claim)
	}
	f.Fuzz(func(t *testing.T, prefix, claim string) {
		if claim != "" && (prefix == "" || userid.ValidPrefix(prefix)) {
			check(t, user{prefix, claim})
		}
	})
}

func FuzzValidIsStreamsRule(f *testing.F) {
	for _, id := range []string{"", "alice", "@carol", "a.b", "é", strings.Repeat("x", 256)} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if got, want := userid.Valid(id), streamsRule.MatchString(id); got != want {
			t.Errorf("%q: want %t, got %t", id, want, got)
		}
	})
}

func BenchmarkMap(b *testing.B) {
	for _, claim := range []string{"c5a1c9f2-7a3e-4b0e-9d59-0f2a6d3b7c11", "auth0|507f1f77bcf86cd799439011"} {
		b.Run(claim, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				userid.Map("", claim)
			}
		})
	}
}
