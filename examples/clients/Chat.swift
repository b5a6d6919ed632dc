let client = ChatClient(config: ChatClientConfig(apiKeyString: auth.apiKey))
let user = try await client.connectUser(userInfo: UserInfo(id: auth.userId, name: auth.name, imageURL: auth.image.flatMap(URL.init(string:))), tokenProvider: { completion in
    Task {
        do {
            let answer: TokenAnswer = try await get("/token/me")
            completion(.success(try Token(rawValue: answer.token)))
        } catch {
            completion(.failure(error))
        }
    }
})
