package apikey

import (
	"net/http"

	"chat-service-backend/shared/api"
	"chat-service-backend/shared/httpjson"
	"chat-service-backend/shared/lambdahttp"
	"chat-service-backend/shared/settings"
)

type response struct {
	APIKey string `json:"api_key"`
}

// newHandler serves GET /api-key to anybody.
func newHandler(key *settings.Value[string]) http.Handler {
	return api.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		switch {
		case r.URL.Path != "/api-key":
			return httpjson.NotFound()
		case r.Method != http.MethodGet:
			return httpjson.MethodNotAllowed(w, http.MethodGet)
		}
		key, err := key.Get(r.Context())
		if err != nil {
			return err
		}
		w.Header().Set("X-Chat-Service-Version", lambdahttp.Version())
		return httpjson.Write(w, http.StatusOK, response{key})
	})
}
