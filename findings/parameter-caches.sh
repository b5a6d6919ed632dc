#!/usr/bin/env bash
# @aws-lambda-powertools/parameters 2.35.0 and @middy/ssm 6.4.5 (npm). Seen on 2026-11-27.
# Both keep a parameter for a second. Powertools: a second later, with Parameter Store throttling, the handler fails although the last
# value is at hand. middy: its cache reads Parameter Store again by a timer, every second, while nobody invokes the handler.
# Seen:
#   powertools: v1, then GetParameterError
#   middy: calls without an invocation: yes
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @aws-lambda-powertools/parameters@2.35.0 @middy/core@6.4.5 @middy/ssm@6.4.5 \
  @aws-sdk/client-ssm@3.1169.0 >/dev/null

cat >main.mjs <<'E'
import { createServer } from 'node:http';
import { once } from 'node:events';
import { setTimeout as wait } from 'node:timers/promises';

let throttling = false;
let calls = 0;
const server = createServer(async (request, response) => {
  const { Names, Name } = JSON.parse((await request.toArray()).join(''));
  calls += 1;
  server.emit('call');
  response.setHeader('Content-Type', 'application/x-amz-json-1.1');
  if (throttling) {
    response.statusCode = 400;
    response.end(JSON.stringify({ __type: 'ThrottlingException', message: 'Rate exceeded' }));
    return;
  }
  const parameter = { Name: Name ?? Names[0], Value: `v${calls}`, Type: 'String', Version: 1 };
  response.end(JSON.stringify(Names ? { Parameters: [parameter], InvalidParameters: [] } : { Parameter: parameter }));
});
await once(server.listen(0, '127.0.0.1'), 'listening');
Object.assign(process.env, {
  AWS_ENDPOINT_URL_SSM: `http://127.0.0.1:${server.address().port}`, AWS_REGION: 'eu-central-1', AWS_MAX_ATTEMPTS: '1',
  AWS_ACCESS_KEY_ID: 'example', AWS_SECRET_ACCESS_KEY: 'example',
});
const { getParameter } = await import('@aws-lambda-powertools/parameters/ssm');
const first = await getParameter('/app/key', { maxAge: 1 });
await wait(1100);
throttling = true;
const second = await getParameter('/app/key', { maxAge: 1 }).catch((error) => error.name);
console.log(`powertools: ${first}, then ${second}`);

throttling = false;
const { default: middy } = await import('@middy/core');
const { default: ssm } = await import('@middy/ssm');
const handler = middy(() => ({})).use(ssm({ fetchData: { key: '/app/key' }, cacheExpiry: 1000 }));
await handler({}, { getRemainingTimeInMillis: () => 5000 });
const again = await Promise.race([once(server, 'call').then(() => 'yes'), wait(10000, 'no')]);
console.log(`middy: calls without an invocation: ${again}`);
process.exit();
E
node main.mjs 2>/dev/null | tee seen
diff - seen <<'E'
powertools: v1, then GetParameterError
middy: calls without an invocation: yes
E
