#!/usr/bin/env bash
# sqs-consumer 14.2.8 (npm), against a client object that holds one message. Seen on 2026-11-27 with Node.js 20.
# A handler that ends well deletes the message only if it returns the message. Nothing, true and any other object leave it in the queue:
# no error and no event, only a line about a deprecation for nothing and null; the message comes again and again.
# Seen:
#   nothing: not deleted, events none
#   true: not deleted, events none
#   the answer of a database: not deleted, events none
#   the message: deleted, events message_processed
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund sqs-consumer@14.2.8 @aws-sdk/client-sqs@3.1169.0 >/dev/null

cat >main.mjs <<'E'
import { Consumer } from 'sqs-consumer';
for (const [name, handleMessage] of [
  ['nothing', async () => {}],
  ['true', async () => true],
  ['the answer of a database', async () => ({ Attributes: {} })],
  ['the message', async (message) => message],
]) {
  let asked = 0, deleted = false, polledAgain;
  const again = new Promise((resolve) => { polledAgain = resolve; });
  const sqs = {
    async send(command) {
      if (command.constructor.name === 'DeleteMessageCommand') deleted = true;
      if (command.constructor.name !== 'ReceiveMessageCommand') return {};
      if (asked++ === 0) return { Messages: [{ MessageId: '1', ReceiptHandle: 'r', Body: '{}' }] };
      polledAgain();
      return {};
    },
  };
  const events = [];
  const consumer = Consumer.create({ queueUrl: 'http://127.0.0.1/queue', sqs, handleMessage });
  for (const event of ['error', 'processing_error', 'timeout_error', 'message_processed']) consumer.on(event, () => events.push(event));
  consumer.start();
  await again;
  consumer.stop({ abort: true });
  console.log(`${name}: ${deleted ? 'deleted' : 'not deleted'}, events ${events.join() || 'none'}`);
}
process.exit();
E
node main.mjs 2>/dev/null | tee seen
diff - seen <<'E'
nothing: not deleted, events none
true: not deleted, events none
the answer of a database: not deleted, events none
the message: deleted, events message_processed
E
