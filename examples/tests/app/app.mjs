// A web app as yours may be: it signs in with the code flow and PKCE, and chats with
// Stream's SDK. Only the addresses come from the test.
import { StreamChat } from 'stream-chat';

const $ = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
if (query.has('local')) sessionStorage.local = query.get('local');
const local = JSON.parse(sessionStorage.local);
const redirect = `${location.origin}/`;
const metadata = await (await fetch(`${local.issuer}/.well-known/openid-configuration`)).json();
const base64url = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '');

if (!query.has('code')) {
  sessionStorage.verifier = base64url(crypto.getRandomValues(new Uint8Array(32)));
  sessionStorage.state = crypto.randomUUID();
  const challenge = base64url(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(sessionStorage.verifier)));
  location.href = `${metadata.authorization_endpoint}?${new URLSearchParams({
    response_type: 'code', client_id: 'app', redirect_uri: redirect, scope: 'openid', state: sessionStorage.state,
    code_challenge: challenge, code_challenge_method: 'S256',
  })}`;
} else {
  if (query.get('state') !== sessionStorage.state) throw new Error('state');
  const tokens = await (await fetch(metadata.token_endpoint, { method: 'POST', body: new URLSearchParams({
    grant_type: 'authorization_code', code: query.get('code'), redirect_uri: redirect, client_id: 'app', code_verifier: sessionStorage.verifier,
  }) })).json();
  const get = async (path) => (await fetch(local.clientUrl + path, { headers: { Authorization: `Bearer ${tokens.access_token}` } })).json();
  const { authentication: { apiKey, userId } } = await get('/config?clientType=web');
  const client = new StreamChat(apiKey, { baseURL: local.streamUrl });
  await client.connectUser({ id: userId }, async () => (await get('/token/me')).token);
  const channel = client.channel('messaging', 'general', { members: ['alice', 'bob'] });
  await channel.watch();
  const show = () => $('messages').replaceChildren(...channel.state.messages.map(({ user, text }) => Object.assign(document.createElement('li'), { textContent: `${user.id}: ${text}` })));
  channel.on(show);
  show();
  $('say').addEventListener('submit', (e) => {
    e.preventDefault();
    channel.sendMessage({ text: $('say').firstElementChild.value });
  });
  $('who').textContent = userId;
}
