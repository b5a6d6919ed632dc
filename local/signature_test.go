package main

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"chat-service-backend/internal/standin"
)

func TestOnlyCallsSignedWithTheCredentialsAreSigned(t *testing.T) {
	c := standin.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret", SessionToken: "token", Region: "eu-central-1"}
	for name, test := range map[string]struct {
		sign   func(*aws.Credentials) // before
		change func(*http.Request)    // after
		body   string
		want   bool
	}{
		"good":             {want: true},
		"no signature":     {change: func(r *http.Request) { r.Header.Del("Authorization") }},
		"another key":      {sign: func(c *aws.Credentials) { c.AccessKeyID = "AKIDOTHER" }},
		"another secret":   {sign: func(c *aws.Credentials) { c.SecretAccessKey = "other" }},
		"another token":    {sign: func(c *aws.Credentials) { c.SessionToken = "other" }},
		"no token":         {sign: func(c *aws.Credentials) { c.SessionToken = "" }},
		"another body":     {body: "other"},
		"another path":     {change: func(r *http.Request) { r.URL.Path = "/other" }},
		"another header":   {change: func(r *http.Request) { r.Header.Set("X-Amz-Target", "Other") }},
		"unsigned headers": {change: func(r *http.Request) { r.Header.Set("Unsigned", "x") }, want: true},
	} {
		credentials := aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}
		if test.sign != nil {
			test.sign(&credentials)
		}
		r := httptest.NewRequest("POST", "/path?a=b", strings.NewReader("body"))
		r.Header.Set("X-Amz-Target", "AmazonSSM.GetParameters")
		sum := sha256.Sum256([]byte("body"))
		if err := v4.NewSigner().SignHTTP(t.Context(), credentials, r, hex.EncodeToString(sum[:]), "ssm", c.Region, time.Now()); err != nil {
			t.Fatal(err)
		}
		if test.change != nil {
			test.change(r)
		}
		if got := c.Signed(r, []byte("body"+test.body), "ssm"); got != test.want {
			t.Errorf("%s: want %t, got %t", name, test.want, got)
		}
	}
}
