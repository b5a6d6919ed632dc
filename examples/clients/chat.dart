final client = StreamChatClient(auth.apiKey);
// Without a name, some versions of the SDK store the id as the name (stream-chat-flutter #700, #2447). If SyncUsers is off, pass the name that your app has.
await client.connectUserWithProvider(
  User(id: auth.userId, name: auth.name ?? profile.name, image: auth.image),
  (_) async => (await get('/token/me'))['token'] as String,
);
