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

// PlainBody returns the bytes of a webhook that Stream has signed: body itself,
// or, if it is gzip, what it inflates to. The first two bytes tell, whatever the
// header fields say: JSON never begins like gzip. Damaged gzip, and a body that
// inflates to more than 8 MiB, is an error.
func PlainBody(body []byte) ([]byte, error) {
	if !bytes.HasPrefix(body, []byte{0x1f, 0x8b}) {
		return body, nil
	}
	inflater, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("inflate a webhook: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(inflater, maxWebhook+1))
	if err != nil {
		return nil, fmt.Errorf("inflate a webhook: %w", err)
	}
	if len(plain) > maxWebhook {
		return nil, fmt.Errorf("inflate a webhook: want at most %d bytes, got more", maxWebhook)
	}
	return plain, nil
}
