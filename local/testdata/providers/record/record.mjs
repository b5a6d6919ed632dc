// Records what real identity servers publish and issue: npm install, then
//   PATH=/where/the/programs/are:$PATH node record.mjs [NAME...]
// Each server runs on loopback, signs Jane in, and becomes a file beside this folder, in
// the form that local/providers_test.go replays. Keys are left out, and so are secrets.
// Packages are pinned in package.json, programs below; without one its server is an error, and the others go on.
import { spawn } from 'node:child_process';
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
const home = (name) => join(here, 'node_modules', name);
const version = (name) => JSON.parse(readFileSync(join(home(name), 'package.json'))).version;
const json = async (url, options) => {
  const answer = await (await fetch(url, options)).text();
  try { return JSON.parse(answer); } catch { throw new Error(`${url} answers ${answer.slice(0, 300)}`); }
};
const form = (fields) => ({ method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: new URLSearchParams(fields).toString() });
const body = (value, headers, method = 'POST') => ({ method, headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(value) });
const part = (token, n) => JSON.parse(Buffer.from(token.split('.')[n], 'base64url'));
const app = 'https://app.example.com/cb';
const idp = 'https://idp.example.com';
const running = [];

// program starts a server in a folder of its own, and waits until it answers at url.
async function program(command, args, { url, env = {}, files = {} }) {
  const cwd = mkdtempSync(join(tmpdir(), 'idp-'));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(cwd, name), text);
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: process.env.DEBUG ? 'inherit' : 'ignore' });
  let ended = false;
  child.on('exit', () => { ended = true; }).on('error', () => { ended = true; });
  running.push(() => child.kill());
  for (let n = 0; n < 300 && !ended; n++) try { await fetch(url); return cwd; } catch { await new Promise((done) => setTimeout(done, 200)); }
  throw new Error(`${command} does not answer; set DEBUG=1 to see why`);
}

// browser keeps cookies between requests.
const browser = (send = fetch) => {
  const jar = new Map();
  return async (url, options = {}) => {
    const r = await send(url, { redirect: 'manual', ...options, headers: { ...options.headers, cookie: [...jar].map(([k, v]) => `${k}=${v}`).join('; ') } });
    for (const c of r.headers.getSetCookie()) jar.set(c.slice(0, c.indexOf('=')), c.slice(c.indexOf('=') + 1).split(';')[0]);
    return r;
  };
};

// signIn runs the code flow with PKCE as a person does, who fills in the pages' forms, and
// returns what the token endpoint answers.
async function signIn({ discovery, client, secret, scope = 'openid profile email', more = {}, fields = {}, send = fetch, visit = browser(send), at = () => undefined }) {
  const verifier = randomBytes(32).toString('base64url');
  const asked = { client_id: client, response_type: 'code', redirect_uri: app, scope, state: 'state-of-the-app', nonce: 'nonce-of-the-app', code_challenge_method: 'S256', code_challenge: createHash('sha256').update(verifier).digest('base64url'), ...more };
  let url = `${discovery.authorization_endpoint}?${new URLSearchParams(asked)}`;
  for (let step = 0, page; !url.startsWith(app); step++) {
    page ??= await visit(url);
    const next = page.headers.get('location') ?? await at(url, visit);
    const text = await page.text();
    if (process.env.DEBUG) console.log(page.status, url, next ?? text);
    if (step > 20) throw new Error(`no end of pages at ${url}`);
    if (next) { url = new URL(next, url).href; page = undefined; continue; }
    const tag = text.match(/<form[^>]*>/i)?.[0];
    if (!tag) throw new Error(`${page.status} without a form at ${url}: ${text.slice(0, 500)}`);
    const plain = (value) => value?.replaceAll('&amp;', '&').replaceAll('&#43;', '+').replaceAll('&#34;', '"');
    const attribute = (of, name) => plain(of.match(new RegExp(`\\b${name}="([^"]*)"`))?.[1]);
    const values = {};
    for (const [input] of text.slice(text.indexOf(tag)).split(/<\/form>/i)[0].matchAll(/<(input|button)[^>]*>/gi)) {
      const name = attribute(input, 'name');
      if (name) values[name] ??= fields[name] ?? attribute(input, 'value') ?? '';
    }
    url = new URL(attribute(tag, 'action') ?? '', url).href;
    page = await visit(url, form(values));
  }
  const code = new URL(url).searchParams.get('code');
  if (!code) throw new Error(`no code in ${url}`);
  const request = form({ grant_type: 'authorization_code', client_id: client, code, redirect_uri: app, code_verifier: verifier, ...(secret && { client_secret: secret }), ...more.resource && { resource: more.resource } });
  return (await send(discovery.token_endpoint, request)).json();
}

const discover = (issuer) => json(issuer.replace(/\/$/, '') + '/.well-known/openid-configuration');
const keysOf = async (discovery) => (await json(discovery.jwks_uri)).keys;

// The servers. Each returns what it publishes, its tokens, and the settings that fit.
const servers = {
  async 'oidc-provider'(alg = 'RS256', port = 4801) {
    const { Provider } = await import('oidc-provider');
    const pair = alg === 'RS256' ? generateKeyPairSync('rsa', { modulusLength: 2048 }) : generateKeyPairSync('ed25519');
    const base = `http://localhost:${port}`;
    const resource = 'https://chat.example.com';
    const server = new Provider(base, {
      jwks: { keys: [{ ...pair.privateKey.export({ format: 'jwk' }), alg, use: 'sig' }] },
      clients: [{ client_id: 'web', token_endpoint_auth_method: 'none', redirect_uris: [app], id_token_signed_response_alg: alg }],
      features: {
        devInteractions: { enabled: true },
        resourceIndicators: { enabled: true, defaultResource: () => resource, useGrantedResource: () => true, getResourceServerInfo: () => ({ scope: 'chat', accessTokenFormat: 'jwt', jwt: { sign: { alg } } }) },
      },
    }).listen(port);
    running.push(() => server.close());
    const discovery = await discover(base);
    const issued = await signIn({ discovery, client: 'web', scope: 'openid', more: { resource }, fields: { login: 'jane', password: 'secret' } });
    return { version: version('oidc-provider'), base, discovery, settings: { OidcAudience: resource }, tokens: { 'access token': [issued.access_token, { aud: 'https://orders.example.com' }] } };
  },

  async 'oidc-provider-ed25519'() { return servers['oidc-provider']('Ed25519', 4802); },

  async 'better-auth'() {
    const { betterAuth } = await import('better-auth');
    const { jwt } = await import('better-auth/plugins');
    const { memoryAdapter } = await import('better-auth/adapters/memory');
    const auth = betterAuth({
      baseURL: idp, secret: 'x'.repeat(40), emailAndPassword: { enabled: true }, plugins: [jwt()],
      database: memoryAdapter({ user: [], session: [], account: [], verification: [], jwks: [] }),
    });
    const call = (path, options) => auth.handler(new Request(`${idp}/api/auth${path}`, options));
    const signed = await call('/sign-up/email', body({ name: 'Jane Doe', email: 'jane.doe@example.com', password: 'secret password' }, { origin: idp }));
    const cookie = signed.headers.getSetCookie().map((c) => c.split(';')[0]).join('; ');
    const { token } = await (await call('/token', { headers: { cookie } })).json();
    const { keys } = await (await call('/jwks')).json();
    const url = `${idp}/api/auth/jwks`;
    return { version: version('better-auth'), base: idp, keys, discovery: { jwks_uri: url }, settings: { OidcAudience: idp, OidcJwksUrl: url }, tokens: { 'token of the jwt plugin': [token, { aud: 'https://orders.example.com' }] } };
  },

  async 'better-auth-oauth-provider'() {
    const { betterAuth } = await import('better-auth');
    const { jwt } = await import('better-auth/plugins');
    const { oauthProvider } = await import('@better-auth/oauth-provider');
    const { memoryAdapter } = await import('better-auth/adapters/memory');
    const resource = 'https://chat.example.com';
    const tables = ['user', 'session', 'account', 'verification', 'jwks', 'oauthClient', 'oauthConsent', 'oauthAccessToken', 'oauthRefreshToken', 'oauthResource', 'oauthClientResource'];
    const auth = betterAuth({
      baseURL: idp, secret: 'x'.repeat(40), emailAndPassword: { enabled: true }, database: memoryAdapter(Object.fromEntries(tables.map((name) => [name, []]))),
      plugins: [jwt(), oauthProvider({ loginPage: '/sign-in', consentPage: '/consent', resources: [resource], enforcePerClientResources: false })],
    });
    const headers = { origin: idp };
    const send = (url, options) => auth.handler(new Request(url, { ...options, headers: { ...options?.headers, ...headers } }));
    const signed = await send(`${idp}/api/auth/sign-up/email`, body({ name: 'Jane Doe', email: 'jane.doe@example.com', password: 'secret password' }));
    headers.cookie = signed.headers.getSetCookie().map((c) => c.split(';')[0]).join('; ');
    const { client_id: client } = await auth.api.adminCreateOAuthClient({ headers, body: { client_name: 'App', redirect_uris: [app], token_endpoint_auth_method: 'none', skip_consent: true } });
    const discovery = await (await send(`${idp}/api/auth/.well-known/openid-configuration`)).json();
    const issued = await signIn({ discovery, client, scope: 'openid offline_access', more: { resource }, send });
    return {
      version: version('@better-auth/oauth-provider'), base: idp, discovery, keys: (await (await send(discovery.jwks_uri)).json()).keys,
      settings: { OidcAudience: resource }, tokens: { 'access token': [issued.access_token, { aud: 'https://orders.example.com' }] }, opaque: ['refresh token'],
    };
  },

  async 'oauth2-mock-server'() {
    const { OAuth2Server } = await import('oauth2-mock-server');
    const server = new OAuth2Server();
    await server.issuer.keys.generate('RS256');
    await server.start(4803, 'localhost');
    running.push(() => server.stop());
    const base = server.issuer.url;
    const issued = await json(`${base}/token`, form({ grant_type: 'authorization_code', client_id: 'web', code: 'c', scope: 'openid' }));
    return { version: version('oauth2-mock-server'), base, settings: { OidcAudience: 'web' }, tokens: { 'id token': [issued.id_token, { aud: 'orders' }] }, refused: { 'access token': issued.access_token } };
  },

  async 'cognito-local'() {
    const base = 'http://localhost:9229';
    await program(process.execPath, [join(home('cognito-local'), require(join(home('cognito-local'), 'package.json')).bin['cognito-local'] ?? 'lib/bin/start.js')], { url: base, env: { PORT: '9229' } });
    const call = (action, value) => json(base, body(value, { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': `AWSCognitoIdentityProviderService.${action}`, authorization: 'AWS4-HMAC-SHA256 Credential=x/20260101/local/cognito-idp/aws4_request' }));
    const { UserPool } = await call('CreateUserPool', { PoolName: 'p' });
    const { UserPoolClient: { ClientId } } = await call('CreateUserPoolClient', { UserPoolId: UserPool.Id, ClientName: 'c', ExplicitAuthFlows: ['ALLOW_USER_PASSWORD_AUTH'] });
    const Password = 'Secret-password-1';
    const Username = 'jane.doe@example.com';
    await call('SignUp', { ClientId, Username, Password, UserAttributes: [{ Name: 'email', Value: Username }] });
    await call('AdminConfirmSignUp', { UserPoolId: UserPool.Id, Username });
    const { AuthenticationResult } = await call('InitiateAuth', { ClientId, AuthFlow: 'USER_PASSWORD_AUTH', AuthParameters: { USERNAME: Username, PASSWORD: Password } });
    return {
      version: version('cognito-local'), base, issuer: `${base}/${UserPool.Id}`, settings: { OidcAudience: ClientId },
      tokens: { 'access token': [AuthenticationResult.AccessToken, { client_id: 'another' }], 'id token': [AuthenticationResult.IdToken, { aud: 'another' }] },
    };
  },

  // go install ./cmd/dex, of Dex's repository.
  async dex() {
    const base = 'http://127.0.0.1:4804';
    const config = {
      issuer: `${base}/dex`, storage: { type: 'memory' }, web: { http: '127.0.0.1:4804' }, oauth2: { skipApprovalScreen: true }, enablePasswordDB: true,
      staticClients: [{ id: 'web', redirectURIs: [app], name: 'App', public: true }],
      staticPasswords: [{ email: 'jane.doe@example.com', hash: '$2a$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W', username: 'jane', userID: '08a8684b-db88-4b73-90a9-3cd1661f5466' }],
    };
    await program('dex', ['serve', 'dex.json'], { url: base, files: { 'dex.json': JSON.stringify(config) } });
    const discovery = await discover(`${base}/dex`);
    const issued = await signIn({ discovery, client: 'web', fields: { login: 'jane.doe@example.com', password: 'password' } });
    return { version: '2.45 (ab64ed77)', base, discovery, settings: { OidcAudience: 'web' }, tokens: { 'access token': [issued.access_token, { aud: 'orders' }], 'id token': [issued.id_token, { aud: 'orders' }] } };
  },

  // go build github.com/zitadel/oidc/v3/example/server, as zitadel-oidc.
  async 'zitadel-oidc'() {
    const base = 'http://localhost:4805';
    await program('zitadel-oidc', [], { url: base, env: { PORT: '4805', REDIRECT_URI: app } });
    const discovery = await discover(base);
    const issued = await signIn({ discovery, client: 'web', secret: 'secret', fields: { username: 'test-user@localhost', password: 'verysecure' } });
    return { version: '3.52.0', base, discovery, settings: { OidcAudience: 'web' }, tokens: { 'id token': [issued.id_token, { aud: ['orders'], azp: 'orders' }] }, opaque: ['access token'] };
  },

  // go build -tags exclude_frontend -o pocket-id ./cmd, in the folder backend of Pocket ID's repository.
  async 'pocket-id'() {
    const base = 'http://localhost:4809';
    const key = 'x'.repeat(32);
    await program('pocket-id', [], { url: base, env: { APP_URL: base, PORT: '4809', ENCRYPTION_KEY: key, STATIC_API_KEY: key, ANALYTICS_DISABLED: 'true', VERSION_CHECK_DISABLED: 'true' } });
    const api = (path, value) => json(`${base}/api/${path}`, body(value, { 'x-api-key': key }));
    const { id } = await api('users', { username: 'jane', email: 'jane.doe@example.com', firstName: 'Jane', lastName: 'Doe', displayName: 'Jane Doe' });
    const { id: client } = await api('oidc/clients', { name: 'App', callbackURLs: [app], isPublic: true, pkceEnabled: true });
    const { token } = await api(`users/${id}/one-time-access-token`, { ttl: '1h' });
    const visit = browser();
    await visit(`${base}/api/one-time-access-token/${token}`, { method: 'POST' });
    const at = async (url) => { // as its page does
      const asked = new URL(url).searchParams;
      const answer = await visit(`${base}/api/oidc/authorize`, body({ clientID: client, scope: asked.get('scope'), callbackURL: app, nonce: asked.get('nonce'), codeChallenge: asked.get('code_challenge'), codeChallengeMethod: 'S256' }));
      return `${app}?${new URLSearchParams(await answer.json())}`;
    };
    const discovery = await discover(base);
    const issued = await signIn({ discovery, client, visit, at });
    return {
      version: '2.5.0', base, discovery, settings: { OidcAudience: client }, refused: { 'refresh token': issued.refresh_token },
      tokens: { 'access token': [issued.access_token, { aud: ['orders'] }], 'id token': [issued.id_token, { aud: ['orders'] }] },
    };
  },

  // The program hanko, of github.com/teamhanko/hanko/backend/v3, and PostgreSQL, which does not run as root.
  async hanko() {
    const base = 'http://localhost:4831';
    const admin = 'http://localhost:4832';
    const config = {
      database: { url: 'postgres://hanko@127.0.0.1:4833/postgres?sslmode=disable' }, secrets: { keys: ['x'.repeat(32)] }, service: { name: 'App' },
      server: { public: { address: ':4831' }, admin: { address: ':4832' }, management: { address: ':4834' } }, session: { issuer: base, audience: ['web'] },
      webauthn: { relying_party: { id: 'localhost', origins: [base] } }, email_delivery: { enabled: false },
    };
    const run = `initdb -D db -U hanko -A trust && { postgres -D db -p 4833 -k . & db=$!; until hanko migrate up --config hanko.yaml; do sleep 1; done; hanko serve all --config hanko.yaml & trap "kill $! $db" TERM; wait; }`;
    await program('sh', ['-c', run], { url: admin, files: { 'hanko.yaml': JSON.stringify(config) } });
    const { id } = await json(`${admin}/users`, body({ emails: [{ address: 'jane.doe@example.com', is_primary: true, is_verified: true }] }));
    const { session_token: token } = await json(`${admin}/sessions`, body({ user_id: id }));
    const url = `${base}/.well-known/jwks.json`;
    return { version: '3.0.4', base, keys: (await json(url)).keys, discovery: { jwks_uri: url }, settings: { OidcAudience: 'web', OidcJwksUrl: url }, tokens: { 'session token': [token, { aud: ['orders'] }] } };
  },

  // github.com/ory/hydra/v2, with the build tag sqlite. This script is its sign-in page and its consent page.
  async hydra() {
    const base = 'http://localhost:4810';
    const admin = 'http://localhost:4811';
    const page = `${base}/health/alive`;
    await program('hydra', ['serve', 'all', '--dev'], {
      url: admin, env: {
        DSN: 'memory', SERVE_PUBLIC_PORT: '4810', SERVE_ADMIN_PORT: '4811', SERVE_PUBLIC_HOST: 'localhost', SERVE_ADMIN_HOST: 'localhost', SQA_OPT_OUT: 'true',
        URLS_SELF_ISSUER: base, URLS_LOGIN: page, URLS_CONSENT: page, SECRETS_SYSTEM: 'x'.repeat(32), STRATEGIES_ACCESS_TOKEN: 'jwt',
      },
    });
    const resource = 'https://chat.example.com';
    const scope = 'openid email offline_access';
    const { client_id: client } = await json(`${admin}/admin/clients`, body({ client_name: 'App', redirect_uris: [app], token_endpoint_auth_method: 'none', audience: [resource], scope, grant_types: ['authorization_code', 'refresh_token'] }));
    const at = async (url) => {
      const asked = new URL(url).searchParams;
      const [kind, answer] = asked.has('login_challenge')
        ? ['login', { subject: '7f1f6b0e-6b0e-4f3e-9d43-0b1f3f5f2d11' }]
        : ['consent', { grant_scope: scope.split(' '), grant_access_token_audience: [resource], session: { id_token: { email: 'jane.doe@example.com' } } }];
      return (await json(`${admin}/admin/oauth2/auth/requests/${kind}/accept?${asked}`, body(answer, {}, 'PUT'))).redirect_to;
    };
    const discovery = await discover(base);
    const issued = await signIn({ discovery, client, scope, more: { audience: resource }, at });
    return {
      version: '2.3.0', base, discovery, settings: { OidcAudience: `${resource},${client}` }, opaque: ['refresh token'],
      tokens: { 'access token': [issued.access_token, { aud: ['https://orders.example.com'] }], 'id token': [issued.id_token, { aud: ['orders'] }] },
    };
  },

  // go install github.com/keratin/authn-server.
  async keratin() {
    const base = 'http://localhost:4806';
    const origin = { origin: 'http://localhost' };
    await program('sh', ['-c', 'export DATABASE_URL=sqlite3://localhost$PWD/authn.db; authn-server migrate && exec authn-server server'], { url: base, env: { PORT: '4806', AUTHN_URL: base, APP_DOMAINS: 'localhost', SECRET_KEY_BASE: 'x', HTTP_AUTH_USERNAME: 'x', HTTP_AUTH_PASSWORD: 'x' } });
    const { result } = await json(`${base}/accounts`, { ...form({ username: 'jane', password: 'a good long secret of Jane' }), headers: { ...origin, 'content-type': 'application/x-www-form-urlencoded' } });
    return { version: '1.20.1', base, keys: (await json(`${base}/jwks`)).keys, discovery: { jwks_uri: `${base}/jwks` }, settings: { OidcAudience: 'localhost', OidcJwksUrl: `${base}/jwks` }, tokens: { 'identity token': [result.id_token, { aud: 'orders.example.com' }] } };
  },

  // apt-get install glewlwyd
  async glewlwyd() {
    const base = 'http://localhost:4593';
    const schema = '/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3';
    const modules = { user: 'user', client: 'client', user_auth_scheme: 'scheme', plugin: 'plugin' };
    const config = `port=4593\nexternal_url="${base}"\nlogin_url="login.html"\napi_prefix="api"\nlog_mode="console"\nlog_level="WARNING"\ncookie_secure=0\nsession_key="session"\n`
      + `admin_scope="g_admin"\nprofile_scope="g_profile"\nhash_algorithm="SHA512"\ndatabase={type="sqlite3"; path="glewlwyd.db";};\n`
      + Object.entries(modules).map(([name, folder]) => `${name}_module_path="/usr/lib/glewlwyd/${folder}"\n`).join('');
    await program('sh', ['-c', `sqlite3 glewlwyd.db < ${schema} && exec glewlwyd -c conf`], { url: base, files: { conf: config } });
    const admin = browser();
    const ok = async (r) => { if (r.status >= 300) throw new Error(`${r.url} answers ${r.status} ${await r.text()}`); };
    await ok(await admin(`${base}/api/auth/`, body({ username: 'admin', password: 'password' })));
    const pair = generateKeyPairSync('rsa', { modulusLength: 2048, publicKeyEncoding: { type: 'spki', format: 'pem' }, privateKeyEncoding: { type: 'pkcs8', format: 'pem' } });
    await ok(await admin(`${base}/api/mod/plugin/`, body({ module: 'oidc', name: 'oidc', display_name: 'OIDC', enabled: true, parameters: {
      iss: base, 'jwt-type': 'rsa', 'jwt-key-size': '256', key: pair.privateKey, cert: pair.publicKey, 'access-token-duration': 3600, 'refresh-token-duration': 1209600, 'code-duration': 600, 'refresh-token-rolling': true,
      'allow-non-oidc': false, 'auth-type-code-enabled': true, 'auth-type-refresh-enabled': true, 'jwks-show': true, 'pkce-allowed': true,
    } })));
    await ok(await admin(`${base}/api/scope/`, body({ name: 'chat', display_name: 'Chat', password_required: true, scheme: {} })));
    await ok(await admin(`${base}/api/client/`, body({ client_id: 'web', name: 'App', confidential: false, enabled: true, redirect_uri: [app], authorization_type: ['code', 'refresh_token'], scope: ['openid', 'chat'], token_endpoint_auth_method: ['none'] })));
    await ok(await admin(`${base}/api/user/`, body({ username: 'jane', name: 'Jane Doe', password: 'secret-password', enabled: true, scope: ['openid', 'chat'] })));
    const visit = browser();
    await ok(await visit(`${base}/api/auth/`, body({ username: 'jane', password: 'secret-password' })));
    await ok(await visit(`${base}/api/auth/grant/web`, body({ scope: 'openid chat' }, {}, 'PUT')));
    const discovery = await discover(`${base}/api/oidc`);
    const issued = await signIn({ discovery, client: 'web', scope: 'openid chat', more: { g_continue: '' }, visit });
    return {
      version: '2.7.5', base, discovery, settings: { OidcAudience: 'azp:web', OidcDiscoveryUrl: `${base}/api/oidc` },
      tokens: { 'access token': [issued.access_token, { client_id: 'orders' }] },
    };
  },

  // apt-get install lemonldap-ng-portal: rtyler is a user of its demonstration.
  async 'lemonldap-ng'() {
    const base = 'http://localhost:4807';
    const pair = generateKeyPairSync('rsa', { modulusLength: 2048, publicKeyEncoding: { type: 'spki', format: 'pem' }, privateKeyEncoding: { type: 'pkcs8', format: 'pem' } });
    const of = (options) => Object.fromEntries(Object.entries(options).map(([name, value]) => [`oidcRPMetaDataOptions${name}`, value]));
    const config = {
      ...JSON.parse(readFileSync('/var/lib/lemonldap-ng/conf/lmConf-1.json')), portal: `${base}/`, domain: 'localhost', localSessionStorage: '', requireToken: 0,
      globalStorageOptions: { Directory: '.', LockDirectory: '.', generateModule: 'Lemonldap::NG::Common::Apache::Session::Generate::SHA256' },
      persistentStorageOptions: { Directory: '.', LockDirectory: '.' },
      issuerDBOpenIDConnectActivation: 1, oidcServicePrivateKeySig: pair.privateKey, oidcServicePublicKeySig: pair.publicKey, oidcServiceAllowAuthorizationCodeFlow: 1,
      oidcRPMetaDataOptions: { app: of({ ClientID: 'web', Public: 1, RedirectUris: app, BypassConsent: 1, IDTokenSignAlg: 'RS256', AccessTokenJWT: 1, AccessTokenSignAlg: 'RS256' }) },
      oidcRPMetaDataExportedVars: { app: { name: 'cn', email: 'mail' } },
    };
    await program('plackup', ['-p', '4807', '-e', 'use Lemonldap::NG::Portal::Main; Lemonldap::NG::Portal::Main->run({})'], {
      url: base, env: { LLNG_DEFAULTCONFFILE: 'lemonldap-ng.ini' },
      files: { 'lmConf-1.json': JSON.stringify(config), 'lemonldap-ng.ini': '[all]\nlogLevel=warn\n[configuration]\ntype=File\ndirName=.\n[portal]\nstaticPrefix=/static\ntemplateDir=/usr/share/lemonldap-ng/portal/templates\nlanguages=en\n' },
    });
    const discovery = await discover(base);
    const issued = await signIn({ discovery, client: 'web', fields: { user: 'rtyler', password: 'rtyler' } });
    return {
      version: '2.16.1', base, discovery, settings: { OidcAudience: 'web' },
      tokens: { 'access token': [issued.access_token, { aud: ['orders'], client_id: 'orders' }], 'id token': [issued.id_token, { aud: ['orders'], azp: 'orders' }] },
    };
  },

  async mockin() {
    const base = 'http://127.0.0.1:3333';
    await program(process.execPath, [join(home('@hellocoop/mockin'), 'src/server.js')], { url: base });
    const discovery = await discover(base);
    const issued = await signIn({ discovery, client: 'web', scope: 'openid name email' });
    return { version: version('@hellocoop/mockin'), base, discovery, settings: { OidcAudience: 'web' }, tokens: { 'id token': [issued.id_token, { aud: 'orders' }] } };
  },

  async 'solid-community-server'() {
    const base = 'http://localhost:4808/';
    await program(process.execPath, [join(home('@solid/community-server'), 'bin/server.js'), '-p', '4808', '-l', 'warn', '-c', '@css:config/default.json'], { url: base });
    const visit = browser();
    const call = async (url, value) => (await visit(url, value && body(value))).json();
    await call(`${base}.account/account/`, {});
    const { controls } = await call(`${base}.account/`);
    await call(controls.password.create, { email: 'jane.doe@example.com', password: 'secret-password' });
    const { webId } = await call(controls.account.pod, { name: 'jane' });
    const script = await call(controls.account.clientCredentials, { name: 'script', webId });
    const discovery = await discover(base);
    const { client_id: client } = await json(discovery.registration_endpoint, body({ redirect_uris: [app], token_endpoint_auth_method: 'none', client_name: 'App' }));
    const at = async (url) => {
      if (!url.startsWith(`${base}.account/`)) return;
      const { controls: { oidc } } = await call(`${base}.account/`);
      const { prompt } = await call(oidc.prompt);
      return (await call(...prompt === 'consent' ? [oidc.consent, { remember: false }] : [oidc.webId, { webId, remember: false }])).location;
    };
    const issued = await signIn({ discovery, client, scope: 'openid webid', visit, at });
    const machine = await json(discovery.token_endpoint, form({ grant_type: 'client_credentials', scope: 'webid', client_id: script.id, client_secret: script.secret }));
    return {
      version: version('@solid/community-server'), base: base.slice(0, -1), discovery, settings: { OidcAudience: 'solid', UserIdClaim: 'webid' },
      tokens: { 'access token': [issued.access_token, { aud: 'orders' }] }, refused: { "a script's token": machine.access_token },
    };
  },

  async openauth() {
    const { issuer } = await import('@openauthjs/openauth');
    const { CodeProvider } = await import('@openauthjs/openauth/provider/code');
    const { MemoryStorage } = await import('@openauthjs/openauth/storage/memory');
    const { createSubjects } = await import('@openauthjs/openauth/subject');
    const any = { '~standard': { version: 1, vendor: 'none', validate: (value) => ({ value }) } };
    const fields = { email: 'jane.doe@example.com' };
    const page = (inputs) => new Response(`<form method="post">${inputs}</form>`);
    const code = CodeProvider({
      async sendCode(claims, sent) { fields.code = sent; },
      request: async (request, state) => page(state.type === 'start' ? '<input name="action" value="request"><input name="email">' : '<input name="action" value="verify"><input name="code">'),
    });
    const server = issuer({ providers: { code }, storage: MemoryStorage(), subjects: createSubjects({ user: any }), allow: async () => true, success: (c, { claims }) => c.subject('user', { email: claims.email }) });
    const send = async (url, options) => server.fetch(new Request(url, options));
    const discovery = await (await send(`${idp}/.well-known/oauth-authorization-server`)).json();
    const issued = await signIn({ discovery, client: 'web', fields, send });
    return {
      version: version('@openauthjs/openauth'), base: idp, discovery, keys: (await (await send(discovery.jwks_uri)).json()).keys,
      settings: { OidcAudience: 'web', OidcJwksUrl: discovery.jwks_uri }, tokens: { 'access token': [issued.access_token, { aud: 'orders' }] }, opaque: ['refresh token'],
    };
  },
};

// write writes a fixture. Times are the test's.
function write(name, { version, base, issuer, discovery, keys, settings, tokens, refused = {}, opaque = [] }) {
  const issued = {};
  for (const [kind, token] of Object.entries(refused)) issued[kind] = { token };
  for (const [kind, [token, otherApp]] of Object.entries(tokens)) issued[kind] = { token, otherApp };
  for (const token of Object.values(issued)) {
    const claims = part(token.token, 1);
    for (const time of ['iat', 'exp', 'nbf', 'auth_time']) if (claims[time]) claims[time] = 1;
    if (claims.rt) claims.rt = 'secret'; // Pocket ID's refresh token itself
    Object.assign(token, { header: part(token.token, 0), claims, otherApp: token.otherApp, token: undefined });
  }
  const first = Object.values(issued).find((t) => t.otherApp).claims;
  settings = { OidcIssuer: first.iss, ...settings };
  const file = {
    source: `tried with ${name} ${version} on ${new Date().toISOString().slice(0, 10)}`,
    settings, discovery, keys: keys.map(({ kty, crv, kid, alg, use }) => ({ kty, crv, kid, alg, use })),
    refused: Object.keys(refused), opaque, tokens: issued,
  };
  const text = `{\n${Object.entries(file).map(([member, value]) => `  "${member}": ${JSON.stringify(value)}`).join(',\n')}\n}`;
  writeFileSync(join(here, '..', `${name}.json`), text.replaceAll(base, idp) + '\n');
  console.log(`${name} ${version}`);
}

const chosen = process.argv.slice(2);
for (const [name, record] of Object.entries(servers)) {
  if (chosen.length && !chosen.includes(name)) continue;
  try {
    const found = await record();
    if (!found.discovery) try { found.discovery = await discover(found.issuer ?? found.base); } catch { /* older ones have none */ }
    found.keys ??= await keysOf(found.discovery);
    write(name, found);
  } catch (error) {
    console.error(`${name}: ${error.stack}`);
    process.exitCode = 1;
  }
  for (const stop of running.splice(0)) stop();
}
process.exit();
