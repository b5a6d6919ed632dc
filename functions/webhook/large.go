package webhook

import (
	"bytes"
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"chat-service-backend/shared/awsconfig"
	"chat-service-backend/shared/lambdahttp"
)

// The reasons why an event's body is in the bucket, besides the codes of AWS's errors.
const (
	notJSON  = "NotJSON"
	tooLarge = "TooLarge"
)

// pack prepares an event for the bus. If there is a reason why the bus cannot carry
// its body, given or found here, the body goes to the bucket and the entry says
// where it is.
func (b *bus) pack(ctx context.Context, e event, reason string) (entry, error) {
	if reason == "" && e.notJSON() {
		reason = notJSON
	}
	if reason != "" {
		stored, err := b.store(ctx, e, reason)
		if err != nil {
			return entry{}, err
		}
		e.metadata.Object = stored
	}
	return entry{b.name, e.source, e.detailType, e.detail()}, nil
}

// store puts the event's body into the bucket.
func (b *bus) store(ctx context.Context, e event, reason string) (*object, error) {
	ctx, cancel := context.WithTimeout(ctx, objectTimeout)
	defer cancel()
	key := e.key()
	_, err := b.objects.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &b.bucket, Key: &key, ContentType: aws.String("application/json"), Body: bytes.NewReader(e.body),
	})
	if err != nil {
		return nil, fmt.Errorf("put an object into bucket %s: %w", b.bucket, awsconfig.Brief(err))
	}
	lambdahttp.Count(ctx, "EventsKept")
	return &object{b.bucket, key, len(e.body), reason}, nil
}
