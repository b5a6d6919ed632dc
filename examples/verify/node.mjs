// Express: give the route its own parser, before any express.json(). It inflates gzip, and Stream signs the inflated bytes.
app.post('/stream', express.raw({ type: '*/*', limit: '6mb' }), async (request, response) => {
  response.sendStatus(await verified(request.body, request.get('X-Signature')) ? 200 : 401);
});

// Fastify: register the parser in a plugin of its own, so that it applies to this route only
app.register(async (hooks) => {
  hooks.removeAllContentTypeParsers();
  hooks.addContentTypeParser('*', { parseAs: 'buffer' }, (request, body, done) => done(null, body));
  hooks.post('/stream', async (request, reply) =>
    reply.code(await verified(request.body, request.headers['x-signature']) ? 200 : 401).send());
});

// call is from examples/services/node.
async function verified(raw, signature) {
  const zipped = raw[0] === 0x1f && raw[1] === 0x8b;
  const { isValid } = await call('POST', '/webhook/verify', { rawBody: raw.toString(zipped ? 'base64' : 'utf8'), signature });
  return isValid;
}
