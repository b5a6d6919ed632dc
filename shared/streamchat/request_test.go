package streamchat

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

func FuzzOnlyOurKeyIsInTheQuery(f *testing.F) {
	for _, query := range []string{"api_key=x", "a=1;api_key=x", "api%5fkey=x&&", "%", "a=%26api_key=x", "api_key%00=1", ";", "api_key;"} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		got := withKey(query, key)
		values, _ := url.ParseQuery(got)
		if !slices.Equal(values["api_key"], []string{key}) {
			t.Errorf("want our key alone in %q, got %q", got, values["api_key"])
		}
		// Some servers treat a semicolon as a separator.
		values, _ = url.ParseQuery(strings.ReplaceAll(got, ";", "&"))
		if !slices.Equal(values["api_key"], []string{key}) {
			t.Errorf("want our key alone in %q with semicolons, got %q", got, values["api_key"])
		}
	})
}
