package main

import (
	"context"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// A bucket reads objects in S3.
type bucket struct{ client *s3.Client }

func (b bucket) get(ctx context.Context, name, key string) ([]byte, error) {
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &name, Key: &key})
	if err != nil {
		return nil, fmt.Errorf("read an object: %w", err)
	}
	defer out.Body.Close()
	return io.ReadAll(out.Body)
}
