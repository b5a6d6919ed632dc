package main

import (
	"net/http"
	"strings"

	"chat-service-backend/shared/api"
	"chat-service-backend/shared/httpjson"
	"chat-service-backend/shared/identity"
	"chat-service-backend/shared/lambdahttp"
	"chat-service-backend/shared/streamchat"
)

type response struct {
	UserID string `json:"userId"`
	Token  string `json:"token"`
}

// newHandler answers GET /token/{userId}: for a service, any user; for a user,
// themselves; for anybody else, nothing.
func newHandler(app *streamchat.App, callers *identity.Callers) http.Handler {
	return api.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		userID, ok := strings.CutPrefix(r.URL.Path, "/token/")
		switch {
		case !ok:
			return httpjson.NotFound()
		case r.Method != http.MethodGet:
			return httpjson.MethodNotAllowed(w, http.MethodGet)
		}
		caller, err := api.KnownCaller(r, callers)
		switch {
		case err != nil:
			return err
		case !streamchat.ValidUserID(userID):
			return httpjson.Errorf(http.StatusBadRequest, "This user id is not one that Stream takes; use %s.", streamchat.UserIDRule)
		case caller.Kind == identity.User && caller.UserID != userID:
			lambdahttp.CountBy(r.Context(), "CallersRefused", "Reason", "OtherUser")
			return httpjson.Errorf(http.StatusForbidden, "You can get a token for yourself only; ask for your own user id.")
		}
		credentials, err := app.Credentials(r.Context())
		if err != nil {
			return err
		}
		token, err := credentials.UserToken(userID)
		if err != nil {
			return err
		}
		lambdahttp.Count(r.Context(), "TokensMinted")
		w.Header().Set("Cache-Control", "no-store")
		return httpjson.Write(w, http.StatusCreated, response{userID, token})
	})
}
