#!/usr/bin/env bash
# stream-chat 9.53.0 and @stream-io/node-sdk 0.7.64 (npm). Seen on 2026-11-27.
# The error of a call that Stream refuses, printed as console.log prints it, shows the app's server token and the body that was sent with
# one of the two SDKs. As JSON, which many loggers write, neither does.
# Seen (token, body in console.log; token in JSON):
#   stream-chat ErrorFromResponse true true; false
#   node-sdk Error false false; false
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund stream-chat@9.53.0 @stream-io/node-sdk@0.7.64 >/dev/null

cat >main.mjs <<'E'
import { createServer } from 'node:http';
import { inspect } from 'node:util';
import { StreamChat } from 'stream-chat';
import { StreamClient } from '@stream-io/node-sdk';

const server = createServer((request, response) => {
  response.writeHead(403, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify({ code: 17, message: 'not allowed', StatusCode: 403, duration: '1ms' }));
});
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const origin = `http://127.0.0.1:${server.address().port}`;
const user = { id: 'alice', name: 'something private' };
const token = /eyJ[\w-]+\.[\w-]+\.[\w-]+/;
for (const [name, call] of Object.entries({
  'stream-chat': () => new StreamChat('key', 'secret', { baseURL: origin }).upsertUser(user),
  'node-sdk': () => new StreamClient('key', 'secret', { basePath: origin }).upsertUsers([user]),
})) {
  const error = await call().catch((e) => e);
  const text = inspect(error);
  console.log(name, error.name, token.test(text), `${text.includes(user.name)};`, token.test(JSON.stringify(error)));
}
server.close();
E
node main.mjs | tee seen
diff - seen <<'E'
stream-chat ErrorFromResponse true true; false
node-sdk Error false false; false
E
