package main

import (
	"context"
	"io"
	"time"

	"chat-service-backend/internal/apigateway"
	"chat-service-backend/internal/lambdaapi"
	"chat-service-backend/internal/standin"
)

const (
	moderationName    = "moderation"       // the function that -moderation adds
	moderationPrefix  = "/chat-moderation" // of its word lists in Parameter Store
	moderationTimeout = 6 * time.Second
)

func (s *server) moderationARN() string {
	return "arn:aws:lambda:" + s.region + ":" + apigateway.AccountID + ":function:" + moderationName
}

// moderationAPI returns the API with which the webhook function invokes it.
func (s *server) moderationAPI(signed *standin.Credentials) *lambdaapi.API {
	return &lambdaapi.API{ARN: s.moderationARN(), Credentials: signed, Function: func(ctx context.Context, payload []byte) ([]byte, error) {
		f := s.functions[moderationName].Load()
		answer, err := f.invoke(f.host.Context(ctx, standin.UUID(), ""), payload)
		if err != nil {
			return nil, err
		}
		defer answer.Close()
		return io.ReadAll(answer)
	}}
}
