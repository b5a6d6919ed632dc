package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"chat-service-backend/shared/httpjson"
	"chat-service-backend/shared/lambdahttp"
	"chat-service-backend/shared/streamchat"
)

// newHandler answers POST /webhook, for Stream, and POST /webhook/verify, for
// services that receive Stream's webhooks themselves.
func newHandler(app *streamchat.App) http.Handler {
	return httpjson.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		var answer func(http.ResponseWriter, *http.Request, *streamchat.App) error
		switch r.URL.Path {
		case "/webhook":
			answer = receive
		case "/webhook/verify":
			answer = verify
		default:
			return httpjson.NotFound()
		}
		if r.Method != http.MethodPost {
			return httpjson.MethodNotAllowed(w, http.MethodPost)
		}
		return answer(w, r, app)
	})
}

// receive takes a webhook from Stream. Of its answers, Stream repeats the call
// after 408, 429 and 5xx only: what is our failure must be one of those.
//
// https://getstream.io/chat/docs/node/webhooks_overview/
func receive(w http.ResponseWriter, r *http.Request, app *streamchat.App) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return unreadable(err)
	}
	signature := r.Header.Get("X-Signature")
	if signature == "" {
		return refused(r, "the webhook has no X-Signature")
	}
	credentials, err := app.Credentials(r.Context())
	if err != nil {
		return err
	}
	if key := r.Header.Get("X-Api-Key"); key != "" && key != credentials.Key() {
		return refused(r, "the webhook is another app's: its X-Api-Key is not ours")
	}
	plain, err := streamchat.PlainBody(body)
	if err != nil {
		return unreadable(err)
	}
	if !credentials.ValidSignature(plain, signature) {
		return refused(r, "the webhook's X-Signature does not fit its body and our secret")
	}
	lambdahttp.SetCaller(r.Context(), "stream")
	lambdahttp.Count(r.Context(), "WebhooksAccepted")
	// Nothing but an empty object: some hooks read the answer, and a key
	// named message in it would change what the chat's users see.
	return httpjson.Write(w, http.StatusOK, struct{}{})
}

func refused(r *http.Request, cause string) error {
	lambdahttp.Count(r.Context(), "WebhooksRejected")
	return &httpjson.Error{
		Status:  http.StatusUnauthorized,
		Message: "This webhook is not signed with this app's secret; check X-Signature and X-Api-Key.",
		Cause:   errors.New(cause),
	}
}

func unreadable(cause error) error {
	return &httpjson.Error{
		Status:  http.StatusBadRequest,
		Message: "This webhook's body cannot be read; send the JSON that Stream signed, plain or as gzip.",
		Cause:   cause,
	}
}

type verifyRequest struct {
	RawBody   *string `json:"rawBody"`
	Signature *string `json:"signature"`
}

type verifyResponse struct {
	IsValid bool `json:"isValid"`
}

// verify says whether a webhook that somebody else received is signed with our
// secret.
func verify(w http.ResponseWriter, r *http.Request, app *streamchat.App) error {
	var in verifyRequest
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &in)
	}
	if err == nil && (in.RawBody == nil || in.Signature == nil) {
		err = errors.New("a field is missing")
	}
	if err != nil {
		return &httpjson.Error{
			Status:  http.StatusBadRequest,
			Message: `Send a JSON object with two texts: {"rawBody": "...", "signature": "..."}.`,
			Cause:   err,
		}
	}
	credentials, err := app.Credentials(r.Context())
	if err != nil {
		// The contract has 500 here, and 503 everywhere else.
		var e *httpjson.Error
		if errors.As(err, &e) {
			return &httpjson.Error{Status: http.StatusInternalServerError, Message: e.Message, Cause: e.Cause}
		}
		return err
	}
	valid := credentials.ValidSignature([]byte(*in.RawBody), *in.Signature)
	if !valid {
		if plain, ok := inflate(*in.RawBody); ok {
			valid = credentials.ValidSignature(plain, *in.Signature)
		}
	}
	lambdahttp.Annotate(r.Context(), slog.Bool("isValid", valid))
	return httpjson.Write(w, http.StatusOK, verifyResponse{valid})
}

// inflate returns what the base64 of a gzip body inflates to, and whether text
// is one.
func inflate(text string) ([]byte, bool) {
	// The base64 of gzip's first three bytes.
	if !strings.HasPrefix(text, "H4sI") {
		return nil, false
	}
	compressed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, false
	}
	plain, err := streamchat.PlainBody(compressed)
	return plain, err == nil
}
