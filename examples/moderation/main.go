// Command moderation is an example of a hook function: from word lists, it
// refuses a message, masks words in it, or lets it pass.
package main

import (
	"context"
	"log"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"chat-service-backend/shared/settings"
)

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stdout, nil)))
	store, err := settings.Open(os.Getenv)
	if err != nil {
		log.Fatal(err)
	}
	lists := settings.Keep(store, settings.Forever, func(ctx context.Context) (lists, error) { return fetchLists(ctx, store) })
	lists.Load(context.Background())
	lambda.Start((&moderator{lists.Get}).answer)
}
