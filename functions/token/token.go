// Package token issues the tokens with which users connect to Stream.
package token

import (
	"context"
	"net/http"

	"chat-service-backend/shared/api"
	"chat-service-backend/shared/identity"
	"chat-service-backend/shared/signin"
	"chat-service-backend/shared/streamchat"
	"chat-service-backend/shared/users"
)

// Build assembles the function from its environment. An error names the variable that is wrong.
func Build(ctx context.Context, getenv func(string) string) (http.Handler, error) {
	callers, err := identity.FromEnv(getenv)
	if err != nil {
		return nil, err
	}
	rule, err := signin.FromEnv(getenv)
	if err != nil {
		return nil, err
	}
	directory, err := users.FromEnv(getenv)
	if err != nil {
		return nil, err
	}
	limiter, err := api.LimiterFromEnv(getenv)
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
	keys := callers.Load(ctx) // beside the settings
	app.Load(ctx)
	<-keys
	return newHandler(app, callers, rule, directory, limiter), nil
}
