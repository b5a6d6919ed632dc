package token

import (
	"net/http"
	"strings"

	"chat-service-backend/shared/api"
	"chat-service-backend/shared/httpjson"
	"chat-service-backend/shared/identity"
	"chat-service-backend/shared/lambdahttp"
	"chat-service-backend/shared/streamchat"
	"chat-service-backend/shared/userid"
)

type response struct {
	UserID string `json:"userId"`
	Token  string `json:"token"`
}

// me stands for the caller's own id.
const me = "me"

// newHandler serves GET /token/{userId}. A service gets a token for any user. A
// user gets one for themselves, by their id at Stream, by the id their issuer uses,
// or as me. Nobody else gets one.
func newHandler(app *streamchat.App, gate *api.Gate) http.Handler {
	return api.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		userID, ok := strings.CutPrefix(r.URL.Path, "/token/")
		switch {
		case !ok:
			return httpjson.NotFound()
		case r.Method != http.MethodGet:
			return httpjson.MethodNotAllowed(w, http.MethodGet)
		}
		caller, err := gate.KnownCaller(r)
		if err != nil {
			return err
		}
		if caller.Kind == identity.User && (userID == me || userID == caller.Claim) {
			userID = caller.UserID
		}
		switch {
		case caller.Kind == identity.Service && userID == me:
			return httpjson.Errorf(http.StatusBadRequest, "A service is no user; ask for a user's id instead of me.")
		case !userid.Valid(userID):
			return httpjson.Errorf(http.StatusBadRequest, "This user id is not one that Stream takes; use %s.", userid.Rule)
		case caller.Kind == identity.User && caller.UserID != userID:
			lambdahttp.CountBy(r.Context(), "CallersRefused", "Reason", "OtherUser")
			return httpjson.Errorf(http.StatusForbidden, "You can get a token for yourself only; ask for your own user id.")
		}
		credentials, err := app.Credentials(r.Context())
		if err != nil {
			return err
		}
		user, err := gate.SignIn(w, r, credentials, caller)
		if err != nil {
			return err
		}
		token, err := credentials.UserToken(userID, user.TokensSince, caller.Life)
		if err != nil {
			return err
		}
		lambdahttp.Count(r.Context(), "TokensMinted")
		w.Header().Set("Cache-Control", "no-store")
		return httpjson.Write(w, http.StatusCreated, response{userID, token})
	})
}
