package streamapi

import (
	"regexp"
	"time"
)

// Stream's newest SDKs for servers call paths below /api/v2, where times are numbers and the
// fields of anyone's own are members of custom.

// newest marks such a request.
type newest struct{}

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
