// Handles events from the queue in batches. Those that fail stay in the queue and
// are delivered again. An event may come more than once: an action that must happen
// once has to remember metadata.webhookId, as examples/consumer does.
import { handler as take } from './index.mjs';

export const handler = async ({ Records }) => {
  const batchItemFailures = [];
  for (const { messageId, body } of Records) {
    try {
      await take(JSON.parse(body));
    } catch (err) {
      console.error(`message ${messageId}: ${err.message}`);
      batchItemFailures.push({ itemIdentifier: messageId });
    }
  }
  return { batchItemFailures };
};
