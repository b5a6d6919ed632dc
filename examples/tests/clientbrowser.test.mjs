// examples/clients/web.mjs in a real browser, with Stream's SDK, against a backend and a Stream that fail now and then.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, beforeEach, test } from 'node:test';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';
import { start } from './local.mjs';

let local, browser, page, origin, api, requests, failures;

const { outputFiles: [{ contents }] } = await build({
  stdin: { contents: "import { backend, connect } from '../clients/web.mjs'; Object.assign(window, { backend, connect });", resolveDir: import.meta.dirname },
  nodePaths: [`${import.meta.dirname}/node_modules`], bundle: true, format: 'iife', platform: 'browser', target: 'es2022', write: false, logLevel: 'error',
});
const web = createServer((request, answer) => {
  answer.writeHead(200, { 'Content-Type': 'text/html' }).end(`<!doctype html><script>${Buffer.from(contents).toString().replaceAll('</script', '<\\/script')}</script>`);
});

// Between the browser and the backend. A failure is a status, with the headers of the function's own answer, 'network', or
// 'gateway': API Gateway's 429, which has no CORS headers.
const between = createServer(async (request, answer) => {
  const cors = { 'Access-Control-Allow-Origin': origin, 'Access-Control-Expose-Headers': 'retry-after' };
  if (request.method === 'OPTIONS') return answer.writeHead(204, { ...cors, 'Access-Control-Allow-Headers': 'authorization', 'Access-Control-Max-Age': '600' }).end();
  requests.push({ path: request.url, at: Date.now() });
  const failure = failures.shift();
  if (failure === 'network') return request.destroy();
  if (failure === 'gateway') return answer.writeHead(429, { 'Content-Type': 'application/json' }).end('{"message":"Too Many Requests"}');
  if (failure) return answer.writeHead(failure, { ...cors, 'Content-Type': 'application/json', 'Retry-After': '1' }).end('{"errorMsg":"Try again."}');
  const { status, body } = await fetch(local.clientUrl + request.url, { headers: { Authorization: request.headers.authorization } }).then(async (a) => ({ status: a.status, body: await a.text() }));
  answer.writeHead(status, { ...cors, 'Content-Type': 'application/json' }).end(body);
});
const listen = (server) => new Promise((resolve) => { server.listen(0, 'localhost', () => resolve(`http://localhost:${server.address().port}`)); });

before(async () => {
  local = await start();
  origin = await listen(web);
  api = await listen(between);
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
});
after(async () => {
  await browser?.close();
  for (const server of [web, between]) { server.closeAllConnections(); server.close(); }
  await local.stop();
});
beforeEach(async () => {
  [requests, failures] = [[], []];
  page = await browser.newPage();
  await page.addInitScript(() => { // before the SDK sees it
    window.WebSocket = class extends WebSocket {
      set onmessage(f) {
        const code = window.refusals.shift();
        super.onmessage = code ? () => f({ data: JSON.stringify({ error: { code, message: 'refused' } }) }) : f;
      }
    };
  });
  await page.goto(origin);
});

// signIn signs alice in, as window.chat, and returns what she sees. Stream refuses the first connections with these codes.
const signIn = async (...refusals) => {
  const bearer = await (await fetch(`${local.clientUrl}/.local/bearer?user=alice`)).text();
  return page.evaluate(async ({ api, bearer, baseURL, refusals }) => {
    window.refusals = refusals;
    window.chat = await connect(backend(api, () => bearer, { first: 1, longest: 2000 }), 'web', { baseURL });
    return { userID: chat.client.userID, theme: chat.config.theme, left: refusals.length };
  }, { api, bearer, baseURL: local.streamUrl, refusals });
};
const paths = () => requests.map(({ path }) => path);

test('an app start is one request', async () => {
  const seen = await signIn();
  assert.equal(seen.userID, 'alice');
  assert.ok(seen.theme);
  assert.deepEqual(paths(), ['/config?clientType=web']);
  assert.equal(await page.evaluate(() => chat.signOut().then(() => chat.client.userID)), undefined);
});

test('429, 503 and network errors are tried again, no sooner than Retry-After says', async () => {
  failures = [429, 'gateway', 503, 'network'];
  await signIn();
  assert.equal(requests.length, 5);
  for (const i of [1, 3]) assert.ok(requests[i].at - requests[i - 1].at >= 990, `after ${requests[i].at - requests[i - 1].at} ms`);
});

for (const [what, code, want] of [
  ["Stream's rate limit costs no other token", 9, ['/config?clientType=web']],
  ['a token that the connection refuses is renewed', 43, ['/config?clientType=web', '/token/me']],
]) {
  test(what, async () => {
    const { userID, left } = await signIn(code);
    assert.deepEqual([userID, left], ['alice', 0]);
    assert.deepEqual(paths(), want);
  });
}

test('calls that fail with 40 or 43 share one renewal, which fails at first', async () => {
  await signIn();
  failures = [503, 'gateway'];
  const users = await page.evaluate(async () => {
    const [header, , signature] = chat.client.tokenManager.token.split('.');
    chat.client.tokenManager.token = [header, btoa(JSON.stringify({ user_id: 'alice', iat: 1, exp: 2e9 })).replace(/=+$/, ''), signature].join('.');
    const answers = await Promise.all([1, 2, 3, 4, 5].map(() => chat.call((client) => client.queryUsers({ id: 'alice' }))));
    return answers.map(({ users: [user] }) => user.id);
  });
  assert.deepEqual(users, Array(5).fill('alice'));
  assert.ok(paths().filter((path) => path === '/token/me').length <= 4, paths().join());
});
