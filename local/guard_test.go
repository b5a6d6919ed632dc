package main

import (
	"net/http"
	"strings"
	"testing"
)

func TestForeignPagesAndHostsAreRefused(t *testing.T) {
	t.Parallel()
	s := startPage(t)
	host := strings.TrimPrefix(s.clientURL, "http://")
	for _, c := range []struct {
		url     string
		headers []string
		want    int
	}{
		{s.clientURL + "/api-key", []string{"Host", "evil.example"}, 421},
		{s.clientURL + "/api-key", []string{"Host", "127.0.0.1.evil.example:80"}, 421},
		{s.clientURL + "/api-key", []string{"Host", "localhost:3000"}, 200},
		{s.clientURL + "/api-key", []string{"Host", "[::1]:3000"}, 200},
		{s.clientURL + "/api-key", []string{"Origin", "http://localhost:5173"}, 200}, // a developer's own page
		{s.clientURL + "/.local/bearer", []string{"Host", "evil.example"}, 421},
		{s.clientURL + "/.local/bearer", []string{"Origin", "https://evil.example"}, 403},
		{s.clientURL + "/.local/bearer", []string{"Origin", "http://localhost:5173"}, 403},
		{s.clientURL + "/.local/bearer", []string{"Origin", "null"}, 403},
		{s.clientURL + "/.local/bearer", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{s.clientURL + "/.local/bearer", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{s.clientURL + "/.local/bearer", []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://" + host}, 200},
		{s.clientURL + "/.local/bearer", nil, 200},
		{s.serviceURL + "/token/victim", []string{"Host", "evil.example"}, 421},
		{s.serviceURL + "/token/victim", []string{"Origin", "https://evil.example"}, 403},
		{s.serviceURL + "/token/victim", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{s.serviceURL + "/token/victim", nil, 201},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(c.headers); i += 2 {
			request.Header.Set(c.headers[i], c.headers[i+1])
		}
		if name := request.Header.Get("Host"); name != "" {
			request.Host = name
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != c.want {
			t.Errorf("%s with %q: want %d, got %d", c.url, c.headers, c.want, response.StatusCode)
		}
	}
}
