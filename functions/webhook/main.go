// Command webhook checks the signature of Stream's webhooks, and is itself the
// address that Stream calls.
package main

import (
	"context"
	"net/http"

	"chat-service-backend/shared/lambdahttp"
	"chat-service-backend/shared/streamchat"
)

func main() { lambdahttp.Main(build) }

func build(ctx context.Context, getenv func(string) string) (http.Handler, error) {
	app, err := streamchat.OpenForWebhooks(ctx, getenv)
	if err != nil {
		return nil, err
	}
	return newHandler(app), nil
}
