// Your backend and your chat, without a browser: Node's test runner and Stream's SDK.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { StreamChat } from 'stream-chat';
import { start } from './local.mjs';

let local;
before(async () => { local = await start('-moderation'); });
after(() => local.stop());

const get = async (path, user) => {
  const bearer = await (await fetch(`${local.clientUrl}/.local/bearer?user=${user}`)).text();
  return (await fetch(local.clientUrl + path, { headers: { Authorization: `Bearer ${bearer}` } })).json();
};

const connect = async (user) => {
  const { authentication: { apiKey } } = await get('/config?clientType=web', user);
  const client = new StreamChat(apiKey, { baseURL: local.streamUrl, allowServerSideConnect: true });
  await client.connectUser({ id: user }, async () => (await get('/token/me', user)).token);
  return client;
};

test('two people chat', async () => {
  const [alice, bob] = await Promise.all(['alice', 'bob'].map(connect));
  const hers = alice.channel('messaging', 'general', { members: ['alice', 'bob'] });
  await hers.watch();
  const [his] = await bob.queryChannels({ type: 'messaging', members: { $in: ['bob'] } });
  const next = (channel, type) => new Promise((resolve) => { channel.on(type, resolve); });

  const typing = next(his, 'typing.start');
  await hers.keystroke();
  assert.equal((await typing).user.id, 'alice');

  const arrives = next(his, 'message.new');
  const { message } = await hers.sendMessage({ text: 'darn, hello' });
  assert.equal((await arrives).message.text, '****, hello', 'the hook masks it');
  assert.equal(his.countUnread(), 1);

  const read = next(hers, 'message.read');
  await his.markRead();
  assert.equal((await read).user.id, 'bob');

  const reaction = next(hers, 'reaction.new');
  await his.sendReaction(message.id, { type: 'love' });
  assert.deepEqual((await reaction).message.reaction_counts, { love: 1 });

  await his.sendMessage({ text: 'in the thread', parent_id: message.id });
  assert.equal((await hers.getReplies(message.id, {})).messages[0].text, 'in the thread');
  assert.equal((await hers.sendMessage({ text: 'a scam' })).message.type, 'error', 'the hook refuses it');

  const added = next(bob, 'notification.added_to_channel');
  const second = alice.channel('messaging', 'second', { members: ['alice', 'bob'] });
  await second.create();
  assert.equal((await added).channel.id, 'second');
  const removed = next(bob, 'notification.removed_from_channel');
  await second.removeMembers(['bob']);
  assert.equal((await removed).channel.id, 'second');

  const gone = next(alice, 'user.presence.changed');
  await bob.disconnectUser();
  assert.equal((await gone).user.online, false);
  await alice.disconnectUser();
});

test('events reach the bus', async () => {
  const { events } = await (await fetch(`${local.clientUrl}/.local/events?since=0&wait=10`)).json();
  assert.ok(events.some((event) => event['detail-type'] === 'message.new' && event.source === 'stream.chat'));
});

test('Stream refuses expired and revoked tokens', async () => {
  const { token } = await get('/token/me', 'carol');
  const { api_key: key } = await get('/api-key');
  const seed = (time) => fetch(`${local.clientUrl}/.local/seed`, { method: 'POST', body: JSON.stringify({ time }) });
  const code = async () => {
    const answer = await fetch(`${local.streamUrl}/users?api_key=${key}`, { headers: { Authorization: token, 'Stream-Auth-Type': 'jwt' } });
    return (await answer.json()).code;
  };
  assert.equal(await code(), undefined);
  await seed(new Date(Date.now() + 7200e3)); // Stream's clock: the token lives for an hour
  assert.equal(await code(), 40);
  await seed(new Date());
  const signOut = (body, method) => fetch(`${local.serviceUrl}/proxy/users`, { method, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ users: body }) });
  await signOut({ carol: { id: 'carol' } }, 'POST');
  await signOut([{ id: 'carol', set: { revoke_tokens_issued_before: new Date() } }], 'PATCH');
  assert.equal(await code(), 40);
});
