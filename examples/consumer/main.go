// Command consumer is an example of what takes events off the bus: it does
// something for each of them, once, however often it is delivered.
package main

import (
	"context"
	"log"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stdout, nil)))
	cfg, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		log.Fatalf("find AWS credentials: %v", err)
	}
	table := os.Getenv("TABLE_NAME")
	if table == "" {
		log.Fatal("TABLE_NAME: want the table that remembers events, got nothing")
	}
	c := &consumer{
		memory:  newTable(cfg, table, os.Getenv),
		objects: s3.NewFromConfig(cfg),
		act:     report,
	}
	lambda.Start(c.handle)
}

// report is what this example does for an event: a line in the log. Yours goes
// here. It may be called again for an event whose first call ended with the
// process, so what it does should be harmless to do twice.
func report(ctx context.Context, e chatEvent) error {
	slog.InfoContext(ctx, "event", "type", e.Type, "cid", e.CID, "webhookId", e.WebhookID)
	return nil
}
