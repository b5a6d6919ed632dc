package main

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"chat-service-backend/internal/apigateway"
)

func TestReadStreamedAnswer(t *testing.T) {
	zeros := strings.Repeat("\x00", 8)
	for _, chunk := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.DataErrReader} {
		got, err := apigateway.ReadAnswer(io.NopCloser(chunk(strings.NewReader(`{"statusCode":201,"headers":{"A":"b"}}`+zeros+"\x00body"))), true)
		if err != nil || got.StatusCode != 201 || got.Header.Get("A") != "b" {
			t.Fatalf("want 201 with a header, got %+v, %v", got, err)
		}
		if b, err := io.ReadAll(got.Body); err != nil || string(b) != "\x00body" {
			t.Fatalf("want the body from its first byte, got %q, %v", b, err)
		}
	}
	for _, text := range []string{"", "{}", "{}" + zeros, `{"statusCode":200}`, `{"statusCode":99}` + zeros, `{"statusCode":"x"}` + zeros, "nonsense" + zeros} {
		if got, err := apigateway.ReadAnswer(io.NopCloser(strings.NewReader(text)), true); err == nil {
			t.Errorf("%.40q: want an error, got %+v", text, got)
		}
	}
}
