// Command consumer is an example of a consumer of chat events. It acts on each
// event once, however often the event is delivered.
package main

import (
	"context"
	"log"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stdout, nil)))
	cfg, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		log.Fatalf("find AWS credentials: %v", err)
	}
	name := os.Getenv("TABLE_NAME")
	if name == "" {
		log.Fatal("TABLE_NAME is not set; set it to the name of the DynamoDB table of handled events")
	}
	c := &consumer{
		memory:  &table{dynamodb.NewFromConfig(cfg), name},
		objects: bucket{s3.NewFromConfig(cfg)},
		act:     report,
	}
	lambda.Start(c.handle)
}

// report writes a log line for an event; put your own action here. If the process
// dies during a call, report is called again for the same event, so what it does
// should be harmless to do twice.
func report(ctx context.Context, e chatEvent) error {
	slog.InfoContext(ctx, "event", "type", e.Type, "cid", e.CID, "webhookId", e.WebhookID)
	return nil
}
