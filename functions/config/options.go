package config

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// options are the settings of this function only.
type options struct {
	errorKey     string
	userIDHeader headerPath
}

// optionsFromEnv reads ERROR_OBJ_KEY (default errors) and USERID_HEADER_KEY
// (default userid).
func optionsFromEnv(getenv func(string) string) (options, error) {
	o := options{errorKey: getenv("ERROR_OBJ_KEY")}
	if o.errorKey == "" {
		o.errorKey = "errors"
	}
	if o.errorKey == authenticationKey {
		return o, fmt.Errorf("ERROR_OBJ_KEY: %q is taken by the answer itself; choose another key", authenticationKey)
	}
	key := getenv("USERID_HEADER_KEY")
	if key == "" {
		key = "userid"
	}
	var err error
	o.userIDHeader, err = parseHeaderPath(key)
	return o, err
}

// A headerPath says where a request names its user: in a header field, or in a
// member of the JSON object in that field.
type headerPath struct {
	field   string
	members []string // one for each level of the object; none: the field itself
}

// parseHeaderPath parses a path such as userid or miauserproperties._id.
func parseHeaderPath(text string) (headerPath, error) {
	parts := strings.Split(text, ".")
	for i, part := range parts {
		if part == "" || i == 0 && strings.ContainsFunc(part, notInFieldName) {
			return headerPath{}, fmt.Errorf("USERID_HEADER_KEY: %q is neither the name of a header field nor a path into the JSON that it holds, like miauserproperties._id", text)
		}
	}
	return headerPath{parts[0], parts[1:]}, nil
}

// notInFieldName reports whether a header field's name cannot contain c.
//
// https://www.rfc-editor.org/rfc/rfc9110#name-tokens
func notInFieldName(c rune) bool {
	return c <= ' ' || c >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c)
}

// value returns the string at this path, or "" if there is none or if the header
// field is repeated.
func (p headerPath) value(header http.Header) string {
	values := header.Values(p.field)
	if len(values) != 1 {
		return ""
	}
	if len(p.members) == 0 {
		return values[0]
	}
	raw := json.RawMessage(values[0])
	for _, member := range p.members {
		var object map[string]json.RawMessage
		if json.Unmarshal(raw, &object) != nil {
			return ""
		}
		raw = object[member]
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return ""
	}
	return text
}
