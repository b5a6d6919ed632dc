// A Flutter app's part, to copy. /config brings the first token, /token only renews it. A test parses this file; none runs it.
import 'dart:async';
import 'dart:convert';
import 'dart:io';
import 'dart:math';

import 'package:http/http.dart' as http;
import 'package:stream_chat/stream_chat.dart';

class Refused implements Exception {
  Refused(this.status);
  final int status;
}

/// Sends requests to the Client API with the user's access token.
class Backend {
  Backend(this.api, this.accessToken);
  final Uri api;
  final Future<String> Function() accessToken;
  final _random = Random();
  Future<String>? _flight;

  /// Tries again after 429, 5xx and network errors: a random time, twice as long each time, and at least what Retry-After says.
  Future<Map<String, dynamic>> get(String path) async {
    for (var attempt = 0;; attempt++) {
      var wait = 0;
      try {
        final answer = await http
            .get(api.resolve(path), headers: {'Authorization': 'Bearer ${await accessToken()}'})
            .timeout(const Duration(seconds: 4));
        final status = answer.statusCode;
        if (status >= 200 && status < 300) return jsonDecode(answer.body) as Map<String, dynamic>;
        if (status != 429 && status < 500 || attempt >= 7) throw Refused(status);
        wait = min(1000 * (int.tryParse(answer.headers['retry-after'] ?? '') ?? 0), 8000);
      } on Refused {
        rethrow;
      } on Exception {
        if (attempt >= 7) rethrow;
      }
      await Future<void>.delayed(Duration(milliseconds: wait + _random.nextInt(min(500 << attempt, 8000))));
    }
  }

  /// Callers at the same time share one request.
  Future<String> token() => _flight ??= get('/token/me').then((answer) => answer['token'] as String).whenComplete(() => _flight = null);
}

/// The SDK asks the provider again when a token has expired (40). A wrong signature (43), as after a rotation, needs a new connection.
Future<void> connect(StreamChatClient client, Backend backend, Map<String, dynamic> auth, String nameInApp) async {
  String? first = auth['userToken'] as String;
  // Without a name, some versions of the SDK store the id as the name (stream-chat-flutter #700, #2447).
  final user = User(id: auth['userId'] as String, name: auth['name'] as String? ?? nameInApp, image: auth['image'] as String?);
  for (var attempt = 0;; attempt++) {
    try {
      await client.connectUserWithProvider(user, (_) async {
        final now = first;
        first = null;
        return now ?? await backend.token();
      });
      return;
    } on StreamWebSocketError catch (error) {
      if (attempt >= 5 || ![40, 43].contains(error.code)) rethrow;
      await client.disconnectUser();
    }
  }
}

/// Before your identity provider's sign-out. Remove this device's push token as well.
Future<void> signOut(StreamChatClient client) => client.disconnectUser(flushChatPersistence: true);
