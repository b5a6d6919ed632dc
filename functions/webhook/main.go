// Command webhook verifies Stream's webhooks and publishes their events on
// EventBridge. Stream calls it directly; other services can have it verify the
// webhooks that they receive themselves.
package main

import (
	"context"
	"net/http"

	"chat-service-backend/shared/api"
	"chat-service-backend/shared/lambdahttp"
	"chat-service-backend/shared/streamchat"
)

func main() { lambdahttp.Main(build) }

func build(ctx context.Context, getenv func(string) string) (http.Handler, error) {
	bus, err := newBus(getenv)
	if err != nil {
		return nil, err
	}
	hooks, err := newAnswerer(getenv)
	if err != nil {
		return nil, err
	}
	store, err := api.OpenStore(getenv)
	if err != nil {
		return nil, err
	}
	app, err := streamchat.OpenForWebhooks(store, getenv)
	if err != nil {
		return nil, err
	}
	app.Load(ctx)
	return &handler{app, bus, hooks}, nil
}
