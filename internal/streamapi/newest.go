package streamapi

import (
	"regexp"
	"time"

	"chat-service-backend/ops/streamspec"
)

// Stream's newest SDKs for servers call paths below /api/v2, where times are numbers and the
// fields of anyone's own are members of custom.

// newest marks such a request.
type newest struct{}

// inCustom returns what a partial update sets and removes. Below /api/v2 a field that
// Stream's object does not have is one of custom.
func (c *call) inCustom(object string, doc, set document, unset []any) (document, []any) {
	if !c.newest {
		return set, unset
	}
	before, whole := set["custom"].(document)
	if !whole {
		before, _ = doc["custom"].(document)
	}
	top, custom := document{}, changed(before, nil)
	for _, name := range unset {
		delete(custom, text(name))
	}
	for name, value := range set {
		if _, known := streamspec.Objects()[object][name]; known {
			top[name] = value
		} else {
			custom[name] = value
			unset = append(unset, name) // from where the older API has it
		}
	}
	top["custom"] = custom
	return top, unset
}

var timeFields = regexp.MustCompile(`(_at|_active|_before|_until|_expires|^expires)$`)

// withNumbers writes the times in an answer as nanoseconds since 1970. What is custom stays.
func withNumbers(answer []byte) []byte {
	content, err := decode("answer", answer)
	if err != nil {
		return answer
	}
	return fmtJSON(numbers(content))
}

func numbers(v any) any {
	switch v := v.(type) {
	case document:
		for name, value := range v {
			if at, err := time.Parse(time.RFC3339Nano, text(value)); err == nil && timeFields.MatchString(name) {
				v[name] = max(at.UnixNano(), 0) // Go's zero time is before
			} else if name != "custom" {
				v[name] = numbers(value)
			}
		}
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	}
	return v
}
