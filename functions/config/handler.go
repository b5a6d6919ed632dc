package config

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"

	"chat-service-backend/shared/api"
	"chat-service-backend/shared/httpjson"
	"chat-service-backend/shared/identity"
	"chat-service-backend/shared/lambdahttp"
	"chat-service-backend/shared/settings"
	"chat-service-backend/shared/streamchat"
	"chat-service-backend/shared/userid"
	"chat-service-backend/shared/users"
)

// clientConfigs is the path of the configurations, one for each client type.
const clientConfigs = "client-config"

// authenticationKey is the key of the credentials in a response.
const authenticationKey = "authentication"

type authentication struct {
	APIKey    string `json:"apiKey"`
	UserID    string `json:"userId"`
	UserToken string `json:"userToken"`
	Name      string `json:"name,omitempty"`
	Image     string `json:"image,omitempty"`
}

// notKnown is the default error object, for client types that configure none.
var notKnown = json.RawMessage(`{"title":"Not signed in","message":"Sign in to use the chat."}`)

// clientConfig is the configuration of one client type, a JSON object.
type clientConfig map[string]json.RawMessage

var errNotObject = errors.New("it is not a JSON object")

// parseClientConfig parses a parameter's value. Its members stay raw JSON, so
// numbers keep all their digits.
func parseClientConfig(text string) (clientConfig, error) {
	var c clientConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil || c == nil {
		// The decoder's own error may quote the value.
		return nil, errNotObject
	}
	return c, nil
}

// usual are the client types that are read with the credentials, in one call: a morning
// with many starts is short of calls. The others take a call of their own.
var usual = []string{"web", "mobile", "ios", "android", "desktop", "tv"}

// configs has the configuration of each client type: nil for one that is broken, which
// does not affect the others.
type configs map[string]clientConfig

// values is what each process reads.
type values struct {
	configs     configs // of usual types
	credentials *streamchat.Credentials
	err         error // why there are no credentials; configs are valid all the same
}

// keepValues returns the values in store, kept fresh.
func keepValues(store *settings.Store, credentials func(map[string]string) (*streamchat.Credentials, error)) *settings.Value[*values] {
	names := slices.Clone(streamchat.Names)
	for _, clientType := range usual {
		names = append(names, clientConfigs+"/"+clientType)
	}
	return settings.Keep(store, streamchat.StaleFor, func(ctx context.Context) (*values, error) {
		all, err := store.Parameters(ctx, names...)
		if err != nil {
			return nil, err
		}
		v := &values{configs: configs{}}
		v.credentials, v.err = credentials(all)
		for _, clientType := range usual {
			if text, ok := all[clientConfigs+"/"+clientType]; ok {
				v.configs.add(ctx, store, clientType, text)
			}
		}
		return v, nil
	})
}

// keepConfigs returns the configurations of all client types, kept fresh. An unknown
// type costs no call.
func keepConfigs(store *settings.Store) *settings.Value[configs] {
	return settings.Keep(store, streamchat.StaleFor, func(ctx context.Context) (configs, error) {
		texts, err := store.Below(ctx, clientConfigs)
		if err != nil {
			return nil, err
		}
		all := configs{}
		for clientType, text := range texts {
			all.add(ctx, store, clientType, text)
		}
		return all, nil
	})
}

func (c configs) add(ctx context.Context, store *settings.Store, clientType, text string) {
	config, err := parseClientConfig(text)
	if err != nil {
		slog.ErrorContext(ctx, "a client configuration cannot be used", "parameter", store.Name(clientConfigs+"/"+clientType), "cause", err.Error())
	}
	c[clientType] = config
}

// A handler serves GET /config.
type handler struct {
	options options
	gate    *api.Gate
	values  *settings.Value[*values]
	configs *settings.Value[configs]
}

func newHandler(o options, gate *api.Gate, values *settings.Value[*values], configs *settings.Value[configs]) http.Handler {
	h := &handler{o, gate, values, configs}
	return api.HandlerFunc(h.serve)
}

func (h *handler) serve(w http.ResponseWriter, r *http.Request) error {
	switch {
	case r.URL.Path != "/config":
		return httpjson.NotFound()
	case r.Method != http.MethodGet:
		return httpjson.MethodNotAllowed(w, http.MethodGet)
	}
	clientType := r.URL.Query().Get("clientType")
	if clientType == "" {
		return httpjson.Errorf(http.StatusBadRequest, "Say which client asks, as in /config?clientType=web.")
	}
	config, err := h.config(r.Context(), clientType)
	if err != nil {
		return err
	}
	problem := notKnown
	caller, err := h.caller(r)
	if errors.Is(err, identity.ErrNotAllowed) {
		problem, err = errorObject(err), nil
	}
	if err != nil {
		return err
	}
	var known json.RawMessage
	if caller.UserID != "" {
		known, err = h.authentication(w, r, caller)
		if _, refused := errors.AsType[users.Refused](err); refused || errors.Is(err, api.ErrTooMany) {
			problem, err = errorObject(err), nil
		}
		if err != nil {
			return err
		}
	}
	if known == nil {
		delete(config, authenticationKey)
		if _, ok := config[h.options.errorKey]; !ok {
			config[h.options.errorKey] = problem
		}
	} else {
		delete(config, h.options.errorKey)
		config[authenticationKey] = known
	}
	if caller.Kind == identity.Anonymous && len(r.Header.Values("Authorization")) == 0 {
		return writeForAll(w, r, config)
	}
	// The response depends on the caller and may contain a token.
	w.Header().Set("Cache-Control", "no-store")
	return httpjson.Write(w, http.StatusOK, config)
}

// maxAge is how many seconds browsers and CDNs may cache a response that is the
// same for everybody: short beside the time that a changed parameter takes anyway.
const maxAge = "60"

// writeForAll answers a request without credentials, with 304 if the caller's copy
// is current. A copy is valid for one origin only, because API Gateway adds CORS
// headers to requests with an Origin.
func writeForAll(w http.ResponseWriter, r *http.Request, config clientConfig) error {
	text, err := json.Marshal(config)
	if err != nil {
		return fmt.Errorf("encode the configuration: %w", err)
	}
	sum := sha256.Sum256(text)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	w.Header().Set("Cache-Control", "public, max-age="+maxAge)
	w.Header().Set("Vary", "Authorization, Origin")
	w.Header().Set("ETag", tag)
	// The tag is a hash, so it is enough to find it anywhere in the list.
	if have := r.Header.Get("If-None-Match"); have == "*" || strings.Contains(have, tag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return httpjson.Write(w, http.StatusOK, config)
}

// config returns a copy of a client type's configuration, which is empty if there
// is none.
func (h *handler) config(ctx context.Context, clientType string) (clientConfig, error) {
	var v *values
	var all configs
	var err, otherErr error
	get := []func(context.Context){func(ctx context.Context) { v, err = h.values.Get(ctx) }}
	if !slices.Contains(usual, clientType) {
		get = append(get, func(ctx context.Context) { all, otherErr = h.configs.Get(ctx) })
	}
	lambdahttp.AtOnce(ctx, get...)
	if err := errors.Join(err, otherErr); err != nil {
		return nil, &httpjson.Error{
			Status:  http.StatusServiceUnavailable,
			Message: "The configuration cannot be read right now; try again in a moment.",
			Cause:   err,
		}
	}
	if all == nil {
		all = v.configs
	}
	c, ok := all[clientType]
	if ok && c == nil {
		// Keeps this from rolling back a deployment, which would not mend it.
		lambdahttp.Annotate(ctx, slog.String("fault", "ClientConfiguration"))
		return nil, &httpjson.Error{
			Status:  http.StatusInternalServerError,
			Message: "The configuration of this client type is broken; its parameter must be a JSON object.",
			Cause:   fmt.Errorf("parameter client-config/%s: %w", clientType, errNotObject),
		}
	}
	if !ok {
		lambdahttp.Annotate(ctx, slog.Bool("noConfiguration", true)) // perhaps a misspelt type
	}
	config := make(clientConfig, len(c)+1)
	maps.Copy(config, c)
	return config, nil
}

// caller returns the caller. Its UserID is the Stream user that the caller is or
// speaks for, or "" if that is unknown. A bad bearer token is not an error: the
// client gets its configuration, and an error object that tells it to sign in again.
func (h *handler) caller(r *http.Request) (identity.Caller, error) {
	caller, err := h.gate.Caller(r)
	switch {
	case errors.Is(err, identity.ErrBadToken):
		return identity.Caller{}, nil
	case err != nil:
		return identity.Caller{}, err
	}
	switch caller.Kind {
	case identity.Anonymous:
		return caller, nil
	case identity.Service:
		caller.UserID = h.options.userIDHeader.value(r.Header)
	}
	if !userid.Valid(caller.UserID) {
		lambdahttp.Annotate(r.Context(), slog.String("refused", "the caller names no valid user id"))
		caller.UserID = ""
	}
	return caller, nil
}

// errorObject returns the error object for a user who is refused.
func errorObject(err error) json.RawMessage {
	var e *httpjson.Error
	errors.As(api.Error(err), &e)
	object, _ := json.Marshal(map[string]string{"title": "Not signed in", "message": e.Message}) // strings always encode
	return object
}

// authentication returns the credentials for a known caller.
func (h *handler) authentication(w http.ResponseWriter, r *http.Request, caller identity.Caller) (json.RawMessage, error) {
	v, err := h.values.Get(r.Context())
	if err == nil && v.err != nil {
		// The operator who adds the parameter need not wait for the next refresh.
		v, err = h.values.Renew(r.Context())
	}
	if err != nil {
		return nil, err
	}
	if v.err != nil {
		return nil, fmt.Errorf("%w: %w", settings.ErrUnavailable, v.err)
	}
	user, err := h.gate.SignIn(w, r, v.credentials, caller)
	if err != nil {
		return nil, err
	}
	token, err := v.credentials.UserToken(caller.UserID, user.TokensSince, caller.Life)
	if err != nil {
		return nil, err
	}
	lambdahttp.Count(r.Context(), "TokensMinted")
	return json.Marshal(authentication{v.credentials.Key(), caller.UserID, token, user.Name, user.Image})
}
