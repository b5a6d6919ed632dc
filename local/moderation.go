package main

import (
	"context"
	"fmt"
	"io"
	"maps"

	"chat-service-backend/internal/apigateway"
	"chat-service-backend/internal/build"
	"chat-service-backend/internal/lambdaapi"
	"chat-service-backend/internal/runtimeapi"
)

// moderationPrefix is where the words of examples/moderation lie.
const moderationPrefix = "/chat-moderation"

func (s *server) moderationARN() string {
	return "arn:aws:lambda:" + s.region + ":" + apigateway.AccountID + ":function:moderation"
}

// startModeration builds and starts examples/moderation, and serves the API by
// which the webhook function invokes it.
func (s *server) startModeration(ctx context.Context) error {
	if s.lambda == nil {
		return nil
	}
	const example = "./examples/moderation"
	binaries, err := build.Commands(ctx, s.template.Dir, s.dir, build.Host, example)
	if err != nil {
		return err
	}
	env := maps.Clone(s.credentials)
	maps.Copy(env, s.extra)
	env["PARAMETER_PREFIX"] = moderationPrefix
	p := newPool()
	s.pools["moderation"] = p
	first, err := p.replace(func() (*runtimeapi.Process, error) {
		return runtimeapi.Start(runtimeapi.Config{
			Binary: binaries[example], Name: "moderation", Account: apigateway.AccountID, Region: s.region, Env: env, Output: s.log.prefixed("moderation", s.feed.sendLog),
		})
	})
	if err == nil {
		err = first.Idle(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", example, err)
	}
	s.serve(s.lambda, &lambdaapi.API{ARN: s.moderationARN(), Credentials: s.signedBy(), Function: func(ctx context.Context, payload []byte) ([]byte, error) {
		answer, err := p.invoke(ctx, runtimeapi.Event{Payload: payload})
		if err != nil {
			return nil, err
		}
		defer answer.Body.Close()
		return io.ReadAll(answer.Body)
	}})
	return nil
}
