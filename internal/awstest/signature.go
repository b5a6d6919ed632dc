package awstest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
)

// signed reports whether r bears the signature that S3 wants, computed here from
// the specification alone.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
func signed(r *http.Request) bool {
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
	scope := when[:8] + "/" + region + "/s3/aws4_request"
	if fields["Credential"] != accessKey+"/"+scope {
		return false
	}
	names := strings.Split(fields["SignedHeaders"], ";")
	signs := make(map[string]bool)
	var canonical strings.Builder
	canonical.WriteString(r.Method + "\n" + r.URL.EscapedPath() + "\n" + r.URL.RawQuery + "\n")
	for _, name := range names {
		signs[name] = true
		value := r.Header.Get(name)
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = strconv.FormatInt(r.ContentLength, 10)
		}
		canonical.WriteString(name + ":" + strings.TrimSpace(value) + "\n")
	}
	if !signs["host"] || !signs["x-amz-date"] || !signs["x-amz-content-sha256"] {
		return false
	}
	canonical.WriteString("\n" + fields["SignedHeaders"] + "\n" + r.Header.Get("X-Amz-Content-Sha256"))
	sum := sha256.Sum256([]byte(canonical.String()))
	key := []byte("AWS4" + secretKey)
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
