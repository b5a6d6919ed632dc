#!/usr/bin/env bash
# @middy/sqs-partial-batch-failure 6.4.5 and @middy/core 6.4.5 (npm). Seen on 2026-11-27 with Node.js 20.
# The middleware reads the handler's return value as what Promise.allSettled gives. A handler that has processed every message and
# returns nothing, or a list of its own results, has the whole batch reported as failed: SQS delivers all of it again.
# Seen:
#   allSettled, one rejected: failed 2
#   returns nothing: failed 1,2
#   Promise.all of results: failed 1,2
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @middy/core@6.4.5 @middy/sqs-partial-batch-failure@6.4.5 >/dev/null

cat >main.mjs <<'E'
import middy from '@middy/core';
import partialBatch from '@middy/sqs-partial-batch-failure';
const Records = ['1', '2'].map((messageId) => ({ eventSource: 'aws:sqs', messageId, body: '{}' }));
for (const [name, handler] of [
  ['allSettled, one rejected', (event) => Promise.allSettled(event.Records.map(async (r) => { if (r.messageId === '2') throw new Error('no'); }))],
  ['returns nothing', async (event) => { for (const r of event.Records) JSON.parse(r.body); }],
  ['Promise.all of results', (event) => Promise.all(event.Records.map(async (r) => JSON.parse(r.body)))],
]) {
  const answer = await middy().use(partialBatch({ logger: false })).handler(handler)({ Records }, {});
  console.log(`${name}: failed ${answer.batchItemFailures.map((f) => f.itemIdentifier)}`);
}
E
node main.mjs | tee seen
diff - seen <<'E'
allSettled, one rejected: failed 2
returns nothing: failed 1,2
Promise.all of results: failed 1,2
E
