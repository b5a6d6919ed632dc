package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// An api calls AWS with signed requests. The SDK's clients of S3 and DynamoDB would
// be most of this program, which calls four operations.
type api struct {
	cfg    aws.Config
	getenv func(string) string
	signer *v4.Signer
}

func newAPI(cfg aws.Config, getenv func(string) string) *api {
	return &api{cfg, getenv, v4.NewSigner()}
}

// maxAnswer is more than the largest webhook, in bytes.
const maxAnswer = 8 << 20

// send sends one request to a service and returns the response's status and body.
func (a *api) send(ctx context.Context, service, method, path string, header http.Header, body []byte) (int, []byte, error) {
	endpoint := fmt.Sprintf("https://%s.%s.amazonaws.com", service, a.cfg.Region)
	endpoint = cmp.Or(a.getenv("AWS_ENDPOINT_URL_"+strings.ToUpper(service)), a.getenv("AWS_ENDPOINT_URL"), endpoint)
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(endpoint, "/")+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	maps.Copy(r.Header, header)
	credentials, err := a.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return 0, nil, err
	}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	r.Header.Set("X-Amz-Content-Sha256", hash) // S3 wants it
	if err := a.signer.SignHTTP(ctx, credentials, r, hash, service, a.cfg.Region, time.Now()); err != nil {
		return 0, nil, err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return response.StatusCode, answer, err
}

// get returns an object in S3. Its key must need no escaping in a URL.
func (a *api) get(ctx context.Context, bucket, key string) ([]byte, error) {
	status, body, err := a.send(ctx, "s3", http.MethodGet, "/"+bucket+"/"+key, nil, nil)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("want status 200, got %d", status)
	}
	return body, err
}
