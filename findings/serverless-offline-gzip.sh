#!/usr/bin/env bash
# serverless-offline 13.10.1 with serverless 3.40.0 (npm). Seen on 2026-11-27.
# A gzip body sent to a route of an httpApi reaches the function as text with isBase64Encoded false, whether Content-Encoding says gzip or
# not: its bytes above 127 are replacement characters, and no signature over it fits. A header that is sent twice arrives once.
# So a webhook of Stream's, compressed as it sends them by default, cannot be tried there.
# Seen (Content-Encoding, isBase64Encoded, the body begins with, x-tag sent as 1 and 2):
#   gzip false 1fefbfbd08 2
#   none false 1fefbfbd08 2
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund serverless@3.40.0 serverless-offline@13.10.1 >/dev/null

cat >serverless.yml <<'E'
service: finding
frameworkVersion: "3"
provider: {name: aws, runtime: nodejs20.x, region: eu-central-1}
plugins: [serverless-offline]
functions:
  webhook: {handler: index.handler, events: [{httpApi: "POST /webhook"}]}
E
cat >index.js <<'E'
exports.handler = async ({ body, isBase64Encoded, headers }) => ({
  statusCode: 200,
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify([isBase64Encoded, Buffer.from(body).toString('hex').slice(0, 10), headers['x-tag']]),
});
E
cat >main.mjs <<'E'
import { request } from 'node:http';
import { gzipSync } from 'node:zlib';
const body = gzipSync(JSON.stringify({ type: 'message.new', text: 'hello '.repeat(100) }));
const post = (headers) => new Promise((resolve, reject) => {
  const headersAndTags = ['Host', 'localhost', 'Content-Type', 'application/json', 'Content-Length', `${body.length}`, 'X-Tag', '1', 'X-Tag', '2', ...headers];
  request({ port: process.argv[2], host: '127.0.0.1', path: '/webhook', method: 'POST', headers: headersAndTags }, async (response) => {
    resolve(JSON.parse((await response.toArray()).join('')));
  }).on('error', reject).end(body);
});
console.log('gzip', ...await post(['Content-Encoding', 'gzip']));
console.log('none', ...await post([]));
E
port() { node -e 'const s = require("net").createServer().listen(0, () => { console.log(s.address().port); s.close(); })'; }
http=$(port)
: >log
SLS_TELEMETRY_DISABLED=1 node node_modules/serverless/bin/serverless.js offline --host 127.0.0.1 --httpPort "$http" --lambdaPort "$(port)" --noPrependStageInUrl >log 2>&1 &
server=$!
for _ in $(seq 120); do grep -q 'Server ready' log && break; sleep 1; done
node main.mjs "$http" | tee seen
diff - seen <<'E'
gzip false 1fefbfbd08 2
none false 1fefbfbd08 2
E
