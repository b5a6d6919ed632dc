package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/shared/settings"
)

// A stack is the bus, the queue and the bucket of a deployment, at moto, and a
// queue into which a rule brings what comes to the bus.
type stack struct {
	t        *testing.T
	url      string
	env      map[string]string
	queue    *sqs.Client
	consumer *string // URL
}

func newStack(t *testing.T) *stack {
	t.Helper()
	s := &stack{t: t, url: awstest.Moto(t)}
	// The settings come from elsewhere, so that they can be there beforehand.
	s.env = awstest.NewParameterStore(t, awstest.App(key, secret)).Env(map[string]string{
		"AWS_ENDPOINT_URL": s.url, "EVENT_BUS_NAME": awstest.Bus, "LARGE_EVENTS_BUCKET": awstest.Bucket,
	})
	getenv := func(name string) string { return s.env[name] }
	s.queue = sqs.New(sqs.Options{Region: s.env["AWS_REGION"], Credentials: settings.Credentials(getenv), BaseEndpoint: &s.url})
	events := eventbridge.New(eventbridge.Options{Region: s.env["AWS_REGION"], Credentials: settings.Credentials(getenv), BaseEndpoint: &s.url})

	s.env["FALLBACK_QUEUE_URL"] = *s.newQueue("fallback")
	s.consumer = s.newQueue("consumer")
	must(t)(events.CreateEventBus(t.Context(), &eventbridge.CreateEventBusInput{Name: aws.String(awstest.Bus)}))
	must(t)(events.PutRule(t.Context(), &eventbridge.PutRuleInput{
		Name: aws.String("all"), EventBusName: aws.String(awstest.Bus), EventPattern: aws.String(`{"source":["stream.chat"]}`),
	}))
	must(t)(events.PutTargets(t.Context(), &eventbridge.PutTargetsInput{
		Rule: aws.String("all"), EventBusName: aws.String(awstest.Bus),
		Targets: []types.Target{{Id: aws.String("consumer"), Arn: aws.String("arn:aws:sqs:eu-central-1:123456789012:consumer")}},
	}))
	s.call(http.MethodPut, "/"+awstest.Bucket, "<CreateBucketConfiguration><LocationConstraint>eu-central-1</LocationConstraint></CreateBucketConfiguration>")
	return s
}

func must(t *testing.T) func(_ any, err error) {
	return func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (s *stack) newQueue(name string) *string {
	s.t.Helper()
	out, err := s.queue.CreateQueue(s.t.Context(), &sqs.CreateQueueInput{QueueName: &name})
	if err != nil {
		s.t.Fatal(err)
	}
	return out.QueueUrl
}

// call calls S3 and returns what it answers. To moto, any signature will do.
func (s *stack) call(method, path, body string) string {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/eu-central-1/s3/aws4_request")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		s.t.Fatalf("%s %s: want status 200, got %d, %v", method, path, response.StatusCode, err)
	}
	return string(content)
}

// A delivery is an event as EventBridge brings it to a consumer.
type delivery struct {
	Source     string `json:"source"`
	DetailType string `json:"detail-type"`
	Detail     struct {
		Metadata struct {
			WebhookID string `json:"webhookId"`
			Object    *struct {
				Key string `json:"key"`
			} `json:"object"`
		} `json:"metadata"`
		Event json.RawMessage `json:"event"`
	} `json:"detail"`
}

// delivered returns what has come to the consumer's queue.
func (s *stack) delivered() []delivery {
	s.t.Helper()
	out, err := s.queue.ReceiveMessage(s.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: s.consumer, MaxNumberOfMessages: 10})
	if err != nil {
		s.t.Fatal(err)
	}
	var all []delivery
	for _, m := range out.Messages {
		var d delivery
		if err := json.Unmarshal([]byte(*m.Body), &d); err != nil {
			s.t.Fatalf("want an event, got %s: %v", *m.Body, err)
		}
		all = append(all, d)
		must(s.t)(s.queue.DeleteMessage(s.t.Context(), &sqs.DeleteMessageInput{QueueUrl: s.consumer, ReceiptHandle: m.ReceiptHandle}))
	}
	return all
}

// reach has f take a webhook until it comes to the consumer: moto may be too slow
// for the function, which then leaves the event in the fallback queue, or sends
// it twice.
func (s *stack) reach(f *awstest.Function, r func() *http.Request) []delivery {
	s.t.Helper()
	for range 5 {
		wantAcknowledged(s.t, f.Invoke(awstest.ClientEvent(s.t, r(), "/webhook")))
		if got := s.delivered(); len(got) > 0 {
			return got
		}
	}
	return nil
}

func TestEventComesToAConsumerThroughMoto(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	f := awstest.StartFunction(t, s.env)
	got := s.reach(f, func() *http.Request { return compressedWebhook(message) })
	if len(got) == 0 || got[0].Source != "stream.chat" || got[0].DetailType != "message.new" || got[0].Detail.Metadata.WebhookID != "webhook-1" {
		t.Fatalf("want message.new from stream.chat, got %+v", got)
	}
	// EventBridge may write the JSON anew; its bytes are the function's up to there.
	var want, have any
	if json.Unmarshal([]byte(message), &want) != nil || json.Unmarshal(got[0].Detail.Event, &have) != nil || !equal(want, have) {
		t.Errorf("want %s, got %s", message, got[0].Detail.Event)
	}

	large := `{"type":"message.new","text":"` + strings.Repeat("é", 200<<10) + `"}`
	got = s.reach(f, func() *http.Request { return webhook(large) })
	if got = got[max(0, len(got)-1):]; len(got) == 0 || got[0].Detail.Metadata.Object == nil {
		t.Fatalf("want an announcement, got %+v", got)
	}
	if content := s.call(http.MethodGet, "/"+awstest.Bucket+"/"+got[0].Detail.Metadata.Object.Key, ""); content != large {
		t.Errorf("want the event to the byte, got %.100s", content)
	}
}

func equal(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}
