package main

import (
	"net/http"

	"chat-service-backend/shared/httpjson"
	"chat-service-backend/shared/settings"
	"chat-service-backend/shared/streamchat"
)

type response struct {
	APIKey string `json:"api_key"`
}

// newHandler answers GET /api-key, for anybody.
func newHandler(key *settings.Value[string]) http.Handler {
	return httpjson.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		switch {
		case r.URL.Path != "/api-key":
			return httpjson.NotFound()
		case r.Method != http.MethodGet:
			return httpjson.MethodNotAllowed(w, http.MethodGet)
		}
		key, err := key.Get(r.Context())
		if err != nil {
			return streamchat.Unavailable(err)
		}
		return httpjson.Write(w, http.StatusOK, response{key})
	})
}
