#!/usr/bin/env bash
# github.com/cloudevents/sdk-go/v2 v2.16.2 and cloudevents 10.0.0 (npm). Seen on 2026-11-27.
# SetData("application/json", ...) with the JSON as a []byte gives data_base64 in structured mode; with a json.RawMessage, the same
# bytes, it gives data. JavaScript's SDK reads the first as a Uint32Array, one element for each byte of the text, in spite of the JSON type.
# Seen (11 bytes, {"id":"m1"}, set as []byte, then as json.RawMessage):
#   data_base64: Uint32Array, 11 elements, id undefined
#   data: Object, 1 elements, id m1
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund cloudevents@10.0.0 >/dev/null
go mod init finding 2>/dev/null
go get github.com/cloudevents/sdk-go/v2@v2.16.2 2>/dev/null

cat >main.go <<'E'
package main

import (
	"encoding/json"
	"fmt"

	cloudevents "github.com/cloudevents/sdk-go/v2"
)

func main() {
	for _, data := range []any{[]byte(`{"id":"m1"}`), json.RawMessage(`{"id":"m1"}`)} {
		event := cloudevents.NewEvent()
		event.SetID("1")
		event.SetSource("/chat")
		event.SetType("message.new")
		if err := event.SetData("application/json", data); err != nil {
			panic(err)
		}
		text, err := json.Marshal(event)
		if err != nil {
			panic(err)
		}
		fmt.Println(string(text))
	}
}
E
cat >main.mjs <<'E'
import { createInterface } from 'node:readline';
import { HTTP } from 'cloudevents';
for await (const body of createInterface({ input: process.stdin })) {
  const { data } = HTTP.toEvent({ headers: { 'content-type': 'application/cloudevents+json' }, body });
  const member = 'data_base64' in JSON.parse(body) ? 'data_base64' : 'data';
  console.log(`${member}: ${data.constructor.name}, ${Object.keys(data).length} elements, id ${data.id}`);
}
E
go run . | node main.mjs | tee seen
diff - seen <<'E'
data_base64: Uint32Array, 11 elements, id undefined
data: Object, 1 elements, id m1
E
