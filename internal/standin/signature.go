package standin

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
)

// Credentials are those with which a caller has to sign.
type Credentials struct{ AccessKeyID, SecretAccessKey, Region string }

// Signed reports whether r, whose body is body, bears the signature that an AWS
// service wants, computed here from the specification alone.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
func (c Credentials) Signed(r *http.Request, body []byte, service string) bool {
	algorithm, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	fields := make(map[string]string)
	for field := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		fields[name] = value
	}
	when := r.Header.Get("X-Amz-Date")
	if algorithm != "AWS4-HMAC-SHA256" || len(when) < 8 {
		return false
	}
	scope := when[:8] + "/" + c.Region + "/" + service + "/aws4_request"
	sum := sha256.Sum256(body)
	digest := hex.EncodeToString(sum[:])
	// S3 wants the digest of the body as a header, too.
	if said := r.Header.Get("X-Amz-Content-Sha256"); fields["Credential"] != c.AccessKeyID+"/"+scope ||
		said != digest && (said != "" || service == "s3") {
		return false
	}
	signs := make(map[string]bool)
	path := r.URL.EscapedPath()
	if service != "s3" {
		path = strings.ReplaceAll(path, "%", "%25") // S3 alone takes it escaped once
	}
	var canonical strings.Builder
	canonical.WriteString(r.Method + "\n" + path + "\n" + r.URL.RawQuery + "\n")
	for name := range strings.SplitSeq(fields["SignedHeaders"], ";") {
		signs[name] = true
		value := r.Header.Get(name)
		switch name {
		case "host":
			value = cmp.Or(r.Host, r.URL.Host) // for a request that has not left its client
		case "content-length":
			value = strconv.FormatInt(r.ContentLength, 10)
		}
		canonical.WriteString(name + ":" + strings.TrimSpace(value) + "\n")
	}
	if !signs["host"] || !signs["x-amz-date"] || service == "s3" && !signs["x-amz-content-sha256"] {
		return false
	}
	canonical.WriteString("\n" + fields["SignedHeaders"] + "\n" + digest)
	sum = sha256.Sum256([]byte(canonical.String()))
	key := []byte("AWS4" + c.SecretAccessKey)
	for part := range strings.SplitSeq(scope, "/") {
		key = mac(key, part)
	}
	want := mac(key, "AWS4-HMAC-SHA256\n"+when+"\n"+scope+"\n"+hex.EncodeToString(sum[:]))
	return fields["Signature"] == hex.EncodeToString(want)
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
