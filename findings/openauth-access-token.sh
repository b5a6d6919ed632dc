#!/usr/bin/env bash
# @openauthjs/openauth 0.4.3 (npm). Seen on 2026-11-27.
# Its access tokens are JWTs that a resource server cannot age: they have no iat and no nbf, and are valid for 30 days unless ttl.access is
# set. What the app knows of its user is a claim properties. Keys are announced below oauth-authorization-server (RFC 8414) only, so a
# library that looks for openid-configuration finds none.
# Seen:
#   claims: aud,exp,iss,mode,properties,sub,type
#   header: alg,kid,typ=JWT
#   valid for 30 days
#   sub: user: and 16 hexadecimal digits
#   openid-configuration: 404
#   oauth-authorization-server: 200
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @openauthjs/openauth@0.4.3 >/dev/null 2>&1

cat >main.mjs <<'E'
import { createHash, randomBytes } from 'node:crypto';
import { issuer } from '@openauthjs/openauth';
import { CodeProvider } from '@openauthjs/openauth/provider/code';
import { MemoryStorage } from '@openauthjs/openauth/storage/memory';
import { createSubjects } from '@openauthjs/openauth/subject';

const idp = 'https://idp.example.com';
let sent, cookies = '';
const code = CodeProvider({
  async sendCode(claims, digits) { sent = digits; },
  request: async () => new Response('form'),
});
const user = { '~standard': { version: 1, vendor: 'example', validate: (value) => ({ value }) } };
const server = issuer({
  providers: { code }, storage: MemoryStorage(), subjects: createSubjects({ user }), allow: async () => true,
  success: (context, { claims }) => context.subject('user', { email: claims.email }),
});
const send = async (path, form) => {
  const answer = await server.fetch(new Request(new URL(path, idp), {
    method: form ? 'POST' : 'GET', headers: { cookie: cookies }, body: form && new URLSearchParams(form), redirect: 'manual',
  }));
  const fresh = answer.headers.getSetCookie().map((c) => c.split(';')[0]).filter((c) => !c.endsWith('='));
  if (fresh.length) cookies = fresh.join('; ');
  return answer;
};
const verifier = randomBytes(32).toString('base64url');
const query = new URLSearchParams({
  client_id: 'web', redirect_uri: 'https://app.example.com/', response_type: 'code', state: 's', provider: 'code',
  code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256',
});
await send(`/authorize?${query}`);
const jar = cookies;
await send('/code/authorize');
cookies = [jar, cookies].join('; ');
await send('/code/authorize', { action: 'request', email: 'jane.doe@example.com' });
cookies = [jar, cookies].join('; ');
const back = await send('/code/authorize', { action: 'verify', code: sent });
const issued = await (await send('/token', {
  grant_type: 'authorization_code', code: new URL(back.headers.get('location')).searchParams.get('code'),
  client_id: 'web', redirect_uri: 'https://app.example.com/', code_verifier: verifier,
})).json();
const [header, claims] = issued.access_token.split('.').slice(0, 2).map((p) => JSON.parse(Buffer.from(p, 'base64url')));
console.log('claims:', Object.keys(claims).sort().join());
console.log(`header: ${Object.keys(header).sort().join()}=${header.typ}`);
console.log(`valid for ${Math.round((claims.exp - Date.now() / 1000) / 86400)} days`);
console.log('sub:', /^user:[0-9a-f]{16}$/.test(claims.sub) ? 'user: and 16 hexadecimal digits' : claims.sub);
for (const name of ['openid-configuration', 'oauth-authorization-server']) {
  console.log(`${name}:`, (await server.fetch(new Request(`${idp}/.well-known/${name}`))).status);
}
E
node main.mjs | grep -v '^<--\|^-->' | tee seen # without the server's own log
diff - seen <<'E'
claims: aud,exp,iss,mode,properties,sub,type
header: alg,kid,typ=JWT
valid for 30 days
sub: user: and 16 hexadecimal digits
openid-configuration: 404
oauth-authorization-server: 200
E
