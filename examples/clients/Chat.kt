val client = ChatClient.Builder(auth.apiKey, context).build()
val tokens = object : TokenProvider {
    // Must not throw. An empty string tells the SDK that there is no token.
    override fun loadToken(): String = runCatching { get("/token/me").token }.getOrDefault("")
}
client.connectUser(User(id = auth.userId, name = auth.name.orEmpty(), image = auth.image.orEmpty()), tokens).enqueue { result ->
    result.onError { error -> showOffline(error.message) } // offline is normal on a phone
}
