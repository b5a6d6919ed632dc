// An Android app's part, to copy. /config brings the first token, /token only renews it. A test parses this file; none runs it.
import io.getstream.chat.android.client.ChatClient
import io.getstream.chat.android.client.token.TokenProvider
import io.getstream.chat.android.models.User
import java.io.IOException
import kotlin.random.Random

class Refused(val status: Int, message: String) : Exception(message)

/** fetch sends the access token and returns status, Retry-After in seconds and body, or throws an IOException after four seconds. */
class Backend(private val fetch: (path: String) -> Triple<Int, Long, String>) {
    /** Tries again after 429, 5xx and network errors: a random time, twice as long each time, and at least what Retry-After says. */
    fun get(path: String): String {
        var attempt = 0
        while (true) {
            var wait = 0L
            try {
                val (status, after, body) = fetch(path)
                if (status in 200..299) return body
                if (status != 429 && status < 500 || attempt >= 7) throw Refused(status, body)
                wait = minOf(1000 * after, 8000L)
            } catch (e: IOException) {
                if (attempt >= 7) throw e
            }
            Thread.sleep(wait + Random.nextLong(minOf(500L shl attempt, 8000L)))
            attempt++
        }
    }
}

class Chat(private val client: ChatClient, private val backend: Backend, private val auth: Authentication) {
    private val tokens = object : TokenProvider {
        private var first: String? = auth.userToken

        // One at a time. Must not throw: an empty string tells the SDK that there is no token.
        @Synchronized
        override fun loadToken(): String {
            first?.let { first = null; return it }
            return runCatching { parseToken(backend.get("/token/me")) }.getOrDefault("")
        }
    }

    fun connect(again: Int = 5) {
        client.connectUser(User(id = auth.userId, name = auth.name.orEmpty(), image = auth.image.orEmpty()), tokens).enqueue { result ->
            result.onError { error ->
                // 40: the token has expired, 43: its signature is wrong, as after a rotation of the secret.
                if (again > 0 && (error.message.contains("\"code\":40") || error.message.contains("\"code\":43"))) {
                    client.disconnect(flushPersistence = false).enqueue { connect(again - 1) }
                } else {
                    showOffline(error.message) // offline is normal on a phone
                }
            }
        }
    }

    /** Before your identity provider's sign-out. Also removes this device's push token. */
    fun signOut() = client.disconnect(flushPersistence = true).enqueue()
}
