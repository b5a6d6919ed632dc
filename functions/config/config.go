// Package config serves what a client needs to start: its configuration and, if
// the caller is known, the credentials to connect to Stream.
package config

import (
	"context"
	"net/http"

	"chat-service-backend/shared/api"
	"chat-service-backend/shared/streamchat"
)

// Build assembles the function from its environment. An error names the variable that is wrong.
func Build(ctx context.Context, getenv func(string) string) (http.Handler, error) {
	options, err := optionsFromEnv(getenv)
	if err != nil {
		return nil, err
	}
	gate, err := api.OpenGate(getenv)
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
	gate.Load(ctx, values.Load)
	return newHandler(options, gate, values, keepConfigs(store)), nil
}
