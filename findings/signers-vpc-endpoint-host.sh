#!/usr/bin/env bash
# aws4 1.13.2 and aws4fetch 1.0.20 (npm). Seen on 2026-11-27 with Node.js 20.
# Both guess region and service from the host when none are given. For the host of a private API behind a VPC endpoint they take the
# region for the service. Newer hosts (execute-api.REGION.api.aws) and a custom domain give us-east-1 and an empty service, without an error.
# Seen (aws4, aws4fetch):
#   abc.execute-api.eu-west-1.amazonaws.com: eu-west-1/execute-api eu-west-1/execute-api
#   vpce-0123-abc.execute-api.eu-west-1.vpce.amazonaws.com: vpce/eu-west-1 eu-west-1/vpce
#   abc.execute-api.eu-west-1.api.aws: us-east-1/ us-east-1/
#   abc.lambda-url.eu-west-1.on.aws: us-east-1/ eu-west-1/lambda
#   abc.execute-api-fips.us-east-1.amazonaws.com: us-east-1/execute-api-fips us-east-1/execute-api
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund aws4@1.13.2 aws4fetch@1.0.20 >/dev/null

cat >main.mjs <<'E'
import aws4 from 'aws4';
import { AwsV4Signer } from 'aws4fetch';
const keys = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' };
const scope = (authorization) => authorization.match(/Credential=[^/]*\/\d+\/(.*?)\/aws4_request/)[1];
for (const host of [
  'abc.execute-api.eu-west-1.amazonaws.com',
  'vpce-0123-abc.execute-api.eu-west-1.vpce.amazonaws.com',
  'abc.execute-api.eu-west-1.api.aws',
  'abc.lambda-url.eu-west-1.on.aws',
  'abc.execute-api-fips.us-east-1.amazonaws.com',
]) {
  const first = scope(aws4.sign({ host, path: '/token/alice' }, keys).headers.Authorization);
  const signed = await new AwsV4Signer({ ...keys, url: `https://${host}/token/alice` }).sign();
  console.log(`${host}: ${first} ${scope(signed.headers.get('authorization'))}`);
}
E
node main.mjs | tee seen
diff - seen <<'E'
abc.execute-api.eu-west-1.amazonaws.com: eu-west-1/execute-api eu-west-1/execute-api
vpce-0123-abc.execute-api.eu-west-1.vpce.amazonaws.com: vpce/eu-west-1 eu-west-1/vpce
abc.execute-api.eu-west-1.api.aws: us-east-1/ us-east-1/
abc.lambda-url.eu-west-1.on.aws: us-east-1/ eu-west-1/lambda
abc.execute-api-fips.us-east-1.amazonaws.com: us-east-1/execute-api-fips us-east-1/execute-api
E
