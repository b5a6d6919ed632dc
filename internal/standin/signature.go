package standin

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Credentials are what a caller must sign with. SessionToken may be empty.
type Credentials struct{ AccessKeyID, SecretAccessKey, SessionToken, Region string }

// Signed reports whether r, with this body, has the signature that an AWS service
// expects: it signs what the caller signed and compares.
func (c Credentials) Signed(r *http.Request, body []byte, service string) bool {
	when, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return false
	}
	authorization := r.Header.Get("Authorization")
	_, names, _ := strings.Cut(authorization, "SignedHeaders=")
	names, _, _ = strings.Cut(names, ",")
	signed := r.Clone(r.Context())
	signed.Header = http.Header{}
	signed.ContentLength = 0
	for name := range strings.SplitSeq(names, ";") {
		if name == "content-length" {
			signed.ContentLength = r.ContentLength
		} else if values := r.Header.Values(name); len(values) > 0 {
			signed.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	sum := sha256.Sum256(body)
	digest := hex.EncodeToString(sum[:])
	// S3 also requires the digest of the body as a header.
	if said := signed.Header.Get("X-Amz-Content-Sha256"); said != digest && (said != "" || service == "s3") {
		return false
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" })
	credentials := aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}
	err = signer.SignHTTP(r.Context(), credentials, signed, digest, service, c.Region, when)
	return err == nil && signed.Header.Get("Authorization") == authorization
}
