package webhook

import (
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/shared/awsconfig"
)

// Runs the function against a bus, a queue and a bucket that others have written,
// with a rule that sends the bus's events to a consumer's queue.
func TestEventReachesAConsumerThroughMoto(t *testing.T) {
	t.Parallel()
	url := awstest.Moto(t)
	// The settings come from a stand-in of ours, so that they exist already.
	env := awstest.NewParameterStore(t, awstest.App(key, secret)).Env(map[string]string{
		"AWS_ENDPOINT_URL": url, "EVENT_BUS_NAME": awstest.Bus, "LARGE_EVENTS_BUCKET": awstest.Bucket,
	})
	cfg := awsconfig.New(func(name string) string { return env[name] })
	queues, events := sqs.NewFromConfig(cfg), eventbridge.NewFromConfig(cfg)
	newQueue := func(name string) string {
		out, err := queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name})
		if err != nil {
			t.Fatal(err)
		}
		return *out.QueueUrl
	}
	env["FALLBACK_QUEUE_URL"] = newQueue("fallback")
	consumer := newQueue("consumer")
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(events.CreateEventBus(t.Context(), &eventbridge.CreateEventBusInput{Name: aws.String(awstest.Bus)}))
	must(events.PutRule(t.Context(), &eventbridge.PutRuleInput{
		Name: aws.String("all"), EventBusName: aws.String(awstest.Bus), EventPattern: aws.String(`{"source":["stream.chat"]}`),
	}))
	must(events.PutTargets(t.Context(), &eventbridge.PutTargetsInput{
		Rule: aws.String("all"), EventBusName: aws.String(awstest.Bus),
		Targets: []types.Target{{Id: aws.String("consumer"), Arn: aws.String("arn:aws:sqs:eu-central-1:123456789012:consumer")}},
	}))
	// s3 calls S3. Any signature will do for moto.
	s3 := func(method, path, body string) string {
		t.Helper()
		r, _ := http.NewRequestWithContext(t.Context(), method, url+"/"+awstest.Bucket+path, strings.NewReader(body))
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/eu-central-1/s3/aws4_request")
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		content, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: want status 200, got %d, %v", method, path, response.StatusCode, err)
		}
		return string(content)
	}
	s3(http.MethodPut, "", "<CreateBucketConfiguration><LocationConstraint>eu-central-1</LocationConstraint></CreateBucketConfiguration>")

	type delivery struct {
		Source     string
		DetailType string `json:"detail-type"`
		Detail     struct {
			Metadata metadata
			Event    json.RawMessage
		}
	}
	f := awstest.StartFunction(t, env)
	// deliver sends a webhook until an event reaches the consumer: moto may be too
	// slow for the function, which then queues the event, or sends it twice.
	deliver := func(newRequest func(string) *http.Request, body string) (d delivery) {
		t.Helper()
		for range 5 {
			wantAcknowledged(t, f.Invoke(awstest.ClientEvent(t, newRequest(body), "/webhook")))
			out, err := queues.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &consumer, MaxNumberOfMessages: 10})
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range out.Messages {
				if err := json.Unmarshal([]byte(*m.Body), &d); err != nil {
					t.Fatalf("want an event, got %s: %v", *m.Body, err)
				}
				must(queues.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &consumer, ReceiptHandle: m.ReceiptHandle}))
			}
			if len(out.Messages) > 0 {
				return d
			}
		}
		t.Fatal("want an event at the consumer, got none")
		return d
	}

	got := deliver(compressedWebhook, message)
	if got.Source != "stream.chat" || got.DetailType != "message.new" || got.Detail.Metadata.WebhookID != "webhook-1" {
		t.Errorf("want message.new from stream.chat, got %+v", got)
	}
	// EventBridge may reformat the JSON.
	var want, have any
	if json.Unmarshal([]byte(message), &want) != nil || json.Unmarshal(got.Detail.Event, &have) != nil || !reflect.DeepEqual(want, have) {
		t.Errorf("want %s, got %s", message, got.Detail.Event)
	}
	broken := large[1:] // moto takes events of any size
	stored := deliver(webhook, broken).Detail.Metadata.Object
	if stored == nil {
		t.Fatal("want an announcement, got the event")
	}
	if content := s3(http.MethodGet, "/"+stored.Key, ""); content != broken {
		t.Errorf("want the event byte for byte, got %.100s", content)
	}
}
