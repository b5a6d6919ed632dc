// Command proxy forwards REST calls to Stream with the app's server credentials.
package main

import (
	"context"
	"net/http"

	"chat-service-backend/shared/lambdahttp"
	"chat-service-backend/shared/settings"
	"chat-service-backend/shared/streamchat"
)

func main() { lambdahttp.MainStreamed(build) }

// streamBaseURL is the address of Stream's API, close to everywhere.
const streamBaseURL = "https://chat.stream-io-api.com"

func build(ctx context.Context, getenv func(string) string) (http.Handler, error) {
	base, err := settings.URL(getenv, "STREAM_BASE_URL", streamBaseURL)
	if err != nil {
		return nil, err
	}
	upstream := newUpstream(base)
	warm := make(chan struct{})
	go func() {
		upstream.warm(ctx)
		close(warm)
	}()
	app, err := streamchat.Open(ctx, getenv)
	<-warm
	if err != nil {
		return nil, err
	}
	return newHandler(app, base, upstream), nil
}
