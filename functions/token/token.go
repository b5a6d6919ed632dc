// Package token issues the tokens with which users connect to Stream.
package token

import (
	"context"
	"net/http"

	"chat-service-backend/shared/api"
	"chat-service-backend/shared/streamchat"
)

// Build assembles the function from its environment. An error names the variable that is wrong.
func Build(ctx context.Context, getenv func(string) string) (http.Handler, error) {
	gate, err := api.OpenGate(getenv)
	if err != nil {
		return nil, err
	}
	store, err := api.OpenStore(getenv)
	if err != nil {
		return nil, err
	}
	app, err := streamchat.Open(store, getenv)
	if err != nil {
		return nil, err
	}
	gate.Load(ctx, app.Load)
	return newHandler(app, gate), nil
}
