// Package api connects the functions' HTTP handlers with the packages that do not know
// HTTP: it identifies callers, and turns errors into responses.
package api

import (
	"context"
	"net/http"

	"chat-service-backend/shared/httpjson"
	"chat-service-backend/shared/lambdahttp"
	"chat-service-backend/shared/settings"
)

// A HandlerFunc is an [http.Handler] that either answers or returns an error.
type HandlerFunc func(http.ResponseWriter, *http.Request) error

// ServeHTTP calls f and answers with the error it returns, if any.
func (f HandlerFunc) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	err := f(w, r)
	if err == nil {
		return
	}
	if known, _ := failureOf(err); known.status == http.StatusUnauthorized {
		// RFC 6750 section 3.
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	countUnavailable(r.Context(), err)
	httpjson.WriteError(w, r, Error(err))
}

// OpenStore is [settings.Open] for a store that counts refreshes that fail, in a metric
// of the function.
func OpenStore(getenv func(string) string) (*settings.Store, error) {
	store, err := settings.Open(getenv)
	if err != nil {
		return nil, err
	}
	store.OnStale = func(ctx context.Context) { lambdahttp.Count(ctx, "SettingsServedStale") }
	return store, nil
}
