package webhook

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"chat-service-backend/shared/api"
	"chat-service-backend/shared/httpjson"
	"chat-service-backend/shared/lambdahttp"
	"chat-service-backend/shared/streamchat"
)

// receiveTimeout bounds the handling of a webhook. Stream gives up after 6 s, and
// would then miss the response that asks it to try again.
//
// https://getstream.io/chat/docs/node/webhooks_overview/
const receiveTimeout = 5500 * time.Millisecond

// A handler serves POST /webhook, for Stream, and POST /webhook/verify, for
// services that receive Stream's webhooks themselves. Stream's events may also
// arrive through a queue: see ServeMessage.
type handler struct {
	app   *streamchat.App
	bus   *bus          // nil: events are verified and dropped
	hooks *hookFunction // nil: hooks are answered {}
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	api.HandlerFunc(h.serve).ServeHTTP(w, r)
}

func (h *handler) serve(w http.ResponseWriter, r *http.Request) error {
	path := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if path[0] != "webhook" {
		return httpjson.NotFound()
	}
	path = path[1:]
	verify := len(path) == 1 && path[0] == "verify"
	if len(path) > 0 && len(path[0]) >= 32 { // see WebhookPath in template.yaml
		path = path[1:]
	}
	callback := strings.Join(path, "/")
	switch {
	case len(path) > 0 && !verify && !slices.Contains(callbacks, callback):
		return httpjson.NotFound()
	case r.Method != http.MethodPost:
		return httpjson.MethodNotAllowed(w, http.MethodPost)
	case verify:
		return h.verify(w, r)
	}
	return h.receive(w, r, callback)
}

// callbacks are what Stream adds to the address of a pending_message hook when a
// message that was pending is sent or deleted. It ignores the answer's body.
//
// https://getstream.io/chat/docs/node/pending_messages/
var callbacks = []string{"PassOnPendingMessage", "DeletedPendingMessage"}

// receive handles a webhook from Stream, which may be one of the callbacks. Stream
// retries only after 408, 429 and 5xx, so failures of our own must be one of those.
func (h *handler) receive(w http.ResponseWriter, r *http.Request, callback string) error {
	start := time.Now()
	ctx, cancel := context.WithTimeout(r.Context(), receiveTimeout)
	defer cancel()
	body, err := io.ReadAll(r.Body) // Lambda limits it to 6 MB
	if err != nil {
		return unreadable(err)
	}
	signature := r.Header.Get("X-Signature")
	if !streamchat.WellFormedSignature(signature) {
		return rejected(r, "the webhook has no X-Signature of 64 hex digits")
	}
	// An unknown key or a signature that does not fit may be those after a rotation: then
	// Verify waits for Parameter Store. Nothing is inflated before the key is known.
	key := r.Header.Get("X-Api-Key")
	credentials, err := h.app.Verify(ctx, func(c *streamchat.Credentials) bool { return key == "" || c.Knows(key) })
	if err != nil {
		return err
	}
	if credentials == nil {
		return rejected(r, "the webhook is another app's: its X-Api-Key is neither stream/api-key nor stream/api-key-previous")
	}
	plain, err := streamchat.PlainBody(body)
	if err != nil {
		lambdahttp.Count(r.Context(), "WebhooksRejected")
		return unreadable(err)
	}
	credentials, err = h.app.Verify(ctx, func(c *streamchat.Credentials) bool { return c.ValidSignature(key, plain, signature) })
	if err != nil {
		return err
	}
	if credentials == nil {
		return rejected(r, "the webhook's X-Signature does not fit its body and the secret of its X-Api-Key")
	}
	lambdahttp.SetCaller(r.Context(), "stream")
	lambdahttp.Count(r.Context(), "WebhooksAccepted")
	attempt, err := strconv.Atoi(r.Header.Get("X-Webhook-Attempt"))
	if err != nil { // of a number too large, Atoi returns the largest
		attempt = 0
	}
	about := metadata{WebhookID: r.Header.Get("X-Webhook-Id"), Attempt: attempt, Via: viaWebhook, APIKey: cmp.Or(key, credentials.Key())}
	e := newEvent(about, plain)
	if callback != "" {
		e = newPendingEvent(about, plain, callback)
	}
	if e.hook != "" {
		return httpjson.Write(w, http.StatusOK, h.replyTo(ctx, e, start))
	}
	if h.bus != nil {
		if err := h.bus.publish(ctx, e); err != nil {
			return &httpjson.Error{
				Status:  http.StatusServiceUnavailable,
				Message: "The event cannot be taken right now; send it again.",
				Cause:   err,
			}
		}
	}
	return httpjson.Write(w, http.StatusOK, reply{})
}

// replyTo returns the reply to a hook that arrived at start. It also publishes
// the hook as an event, in what little time there is: Stream would not send it
// again.
func (h *handler) replyTo(ctx context.Context, e event, start time.Time) (r reply) {
	lambdahttp.Annotate(ctx, slog.String("hook", e.hook))
	lambdahttp.AtOnce(ctx, func(ctx context.Context) {
		r = h.hooks.reply(ctx, e, start)
	}, func(ctx context.Context) {
		if h.bus == nil {
			return
		}
		ctx, cancel := context.WithDeadline(ctx, start.Add(ownTime))
		defer cancel()
		if err := h.bus.publish(ctx, e); err != nil {
			lambdahttp.Count(ctx, "HooksNotPublished")
			lambdahttp.Annotate(ctx, slog.String("notPublished", err.Error()))
		}
	})
	return r
}

func rejected(r *http.Request, cause string) error {
	lambdahttp.Count(r.Context(), "WebhooksRejected")
	return &httpjson.Error{
		Status:  http.StatusUnauthorized,
		Message: "This webhook is not signed with this app's secret; check X-Signature and X-Api-Key.",
		Cause:   errors.New(cause),
	}
}

func unreadable(cause error) error {
	status, message := http.StatusBadRequest, "This webhook's body cannot be read; send the JSON that Stream signed, plain or as gzip."
	switch {
	case errors.Is(cause, streamchat.ErrDamaged):
		message = "This webhook's gzip body was damaged on the way; send it with Content-Encoding: gzip."
	case errors.Is(cause, streamchat.ErrTooLarge):
		status, message = http.StatusRequestEntityTooLarge, "This webhook's gzip body inflates to over 8 MiB, or to over 512 KiB and 64 times its size; send it without gzip."
	}
	return &httpjson.Error{Status: status, Message: message, Cause: cause}
}

type verifyRequest struct {
	RawBody   *string `json:"rawBody"`
	Signature *string `json:"signature"`
}

type verifyResponse struct {
	IsValid bool `json:"isValid"`
}

// verify answers whether a webhook that another service received is signed with
// our secret.
func (h *handler) verify(w http.ResponseWriter, r *http.Request) error {
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
	valid, err := h.valid(r.Context(), []byte(*in.RawBody), *in.Signature)
	if err == nil && !valid && streamchat.WellFormedSignature(*in.Signature) {
		if plain, ok := inflate(*in.RawBody); ok {
			valid, err = h.valid(r.Context(), plain, *in.Signature)
		}
	}
	if err != nil {
		// This route's contract says 500; every other one says 503.
		if e := (*httpjson.Error)(nil); errors.As(api.Error(err), &e) {
			e.Status = http.StatusInternalServerError
			return e
		}
		return err
	}
	lambdahttp.Annotate(r.Context(), slog.Bool("isValid", valid))
	return httpjson.Write(w, http.StatusOK, verifyResponse{valid})
}

// valid reports whether any secret of ours verifies a signature.
func (h *handler) valid(ctx context.Context, body []byte, signature string) (bool, error) {
	if !streamchat.WellFormedSignature(signature) {
		_, err := h.app.Credentials(ctx)
		return false, err
	}
	credentials, err := h.app.Verify(ctx, func(c *streamchat.Credentials) bool { return c.ValidSignature("", body, signature) })
	return credentials != nil, err
}

// inflate decodes a base64 gzip body, and reports whether text is one.
func inflate(text string) ([]byte, bool) {
	if !strings.HasPrefix(text, "H4sI") { // gzip's first three bytes
		return nil, false
	}
	compressed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, false
	}
	plain, err := streamchat.PlainBody(compressed)
	return plain, err == nil
}
