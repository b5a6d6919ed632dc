#!/usr/bin/env bash
# openid-client 6.9.0 (npm) and github.com/coreos/go-oidc/v3 v3.21.0. Seen on 2026-11-27.
# For an issuer without a path, openid-client takes the configured URL with and without a slash at its end for the same, and then works
# with the name that the metadata gives; for one with a path the slash counts. For go-oidc it always counts.
# So a setting that works in the app's sign-in may fail, to the character, in a Go service that checks its tokens.
# Seen ("-" is no path):
#   published / configured -: openid-client found as /, go-oidc refused
#   published - configured /: openid-client found as -, go-oidc refused
#   published /t/ configured /t: openid-client refused, go-oidc refused
#   published /t configured /t: openid-client found as /t, go-oidc found
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund openid-client@6.9.0 >/dev/null
go mod init finding 2>/dev/null
go get github.com/coreos/go-oidc/v3@v3.21.0 2>/dev/null

cat >main.go <<'E'
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/coreos/go-oidc/v3/oidc"
)

func main() {
	if _, err := oidc.NewProvider(context.Background(), os.Args[1]); err != nil {
		fmt.Println("refused")
		return
	}
	fmt.Println("found")
}
E
go mod tidy 2>/dev/null
go build -o go-oidc .
cat >main.mjs <<'E'
import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import { promisify } from 'node:util';
import { allowInsecureRequests, discovery } from 'openid-client';

let issuer;
const server = createServer((request, response) => {
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify({
    issuer, jwks_uri: `${origin}/keys`, authorization_endpoint: `${origin}/authorize`, token_endpoint: `${origin}/token`,
    response_types_supported: ['code'], subject_types_supported: ['public'], id_token_signing_alg_values_supported: ['RS256'],
  }));
});
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const origin = `http://127.0.0.1:${server.address().port}`;
for (const [published, configured] of [['/', ''], ['', '/'], ['/t/', '/t'], ['/t', '/t']]) {
  issuer = origin + published;
  const js = await discovery(new URL(origin + configured), 'app', undefined, undefined, { execute: [allowInsecureRequests] })
    .then((found) => `found as ${found.serverMetadata().issuer.slice(origin.length) || '-'}`, () => 'refused');
  const { stdout } = await promisify(execFile)('./go-oidc', [origin + configured]);
  console.log(`published ${published || '-'} configured ${configured || '-'}: openid-client ${js}, go-oidc ${stdout.trim()}`);
}
server.close();
E
node main.mjs | tee seen
diff - seen <<'E'
published / configured -: openid-client found as /, go-oidc refused
published - configured /: openid-client found as -, go-oidc refused
published /t/ configured /t: openid-client refused, go-oidc refused
published /t configured /t: openid-client found as /t, go-oidc found
E
