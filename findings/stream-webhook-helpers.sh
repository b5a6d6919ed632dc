#!/usr/bin/env bash
# stream-chat 9.53.0 and @stream-io/node-sdk 0.7.64 (npm). Seen on 2026-11-27 with Node.js 20.
# Two helpers that look like one: verifyWebhook says false to the compressed body that Stream sends, verifyAndParseWebhook accepts it.
# parseSqs wants base64 in the queue's message and refuses the same event as plain JSON.
# Seen, the same for both packages:
#   verifyWebhook: plain true, gzip false
#   verifyAndParseWebhook: plain message.new, gzip message.new
#   parseSqs: base64 message.new, plain invalid base64 encoding
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund stream-chat@9.53.0 @stream-io/node-sdk@0.7.64 >/dev/null

cat >main.mjs <<'E'
import { createHmac } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { StreamChat } from 'stream-chat';
import { StreamClient } from '@stream-io/node-sdk';
const body = '{"type":"message.new","cid":"messaging:general"}';
const signature = createHmac('sha256', 'secret').update(body).digest('hex');
const type = (parse) => {
  try { return parse().type; } catch (error) { return error.message; }
};
for (const client of [new StreamChat('key', 'secret'), new StreamClient('key', 'secret')]) {
  console.log(`verifyWebhook: plain ${client.verifyWebhook(body, signature)}, gzip ${client.verifyWebhook(gzipSync(body), signature)}`);
  const parsed = [body, gzipSync(body)].map((b) => type(() => client.verifyAndParseWebhook(b, signature)));
  console.log(`verifyAndParseWebhook: plain ${parsed[0]}, gzip ${parsed[1]}`);
  const base64 = type(() => client.parseSqs(Buffer.from(body).toString('base64')));
  console.log(`parseSqs: base64 ${base64}, plain ${type(() => client.parseSqs(body))}`);
}
E
node main.mjs | tee seen
diff - seen <<'E'
verifyWebhook: plain true, gzip false
verifyAndParseWebhook: plain message.new, gzip message.new
parseSqs: base64 message.new, plain invalid base64 encoding
verifyWebhook: plain true, gzip false
verifyAndParseWebhook: plain message.new, gzip message.new
parseSqs: base64 message.new, plain invalid base64 encoding
E
