#!/usr/bin/env bash
# stream-chat 9.53.0 (npm). Seen on 2026-11-27 with Node.js 20.
# The client makes its WebSocket address from baseURL, and a port 3030 in it becomes 8800: calls go to the proxy, the socket to another
# port of the same host. Every other port and every path is kept.
# Seen:
#   http://localhost:3000/proxy -> ws://localhost:3000/proxy
#   http://localhost:3030/proxy -> ws://localhost:8800/proxy
#   https://chat.example.com:3030 -> wss://chat.example.com:8800
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund stream-chat@9.53.0 >/dev/null

cat >main.mjs <<'E'
import { StreamChat } from 'stream-chat';
for (const baseURL of ['http://localhost:3000/proxy', 'http://localhost:3030/proxy', 'https://chat.example.com:3030']) {
  console.log(`${baseURL} -> ${new StreamChat('key', { baseURL }).wsBaseURL}`);
}
E
node main.mjs | tee seen
diff - seen <<'E'
http://localhost:3000/proxy -> ws://localhost:3000/proxy
http://localhost:3030/proxy -> ws://localhost:8800/proxy
https://chat.example.com:3030 -> wss://chat.example.com:8800
E
