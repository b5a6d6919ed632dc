package main

import (
	"errors"
	"net/http"
	"testing"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/internal/runtimeapi"
)

func TestFunctionKilledBeforeItPublishedDoesNotAcknowledgeAndARetryDelivers(t *testing.T) {
	aws := awstest.NewEventBus(t)
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	publishing := make(chan struct{})
	aws.Instead(awstest.EventBridge, func(_ http.ResponseWriter, r *http.Request) bool {
		close(publishing)
		<-r.Context().Done() // the process and its connection end
		return true
	})
	killed := awstest.StartFunction(t, ssm.Env(aws.Env(nil)))
	go func() {
		<-publishing
		killed.Kill()
	}()
	if answer, _, err := killed.Post(awstest.ClientEvent(t, webhook(message), "/webhook")); !errors.Is(err, runtimeapi.ErrEnded) {
		t.Fatalf("want no answer, got %s, %v", answer, err)
	}
	if len(aws.Events()) != 0 || len(aws.Messages()) != 0 {
		t.Fatalf("want the event nowhere yet, got %v and %v", aws.Events(), aws.Messages())
	}

	aws.Instead(awstest.EventBridge, nil)
	retry := webhook(message)
	retry.Header.Set("X-Webhook-Attempt", "2")
	wantAcknowledged(t, awstest.StartFunction(t, ssm.Env(aws.Env(nil))).Invoke(awstest.ClientEvent(t, retry, "/webhook")))
	if len(aws.Events()) != 1 {
		t.Fatalf("want one event on the bus, got %v", aws.Events())
	}
	if metadata := wantBody(t, aws.Events()[0], message); metadata["webhookId"] != "webhook-1" || metadata["attempt"] != 2.0 {
		t.Errorf("want the second attempt of webhook-1, got %v", metadata)
	}
}
