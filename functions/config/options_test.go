package config

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

func TestHeaderPathMustNameAField(t *testing.T) {
	for _, text := range []string{".", ".id", "userid.", "user..id", "user id", "userid:", "üser", "a,b"} {
		if _, err := parseHeaderPath(text); err == nil {
			t.Errorf("%q: want an error, got none", text)
		}
	}
}

func TestHeaderPathLeadsIntoTheJSONObject(t *testing.T) {
	for _, c := range []struct {
		path   string
		values []string
		want   string
	}{
		{"userid", []string{"alice"}, "alice"},
		{"userid", []string{"alice", "bob"}, ""},
		{"userid", nil, ""},
		{"p._id", []string{`{"name":"A, B","_id":"alice"}`}, "alice"},
		{"p._id", []string{`{"_id":7}`}, ""},
		{"p._id", []string{`{"_id":null}`}, ""},
		{"p._id", []string{`{"_id":{"_id":"alice"}}`}, ""},
		{"p._id", []string{`{}`}, ""},
		{"p._id", []string{`{"_ID":"alice"}`}, ""},
		{"p._id", []string{`["alice"]`}, ""},
		{"p._id", []string{`{"_id":"alice"`}, ""},
		{"p._id", []string{`alice`}, ""},
		{"p._id", []string{`{"_id":"alice"}`, `{"_id":"alice"}`}, ""},
		{"p._id", []string{`{"_id":"alice"},{"_id":"bob"}`}, ""}, // joined by an HTTP API
		{"p.user.ids.chat", []string{`{"user":{"ids":{"chat":"alice"}}}`}, "alice"},
		{"p.user.ids.chat", []string{`{"user":{"ids":"alice"}}`}, ""},
		{"p.user.ids.chat", []string{`{"user.ids.chat":"alice"}`}, ""},
		{"p.user.ids.chat", []string{`{"user":null}`}, ""},
	} {
		options, err := optionsFromEnv(func(name string) string { return map[string]string{"USERID_HEADER_KEY": c.path}[name] })
		field, _, _ := strings.Cut(c.path, ".")
		if got := options.userIDHeader.value(http.Header{http.CanonicalHeaderKey(field): c.values}); err != nil || got != c.want {
			t.Errorf("%s of %q: want %q, got %q, %v", c.path, c.values, c.want, got, err)
		}
	}
}

func FuzzHeaderPathGivesNoMoreThanTheHeaderSays(f *testing.F) {
	f.Add("userid", "alice")
	f.Add("p._id", `{"_id":"alice"}`)
	f.Add("p.a.b", `{"a":{"b":"c"}}`)
	f.Fuzz(func(t *testing.T, key, value string) {
		path, err := parseHeaderPath(key)
		if err != nil {
			return
		}
		id := path.value(http.Header{http.CanonicalHeaderKey(path.field): {value}})
		if !strings.Contains(key, ".") && id != value {
			t.Errorf("want the field itself, %q, got %q", value, id)
		}
		if strings.Contains(key, ".") && id != "" && !json.Valid([]byte(value)) {
			t.Errorf("want nothing out of %q, which is not JSON, got %q", value, id)
		}
	})
}
