package apigateway

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// An Answer is what a function returns to a gateway, in either payload format, or
// the prelude of a streamed answer.
type Answer struct {
	StatusCode        int                 `json:"statusCode"`
	Headers           map[string]string   `json:"headers"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders"`
	Cookies           []string            `json:"cookies"`
	Body              string              `json:"body"`
	IsBase64Encoded   bool                `json:"isBase64Encoded"`

	Content []byte `json:"-"` // the body, decoded
}

// ParseAnswer reads an answer, or a prelude.
func ParseAnswer(text []byte) (*Answer, error) {
	var a Answer
	if err := json.Unmarshal(text, &a); err != nil {
		return nil, errors.New("the function's answer is not a JSON object with statusCode and headers")
	}
	if a.StatusCode < 200 || a.StatusCode > 599 {
		return nil, fmt.Errorf("the function's answer has the statusCode %d; it must be 200 to 599", a.StatusCode)
	}
	if a.Content = []byte(a.Body); a.IsBase64Encoded {
		var err error
		if a.Content, err = base64.StdEncoding.DecodeString(a.Body); err != nil {
			return nil, fmt.Errorf("the answer's isBase64Encoded is true, but its body is not base64: %w", err)
		}
	}
	return &a, nil
}

// SetHeaders copies the answer's headers to h. Of a name in both maps, the
// multi-valued one counts.
func (a *Answer) SetHeaders(h http.Header) {
	for name, value := range a.Headers {
		h.Set(name, value)
	}
	for name, values := range a.MultiValueHeaders {
		h.Del(name)
		for _, value := range values {
			h.Add(name, value)
		}
	}
	for _, cookie := range a.Cookies {
		h.Add("Set-Cookie", cookie)
	}
	// The connection is between the gateway and its caller.
	for _, name := range []string{"Connection", "Transfer-Encoding", "Keep-Alive", "Trailer", "Upgrade"} {
		h.Del(name)
	}
}

// ReadPrelude reads the prelude of a streamed answer, which ends with 8 zero
// bytes, and returns it and the body.
func ReadPrelude(stream io.Reader) (*Answer, io.Reader, error) {
	var text json.RawMessage
	decoder := json.NewDecoder(stream)
	if err := decoder.Decode(&text); err != nil {
		return nil, nil, fmt.Errorf("prelude: %w", err)
	}
	a, err := ParseAnswer(text)
	if err != nil {
		return nil, nil, fmt.Errorf("prelude: %w", err)
	}
	body := io.MultiReader(decoder.Buffered(), stream)
	var end [8]byte
	if _, err := io.ReadFull(body, end[:]); err != nil || end != [8]byte{} {
		return nil, nil, errors.New("the prelude of the streamed answer does not end with 8 zero bytes")
	}
	return a, body, nil
}
