package streamchat

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
)

// maxWebhook is the maximum size of an inflated webhook body, in bytes: more than an
// event of 6 MB can hold uncompressed, and not too much for the smallest function.
const maxWebhook = 8 << 20

// maxMembers is the maximum number of members of a gzip body. Stream sends one; 4 MB of
// empty ones would keep a processor busy.
const maxMembers = 16

// PlainBody returns the bytes of a webhook that Stream signs: body, inflated if it is
// gzip. The first two bytes tell, whatever the header fields say, since JSON never
// begins like gzip. Damaged gzip is an error, and so are more than 8 MiB inflated.
func PlainBody(body []byte) ([]byte, error) {
	if !bytes.HasPrefix(body, []byte{0x1f, 0x8b}) {
		return body, nil
	}
	compressed := bytes.NewReader(body)
	inflater, err := gzip.NewReader(compressed)
	var plain bytes.Buffer
	for members := 1; err == nil; members++ {
		inflater.Multistream(false)
		if _, err = io.Copy(&plain, io.LimitReader(inflater, int64(maxWebhook+1-plain.Len()))); err != nil {
			break
		}
		if plain.Len() > maxWebhook {
			return nil, fmt.Errorf("inflate a webhook: want at most %d bytes, got more", maxWebhook)
		}
		if compressed.Len() > 0 && members == maxMembers {
			return nil, fmt.Errorf("inflate a webhook: want at most %d gzip members, got more", maxMembers)
		}
		err = inflater.Reset(compressed)
	}
	if err != io.EOF { // where another member could begin
		return nil, fmt.Errorf("inflate a webhook: %w", err)
	}
	return plain.Bytes(), nil
}
