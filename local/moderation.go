package main

import (
	"bytes"
	"context"
	"io"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"chat-service-backend/examples/moderation"
	"chat-service-backend/internal/apigateway"
	"chat-service-backend/internal/standin"
	"chat-service-backend/ops/cfn"
	"chat-service-backend/shared/lambdahttp"
)

const (
	moderationName   = "moderation"       // the function that -moderation adds
	moderationPrefix = "/chat-moderation" // of its word lists in Parameter Store
)

var moderationFunction = cfn.Function{
	ID: moderationName, Name: moderationName, Timeout: 6 * time.Second, Environment: map[string]string{"PARAMETER_PREFIX": moderationPrefix},
}

// startModeration starts examples/moderation, which is no HTTP handler.
func startModeration(ctx context.Context, host *lambdahttp.Host, getenv func(string) string) (invoker, error) {
	decide, err := moderation.Build(host.Context(ctx, "", ""), getenv)
	handler := lambda.NewHandler(decide)
	return func(ctx context.Context, payload []byte) (io.ReadCloser, error) {
		answer, err := handler.Invoke(ctx, payload)
		return io.NopCloser(bytes.NewReader(answer)), err
	}, err
}

func (s *server) moderationARN() string {
	return "arn:aws:lambda:" + s.region + ":" + apigateway.AccountID + ":function:" + moderationName
}

// moderationAPI returns the API with which the webhook function invokes it.
func (s *server) moderationAPI(signed *standin.Credentials) *standin.Lambda {
	return &standin.Lambda{ARN: s.moderationARN(), Credentials: signed, Function: func(ctx context.Context, payload []byte) ([]byte, error) {
		f := s.functions[moderationName].Load()
		answer, err := f.invoke(f.host.Context(ctx, standin.UUID(), ""), payload)
		if err != nil {
			return nil, err
		}
		return io.ReadAll(answer)
	}}
}
