// Calls the Service API: fetches a user token, and uses both of Stream's JavaScript SDKs for servers through the proxy.
// Copy sign and the function that uses it. defaultProvider finds credentials on Lambda, on ECS and on a developer's machine.
import { Sha256 } from '@aws-crypto/sha256-js';
import { defaultProvider } from '@aws-sdk/credential-provider-node';
import { SignatureV4 } from '@smithy/signature-v4';
import { StreamClient } from '@stream-io/node-sdk';
import { StreamChat } from 'stream-chat';

const service = process.env.SERVICE_URL; // the output ServiceApiUrl
const signer = new SignatureV4({
  service: 'execute-api', region: process.env.AWS_REGION, credentials: defaultProvider(), sha256: Sha256,
});

// signable returns a URL whose query has %20 for spaces: no signature covers a plus sign.
function signable(url) {
  const u = new URL(url);
  u.search = u.search.replaceAll('+', '%20').replaceAll(';', '%3B');
  return u;
}

// sign returns the headers that sign a request to the Service API.
async function sign(method, u, headers = {}, body = undefined) {
  const query = {};
  for (const name of u.searchParams.keys()) query[name] = u.searchParams.getAll(name);
  const request = { method, protocol: u.protocol, hostname: u.hostname, path: u.pathname, query, headers: { ...headers, host: u.host }, body };
  const { host, ...signed } = (await signer.sign(request)).headers; // fetch and axios send host themselves
  return signed;
}

export async function call(method, path, value) {
  const body = value === undefined ? undefined : JSON.stringify(value);
  const url = signable(service + path);
  const headers = await sign(method, url, { 'content-type': 'application/json' }, body);
  const answer = await fetch(url, { method, headers, body });
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
  return answer.json();
}

// The proxy replaces key and secret; the SDKs only insist on having some. What they would sign with it is worth nothing.
const only = (name, route) => () => { throw new Error(`${name} needs the app's secret, which only the backend has: call ${route}`); };

// stream-chat, whose calls go through axios.
export function streamChat() {
  const chat = new StreamChat('unused', 'unused', { baseURL: `${service}/proxy` });
  chat.createToken = only('createToken', 'GET /token/{userId}');
  for (const name of ['verifyWebhook', 'verifyAndParseWebhook']) chat[name] = only(name, 'POST /webhook/verify');
  chat.axiosInstance.interceptors.request.use(async (config) => {
    if (typeof config.data?.pipe === 'function' || config.data instanceof FormData) throw new Error('This does not sign uploads: use streamClient.');
    const url = signable(chat.axiosInstance.getUri(config)); // sign exactly what is sent
    config.url = url.href;
    config.baseURL = config.params = undefined;
    if (config.data !== undefined && config.data !== null) config.data = JSON.stringify(config.data);
    config.transformRequest = [(data) => data];
    config.headers.set(await sign(config.method.toUpperCase(), url, { 'content-type': 'application/json' }, config.data ?? undefined));
    return config;
  });
  return chat;
}

// @stream-io/node-sdk, whose calls (all below /api/v2) go through fetch. Give uploads a File or a Blob, not a path.
export function streamClient() {
  const client = new StreamClient('unused', 'unused', { basePath: `${service}/proxy`, agent: { dispatch } });
  for (const name of ['createToken', 'generateUserToken', 'generateCallToken', 'generatePermanentUserToken']) client[name] = only(name, 'GET /token/{userId}');
  for (const name of ['verifyWebhook', 'verifyAndParseWebhook']) client[name] = only(name, 'POST /webhook/verify');
  return client;
}

// dispatch signs what Node's own fetch is about to send.
function dispatch(options, handler) {
  const signed = async () => {
    const parts = [];
    for await (const part of options.body ?? []) parts.push(Buffer.from(part));
    const body = parts.length ? Buffer.concat(parts) : undefined;
    const headers = {};
    for (const [name, value] of Array.isArray(options.headers) ? options.headers : Object.entries(options.headers)) headers[name.toLowerCase()] = value;
    const url = signable(options.origin + options.path);
    const own = await sign(options.method, url, { 'content-type': headers['content-type'] ?? 'application/json' }, body);
    delete headers['content-length'];
    return { ...options, path: url.pathname + url.search, headers: { ...headers, ...own }, body };
  };
  const sender = globalThis[Symbol.for('undici.globalDispatcher.1')]; // Node's
  signed().then((all) => sender.dispatch(all, handler), (error) => (handler.onError ?? handler.onResponseError.bind(handler, null)).call(handler, error));
  return true;
}

// The handler of a Lambda function that calls the Service API.
export const handler = async () => {
  const { token } = await call('GET', '/token/alice');
  const { users } = await streamChat().upsertUser({ id: 'bob', name: 'Bob' });
  const found = await streamClient().queryUsers({ payload: { filter_conditions: { id: { $in: ['bob', 'no one'] } } } });
  return { token, upserted: Object.keys(users), found: found.users.map((user) => user.id) };
};

// node service.mjs, or node service.mjs GET '/proxy/users?payload={}'
if (process.argv[1] === import.meta.filename) {
  const [method, path] = process.argv.slice(2);
  console.log(await (method ? call(method, path) : handler()));
}
