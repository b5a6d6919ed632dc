package proxy

import (
	"bytes"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"chat-service-backend/shared/httpjson"
)

// textTypes are the content types, besides text/…, of bodies that are text.
var textTypes = []string{"", "application/json", "application/x-www-form-urlencoded", "application/x-ndjson", "application/xml", "application/graphql"}

// checkBody refuses a body that API Gateway has damaged: one that is not text and whose
// content type is not among the template's BinaryMediaTypes arrives as text, with U+FFFD
// in place of what is not UTF-8. Compressed bytes that are valid UTF-8 can only be that.
func checkBody(w http.ResponseWriter, r *http.Request) error {
	contentType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	text := slices.Contains(textTypes, contentType) || strings.HasPrefix(contentType, "text/") || strings.HasSuffix(contentType, "+json")
	coding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding")))
	coded := coding != "" && coding != "identity"
	if r.ContentLength <= 0 {
		return nil
	}
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		return err
	}
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	r.Body, _ = r.GetBody()
	damaged := bytes.HasPrefix(body, []byte("\x1f\ufffd")) || // gzip's mark
		coded && utf8.Valid(body) ||
		!text && bytes.Contains(body, []byte("\ufffd")) && utf8.Valid(body)
	if damaged {
		w.Header().Set("Accept-Encoding", "identity")
		return httpjson.Errorf(http.StatusUnsupportedMediaType,
			"API Gateway has damaged this body, because it is not text; send JSON without Content-Encoding, or a file with its own Content-Type, such as application/octet-stream.")
	}
	return nil
}
