package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// The words of a list of overrides, and their parts.
var (
	word    = regexp.MustCompile(`(?s)(?:[^\s'"\\]|\\.|'[^']*'|"(?:[^"\\]|\\.)*")+`)
	quoted  = regexp.MustCompile(`(?s)\\.|'[^']*'|"(?:[^"\\]|\\.)*"`)
	escaped = regexp.MustCompile(`(?s)\\(.)`)
)

// parseOverrides reads template parameters as sam's --parameter-overrides takes
// them: words split at white space, each `Name=Value` or
// `ParameterKey=Name,ParameterValue=Value`. Quotes and backslashes work as in a
// shell. If a name is repeated, its last value wins.
func parseOverrides(s string) (map[string]string, error) {
	if strings.TrimSpace(word.ReplaceAllString(s, "")) != "" {
		return nil, errors.New(`a quote is not closed, or the text ends with "\"; close it`)
	}
	values := make(map[string]string)
	for _, w := range word.FindAllString(s, -1) {
		w = quoted.ReplaceAllStringFunc(w, func(part string) string {
			switch part[0] {
			case '\\':
				return part[1:]
			case '\'':
				return part[1 : len(part)-1]
			}
			return escaped.ReplaceAllString(part[1:len(part)-1], "$1")
		})
		name, value, found := strings.Cut(w, "=")
		if rest, ok := strings.CutPrefix(w, "ParameterKey="); ok {
			name, value, found = strings.Cut(rest, ",ParameterValue=")
		}
		if !found || name == "" || strings.ContainsAny(name, "=,") {
			// The word may hold a secret by mistake, so show only its beginning.
			return nil, fmt.Errorf("%q is not Name=Value", fmt.Sprintf("%.20s...", w))
		}
		values[name] = value
	}
	return values, nil
}
