final client = StreamChatClient(auth.apiKey);
// Without a name, some versions of the SDK store the id as the name (stream-chat-flutter #700, #2447). Pass the one your app knows where SyncUsers is off.
await client.connectUserWithProvider(
  User(id: auth.userId, name: auth.name ?? profile.name, image: auth.image),
  (_) async => (await get('/token/me'))['token'] as String,
);
