package proxy

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"chat-service-backend/shared/httpjson"
)

// toStream is the allow list of the caller's header fields: those that describe the
// body, what is accepted, and the ids that find the request in a log. Any other could
// mean something to a server on the way, or reveal who the caller is. With an
// Idempotency-Key, net/http would repeat a POST. Userid is not for Stream, but for a
// stack like this one in its place, as in the tests.
var toStream = []string{
	"Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Content-Encoding", "Content-Language", "Content-Type", "User-Agent",
	"Traceparent", "Tracestate", "Userid", "X-Client-Request-Id", "X-Request-Id",
}

// fromStream is the allow list of Stream's header fields for the caller. A cookie or a CORS
// field would take effect for our host name.
var fromStream = []string{
	"Allow", "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Length", "Content-Type", "Date", "Etag",
	"Expires", "Last-Modified", "Retry-After", "Www-Authenticate", "X-Budget-*", "X-Ratelimit-*", "X-Request-Id",
}

// only deletes the header fields that are not in the list, whose names may end in
// an asterisk.
func only(header http.Header, list []string) {
	maps.DeleteFunc(header, func(name string, _ []string) bool {
		return !slices.ContainsFunc(list, func(kept string) bool {
			prefix, isPrefix := strings.CutSuffix(kept, "*")
			return name == kept || isPrefix && strings.HasPrefix(name, prefix)
		})
	})
}

// checkHeader rejects fields and a query that net/http would refuse to send on.
func checkHeader(header http.Header, query string) error {
	forbidden := func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f } // RFC 9110 section 5.5
	if strings.ContainsFunc(query, func(c rune) bool { return c == '\t' || forbidden(c) }) {
		return httpjson.Errorf(http.StatusBadRequest, "The query has a control character; percent-encode it.")
	}
	for _, name := range toStream {
		if strings.ContainsFunc(strings.Join(header[name], ""), forbidden) {
			return httpjson.Errorf(http.StatusBadRequest, "The header field %s has a control character; send it without.", name)
		}
	}
	return nil
}
