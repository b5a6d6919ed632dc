// Package proxy forwards REST calls to Stream with the app's server credentials.
package proxy

import (
	"context"
	"net/http"

	"chat-service-backend/shared/api"
	"chat-service-backend/shared/lambdahttp"
	"chat-service-backend/shared/settings"
	"chat-service-backend/shared/streamchat"
)

// Build assembles the function from its environment. An error names the variable that is wrong.
func Build(ctx context.Context, getenv func(string) string) (http.Handler, error) {
	base, err := settings.URL(getenv, "STREAM_BASE_URL", streamchat.DefaultBaseURL)
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
	upstream := newUpstream(base)
	lambdahttp.AtOnce(ctx, app.Load, upstream.warm)
	return newHandler(app, base, upstream), nil
}
