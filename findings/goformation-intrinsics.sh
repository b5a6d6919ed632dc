#!/usr/bin/env bash
# github.com/awslabs/goformation/v7 v7.14.9. Seen on 2026-11-27 with Go 1.26.
# Opening a template and writing it again is not the identity: intrinsic functions are answered on the way, with what is known without
# AWS, and nothing is said. A property that is a GetAtt of a resource, or an If with two good branches, is gone; a Ref to a resource in an
# output becomes null; a Sub with AWS::StackName carries the name "goformation-stack" into the template.
# Seen (of a queue with QueueName, VisibilityTimeout and KmsMasterKeyId, and an output with its URL):
#   {"QueueName":"goformation-stack-chat"}
#   output: <nil>
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
go mod init finding 2>/dev/null
go get github.com/awslabs/goformation/v7@v7.14.9 2>/dev/null

cat >template.yaml <<'E'
Parameters:
  Stage: {Type: String, Default: dev}
Conditions:
  IsProd: !Equals [!Ref Stage, prod]
Resources:
  Key: {Type: AWS::KMS::Key}
  Queue:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: !Sub ${AWS::StackName}-chat
      VisibilityTimeout: !If [IsProd, 60, 30]
      KmsMasterKeyId: !GetAtt Key.Arn
Outputs:
  Url: {Value: !Ref Queue}
E
cat >main.go <<'E'
package main

import (
	"encoding/json"
	"fmt"

	"github.com/awslabs/goformation/v7"
)

func main() {
	template, err := goformation.Open("template.yaml")
	if err != nil {
		panic(err)
	}
	text, err := template.JSON()
	if err != nil {
		panic(err)
	}
	var written struct {
		Resources map[string]struct{ Properties map[string]any }
		Outputs   map[string]struct{ Value any }
	}
	if err := json.Unmarshal(text, &written); err != nil {
		panic(err)
	}
	queue, _ := json.Marshal(written.Resources["Queue"].Properties)
	fmt.Println(string(queue))
	fmt.Println("output:", written.Outputs["Url"].Value)
}
E
go run . | tee seen
diff - seen <<'E'
{"QueueName":"goformation-stack-chat"}
output: <nil>
E
