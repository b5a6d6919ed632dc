package main

import (
	"maps"
	"strings"
	"testing"
)

func TestParseOverrides(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]map[string]string{
		"":                           {},
		"A=1":                        {"A": "1"},
		"  A=1\n B=2 ":               {"A": "1", "B": "2"},
		"A='a b' B=\"c d\"":          {"A": "a b", "B": "c d"},
		"A= B=''":                    {"A": "", "B": ""},
		"A=x=y":                      {"A": "x=y"},
		`A=a\ b B="say \"hi\""`:      {"A": "a b", "B": `say "hi"`},
		`A='a\b'`:                    {"A": `a\b`},
		"A=1 A=2":                    {"A": "2"},
		"'A=a b'":                    {"A": "a b"},
		"A=https://x.test,http://y/": {"A": "https://x.test,http://y/"},
		"ParameterKey=A,ParameterValue=a,b ParameterKey=B,ParameterValue='c d'": {"A": "a,b", "B": "c d"},
	} {
		got, err := parseOverrides(in)
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%q: want %v, got %v, %v", in, want, got, err)
		}
	}
	for _, in := range []string{"A", "=1", "A=1 B", "A='1", `A="1`, `A=1\`, "ParameterKey=A", "ParameterKey=,ParameterValue=1", "A,B=1"} {
		if got, err := parseOverrides(in); err == nil {
			t.Errorf("%q: want an error, got %v", in, got)
		}
	}
}

// A mistyped override may be a secret.
func TestParseOverridesErrorDoesNotRepeatTheWord(t *testing.T) {
	t.Parallel()
	_, err := parseOverrides("this-is-" + strings.Repeat("x", 100) + "SECRET")
	if err == nil || strings.Contains(err.Error(), "SECRET") {
		t.Fatalf("want an error without the whole word, got %v", err)
	}
}
