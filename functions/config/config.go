// Package config serves what a client needs to start: its configuration and, if
// the caller is known, the credentials to connect to Stream.
package config

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
	options, err := optionsFromEnv(getenv)
	if err != nil {
		return nil, err
	}
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
	credentials, err := streamchat.Maker(store, getenv)
	if err != nil {
		return nil, err
	}
	values := keepValues(store, credentials)
	keys := callers.Load(ctx) // beside the settings
	values.Load(ctx)
	<-keys
	return newHandler(options, callers, rule, directory, limiter, values), nil
}
