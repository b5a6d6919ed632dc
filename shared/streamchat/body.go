package streamchat

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
)

// maxWebhook is the size limit of an inflated webhook body, in bytes: more than
// an event of 6 MB can hold uncompressed, and little enough for the smallest
// function.
const maxWebhook = 8 << 20

// maxMembers is how many compressed files one gzip body may be made of. Stream
// makes one; 4 MB of empty ones would keep a processor busy for nothing.
const maxMembers = 16

// PlainBody returns the bytes of a webhook that Stream has signed: body itself,
// or, if it is gzip, what it inflates to. The first two bytes tell, whatever the
// header fields say: JSON never begins like gzip. Damaged gzip, and a body that
// inflates to more than 8 MiB, is an error.
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
