// An iOS app's part, to copy. /config brings the first token, /token only renews it. A test parses this file; none runs it.
import Foundation
import StreamChat

struct Refused: Error { let status: Int }

/// Sends requests to the Client API with the user's access token.
actor Backend {
    let api: URL
    let accessToken: () async throws -> String
    private var flight: Task<String, Error>?

    init(api: URL, accessToken: @escaping () async throws -> String) {
        self.api = api
        self.accessToken = accessToken
    }

    /// Tries again after 429, 5xx and network errors: a random time, twice as long each time, and at least what Retry-After says.
    func get<Answer: Decodable>(_ path: String) async throws -> Answer {
        for attempt in 0..<100 {
            var wait = 0.0
            do {
                var request = URLRequest(url: URL(string: path, relativeTo: api)!, timeoutInterval: 4)
                request.setValue("Bearer \(try await accessToken())", forHTTPHeaderField: "Authorization")
                let (data, response) = try await URLSession.shared.data(for: request)
                let http = response as! HTTPURLResponse
                if (200...299).contains(http.statusCode) { return try JSONDecoder().decode(Answer.self, from: data) }
                if http.statusCode != 429 && http.statusCode < 500 || attempt >= 7 { throw Refused(status: http.statusCode) }
                wait = min(Double(http.value(forHTTPHeaderField: "Retry-After") ?? "") ?? 0, 8)
            } catch let error as URLError {
                if attempt >= 7 { throw error }
            }
            let longest = min(0.5 * pow(2, Double(attempt)), 8)
            try await Task.sleep(nanoseconds: UInt64((wait + Double.random(in: 0..<longest)) * 1_000_000_000))
        }
        throw CancellationError()
    }

    /// Callers at the same time share one request.
    func token() async throws -> String {
        if let flight { return try await flight.value }
        let task = Task { (try await self.get("/token/me") as TokenAnswer).token }
        flight = task
        defer { flight = nil }
        return try await task.value
    }
}

/// The SDK asks the provider again when a token has expired (40). A wrong signature (43), as after a rotation, needs a new connection.
func connect(_ client: ChatClient, _ backend: Backend, _ auth: Authentication) async throws {
    var first: String? = auth.userToken
    let user = UserInfo(id: auth.userId, name: auth.name, imageURL: auth.image.flatMap(URL.init(string:)))
    for attempt in 0..<100 {
        do {
            _ = try await client.connectUser(userInfo: user, tokenProvider: { completion in
                let now = first
                first = nil
                Task {
                    do {
                        let text: String
                        if let now { text = now } else { text = try await backend.token() }
                        completion(.success(try Token(rawValue: text)))
                    } catch {
                        completion(.failure(error))
                    }
                }
            })
            return
        } catch let error as ClientError where attempt < 5 && [40, 43].contains(error.errorPayload?.code ?? 0) {
            await client.disconnect()
        }
    }
}

/// Before your identity provider's sign-out. Also removes this device's push token.
func signOut(_ client: ChatClient) async { await client.logout() }
