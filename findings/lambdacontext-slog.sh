#!/usr/bin/env bash
# github.com/aws/aws-lambda-go v1.55.1. Seen on 2026-11-27 with Go 1.26.
# lambdacontext.NewLogHandler renames time and msg wherever they stand, so a program's own attributes of these names become a second
# timestamp and a second message in the same JSON object, and JSON readers keep the last. After WithGroup the request id is written inside the
# group, where a search for requestId does not find it.
# Seen (timestamps cut):
#   {"timestamp":...,"level":"INFO","message":"sent","timestamp":"noon","message":"hello","requestId":"req-1"}
#   {"timestamp":...,"level":"INFO","message":"sent","chat":{"cid":"messaging:general","requestId":"req-1"}}
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
go mod init finding 2>/dev/null
go get github.com/aws/aws-lambda-go/lambdacontext@v1.55.1 2>/dev/null

cat >main.go <<'E'
package main

import (
	"context"
	"log/slog"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

func main() {
	ctx := lambdacontext.NewContext(context.Background(), &lambdacontext.LambdaContext{AwsRequestID: "req-1"})
	log := slog.New(lambdacontext.NewLogHandler())
	log.InfoContext(ctx, "sent", "time", "noon", "msg", "hello")
	log.WithGroup("chat").InfoContext(ctx, "sent", "cid", "messaging:general")
}
E
AWS_LAMBDA_LOG_FORMAT=JSON go run . 2>&1 | sed 's/"timestamp":"20[^"]*"/"timestamp":.../' | tee seen
diff - seen <<'E'
{"timestamp":...,"level":"INFO","message":"sent","timestamp":"noon","message":"hello","requestId":"req-1"}
{"timestamp":...,"level":"INFO","message":"sent","chat":{"cid":"messaging:general","requestId":"req-1"}}
E
