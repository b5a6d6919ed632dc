// examples/clients/web.mjs, with Stream's SDK, against a backend that fails now and then.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { copyFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { after, before, beforeEach, test } from 'node:test';
import { start } from './local.mjs';

// Where Node finds the SDK.
await copyFile(new URL('../clients/web.mjs', import.meta.url), new URL('./node_modules/.web.mjs', import.meta.url));
const { backend, connect } = await import('./node_modules/.web.mjs');

let local, api, requests, failures, rewrite;

// Between client and backend: counts requests, fails as told, and may change an answer.
const between = createServer(async (request, response) => {
  requests.push(request.url);
  const failure = failures.shift();
  if (failure === 'network') return request.destroy();
  if (failure) return response.writeHead(failure, { 'Content-Type': 'application/json', 'Retry-After': '0' }).end('{"message":"Too Many Requests"}');
  const answer = await fetch(local.clientUrl + request.url, { headers: { Authorization: request.headers.authorization } });
  const text = await answer.text();
  response.writeHead(answer.status, { 'Content-Type': 'application/json' }).end(rewrite(text));
});

before(async () => {
  local = await start();
  await new Promise((resolve) => { between.listen(0, '127.0.0.1', resolve); });
  api = `http://127.0.0.1:${between.address().port}`;
});
after(async () => { between.close(); between.closeAllConnections(); await local.stop(); });
beforeEach(() => { requests = []; failures = []; rewrite = (text) => text; });

const bearer = async (user) => (await fetch(`${local.clientUrl}/.local/bearer?user=${user}`)).text();
const signIn = async (user) => {
  const access = await bearer(user);
  return connect(backend(api, () => access, { first: 1, longest: 10 }), 'web', { baseURL: local.streamUrl, allowServerSideConnect: true });
};

// A token of Stream's that has another secret or has expired.
const forged = (user, secret, exp) => {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ user_id: user, iat: exp - 3600, exp })}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
};
const now = () => Math.floor(Date.now() / 1000);

test('an app start is one request', async () => {
  const chat = await signIn('alice');
  assert.deepEqual(requests, ['/config?clientType=web']);
  assert.equal(chat.client.userID, 'alice');
  assert.ok(chat.config.theme);
  await chat.signOut();
  assert.equal(chat.client.userID, undefined);
});

test('429, 503 and network errors are tried again', async () => {
  failures = [429, 503, 'network'];
  const chat = await signIn('alice');
  assert.equal(requests.length, 4);
  await chat.signOut();
});

test('the wait before another attempt is random', { timeout: 30_000 }, async (t) => {
  failures = [429, 503];
  t.mock.method(Math, 'random', () => 0);
  const access = await bearer('alice');
  assert.ok((await backend(api, () => access, { first: 60_000, longest: 60_000 })('/config?clientType=web')).authentication);
});

test('400 is not tried again', async () => {
  const access = await bearer('alice');
  await assert.rejects(connect(backend(api, () => access), ''), { status: 400 });
  assert.equal(requests.length, 1);
});

test('a token that has expired is renewed, although the first attempts fail', async () => {
  rewrite = (text) => { const body = JSON.parse(text); if (body.authentication) body.authentication.userToken = forged('alice', 'local-secret-for-development-only', now() - 60); return JSON.stringify(body); };
  failures = [undefined, 503, 'network', 429];
  const chat = await signIn('alice');
  assert.deepEqual(requests, ['/config?clientType=web', ...Array(4).fill('/token/me')]);
  await chat.signOut();
});

test('a token with another signature is renewed', async () => {
  rewrite = (text) => { const body = JSON.parse(text); if (body.authentication) body.authentication.userToken = forged('alice', 'rotated away', now() + 3600); return JSON.stringify(body); };
  const chat = await signIn('alice');
  assert.deepEqual(requests, ['/config?clientType=web', '/token/me']);
  assert.ok((await chat.call((client) => client.queryUsers({ id: 'alice' }))).users);
  await chat.signOut();
});

test('renewals at the same time share one request', async () => {
  const chat = await signIn('alice');
  requests = [];
  const provider = chat.client.tokenManager.tokenProvider;
  const tokens = await Promise.all([provider(), provider(), provider()]);
  assert.equal(new Set(tokens).size, 1);
  assert.deepEqual(requests, ['/token/me']);
  await chat.signOut();
});

test('calls that fail together share one renewal', async () => {
  const chat = await signIn('alice');
  chat.client.tokenManager.token = forged('alice', 'rotated away', now() + 3600);
  await Promise.all(Array.from({ length: 5 }, () => chat.call((client) => client.queryUsers({ id: 'alice' }))));
  assert.ok(requests.filter((path) => path === '/token/me').length <= 2, requests.join());
  await chat.signOut();
});
