package streamchat

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	// maxPlain is the maximum size of an inflated webhook body, in bytes: more than an
	// event of 6 MB can hold uncompressed, and not too much for the smallest function.
	maxPlain = 8 << 20

	// freePlain and maxRatio bound what an unsigned body costs: it is inflated before its
	// signature can be checked. A small one may inflate to freePlain bytes, any other to
	// maxRatio times its size. Events inflate to 5 to 30 times their size, and to 60 if all
	// of 100 members have the same 5 KB of custom data.
	freePlain = 512 << 10
	maxRatio  = 64

	// maxMembers is the maximum number of members of a gzip body. Stream sends one; 4 MB
	// of empty ones would keep a processor busy.
	maxMembers = 16
)

// ErrDamaged is the error for gzip that was decoded as text on its way, which replaces
// the bytes that are not UTF-8. An HTTP API does that to a body with a content type of
// text or JSON and no Content-Encoding.
var ErrDamaged = errors.New("the gzip body was damaged on the way: it was sent without Content-Encoding: gzip")

// ErrTooLarge is the error for gzip that inflates to more than we inflate unsigned.
var ErrTooLarge = errors.New("the gzip body inflates to too much")

// The beginning of gzip, and what it becomes as text.
var (
	gzipMark    = []byte{0x1f, 0x8b}
	damagedMark = []byte("\x1f\ufffd")
)

// PlainBody returns the bytes of a webhook that Stream signs: body, inflated if it is
// gzip. The first two bytes tell, whatever the header fields say, since JSON never
// begins like gzip. Damaged gzip is an error, and so is more than 8 MiB inflated, or more
// than 64 times the body's size where that is over 512 KiB.
func PlainBody(body []byte) ([]byte, error) {
	if bytes.HasPrefix(body, damagedMark) {
		return nil, ErrDamaged
	}
	if !bytes.HasPrefix(body, gzipMark) {
		return body, nil
	}
	most := min(max(freePlain, maxRatio*len(body)), maxPlain)
	tooLarge := fmt.Errorf("%w: %d bytes become more than %d", ErrTooLarge, len(body), most)
	size := 0 // as the last member says, unless it is cut off
	if len(body) >= 4 {
		size = min(int(binary.LittleEndian.Uint32(body[len(body)-4:])), most)
	}
	compressed := bytes.NewReader(body)
	inflater, err := gzip.NewReader(compressed)
	plain := bytes.NewBuffer(make([]byte, 0, size+1+bytes.MinRead))
	for members := 1; err == nil; members++ {
		inflater.Multistream(false)
		if _, err = io.Copy(plain, io.LimitReader(inflater, int64(most+1-plain.Len()))); err != nil {
			break
		}
		if plain.Len() > most {
			return nil, tooLarge
		}
		if compressed.Len() > 0 && members == maxMembers {
			return nil, fmt.Errorf("inflate a webhook: gzip of more than %d members", maxMembers)
		}
		err = inflater.Reset(compressed)
	}
	if err != io.EOF { // where another member could begin
		return nil, fmt.Errorf("inflate a webhook: %w", err)
	}
	return plain.Bytes(), nil
}
