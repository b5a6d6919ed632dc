// Command forward is the smallest function that forwards to Stream and streams the
// answer back: net/http's default client, response headers as they come, no checks.
package main

import (
	"context"
	"net/http"
	"os"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

func main() { lambda.Start(handle) }

func handle(ctx context.Context, e events.APIGatewayProxyRequest) (*events.APIGatewayProxyStreamingResponse, error) {
	to := os.Getenv("STREAM_BASE_URL") + strings.TrimPrefix(e.Path, "/proxy") + "?api_key=" + os.Getenv("STREAM_KEY")
	r, err := http.NewRequestWithContext(ctx, e.HTTPMethod, to, strings.NewReader(e.Body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Stream-Auth-Type", "jwt")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	return &events.APIGatewayProxyStreamingResponse{
		StatusCode:        response.StatusCode,
		MultiValueHeaders: response.Header,
		Body:              response.Body,
	}, nil
}
