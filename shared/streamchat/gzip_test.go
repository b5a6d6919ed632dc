package streamchat

import (
	"bytes"
	"compress/gzip"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

func compress(t testing.TB, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestPlainBody(t *testing.T) {
	event := []byte(`{"type":"message.new","text":"é"}`)
	packed := compress(t, event)
	damaged := bytes.Clone(packed)
	damaged[len(damaged)-8] ^= 1 // in the checksum
	largest := make([]byte, maxPlain)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range largest {
		largest[i] = "0123456789abcdef"[random.IntN(16)]
	}
	var members []byte // 2 MB, who share their data
	for i := range 400 {
		members = append(append(strconv.AppendInt(members, int64(i), 10), largest[16*i:][:40]...), largest[:5000]...)
	}
	free := bytes.Repeat([]byte("x"), freePlain)
	packedLargest := compress(t, largest)
	tests := map[string]struct{ body, want []byte }{
		"plain":                    {event, event},
		"empty":                    {nil, nil},
		"half of gzip's mark":      {[]byte{0x1f}, []byte{0x1f}},
		"plain, however large":     {append(largest, 'x'), append(largest, 'x')},
		"gzip":                     {packed, event},
		"gzip of nothing":          {compress(t, nil), []byte{}},
		"several members":          {append(bytes.Clone(packed), packed...), append(bytes.Clone(event), event...)},
		"many members":             {bytes.Repeat(compress(t, nil), maxMembers), []byte{}},
		"too many members":         {bytes.Repeat(compress(t, nil), maxMembers+1), nil},
		"as large as can be":       {packedLargest, largest},
		"a byte larger":            {append(bytes.Clone(packedLargest), compress(t, []byte("x"))...), nil},
		"a small body, repeated":   {compress(t, free), free},
		"members of a channel":     {compress(t, members), members},
		"bomb":                     {compress(t, append(free, 'x')), nil},
		"bomb of members":          {bytes.Repeat(compress(t, free), 4), nil},
		"bomb that lies":           {append(compress(t, append(free, 'x')), compress(t, nil)...), nil},
		"damaged as text":          {[]byte(strings.ToValidUTF8(string(packed), "\ufffd")), nil},
		"header alone":             {packed[:10], nil},
		"half a header":            {packed[:2], nil},
		"truncated":                {packed[:len(packed)-9], nil},
		"truncated in the trailer": {packed[:len(packed)-1], nil},
		"wrong checksum":           {damaged, nil},
		"garbage after it":         {append(bytes.Clone(packed), "garbage"...), nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := PlainBody(test.body)
			refused := test.want == nil && test.body != nil
			if (err != nil) != refused || !bytes.Equal(got, test.want) {
				t.Errorf("want %d bytes, an error: %v, got %d, %v", len(test.want), refused, len(got), err)
			}
		})
	}
}

func FuzzPlainBody(f *testing.F) {
	f.Add([]byte(`{"type":"message.new"}`))
	f.Add(compress(f, []byte("x")))
	f.Add([]byte{0x1f, 0x8b})
	f.Fuzz(func(t *testing.T, body []byte) {
		if got, err := PlainBody(body); err == nil && len(got) > max(maxPlain, len(body)) {
			t.Errorf("want at most %d bytes, got %d", maxPlain, len(got))
		}
		packed := compress(t, body)
		if bytes.HasPrefix(body, damagedMark) {
			return
		}
		if got, err := PlainBody(packed); err != nil || !bytes.Equal(got, body) {
			t.Errorf("want what was compressed, got %q, %v", got, err)
		}
	})
}
