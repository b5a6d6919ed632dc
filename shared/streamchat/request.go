package streamchat

import (
	"net/http"
	"net/url"
	"strings"

	"chat-service-backend/shared/streamrest"
)

// Client returns a client for Stream's API at base, which has no slash at its end, as one
// of the app's own servers.
func (c *Credentials) Client(base string, client *http.Client) *streamrest.Client {
	return &streamrest.Client{Base: base, HTTP: client, Authorize: func(r *http.Request, _ []byte) error {
		c.Authorize(r)
		return nil
	}}
}

// Authorize makes r a request of the app's own servers: it replaces the API key in the
// query, and adds the server token. The rest of the query stays as it is written.
func (c *Credentials) Authorize(r *http.Request) {
	r.URL.RawQuery = withKey(r.URL.RawQuery, c.key)
	r.Header.Set("Authorization", c.serverToken())
	r.Header.Set("Stream-Auth-Type", "jwt")
	r.Header.Set("X-Stream-Client", "chat-service-backend") // for Stream's logs and support
}

// withKey returns the query without the caller's api_key, however it is spelled,
// and with ours.
func withKey(query, key string) string {
	var kept strings.Builder
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if decoded, err := url.QueryUnescape(name); err == nil {
			name = decoded
		}
		if pair == "" || strings.EqualFold(name, "api_key") {
			continue
		}
		// Some servers treat a semicolon like an ampersand. Encoded, it is part of
		// the value for all of them.
		kept.WriteString(strings.ReplaceAll(pair, ";", "%3B"))
		kept.WriteByte('&')
	}
	return kept.String() + "api_key=" + url.QueryEscape(key)
}
