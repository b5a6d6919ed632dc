#!/usr/bin/env bash
# cloudevents 10.0.0 (npm) and github.com/cloudevents/sdk-go/v2 v2.16.2. Seen on 2026-11-27.
# time is an optional attribute. Reading an event that has none, JavaScript's SDK fills in the moment of reading: the same bytes read
# twice are two events with two times, so the attribute cannot sort, expire or compare events. Go's SDK leaves it empty.
# Seen:
#   javascript: first reading has a time true, both readings agree false
#   go: has a time false
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund cloudevents@10.0.0 >/dev/null
go mod init finding 2>/dev/null
go get github.com/cloudevents/sdk-go/v2@v2.16.2 2>/dev/null

cat >main.mjs <<'E'
import { setTimeout } from 'node:timers/promises';
import { HTTP } from 'cloudevents';
const message = {
  headers: { 'content-type': 'application/cloudevents+json' },
  body: '{"specversion":"1.0","id":"1","source":"/chat","type":"message.new"}',
};
const first = HTTP.toEvent(message);
await setTimeout(20);
const second = HTTP.toEvent(message);
console.log(`javascript: first reading has a time ${Boolean(first.time)}, both readings agree ${first.time === second.time}`);
E
cat >main.go <<'E'
package main

import (
	"encoding/json"
	"fmt"

	cloudevents "github.com/cloudevents/sdk-go/v2"
)

func main() {
	var event cloudevents.Event
	if err := json.Unmarshal([]byte(`{"specversion":"1.0","id":"1","source":"/chat","type":"message.new"}`), &event); err != nil {
		panic(err)
	}
	fmt.Println("go: has a time", !event.Time().IsZero())
}
E
{ node main.mjs; go run .; } | tee seen
diff - seen <<'E'
javascript: first reading has a time true, both readings agree false
go: has a time false
E
