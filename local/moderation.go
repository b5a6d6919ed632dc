package main

import (
	"context"
	"io"

	"chat-service-backend/internal/apigateway"
	"chat-service-backend/internal/lambdaapi"
	"chat-service-backend/internal/runtimeapi"
	"chat-service-backend/internal/standin"
)

const (
	moderation       = "moderation"       // the function that -moderation adds
	moderationPrefix = "/chat-moderation" // of its word lists in Parameter Store
)

func (s *server) moderationARN() string {
	return "arn:aws:lambda:" + s.region + ":" + apigateway.AccountID + ":function:" + moderation
}

// moderationAPI returns the API with which the webhook function invokes it.
func (s *server) moderationAPI(signed *standin.Credentials) *lambdaapi.API {
	return &lambdaapi.API{ARN: s.moderationARN(), Credentials: signed, Function: func(ctx context.Context, payload []byte) ([]byte, error) {
		answer, err := s.pools[moderation].invoke(ctx, runtimeapi.Event{Payload: payload})
		if err != nil {
			return nil, err
		}
		defer answer.Body.Close()
		return io.ReadAll(answer.Body)
	}}
}
