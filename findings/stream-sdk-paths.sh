#!/usr/bin/env bash
# stream-chat 9.53.0 and @stream-io/node-sdk 0.7.64 (npm), github.com/GetStream/stream-chat-go/v6 v6.10.0. Seen on 2026-11-27.
# Three SDKs of one vendor spell the same user and the same channel in two ways: "@" in a user's id is %40 from one of them, "!", with which
# the id of a channel made from its members begins, is %21 from another. Whoever allows or counts calls by their path, as an IAM policy or
# a gateway's route does, needs both spellings.
# Seen:
#   stream-chat jane%40x !members-a
#   node-sdk jane@x !members-a
#   stream-chat-go jane@x %21members-a
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund stream-chat@9.53.0 @stream-io/node-sdk@0.7.64 >/dev/null
go mod init finding 2>/dev/null
go get github.com/GetStream/stream-chat-go/v6@v6.10.0 2>/dev/null

cat >main.go <<'E'
package main

import (
	"context"
	"os"

	stream "github.com/GetStream/stream-chat-go/v6"
)

func main() {
	client, err := stream.NewClient("key", "secret")
	if err != nil {
		panic(err)
	}
	client.BaseURL = os.Args[1]
	if _, err := client.DeactivateUser(context.Background(), "jane@x"); err != nil {
		panic(err)
	}
	if _, err := client.Channel("messaging", "!members-a").SendEvent(context.Background(), &stream.Event{Type: "typing.start"}, "jane@x"); err != nil {
		panic(err)
	}
}
E
go mod tidy 2>/dev/null
go build -o stream-chat-go .
cat >main.mjs <<'E'
import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import { promisify } from 'node:util';
import { StreamChat } from 'stream-chat';
import { StreamClient } from '@stream-io/node-sdk';

let paths;
const server = createServer((request, response) => {
  const [path] = request.url.split('?');
  paths.push(path.split('/').find((segment) => /jane|members/.test(segment)));
  response.setHeader('Content-Type', 'application/json');
  response.end('{}');
});
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const origin = `http://127.0.0.1:${server.address().port}`;
const see = async (name, call) => {
  paths = [];
  await call();
  console.log(name, ...paths);
};
const chat = new StreamChat('key', 'secret', { baseURL: origin });
const node = new StreamClient('key', 'secret', { basePath: origin });
await see('stream-chat', async () => {
  await chat.deactivateUser('jane@x');
  await chat.channel('messaging', '!members-a', { created_by_id: 'jane@x' }).sendEvent({ type: 'typing.start', user_id: 'jane@x' });
});
await see('node-sdk', async () => {
  await node.deactivateUser({ user_id: 'jane@x' });
  await node.chat.channel('messaging', '!members-a').sendEvent({ event: { type: 'typing.start', user_id: 'jane@x' } });
});
await see('stream-chat-go', () => promisify(execFile)('./stream-chat-go', [origin]));
server.close();
E
node main.mjs | tee seen
diff - seen <<'E'
stream-chat jane%40x !members-a
node-sdk jane@x !members-a
stream-chat-go jane@x %21members-a
E
