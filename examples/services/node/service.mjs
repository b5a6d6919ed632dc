// Calls the Service API: fetches a user token, and uses Stream's own JavaScript SDK through the proxy.
// Copy sign and the function that uses it. defaultProvider finds credentials on Lambda, on ECS and on a developer's machine.
import { Sha256 } from '@aws-crypto/sha256-js';
import { defaultProvider } from '@aws-sdk/credential-provider-node';
import { SignatureV4 } from '@smithy/signature-v4';
import { StreamChat } from 'stream-chat';

const service = process.env.SERVICE_URL; // the output ServiceApiUrl
const signer = new SignatureV4({
  service: 'execute-api', region: process.env.AWS_REGION, credentials: defaultProvider(), sha256: Sha256,
});

// sign returns the headers that sign a request to the Service API.
async function sign(method, url, headers = {}, body = undefined) {
  const u = new URL(url);
  const query = {};
  for (const name of u.searchParams.keys()) query[name] = u.searchParams.getAll(name);
  const request = { method, protocol: u.protocol, hostname: u.hostname, path: u.pathname, query, headers: { ...headers, host: u.host }, body };
  const { host, ...signed } = (await signer.sign(request)).headers; // fetch and axios send host themselves
  return signed;
}

export async function call(method, path, value) {
  const body = value === undefined ? undefined : JSON.stringify(value);
  const headers = await sign(method, service + path, { 'content-type': 'application/json' }, body);
  const answer = await fetch(service + path, { method, headers, body });
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
  return answer.json();
}

// The proxy replaces key and secret; the SDK only insists on having some. This does not sign file uploads.
export function streamChat() {
  const chat = new StreamChat('unused', 'unused', { baseURL: `${service}/proxy` });
  chat.axiosInstance.interceptors.request.use(async (config) => {
    config.url = chat.axiosInstance.getUri(config); // sign exactly what is sent
    config.baseURL = config.params = undefined;
    if (config.data !== undefined && config.data !== null) config.data = JSON.stringify(config.data);
    config.transformRequest = [(data) => data];
    const type = { 'content-type': 'application/json' };
    config.headers.set(await sign(config.method.toUpperCase(), config.url, type, config.data ?? undefined));
    return config;
  });
  return chat;
}

// The handler of a Lambda function that calls the Service API.
export const handler = async () => {
  const { token } = await call('GET', '/token/alice');
  const { users } = await streamChat().upsertUser({ id: 'bob', name: 'Bob' });
  return { token, upserted: Object.keys(users) };
};

if (process.argv[1] === import.meta.filename) console.log(await handler());
