package main

import (
	"errors"
	"fmt"
	"strings"
)

// parseOverrides reads template parameters in the spelling of sam's
// --parameter-overrides: words split at white space, each `Name=Value` or
// `ParameterKey=Name,ParameterValue=Value`. Single and double quotes keep white
// space together, a backslash takes the next character as it is (not inside
// single quotes). A name given twice has its last value.
func parseOverrides(s string) (map[string]string, error) {
	words, err := splitWords(s)
	if err != nil {
		return nil, err
	}
	values := make(map[string]string, len(words))
	for _, word := range words {
		name, value, found := strings.Cut(word, "=")
		if rest, ok := strings.CutPrefix(word, "ParameterKey="); ok {
			name, value, found = strings.Cut(rest, ",ParameterValue=")
		}
		if !found || name == "" || strings.ContainsAny(name, "=,") {
			// The word may hold a secret by mistake; its beginning is enough to find it.
			return nil, fmt.Errorf("want Name=Value, got %q", shorten(word))
		}
		values[name] = value
	}
	return values, nil
}

func splitWords(s string) ([]string, error) {
	var words []string
	var word strings.Builder
	var quote rune // the quote we are in, or 0
	inWord, escaped := false, false
	for _, r := range s {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, inWord = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, inWord = r, true
		case r == ' ' || r == '\t' || r == '\n' || r == '\r':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("the quote %c is never closed", quote)
	}
	if escaped {
		return nil, errors.New(`a "\" stands at the end`)
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}

func shorten(s string) string {
	if r := []rune(s); len(r) > 20 {
		return string(r[:20]) + "..."
	}
	return s
}
