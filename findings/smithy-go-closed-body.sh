#!/usr/bin/env bash
# github.com/aws/smithy-go v1.28.8 (with aws-sdk-go-v2/service/ssm v1.79.3). Seen on 2026-11-27 with Go 1.26.
# The body of a request that the SDK hands to an HTTP client ends in two ways: read after it was closed, it ends like any
# other reader, but its WriteTo returns io.EOF as an error, which an io.WriterTo returns for a failure only. So io.Copy of a body that is at its
# end fails. net/http does that copy when it looks for surplus bytes, and then closes the connection, sometimes in the middle of the answer.
# Seen:
#   read: 0 bytes, EOF
#   io.Copy by Read: <nil>
#   io.Copy by WriteTo: EOF
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
go mod init finding 2>/dev/null
go get github.com/aws/smithy-go@v1.28.8 github.com/aws/aws-sdk-go-v2/service/ssm@v1.79.3 2>/dev/null

cat >main.go <<'E'
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

// client keeps the body of the request that it is given.
type client struct{ body io.ReadCloser }

func (c *client) Do(r *http.Request) (*http.Response, error) {
	c.body = r.Body
	io.Copy(io.Discard, r.Body)
	header := http.Header{"Content-Type": {"application/x-amz-json-1.1"}}
	return &http.Response{StatusCode: 200, Header: header, Body: io.NopCloser(strings.NewReader("{}")), Request: r}, nil
}

func main() {
	c := &client{}
	sdk := ssm.New(ssm.Options{Region: "eu-west-1", HTTPClient: c, Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}, nil
	})})
	if _, err := sdk.GetParameters(context.Background(), &ssm.GetParametersInput{Names: []string{"/a"}}); err != nil {
		panic(err)
	}
	n, err := c.body.Read(make([]byte, 10))
	fmt.Printf("read: %d bytes, %v\n", n, err)
	_, err = io.Copy(io.Discard, struct{ io.Reader }{c.body})
	fmt.Println("io.Copy by Read:", err)
	_, err = io.Copy(io.Discard, c.body)
	fmt.Println("io.Copy by WriteTo:", err)
}
E
go run . | tee seen
diff - seen <<'E'
read: 0 bytes, EOF
io.Copy by Read: <nil>
io.Copy by WriteTo: EOF
E
