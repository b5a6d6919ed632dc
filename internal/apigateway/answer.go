package apigateway

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-lambda-go/events"
)

// ReadAnswer returns the response that a function's answer stands for, in either payload
// format. A streamed answer is a prelude, 8 zero bytes and the body, which can be read as
// it arrives. The caller must close the body, which closes answer.
func ReadAnswer(answer io.ReadCloser, streamed bool) (*http.Response, error) {
	var a events.APIGatewayV2HTTPResponse // it has the members of the other format, too
	decoder := json.NewDecoder(answer)
	err := decoder.Decode(&a)
	if err == nil && !streamed {
		if _, err = decoder.Token(); err == io.EOF { // nothing follows
			err = nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the function's answer is not a JSON object with statusCode and headers: %w", err)
	}
	if a.StatusCode < 200 || a.StatusCode > 599 {
		return nil, fmt.Errorf("the function's answer has the statusCode %d; it must be 200 to 599", a.StatusCode)
	}
	response := &http.Response{StatusCode: a.StatusCode, Header: header(a), ContentLength: -1}
	if streamed {
		body := io.MultiReader(decoder.Buffered(), answer)
		var end [8]byte
		if _, err := io.ReadFull(body, end[:]); err != nil || end != [8]byte{} {
			return nil, errors.New("the prelude of the streamed answer does not end with 8 zero bytes")
		}
		response.Body = readCloser{body, answer}
		return response, nil
	}
	content := []byte(a.Body)
	if a.IsBase64Encoded {
		if content, err = base64.StdEncoding.DecodeString(a.Body); err != nil {
			return nil, fmt.Errorf("the answer's isBase64Encoded is true, but its body is not base64: %w", err)
		}
	}
	response.ContentLength, response.Body = int64(len(content)), readCloser{bytes.NewReader(content), answer}
	return response, nil
}

type readCloser struct {
	io.Reader
	io.Closer
}

// header returns an answer's header fields. Of a name in both maps, the multi-valued one
// counts.
func header(a events.APIGatewayV2HTTPResponse) http.Header {
	h := http.Header{}
	for name, value := range a.Headers {
		h.Set(name, value)
	}
	for name, values := range a.MultiValueHeaders {
		h[http.CanonicalHeaderKey(name)] = values
	}
	for _, cookie := range a.Cookies {
		h.Add("Set-Cookie", cookie)
	}
	// The connection is between the gateway and its caller.
	for _, name := range []string{"Connection", "Transfer-Encoding", "Keep-Alive", "Trailer", "Upgrade"} {
		h.Del(name)
	}
	return h
}
