// A web app in a real browser: it signs in, connects and chats. CHROMIUM names the browser.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';
import { start } from './local.mjs';

test('two people sign in and chat in a browser', async (t) => {
  const local = await start();
  t.after(() => local.stop());
  const here = new URL('app/', import.meta.url);
  const { outputFiles: [{ contents }] } = await build({ entryPoints: [new URL('app.mjs', here).pathname], bundle: true, format: 'esm', platform: 'browser', target: 'es2022', write: false, logLevel: 'error' });
  const page = await readFile(new URL('index.html', here));
  const web = createServer((request, answer) => {
    const script = request.url === '/app.js';
    answer.writeHead(200, { 'Content-Type': script ? 'text/javascript' : 'text/html' }).end(script ? contents : page);
  }).listen(0, 'localhost');
  t.after(() => { web.closeAllConnections(); web.close(); });
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
  t.after(() => browser.close());

  const signIn = async (user) => {
    const tab = await (await browser.newContext()).newPage();
    const { clientUrl, streamUrl, issuer } = local;
    await tab.goto(`http://localhost:${web.address().port}/?${new URLSearchParams({ local: JSON.stringify({ clientUrl, streamUrl, issuer }) })}`);
    await tab.getByRole('button', { name: user }).click(); // on the issuer's page
    await tab.getByText(user, { exact: true }).waitFor();
    return tab;
  };
  const alice = await signIn('alice');
  const bob = await signIn('bob');
  await alice.getByLabel('Message').fill('hello, Bob');
  await alice.getByRole('button', { name: 'Send' }).click();
  await bob.getByText('alice: hello, Bob').waitFor();
  assert.equal(await bob.locator('#who').textContent(), 'bob');
});
