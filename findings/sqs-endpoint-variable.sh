#!/usr/bin/env bash
# @aws-sdk/client-sqs 3.1169.0 (npm) and aws-sdk-go-v2/service/sqs v1.48.1. Seen on 2026-11-27 with Node.js 20 and Go 1.26.
# Two servers: E is the configured endpoint, Q is the host in the queue's URL. JavaScript sends a message to Q although
# AWS_ENDPOINT_URL_SQS names E (only GetQueueUrl goes there); the same endpoint as an option of the client wins over Q. Go never looks
# at the queue URL's host.
# Seen:
#   javascript, variable: GetQueueUrl to E, SendMessage to Q
#   javascript, option: GetQueueUrl to E, SendMessage to E
#   go, BaseEndpoint: GetQueueUrl to E, SendMessage to E
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @aws-sdk/client-sqs@3.1169.0 >/dev/null
go mod init finding 2>/dev/null
go get github.com/aws/aws-sdk-go-v2/service/sqs@v1.48.1 2>/dev/null

cat >main.mjs <<'E'
import { createServer } from 'node:http';
import { createHash } from 'node:crypto';
import { SQSClient, SendMessageCommand, GetQueueUrlCommand } from '@aws-sdk/client-sqs';
let seen;
const listen = (name) => new Promise((resolve) => {
  const server = createServer((req, res) => {
    seen.push(`${req.headers['x-amz-target'].split('.')[1]} to ${name}`);
    res.setHeader('content-type', 'application/x-amz-json-1.0');
    res.end(JSON.stringify({ MD5OfMessageBody: createHash('md5').update('hello').digest('hex') }));
  });
  server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${server.address().port}`));
});
const endpoint = await listen('E'), queue = await listen('Q');
const base = { region: 'eu-west-1', credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' } };
const run = async (name, options) => {
  seen = [];
  const client = new SQSClient({ ...base, ...options });
  await client.send(new GetQueueUrlCommand({ QueueName: 'queue' }));
  await client.send(new SendMessageCommand({ QueueUrl: `${queue}/123456789012/queue`, MessageBody: 'hello' }));
  console.log(`javascript, ${name}: ${seen.join(', ')}`);
};
process.env.AWS_ENDPOINT_URL_SQS = endpoint;
await run('variable', {});
delete process.env.AWS_ENDPOINT_URL_SQS;
await run('option', { endpoint });
process.exit();
E
cat >main.go <<'E'
package main

import (
	"context"
	"crypto/md5"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

func main() {
	var seen []string
	listen := func(name string) string {
		return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
			seen = append(seen, action+" to "+name)
			w.Header().Set("Content-Type", "application/x-amz-json-1.0")
			fmt.Fprintf(w, `{"MD5OfMessageBody":"%x"}`, md5.Sum([]byte("hello")))
		})).URL
	}
	endpoint, queue := listen("E"), listen("Q")
	client := sqs.New(sqs.Options{
		Region:       "eu-west-1",
		BaseEndpoint: &endpoint,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}, nil
		}),
	})
	ctx := context.Background()
	if _, err := client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("queue")}); err != nil {
		panic(err)
	}
	send := &sqs.SendMessageInput{QueueUrl: aws.String(queue + "/123456789012/queue"), MessageBody: aws.String("hello")}
	if _, err := client.SendMessage(ctx, send); err != nil {
		panic(err)
	}
	fmt.Println("go, BaseEndpoint:", strings.Join(seen, ", "))
}
E
{ node main.mjs 2>/dev/null; go run .; } | tee seen
diff - seen <<'E'
javascript, variable: GetQueueUrl to E, SendMessage to Q
javascript, option: GetQueueUrl to E, SendMessage to E
go, BaseEndpoint: GetQueueUrl to E, SendMessage to E
E
