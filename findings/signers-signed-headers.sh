#!/usr/bin/env bash
# aws4 1.13.2, aws4fetch 1.0.20, @smithy/signature-v4 5.7.5 (npm), aws-sdk-go-v2 v1.47.7. Seen on 2026-11-27.
# The same request gives four lists of signed headers. aws4fetch leaves Content-Type unsigned. aws4, aws4fetch and Go sign Via,
# Cache-Control and Referer, which a proxy may change on the way (then: 403); smithy does not. Go signs Connection, too, which ends at
# the next hop. A tab in a header's value is signed as a space by the three JavaScript signers, and as a tab by Go's.
# Seen (without host and x-amz-date):
#   aws4 cache-control;content-type;referer;via;x-note tab like space: true
#   aws4fetch cache-control;referer;via;x-note tab like space: true
#   smithy content-type;via;x-note tab like space: true
#   go cache-control;connection;content-type;referer;via;x-note tab like space: false
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund aws4@1.13.2 aws4fetch@1.0.20 @smithy/signature-v4@5.7.5 @smithy/protocol-http@5.6.2 @aws-crypto/sha256-js@5.2.0 >/dev/null
go mod init finding 2>/dev/null
go get github.com/aws/aws-sdk-go-v2/aws/signer/v4@v1.47.7 2>/dev/null

cat >main.mjs <<'E'
import aws4 from 'aws4';
import { AwsV4Signer } from 'aws4fetch';
import { SignatureV4 } from '@smithy/signature-v4';
import { HttpRequest } from '@smithy/protocol-http';
import { Sha256 } from '@aws-crypto/sha256-js';
const keys = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' };
const host = 'abc.execute-api.eu-west-1.amazonaws.com', path = '/proxy/users';
const region = 'eu-west-1', service = 'execute-api', datetime = '20260102T030405Z';
const headers = (note) => ({
  'cache-control': 'no-cache', connection: 'keep-alive', 'content-type': 'application/json',
  referer: 'https://example.com/', via: '1.1 edge', 'x-note': note,
});
const sign = {
  aws4: (note) => aws4.sign({ host, path, region, service, headers: { ...headers(note), 'X-Amz-Date': datetime } }, keys).headers.Authorization,
  aws4fetch: async (note) => {
    const signer = new AwsV4Signer({ ...keys, region, service, datetime, url: `https://${host}${path}`, headers: headers(note) });
    return (await signer.sign()).headers.get('authorization');
  },
  smithy: async (note) => {
    const signer = new SignatureV4({ credentials: keys, region, service, sha256: Sha256, applyChecksum: false });
    const request = new HttpRequest({ method: 'GET', hostname: host, path, headers: { host, ...headers(note) } });
    return (await signer.sign(request, { signingDate: new Date('2026-01-02T03:04:05Z') })).headers.authorization;
  },
};
for (const [name, signer] of Object.entries(sign)) {
  const names = (await signer('a b')).match(/SignedHeaders=([^,]*)/)[1].split(';').filter((h) => !/^host$|^x-amz/.test(h));
  console.log(name, names.join(';'), 'tab like space:', (await signer('a b')) === (await signer('a\tb')));
}
E
cat >main.go <<'E'
package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

func sign(note string) string {
	const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	r, _ := http.NewRequest("GET", "https://abc.execute-api.eu-west-1.amazonaws.com/proxy/users", nil)
	for name, value := range map[string]string{
		"Cache-Control": "no-cache", "Connection": "keep-alive", "Content-Type": "application/json",
		"Referer": "https://example.com/", "Via": "1.1 edge", "X-Note": note,
	} {
		r.Header.Set(name, value)
	}
	keys := aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	v4.NewSigner().SignHTTP(context.Background(), keys, r, empty, "execute-api", "eu-west-1", at)
	return r.Header.Get("Authorization")
}

func main() {
	_, names, _ := strings.Cut(sign("a b"), "SignedHeaders=")
	names, _, _ = strings.Cut(names, ",")
	names = strings.NewReplacer("host;", "", "x-amz-date;", "").Replace(names)
	fmt.Println("go", names, "tab like space:", sign("a b") == sign("a\tb"))
}
E
{ node main.mjs; go run .; } | tee seen
diff - seen <<'E'
aws4 cache-control;content-type;referer;via;x-note tab like space: true
aws4fetch cache-control;referer;via;x-note tab like space: true
smithy content-type;via;x-note tab like space: true
go cache-control;connection;content-type;referer;via;x-note tab like space: false
E
