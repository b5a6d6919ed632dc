#!/usr/bin/env bash
# @aws-lambda-powertools/event-handler 2.35.0 (npm). Seen on 2026-11-27 with Node.js 20.
# API Gateway hands over a binary body as base64 and says so. The router decodes it into a text, so the handler's request holds other bytes:
# a webhook that arrives compressed can neither be unpacked nor checked against its signature. Answers with bytes are right.
# Seen:
#   request: {"same":false,"unpacks":false}
#   answer: base64 true same true
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @aws-lambda-powertools/event-handler@2.35.0 >/dev/null

cat >main.mjs <<'E'
import { gunzipSync, gzipSync } from 'node:zlib';
import { Router } from '@aws-lambda-powertools/event-handler/http';
const app = new Router();
const body = gzipSync('{"type":"message.new","cid":"messaging:general"}');
app.post('/hook', async ({ req }) => {
  const got = Buffer.from(await req.arrayBuffer());
  let unpacks = true;
  try { gunzipSync(got); } catch { unpacks = false; }
  return { same: got.equals(body), unpacks };
});
const picture = Buffer.from([0xff, 0xd8, 0xff, 0x00, 0x01]);
app.get('/picture', () => new Response(picture, { headers: { 'content-type': 'image/jpeg' } }));
const event = (method, path, more) => ({
  version: '2.0', routeKey: '$default', rawPath: path, rawQueryString: '', headers: { host: 'example.com', 'content-type': 'application/json', 'content-encoding': 'gzip' },
  isBase64Encoded: false, requestContext: { domainName: 'example.com', requestId: 'r', stage: '$default', http: { method, path, sourceIp: '192.0.2.1' } }, ...more,
});
const context = { awsRequestId: 'r' };
const hook = await app.resolve(event('POST', '/hook', { body: body.toString('base64'), isBase64Encoded: true }), context);
console.log('request:', hook.body);
const answer = await app.resolve(event('GET', '/picture'), context);
console.log('answer: base64', answer.isBase64Encoded, 'same', Buffer.from(answer.body, 'base64').equals(picture));
E
POWERTOOLS_DEV=false node main.mjs 2>/dev/null | tee seen
diff - seen <<'E'
request: {"same":false,"unpacks":false}
answer: base64 true same true
E
