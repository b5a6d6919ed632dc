#!/usr/bin/env bash
# express 5.3.0, koa 3.3.0 with koa-bodyparser 4.4.1, @hapi/hapi 21.4.10, fastify 5.12.8, hono 4.13.19 with @hono/node-server 2.1.9,
# h3 2.0.8 (npm). Seen on 2026-11-27 with Node.js 20.
# A JSON body with Content-Encoding: gzip, which is what Stream sends for a webhook of a new app: three frameworks unpack it without
# being asked, three parse the compressed bytes. One of these answers 400, the others 500; a sender that repeats only 5xx loses the
# event with the first. express leaves Content-Encoding: gzip on the request that it has unpacked.
# Seen (status of the plain body, of the compressed one):
#   express 200 200, koa 200 200, hapi 200 200, fastify 200 400, hono 200 500, h3 200 500; express keeps content-encoding: gzip
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund express@5.3.0 koa@3.3.0 koa-bodyparser@4.4.1 @hapi/hapi@21.4.10 fastify@5.12.8 hono@4.13.19 @hono/node-server@2.1.9 h3@2.0.8 >/dev/null

cat >main.mjs <<'E'
import { once } from 'node:events';
import { gzipSync } from 'node:zlib';
import express from 'express';
import Koa from 'koa';
import koaBodyParser from 'koa-bodyparser';
import Hapi from '@hapi/hapi';
import Fastify from 'fastify';
import { Hono } from 'hono';
import { serve } from '@hono/node-server';
import { H3, serve as serveH3 } from 'h3';

console.error = () => {}; // hono and h3 print the parser's error
const host = '127.0.0.1';
const call = async (name, port) => {
  const send = async (body, headers) => (await fetch(`http://${host}:${port}/hook`, {
    method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body,
  })).status;
  const body = '{"type":"message.new"}';
  console.log(name, await send(body), await send(gzipSync(body), { 'content-encoding': 'gzip' }));
};

let kept;
const ex = express().use(express.json());
ex.post('/hook', (req, res) => { kept = req.headers['content-encoding']; res.json(req.body.type); });
const exServer = ex.listen(0, host);
await once(exServer, 'listening');
await call('express', exServer.address().port);
console.log('express keeps content-encoding:', kept);

const koa = new Koa().use(koaBodyParser()).use((ctx) => { ctx.body = ctx.request.body.type; });
const koaServer = koa.listen(0, host);
await once(koaServer, 'listening');
await call('koa', koaServer.address().port);

const hapi = Hapi.server({ port: 0, host });
hapi.route({ method: 'POST', path: '/hook', handler: (request) => request.payload.type });
await hapi.start();
await call('hapi', hapi.info.port);

const fastify = Fastify();
fastify.post('/hook', async (request) => request.body.type);
await fastify.listen({ port: 0, host });
await call('fastify', fastify.server.address().port);

const hono = new Hono().post('/hook', async (c) => c.json((await c.req.json()).type));
const honoServer = serve({ fetch: hono.fetch, port: 0, hostname: host });
await once(honoServer, 'listening');
await call('hono', honoServer.address().port);

const h3 = new H3().post('/hook', async (event) => (await event.req.json()).type);
const h3Server = serveH3(h3, { port: 0, hostname: host, silent: true });
await h3Server.ready();
await call('h3', new URL(h3Server.url).port);
process.exit();
E
node main.mjs | tee seen
diff - seen <<'E'
express 200 200
express keeps content-encoding: gzip
koa 200 200
hapi 200 200
fastify 200 400
hono 200 500
h3 200 500
E
