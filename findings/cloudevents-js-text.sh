#!/usr/bin/env bash
# cloudevents 10.0.0 (npm). Seen on 2026-11-27 with Node.js 20.
# Data that is a text, with the content type application/json, changes its type on the way in binary mode: it is written without its
# quotes, so a text that looks like JSON comes back as an object, and a plain one is sent as no JSON document. Structured mode keeps it.
# Seen:
#   hello: binary body hello, comes back as string; structured string
#   {"id":"m1"}: binary body {"id":"m1"}, comes back as object; structured string
#   [1,2]: binary body [1,2], comes back as object; structured string
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund cloudevents@10.0.0 >/dev/null

cat >main.mjs <<'E'
import { CloudEvent, HTTP } from 'cloudevents';
for (const data of ['hello', '{"id":"m1"}', '[1,2]']) {
  const event = new CloudEvent({ id: '1', source: '/chat', type: 'message.new', datacontenttype: 'application/json', data });
  const binary = HTTP.binary(event);
  const types = [binary, HTTP.structured(event)].map((message) => typeof HTTP.toEvent(message).data);
  console.log(`${data}: binary body ${binary.body}, comes back as ${types[0]}; structured ${types[1]}`);
}
E
node main.mjs | tee seen
diff - seen <<'E'
hello: binary body hello, comes back as string; structured string
{"id":"m1"}: binary body {"id":"m1"}, comes back as object; structured string
[1,2]: binary body [1,2], comes back as object; structured string
E
