#!/usr/bin/env bash
# aws4 1.13.2, aws4fetch 1.0.20, @smithy/signature-v4 5.7.5 (npm), aws-sdk-go-v2 v1.47.7. Seen on 2026-11-27.
# A path with two slashes, or with a dot segment, is signed in two ways: the three JavaScript signers fold it first, as for every
# service but S3, Go's signer takes it as it stands. Two slashes are easy to make: a base URL that ends in one, joined to a path.
# Seen, as the first eight digits of the signature (aws4, aws4fetch, smithy; then Go):
#   /proxy/users 3f4f3469 3f4f3469 3f4f3469; 3f4f3469
#   /proxy//users 3f4f3469 3f4f3469 3f4f3469; 51177cbc
#   /proxy/./users 3f4f3469 3f4f3469 3f4f3469; 20af57af
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
const host = 'abc.execute-api.eu-west-1.amazonaws.com';
const region = 'eu-west-1', service = 'execute-api', datetime = '20260102T030405Z';
const digits = (authorization) => authorization.match(/Signature=(.{8})/)[1];
for (const path of ['/proxy/users', '/proxy//users', '/proxy/./users']) {
  const one = aws4.sign({ host, path, region, service, headers: { 'X-Amz-Date': datetime } }, keys).headers.Authorization;
  const signer = new AwsV4Signer({ ...keys, region, service, datetime, url: `https://${host}${path}` });
  const two = (await signer.sign()).headers.get('authorization');
  const smithy = new SignatureV4({ credentials: keys, region, service, sha256: Sha256, applyChecksum: false });
  const request = new HttpRequest({ method: 'GET', hostname: host, path, headers: { host } });
  const three = (await smithy.sign(request, { signingDate: new Date('2026-01-02T03:04:05Z') })).headers.authorization;
  console.log(path, [one, two, three].map(digits).join(' '));
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

func main() {
	const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for _, path := range []string{"/proxy/users", "/proxy//users", "/proxy/./users"} {
		r, _ := http.NewRequest("GET", "https://abc.execute-api.eu-west-1.amazonaws.com"+path, nil)
		keys := aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}
		at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		v4.NewSigner().SignHTTP(context.Background(), keys, r, empty, "execute-api", "eu-west-1", at)
		_, signature, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
		fmt.Println(path, signature[:8])
	}
}
E
{ node main.mjs; go run .; } | tee seen
diff - seen <<'E'
/proxy/users 3f4f3469 3f4f3469 3f4f3469
/proxy//users 3f4f3469 3f4f3469 3f4f3469
/proxy/./users 3f4f3469 3f4f3469 3f4f3469
/proxy/users 3f4f3469
/proxy//users 51177cbc
/proxy/./users 20af57af
E
