package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"chat-service-backend/shared/settings"
)

// putAttempts is how often an object is sent: a kept connection may have died
// while Lambda had the process stopped.
const putAttempts = 2

// A bucket takes whole objects. It speaks to S3 with the SDK's signer and
// net/http: the SDK's S3 client would be another megabyte in each cold start,
// for one kind of request that hardly ever comes.
type bucket struct {
	name        string
	url         string // of the bucket, without a slash at its end
	region      string
	credentials aws.CredentialsProvider
	client      *http.Client
	signer      *v4.Signer
}

func newBucket(name string, getenv func(string) string, client *http.Client) *bucket {
	region := getenv("AWS_REGION")
	url := fmt.Sprintf("https://%s.s3.%s.amazonaws.com", name, region)
	if strings.HasPrefix(region, "cn-") {
		url += ".cn"
	}
	if endpoint := settings.Endpoint(getenv, "S3"); endpoint != nil {
		// A stand-in has no host name for each bucket.
		url = strings.TrimRight(*endpoint, "/") + "/" + name
	}
	return &bucket{
		name:        name,
		url:         url,
		region:      region,
		credentials: settings.Credentials(getenv),
		client:      client,
		// S3 alone wants the path signed as it is sent.
		signer: v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }),
	}
}

// put stores an object. key must need no escaping in a URL.
func (b *bucket) put(ctx context.Context, key, contentType string, content []byte) (err error) {
	sum := sha256.Sum256(content)
	for range putAttempts {
		if err = b.attempt(ctx, key, contentType, content, hex.EncodeToString(sum[:])); err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("put an object into bucket %s: %w", b.name, err)
	}
	return nil
}

func (b *bucket) attempt(ctx context.Context, key, contentType string, content []byte, sha256Hex string) error {
	credentials, err := b.credentials.Retrieve(ctx)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, b.url+"/"+key, bytes.NewReader(content))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("X-Amz-Content-Sha256", sha256Hex)
	if err := b.signer.SignHTTP(ctx, credentials, r, sha256Hex, "s3", b.region, time.Now()); err != nil {
		return err
	}
	response, err := b.client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	// Read to the end, or the connection cannot be kept.
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<16))
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("want status 200, got %d", response.StatusCode)
	}
	return nil
}
