// The page shows the development server's state and keeps none of its own.
import * as chat from './chat.js';

const opened = Date.now();
const $ = (id) => document.getElementById(id);
const element = (tag, fields = {}, ...children) => {
  const e = Object.assign(document.createElement(tag), fields);
  e.append(...children);
  return e;
};

let state = { standIns: [], parameters: [], settings: [], functions: [] };

// ---- the server's state -------------------------------------------------------------------------

const gone = 'The development server does not answer: is it still running?';
const ask = async (method, path, body) => {
  try {
    return await (await fetch(path, { method, body })).json();
  } catch {
    return { ok: false, text: gone, ms: '', sent: '', got: '', curl: '' };
  }
};
const tell = (text, ok) => {
  $('told').textContent = text;
  $('told').className = ok ? 'good' : 'bad';
};

let changes = 0;

const change = async (method, path, body) => {
  changes += 1;
  const { ok, text } = await ask(method, path, body);
  await refresh();
  tell(text, ok);
  return ok;
};
$('told').addEventListener('click', () => { $('told').textContent = ''; });

const refresh = async () => {
  const before = changes;
  const now = await ask('GET', 'state');
  if (!now.settings || changes !== before) return; // this may be older than that change, which refreshes by itself
  state = now;
  $('standins').replaceChildren(...state.standIns.map(({ name, on }) => {
    const box = element('input', { type: 'checkbox', checked: on, id: `standin-${name}` });
    box.addEventListener('change', () => change('PUT', `faults/${name}`, box.checked ? 'on' : 'off'));
    return element('label', {}, box, ` ${name}`);
  }));
  $('parameter-names').replaceChildren(...state.parameters.map(({ name }) => element('option', { value: name })));
  const chosen = $('setting-name').value;
  $('setting-name').replaceChildren(...state.settings.map(({ name }) => element('option', { value: name, textContent: name })));
  if (chosen) $('setting-name').value = chosen;
  const filter = $('filter').value;
  $('filter').replaceChildren(element('option', { value: '', textContent: 'all' }), ...state.functions.map((f) => element('option', { value: f, textContent: f })));
  $('filter').value = filter;
};

const showParameter = () => {
  const found = state.parameters.find(({ name }) => name === $('parameter-name').value);
  $('parameter-value').placeholder = found?.secret ? 'Secrets are not shown.' : 'There is no such parameter yet.';
  let text = found?.value ?? '';
  try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: as it is */ }
  $('parameter-value').value = text;
};

const showSetting = () => {
  const found = state.settings.find(({ name }) => name === $('setting-name').value);
  $('setting-value').value = found?.value ?? '';
  $('setting-value').title = found?.description ?? '';
};

$('parameter-name').addEventListener('change', showParameter);
$('setting-name').addEventListener('change', showSetting);
$('parameter').addEventListener('submit', async (e) => {
  e.preventDefault();
  const name = $('parameter-name').value.split('/').map(encodeURIComponent).join('/');
  const secret = name.startsWith('stream/');
  if (e.submitter?.value === 'delete' && secret && !window.confirm(`Without ${name}, every call is answered with 503. Delete it?`)) return;
  if (e.submitter?.value === 'delete') await change('DELETE', `parameters/${name}`);
  else if (!await change('PUT', `parameters/${name}`, $('parameter-value').value)) return; // what was typed stays
  showParameter();
});
$('rotate').addEventListener('click', () => change('POST', 'rotate'));
$('reset').addEventListener('click', async () => {
  if (!window.confirm('Forget all values, settings, users and messages of this server?')) return;
  await change('POST', 'reset');
  showParameter();
  showSetting();
});
$('setting').addEventListener('submit', async (e) => {
  e.preventDefault();
  await change('PUT', `settings/${$('setting-name').value}`, $('setting-value').value);
  showSetting();
});

// ---- requests -------------------------------------------------------------------------------------

const who = () => document.querySelector('input[name=who]:checked').value;
const user = () => ({ alice: 'alice', named: $('name').value || 'bob' }[who()] ?? 'alice');
$('name').addEventListener('input', () => { document.querySelector('input[value=named]').checked = true; });

const pretty = (text) => {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
};

// The server sends the request, as curl would, and returns the whole answer: the
// page would see only what CORS lets through.
const show = ({ text, ms, sent, got, curl }, kind) => {
  $('status').textContent = text;
  $('status').className = kind ?? (/^[23]/.test(text) ? 'good' : 'bad');
  $('time').textContent = ms === '' ? '' : `${ms} ms`;
  $('sent').textContent = sent;
  $('got').textContent = got.replace(/\n\n([\s\S]*)$/, (_, body) => `\n\n${pretty(body)}`);
  $('curl').textContent = curl;
  $('answer').scrollIntoView({ block: 'nearest' });
};

// Of two requests, the later one is shown, whichever answer arrives last.
let sent = 0;
const send = async (path, body) => {
  const mine = sent += 1;
  show({ text: 'Waiting for the answer', ms: '', sent: '', got: '', curl: '' }, 'soft');
  const answer = await ask('POST', path, body);
  if (mine === sent) show(answer);
};

const call = () => send('call', JSON.stringify({
  who: who(), user: user(), ...Object.fromEntries(['api', 'method', 'path', 'body'].map((id) => [id, $(id).value])),
}));

const routes = [
  ['Configuration', 'client', 'GET', () => '/config?clientType=web'],
  ['Token', 'client', 'GET', () => `/token/${encodeURIComponent(user())}`],
  ['API key', 'client', 'GET', () => '/api-key'],
  ['Configuration, for a service', 'service', 'GET', () => '/config?clientType=web'],
  ['Token, for a service', 'service', 'GET', () => `/token/${encodeURIComponent(user())}`],
  ['Write a user at Stream', 'service', 'POST', () => '/proxy/users',
    () => JSON.stringify({ users: { [user()]: { id: user(), name: user() } } })],
  ['Read users', 'service', 'GET', () => `/proxy/users?payload=${encodeURIComponent('{"filter_conditions":{}}')}`],
  ['Verify a signature', 'service', 'POST', () => '/webhook/verify', () => '{"rawBody":"{}","signature":"00"}'],
];
$('routes').append(...routes.map(([label, api, method, path, body]) => {
  const button = element('button', { type: 'button', textContent: label });
  button.addEventListener('click', () => {
    [$('api').value, $('method').value, $('path').value, $('body').value] = [api, method, path(), body ? body() : ''];
    return call();
  });
  return button;
}));
$('request').addEventListener('submit', (e) => { e.preventDefault(); call(); });
$('copy').addEventListener('click', async () => {
  await navigator.clipboard.writeText($('curl').textContent);
  $('copy').textContent = 'Copied';
  setTimeout(() => { $('copy').textContent = 'Copy'; }, 1500);
});

$('webhook').addEventListener('submit', (e) => {
  e.preventDefault();
  send(`trigger?kind=${e.submitter?.value ?? 'plain'}`, $('event').value);
});

// ---- what happens, live ----------------------------------------------------------------------------

const kept = 100;
const prepend = (list, item) => {
  list.querySelector('.none')?.remove();
  list.prepend(item);
  while (list.children.length > kept) list.lastChild.remove();
};

const filtered = () => {
  for (const item of $('log').children) item.hidden = $('filter').value !== '' && item.dataset.function !== $('filter').value;
};
$('filter').addEventListener('change', filtered);

// A log line may arrive before its request has ended.
const byID = new Map();
const entry = (id, name) => {
  let item = byID.get(id);
  if (!item) {
    item = element('li', {}, element('details', {}, element('summary', { textContent: name }), element('pre')));
    item.dataset.function = name;
    byID.set(id, item);
    if (byID.size > kept) byID.delete(byID.keys().next().value);
    prepend($('log'), item);
    filtered();
  }
  return item;
};

const at = (time) => element('time', { textContent: `${new Date(time).toLocaleTimeString()} ` });
const live = new EventSource('live');
let wasLive = false;
live.addEventListener('open', () => { if (wasLive) tell('', true); wasLive = true; });
live.addEventListener('error', () => {
  tell(gone, false);
  $('status').className = 'soft'; // an answer from before: nobody would give it now
});
live.addEventListener('request', ({ data }) => {
  const { id, api, method, path, status, ms, function: name, at: time } = JSON.parse(data);
  const summary = entry(id, name).querySelector('summary');
  summary.replaceChildren(at(time), `${method} ${path} `,
    element('strong', { className: status < 400 ? 'good' : 'bad', textContent: status }),
    element('span', { className: 'soft', textContent: ` ${name}, ${api} API, ${ms} ms` }));
});
live.addEventListener('log', ({ data }) => {
  const { id, function: name, line } = JSON.parse(data);
  entry(id || line, name).querySelector('pre').append(`${pretty(line)}\n`);
});
live.addEventListener('bus', ({ data }) => {
  const { type, text, at: time } = JSON.parse(data);
  if (Date.parse(time) > opened) chat.bus({ type });
  prepend($('bus'), element('li', {}, element('details', {},
    element('summary', {}, at(time), element('strong', { textContent: type })), element('pre', { textContent: pretty(text) }))));
});

live.addEventListener('hook', ({ data }) => {
  const event = JSON.parse(data);
  if (Date.parse(event.at) > opened) chat.hook(event);
});

await refresh();
showParameter();
showSetting();
