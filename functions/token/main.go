// Command token answers with a token with which a user may connect to Stream.
package main

import (
	"context"
	"net/http"

	"chat-service-backend/shared/identity"
	"chat-service-backend/shared/lambdahttp"
	"chat-service-backend/shared/streamchat"
)

func main() { lambdahttp.Main(build) }

func build(ctx context.Context, getenv func(string) string) (http.Handler, error) {
	callers, err := identity.FromEnv(getenv)
	if err != nil {
		return nil, err
	}
	app, err := streamchat.Open(ctx, getenv)
	if err != nil {
		return nil, err
	}
	return newHandler(app, callers), nil
}
