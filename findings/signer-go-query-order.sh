#!/usr/bin/env bash
# github.com/aws/aws-sdk-go-v2/aws/signer/v4 v1.47.7; aws4 1.13.2 and aws4fetch 1.0.20 (npm). Seen on 2026-11-27.
# Signature Version 4 sorts a query to sign it. Go's signer then sends the sorted one, so that two values of one name change places, which
# a server may read ("the last one counts"). JavaScript's signers sign the same text and leave the query as it was.
# Seen (as it is sent, and the first eight digits of the signature):
#   aws4 sort=b&sort=a 163e4ec8
#   aws4fetch sort=b&sort=a 163e4ec8
#   go sort=a&sort=b 163e4ec8
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund aws4@1.13.2 aws4fetch@1.0.20 >/dev/null
go mod init finding 2>/dev/null
go get github.com/aws/aws-sdk-go-v2/aws/signer/v4@v1.47.7 2>/dev/null

cat >main.mjs <<'E'
import aws4 from 'aws4';
import { AwsV4Signer } from 'aws4fetch';
const keys = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' };
const host = 'abc.execute-api.eu-west-1.amazonaws.com';
const region = 'eu-west-1', service = 'execute-api', datetime = '20260102T030405Z';
const tell = (name, path, authorization) => console.log(name, path.split('?')[1], authorization.match(/Signature=(.{8})/)[1]);
const path = '/proxy/users?sort=b&sort=a';
const one = aws4.sign({ host, path, region, service, headers: { 'X-Amz-Date': datetime } }, keys);
tell('aws4', one.path, one.headers.Authorization);
const two = await new AwsV4Signer({ ...keys, region, service, datetime, url: `https://${host}${path}` }).sign();
tell('aws4fetch', two.url.href, two.headers.get('authorization'));
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
	r, _ := http.NewRequest("GET", "https://abc.execute-api.eu-west-1.amazonaws.com/proxy/users?sort=b&sort=a", nil)
	keys := aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}
	v4.NewSigner().SignHTTP(context.Background(), keys, r, empty, "execute-api", "eu-west-1", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	_, signature, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
	fmt.Println("go", r.URL.RawQuery, signature[:8])
}
E
{ node main.mjs; go run .; } | tee seen
diff - seen <<'E'
aws4 sort=b&sort=a 163e4ec8
aws4fetch sort=b&sort=a 163e4ec8
go sort=a&sort=b 163e4ec8
E
