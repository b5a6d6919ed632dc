// Records what real identity servers publish and issue: node record.mjs, after npm install.
// Each server runs on loopback, signs Jane in, and becomes a file beside this folder, in
// the form that local/providers_test.go replays. Keys are left out, and so are secrets.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const folder = process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), '..');
const home = (name) => join(dirname(fileURLToPath(import.meta.url)), 'node_modules', name);
const version = (name) => JSON.parse(readFileSync(join(home(name), 'package.json'))).version;
const json = async (url, options) => (await fetch(url, options)).json();
const form = (fields) => ({ method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: new URLSearchParams(fields).toString() });
const part = (token, n) => JSON.parse(Buffer.from(token.split('.')[n], 'base64url'));

// write writes a fixture. Times are the test's, and the server is at https://idp.example.com.
const write = (name, server, base, { settings, discovery, keys, user, tokens, refused = [] }) => {
  const published = keys.map(({ kty, crv, kid, alg, use }) => ({ kty, crv, kid, alg, use }));
  const issued = Object.fromEntries(Object.entries(tokens).map(([kind, { token, otherApp }]) => {
    const claims = part(token, 1);
    for (const time of ['iat', 'exp', 'nbf', 'auth_time']) if (claims[time]) claims[time] = 1;
    return [kind, { header: part(token, 0), claims, otherApp }];
  }));
  const text = JSON.stringify({
    source: `tried with ${server} ${version(server)} on ${new Date().toISOString().slice(0, 10)}`,
    settings, discovery, keys: published, user, refused, tokens: issued,
  }, null, 2);
  writeFileSync(join(folder, `${name}.json`), text.replaceAll(base, 'https://idp.example.com') + '\n');
  console.log(name, version(server));
};

// cookies keeps a server's cookies between requests, and follows its redirects by hand.
const cookies = () => {
  const jar = new Map();
  return async (url, options = {}) => {
    const r = await fetch(url, { redirect: 'manual', ...options, headers: { ...options.headers, cookie: [...jar].map(([k, v]) => `${k}=${v}`).join('; ') } });
    for (const c of r.headers.getSetCookie()) jar.set(c.slice(0, c.indexOf('=')), c.slice(c.indexOf('=') + 1).split(';')[0]);
    return r;
  };
};

async function oidcProvider(alg) {
  const { Provider } = await import('oidc-provider');
  const { generateKeyPairSync } = await import('node:crypto');
  const pair = alg === 'RS256' ? generateKeyPairSync('rsa', { modulusLength: 2048 }) : generateKeyPairSync('ed25519');
  const port = alg === 'RS256' ? 4801 : 4802;
  const base = `http://localhost:${port}`;
  const provider = new Provider(base, {
    jwks: { keys: [{ ...pair.privateKey.export({ format: 'jwk' }), alg, use: 'sig' }] },
    clients: [{ client_id: 'web', token_endpoint_auth_method: 'none', redirect_uris: ['https://app.example.com/cb'], id_token_signed_response_alg: alg }],
    features: {
      devInteractions: { enabled: true },
      resourceIndicators: { enabled: true, defaultResource: () => 'https://chat.example.com', useGrantedResource: () => true, getResourceServerInfo: () => ({ scope: 'chat', accessTokenFormat: 'jwt', jwt: { sign: { alg } } }) },
    },
    pkce: { required: () => false },
  });
  const server = provider.listen(port);
  try {
    const visit = cookies();
    let url = `${base}/auth?client_id=web&response_type=code&redirect_uri=https://app.example.com/cb&scope=openid&nonce=n&resource=https://chat.example.com`;
    for (let step = 0; step < 12 && url.startsWith(base); step++) {
      const page = await visit(url);
      if (page.status >= 300 && page.status < 400) { url = new URL(page.headers.get('location'), url).href; continue; }
      const text = await page.text();
      const action = text.match(/action="([^"]+)"/)[1];
      const prompt = text.match(/name="prompt" value="([^"]+)"/)[1];
      const answer = await visit(new URL(action, url).href, form({ prompt, login: 'jane', password: 'secret' }));
      url = new URL(answer.headers.get('location'), url).href;
    }
    const code = new URL(url).searchParams.get('code');
    const issued = await json(`${base}/token`, form({ grant_type: 'authorization_code', client_id: 'web', code, redirect_uri: 'https://app.example.com/cb' }));
    const discovery = await json(`${base}/.well-known/openid-configuration`);
    write(alg === 'RS256' ? 'oidc-provider' : 'oidc-provider-ed25519', 'oidc-provider', base, {
      settings: { OidcIssuer: base, OidcAudience: 'https://chat.example.com' }, discovery, keys: (await json(discovery.jwks_uri)).keys, user: 'jane',
      tokens: { 'access token': { token: issued.access_token, otherApp: { aud: 'https://orders.example.com' } } },
    });
  } finally {
    server.close();
  }
}

async function betterAuth() {
  const { betterAuth } = await import('better-auth');
  const { jwt } = await import('better-auth/plugins');
  const { memoryAdapter } = await import('better-auth/adapters/memory');
  const base = 'https://idp.example.com';
  const auth = betterAuth({
    baseURL: base, secret: 'x'.repeat(40), emailAndPassword: { enabled: true }, plugins: [jwt()],
    database: memoryAdapter({ user: [], session: [], account: [], verification: [], jwks: [] }),
  });
  const call = (path, options) => auth.handler(new Request(base + '/api/auth' + path, options));
  const signed = await call('/sign-up/email', { method: 'POST', headers: { 'content-type': 'application/json', origin: base }, body: JSON.stringify({ name: 'Jane Doe', email: 'jane.doe@example.com', password: 'secret password' }) });
  const cookie = signed.headers.getSetCookie().map((c) => c.split(';')[0]).join('; ');
  const { token } = await (await call('/token', { headers: { cookie } })).json();
  const { keys } = await (await call('/jwks')).json();
  write('better-auth', 'better-auth', base, {
    settings: { OidcIssuer: base, OidcAudience: base, OidcJwksUrl: `${base}/api/auth/jwks` }, discovery: { jwks_uri: `${base}/api/auth/jwks` }, keys, user: part(token, 1).sub,
    tokens: { 'token of the jwt plugin': { token, otherApp: { aud: 'https://orders.example.com' } } },
  });
}

async function oauth2MockServer() {
  const { OAuth2Server } = await import('oauth2-mock-server');
  const server = new OAuth2Server();
  await server.issuer.keys.generate('RS256');
  await server.start(4803, 'localhost');
  try {
    const base = server.issuer.url;
    const issued = await json(`${base}/token`, form({ grant_type: 'authorization_code', client_id: 'web', code: 'c', scope: 'openid' }));
    const discovery = await json(`${base}/.well-known/openid-configuration`);
    write('oauth2-mock-server', 'oauth2-mock-server', base, {
      settings: { OidcIssuer: base, OidcAudience: 'web' }, discovery, keys: (await json(discovery.jwks_uri)).keys, user: part(issued.id_token, 1).sub,
      refused: ['access token'],
      tokens: { 'id token': { token: issued.id_token, otherApp: { aud: 'orders' } }, 'access token': { token: issued.access_token } },
    });
  } finally {
    await server.stop();
  }
}

async function cognitoLocal() {
  const directory = mkdtempSync(join(tmpdir(), 'cognito-'));
  const child = spawn(process.execPath, [join(home('cognito-local'), require(join(home('cognito-local'), 'package.json')).bin['cognito-local'] ?? 'lib/bin/start.js')], { cwd: directory, env: { ...process.env, PORT: '9229' }, stdio: 'ignore' });
  try {
    const base = 'http://localhost:9229';
    const call = (action, body) => json(base, { method: 'POST', headers: { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': `AWSCognitoIdentityProviderService.${action}`, authorization: 'AWS4-HMAC-SHA256 Credential=x/20260101/local/cognito-idp/aws4_request' }, body: JSON.stringify(body) });
    for (let n = 0; n < 50; n++) try { await fetch(base); break; } catch { await new Promise((done) => setTimeout(done, 200)); }
    const { UserPool } = await call('CreateUserPool', { PoolName: 'p' });
    const { UserPoolClient } = await call('CreateUserPoolClient', { UserPoolId: UserPool.Id, ClientName: 'c', ExplicitAuthFlows: ['ALLOW_USER_PASSWORD_AUTH'] });
    const password = 'Secret-password-1';
    await call('SignUp', { ClientId: UserPoolClient.ClientId, Username: 'jane.doe@example.com', Password: password, UserAttributes: [{ Name: 'email', Value: 'jane.doe@example.com' }] });
    await call('AdminConfirmSignUp', { UserPoolId: UserPool.Id, Username: 'jane.doe@example.com' });
    const { AuthenticationResult } = await call('InitiateAuth', { ClientId: UserPoolClient.ClientId, AuthFlow: 'USER_PASSWORD_AUTH', AuthParameters: { USERNAME: 'jane.doe@example.com', PASSWORD: password } });
    const issuer = `${base}/${UserPool.Id}`;
    const { keys } = await json(`${issuer}/.well-known/jwks.json`);
    let discovery = { issuer, jwks_uri: `${issuer}/.well-known/jwks.json` };
    try { discovery = await json(`${issuer}/.well-known/openid-configuration`); } catch { /* older ones have none */ }
    write('cognito-local', 'cognito-local', base, {
      settings: { OidcIssuer: issuer, OidcAudience: UserPoolClient.ClientId }, discovery, keys, user: part(AuthenticationResult.AccessToken, 1).sub,
      tokens: {
        'access token': { token: AuthenticationResult.AccessToken, otherApp: { client_id: 'another' } },
        'id token': { token: AuthenticationResult.IdToken, otherApp: { aud: 'another' } },
      },
    });
  } finally {
    child.kill();
  }
}

for (const record of [() => oidcProvider('RS256'), () => oidcProvider('Ed25519'), betterAuth, oauth2MockServer, cognitoLocal]) {
  await record().catch((error) => { console.error(error); process.exitCode = 1; });
}
process.exit();
