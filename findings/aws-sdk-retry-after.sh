#!/usr/bin/env bash
# @aws-sdk/client-ssm 3.1169.0 (npm) and github.com/aws/aws-sdk-go-v2/service/ssm v1.79.3. Seen on 2026-11-27.
# A service that throttles and says Retry-After: 3 is obeyed by JavaScript's SDK, in all three statuses, and not by Go's, which comes back
# after its own backoff of less than a second. A server, or a stand-in for one, that wants to be left alone must not count on the header.
# Seen (waits for the three seconds):
#   javascript 400 true, 429 true, 503 true
#   go 400 false, 429 false, 503 false
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @aws-sdk/client-ssm@3.1169.0 >/dev/null
go mod init finding 2>/dev/null
go get github.com/aws/aws-sdk-go-v2/service/ssm@v1.79.3 github.com/aws/aws-sdk-go-v2/credentials 2>/dev/null

cat >main.go <<'E'
package main

import (
	"context"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

func main() {
	client := ssm.New(ssm.Options{BaseEndpoint: &os.Args[1], Region: "eu-central-1", Credentials: credentials.NewStaticCredentialsProvider("example", "example", "")})
	if _, err := client.GetParameter(context.Background(), &ssm.GetParameterInput{Name: aws.String("/app/key")}); err != nil {
		panic(err)
	}
}
E
go mod tidy 2>/dev/null
go build -o go-sdk .
cat >main.mjs <<'E'
import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import { promisify } from 'node:util';
import { GetParameterCommand, SSMClient } from '@aws-sdk/client-ssm';

let status;
let times;
const server = createServer((request, response) => {
  times.push(Date.now());
  response.setHeader('Content-Type', 'application/x-amz-json-1.1');
  if (times.length === 1) {
    response.writeHead(status, { 'Retry-After': '3' });
    response.end(JSON.stringify({ __type: 'ThrottlingException', message: 'Rate exceeded' }));
    return;
  }
  response.end(JSON.stringify({ Parameter: { Name: '/app/key', Value: 'v', Type: 'String', Version: 1 } }));
});
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const endpoint = `http://127.0.0.1:${server.address().port}`;
const client = new SSMClient({ endpoint, region: 'eu-central-1', credentials: { accessKeyId: 'example', secretAccessKey: 'example' } });
for (const [name, call] of Object.entries({
  javascript: () => client.send(new GetParameterCommand({ Name: '/app/key' })),
  go: () => promisify(execFile)('./go-sdk', [endpoint]),
})) {
  const seen = [];
  for (status of [400, 429, 503]) {
    times = [];
    await call();
    seen.push(`${status} ${times[1] - times[0] >= 3000}`);
  }
  console.log(name, seen.join(', '));
}
process.exit();
E
node main.mjs 2>/dev/null | tee seen
diff - seen <<'E'
javascript 400 true, 429 true, 503 true
go 400 false, 429 false, 503 false
E
