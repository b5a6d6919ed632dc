// Moderation by the word lists refuse and mask in Parameter Store, at most a minute old.
import { GetParametersCommand, SSMClient } from '@aws-sdk/client-ssm'; // in Lambda's Node.js runtime

const ssm = new SSMClient({});
const names = ['refuse', 'mask'].map((list) => `${process.env.PARAMETER_PREFIX}/${list}`);
let lists, readAgain = 0;

const read = async () => {
  const { Parameters } = await ssm.send(new GetParametersCommand({ Names: names }));
  if (!Parameters.length) throw new Error(`neither ${names.join(' nor ')} has words; put a list into one of them`);
  const words = (name) => Parameters.find(({ Name }) => Name === name)?.Value.split(',').map((word) => word.trim().toLowerCase());
  return names.map((name) => new Set(words(name)));
};

// Without lists it fails, and the backend's HookFailClosed decides whether the message passes.
export const handler = async ({ event: { message } }) => {
  if (Date.now() >= readAgain) {
    lists = await read().catch((err) => {
      if (!lists) throw err;
      console.error(`the lists stay as they were: ${err.message}`);
      return lists;
    });
    readAgain = Date.now() + 60_000;
  }
  const [refuse, mask] = lists, text = message?.text ?? '';
  const word = /[\p{L}\p{M}\p{N}]+/gu; // in any script
  if (text.match(word)?.some((w) => refuse.has(w.toLowerCase()))) {
    return { message: { type: 'error', text: 'This message has words that are not welcome here.' } };
  }
  const masked = text.replace(word, (w) => (mask.has(w.toLowerCase()) ? '*'.repeat([...w].length) : w));
  return masked === text ? {} : { message: { text: masked } };
};
