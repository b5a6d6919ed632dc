// Takes events from the queue in batches. Those that fail stay in the queue and
// come again; the others do not. Deliveries repeat: what must happen once needs a
// note of metadata.webhookId, as examples/consumer keeps one.
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
