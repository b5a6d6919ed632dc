// Package webhook verifies Stream's webhooks and publishes their events on
// EventBridge. Stream calls it directly; other services can have it verify the
// webhooks that they receive themselves.
package webhook

import (
	"context"
	"net/http"

	"chat-service-backend/shared/api"
	"chat-service-backend/shared/streamchat"
)

// Build assembles the function from its environment. An error names the variable that is wrong.
func Build(ctx context.Context, getenv func(string) string) (http.Handler, error) {
	bus, err := newBus(getenv)
	if err != nil {
		return nil, err
	}
	hooks, err := newHookFunction(getenv)
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
	app.Load(ctx)
	return &handler{app, bus, hooks}, nil
}
