// Command apikey answers with the app's public API key. It can read no secret.
package main

import (
	"context"
	"net/http"

	"chat-service-backend/shared/lambdahttp"
	"chat-service-backend/shared/streamchat"
)

func main() { lambdahttp.Main(build) }

func build(ctx context.Context, getenv func(string) string) (http.Handler, error) {
	key, err := streamchat.OpenKey(ctx, getenv)
	if err != nil {
		return nil, err
	}
	return newHandler(key), nil
}
