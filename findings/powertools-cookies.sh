#!/usr/bin/env bash
# @aws-lambda-powertools/event-handler 2.35.0 (npm). Seen on 2026-11-27 with Node.js 20.
# A route that answers with two Set-Cookie headers sends one: the last. This holds for events of a REST API and of an HTTP API; another
# header that is there twice is joined with a comma and complete.
# Seen:
#   REST API: set-cookie b=2, x-note 1, 2
#   HTTP API: cookies b=2, x-note 1, 2
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @aws-lambda-powertools/event-handler@2.35.0 >/dev/null

cat >main.mjs <<'E'
import { Router } from '@aws-lambda-powertools/event-handler/http';
const app = new Router();
app.get('/cookies', () => new Response('hello', { headers: [['set-cookie', 'a=1'], ['set-cookie', 'b=2'], ['x-note', '1'], ['x-note', '2']] }));
const rest = {
  httpMethod: 'GET', path: '/cookies', resource: '/{proxy+}', headers: { Host: 'example.com' }, multiValueHeaders: { Host: ['example.com'] },
  queryStringParameters: null, multiValueQueryStringParameters: null, pathParameters: null, stageVariables: null, body: null, isBase64Encoded: false,
  requestContext: { httpMethod: 'GET', path: '/cookies', stage: 'prod', requestId: 'r', domainName: 'example.com', identity: {} },
};
const http = {
  version: '2.0', routeKey: '$default', rawPath: '/cookies', rawQueryString: '', headers: { host: 'example.com' }, isBase64Encoded: false,
  requestContext: { domainName: 'example.com', requestId: 'r', stage: '$default', http: { method: 'GET', path: '/cookies', sourceIp: '192.0.2.1' } },
};
const context = { awsRequestId: 'r' };
const one = await app.resolve(rest, context);
console.log(`REST API: set-cookie ${one.multiValueHeaders?.['set-cookie'] ?? one.headers['set-cookie']}, x-note ${one.headers['x-note']}`);
const two = await app.resolve(http, context);
console.log(`HTTP API: cookies ${two.cookies}, x-note ${two.headers['x-note']}`);
E
POWERTOOLS_DEV=false node main.mjs 2>/dev/null | tee seen
diff - seen <<'E'
REST API: set-cookie b=2, x-note 1, 2
HTTP API: cookies b=2, x-note 1, 2
E
