// Package apikey serves the app's public API key. It has no access to the secret.
package apikey

import (
	"context"
	"net/http"

	"chat-service-backend/shared/api"
	"chat-service-backend/shared/streamchat"
)

// Build assembles the function from its environment. An error names the variable that is wrong.
func Build(ctx context.Context, getenv func(string) string) (http.Handler, error) {
	store, err := api.OpenStore(getenv)
	if err != nil {
		return nil, err
	}
	key := streamchat.OpenKey(store)
	key.Load(ctx)
	return newHandler(key), nil
}
