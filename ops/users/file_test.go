package users

import (
	"encoding/json"
	"maps"
	"testing"
	"unicode/utf8"
)

// The members of a line are those that a JSON decoder finds.
func FuzzMembers(f *testing.F) {
	for _, line := range []string{
		`{}`, `{ }`, `{"id":"a"}`, ` {"id" : "a" , "n" : -1.5e3 , "t":true}`, `{"id":"a","id":"b"}`, `{"\u0069d":"a\"}","x":{"y":["}",{}],"id":"no"}}`,
		`{"a":null,"b":[],"c":"\\","d":[1,2],"e":{}}`, `{"":"","é":"\ud83d\ude42"}`, "{\t\"a\"\r:\n[ ] }",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		var want map[string]json.RawMessage
		if !utf8.ValidString(line) || json.Unmarshal([]byte(line), &want) != nil || line[0] != '{' {
			t.Skip()
		}
		got := map[string]json.RawMessage{}
		for name, value := range members([]byte(line)) {
			got[string(name)] = value
		}
		if !maps.EqualFunc(got, want, func(a, b json.RawMessage) bool { return string(a) == string(b) }) {
			t.Errorf("%s: want %s, got %s", line, want, got)
		}
	})
}
