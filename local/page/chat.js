// Two people chat through the whole service, with the calls that Stream's SDK makes.
const $ = (id) => document.getElementById(id);
const element = (tag, fields = {}, ...children) => {
  const e = Object.assign(document.createElement(tag), fields);
  e.append(...children);
  return e;
};
const health = await (await fetch('health')).json();
const base = new URL(health.clientUrl).pathname.replace(/\/$/, '');
const stream = new URL(health.streamUrl);
if (stream.protocol === 'http:') stream.hostname = location.hostname; // a device has another name for this machine
const channel = { type: 'messaging', id: 'page', members: ['alice', 'bob'] };

// The way of a message, as it happens.
const step = (text, kind = '') => {
  const list = $('steps');
  list.querySelector('.none')?.remove();
  list.append(element('li', { className: kind }, element('time', { textContent: `${new Date().toLocaleTimeString()} ` }), text));
  while (list.children.length > 60) list.firstElementChild.remove();
  list.scrollTop = list.scrollHeight;
};

class Person {
  constructor(name, pane) {
    Object.assign(this, { name, pane, messages: new Map() });
    this.title = pane.querySelector('.state');
    this.list = pane.querySelector('.messages');
    this.typing = pane.querySelector('.typing');
    const input = pane.querySelector('input');
    pane.querySelector('form').addEventListener('submit', (e) => {
      e.preventDefault();
      if (input.value.trim()) this.send(input.value.trim());
      input.value = '';
    });
    let told = 0;
    input.addEventListener('input', () => {
      if (Date.now() - told > 2000) { told = Date.now(); this.call('POST', `/channels/messaging/${channel.id}/event`, { event: { type: 'typing.start' } }); }
    });
    input.addEventListener('focus', () => this.read());
  }

  say(text, kind) { this.title.textContent = text; this.title.className = `state ${kind}`; }

  async connect() {
    const bearer = await (await fetch(`bearer?user=${this.name}`)).text();
    step(`${this.name} signs in and gets a bearer token from the issuer`);
    this.headers = { Authorization: `Bearer ${bearer}` };
    const config = await (await fetch(`${base}/config?clientType=web`, { headers: this.headers })).json();
    step(`${this.name} → /config: API key and settings`);
    const token = await (await fetch(`${base}/token/me`, { headers: this.headers })).json();
    if (!config.authentication || !token.token) throw new Error(token.errorMsg ?? 'the service does not know this user');
    step(`${this.name} → /token/me: a token for Stream`);
    this.key = config.authentication.apiKey;
    this.token = token.token;
    await new Promise((resolve, reject) => {
      const query = new URLSearchParams({ json: JSON.stringify({ user_id: this.name, user_details: { id: this.name, name: this.name } }),
        api_key: this.key, authorization: this.token, 'stream-auth-type': 'jwt' });
      const url = new URL(`/connect?${query}`, stream);
      url.protocol = url.protocol.replace('http', 'ws');
      this.socket = new WebSocket(url);
      this.socket.onmessage = ({ data }) => {
        const event = JSON.parse(data);
        if (event.error) reject(new Error(event.error.message));
        if (event.connection_id && !this.connection) { this.connection = event.connection_id; resolve(); }
        this.take(event);
      };
      this.socket.onclose = () => { this.connection = undefined; this.say('offline', 'bad'); reject(new Error('the socket closed')); };
    });
    step(`${this.name} is connected: Stream's socket is open`);
    const state = await this.call('POST', `/channels/messaging/${channel.id}/query`, { data: { members: channel.members, name: 'The page' }, watch: true, state: true });
    state.messages.forEach((m) => this.messages.set(m.id, m));
    this.show();
    this.say('online', 'good');
    for (const control of this.pane.querySelectorAll('input, button')) control.disabled = false;
  }

  async call(method, path, body) {
    const query = new URLSearchParams({ api_key: this.key, user_id: this.name, connection_id: this.connection ?? '' });
    const answer = await fetch(new URL(`${path}?${query}`, stream), { method, body: body && JSON.stringify(body),
      headers: { Authorization: this.token, 'Stream-Auth-Type': 'jwt', 'Content-Type': 'application/json' } });
    const got = await answer.json();
    if (!answer.ok) throw new Error(`${got.message} (code ${got.code})`);
    return got;
  }

  async send(text) {
    step(`${this.name} → Stream: “${text}”`, 'sent');
    try {
      const { message } = await this.call('POST', `/channels/messaging/${channel.id}/message`, { message: { text } });
      if (message.type === 'error') {
        this.messages.set(message.id, message);
        this.show();
      }
    } catch (e) { step(`${this.name}: ${e.message}`, 'bad'); }
  }

  read() { if (this.connection) this.call('POST', `/channels/messaging/${channel.id}/read`, {}).catch(() => {}); }

  take(event) {
    const by = event.user?.id;
    if (event.message) { this.messages.set(event.message.id, event.message); this.show(); }
    if (event.type === 'message.new' && by !== this.name) {
      step(`Stream → ${this.name}: message.new over the socket`);
      if (this.pane.contains(document.activeElement)) this.read();
    }
    if (event.type === 'typing.start' && by !== this.name) {
      this.typing.textContent = `${by} is typing…`;
      clearTimeout(this.timer);
      this.timer = setTimeout(() => { this.typing.textContent = ''; }, 3000);
    }
    if (event.type === 'message.new') this.typing.textContent = '';
    if (event.type === 'message.read' && by !== this.name) this.typing.textContent = `${by} has read this`;
  }

  show() {
    this.list.replaceChildren(...[...this.messages.values()].slice(-50).map((m) => element('li', { className: `${m.user.id === this.name ? 'own' : ''} ${m.type === 'error' ? 'bad' : ''}` },
      element('small', { textContent: m.type === 'error' ? 'not sent' : m.user.id }), ` ${m.type === 'deleted' ? 'deleted' : m.text}`)));
    this.list.scrollTop = this.list.scrollHeight;
  }
}

// What the stand-in for Stream and the bus saw: the page's live feed has it.
export const hook = ({ type, status, answer, text }) => {
  if (type) step(`Stream → /webhook: ${type}, signed and compressed: ${status}`, status === 200 ? '' : 'bad');
  else step(`Stream asks the hook about “${JSON.parse(text).message?.text}”: ${status} ${answer}`);
};
export const bus = ({ type }) => { if (type !== 'untyped') step(`event bus: ${type}`, 'good'); };

const people = ['alice', 'bob'].map((name) => new Person(name, $(`chat-${name}`)));
$('chat-start').addEventListener('click', async () => {
  $('chat-start').disabled = true;
  for (const person of people) {
    try { await person.connect(); } catch (e) { person.say(e.message, 'bad'); $('chat-start').disabled = false; }
  }
});
if (stream.hostname === location.hostname) {
  $('chat-start').disabled = false; // the page has it disabled, or an early click would do nothing
} else {
  people[0].say('Stream is not the stand-in: chat with your own app', '');
}
