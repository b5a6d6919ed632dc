#!/usr/bin/env bash
# stream-chat 9.53.0, @stream-io/node-sdk 0.7.64 (npm), stream-chat-go/v6 v6.10.0. Seen on 2026-11-27.
# createToken means three things: stream-chat and stream-chat-go put no iat in a token, so there is nothing that a revocation by date can
# compare; node-sdk puts one second less than now. generateUserToken leaves its option validity_in_seconds in the token as a claim.
# Seen:
#   stream-chat createToken: exp,user_id
#   node-sdk createToken: exp,iat,user_id; iat is 1 s back
#   node-sdk generateUserToken: exp,iat,user_id,validity_in_seconds
#   stream-chat-go CreateToken: exp,user_id
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund stream-chat@9.53.0 @stream-io/node-sdk@0.7.64 >/dev/null
go mod init finding 2>/dev/null
go get github.com/GetStream/stream-chat-go/v6@v6.10.0 2>/dev/null

cat >main.mjs <<'E'
import { StreamChat } from 'stream-chat';
import { StreamClient } from '@stream-io/node-sdk';
const claims = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
const names = (token) => Object.keys(claims(token)).sort().join();
console.log('stream-chat createToken:', names(new StreamChat('key', 'secret').createToken('alice', 1900000000)));
const client = new StreamClient('key', 'secret');
const before = Math.floor(Date.now() / 1000);
const token = client.createToken('alice');
const { iat } = claims(token);
const back = [before - iat, Math.floor(Date.now() / 1000) - iat].includes(1) ? 1 : before - iat;
console.log(`node-sdk createToken: ${names(token)}; iat is ${back} s back`);
console.log('node-sdk generateUserToken:', names(client.generateUserToken({ user_id: 'alice', validity_in_seconds: 60 })));
E
cat >main.go <<'E'
package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	stream "github.com/GetStream/stream-chat-go/v6"
)

func main() {
	client, _ := stream.NewClient("key", "secret")
	token, _ := client.CreateToken("alice", time.Unix(1900000000, 0))
	payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	var claims map[string]any
	json.Unmarshal(payload, &claims)
	fmt.Println("stream-chat-go CreateToken:", strings.Join(slices.Sorted(maps.Keys(claims)), ","))
}
E
{ node main.mjs; go run .; } | tee seen
diff - seen <<'E'
stream-chat createToken: exp,user_id
node-sdk createToken: exp,iat,user_id; iat is 1 s back
node-sdk generateUserToken: exp,iat,user_id,validity_in_seconds
stream-chat-go CreateToken: exp,user_id
E
