package users

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"chat-service-backend/shared/userid"
)

// A line is read as Go's own decoder reads it.
func FuzzLine(f *testing.F) {
	for _, line := range []string{
		`{}`, `{"id":"a"}`, `{"id" : "a" , "n" : -1.5e3 , "t":true}`, `{"id":"a","id":"b"}`, `{"\u0069d":"a","x":{"y":["}",{}],"id":"no"}}`, `{"ID":"a"}`,
		`{"id":"a","x":"\ud83d\ude42"}`, "{\t\"id\"\r:\"a\" }", `{"id":"a",}`, `{"id":"a","x":01}`, `{"id":"a"}}`, `{"id":"a","x":"\q"}`, "{\"id\":\"a\",\"x\":\"\x01\"}", "\ufeff",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		var fields map[string]json.RawMessage
		var id string
		isObject := strings.HasPrefix(line, "{") && utf8.ValidString(line) && json.Unmarshal([]byte(line), &fields) == nil
		_ = json.Unmarshal(fields["id"], &id)
		if fields["claim"] != nil || fields["custom"] != nil {
			t.Skip()
		}
		u, err := file{}.parseLine(1, []byte(line), new(reserved))
		if ok := isObject && userid.Valid(id); ok != (err == nil) || ok && (u.id != id || u.bare && len(fields) > 1) {
			t.Errorf("%q: %v, want id %q; got %+v, %v", line, ok, id, u, err)
		}
	})
}
