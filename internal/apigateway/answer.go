package apigateway

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// An Answer is what a function returns to a gateway, of either payload format,
// or the prelude of one that it streams.
type Answer struct {
	StatusCode        json.Number         `json:"statusCode"`
	Headers           map[string]scalar   `json:"headers"`
	MultiValueHeaders map[string][]scalar `json:"multiValueHeaders"`
	Cookies           []string            `json:"cookies"`
	Body              string              `json:"body"`
	IsBase64Encoded   bool                `json:"isBase64Encoded"`

	Status  int    `json:"-"` // from 200 to 599
	Content []byte `json:"-"` // the body, decoded
}

// scalar is a header's value; gateways take numbers and booleans as text, too.
type scalar string

func (s *scalar) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		return json.Unmarshal(b, (*string)(s))
	}
	if b[0] == '{' || b[0] == '[' {
		return errors.New("want text as a header's value")
	}
	if string(b) != "null" {
		*s = scalar(b)
	}
	return nil
}

// ParseAnswer reads an answer, or a prelude.
func ParseAnswer(text []byte) (*Answer, error) {
	var a Answer
	if err := json.Unmarshal(text, &a); err != nil {
		return nil, errors.New("want a JSON object with statusCode and headers")
	}
	var err error
	if a.Status, err = strconv.Atoi(a.StatusCode.String()); err != nil || a.Status < 200 || a.Status > 599 {
		return nil, fmt.Errorf("want a statusCode from 200 to 599, got %q", a.StatusCode)
	}
	if a.Content = []byte(a.Body); a.IsBase64Encoded {
		if a.Content, err = base64.StdEncoding.DecodeString(a.Body); err != nil {
			return nil, fmt.Errorf("body: %w", err)
		}
	}
	return &a, nil
}

// SetHeaders puts the answer's headers on h. Of a name that stands in both maps
// the multi-valued one counts.
func (a *Answer) SetHeaders(h http.Header) {
	for name, value := range a.Headers {
		h.Set(name, string(value))
	}
	for name, values := range a.MultiValueHeaders {
		h.Del(name)
		for _, value := range values {
			h.Add(name, string(value))
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

// maxPrelude is in bytes; headers of 10 KB are the most that API Gateway takes.
const maxPrelude = 128 << 10

// preludeEnd stands between the prelude and the body.
var preludeEnd = make([]byte, 8)

// ReadPrelude reads the prelude of a streamed answer, and returns it and the
// body.
func ReadPrelude(stream io.Reader) (*Answer, io.Reader, error) {
	var head []byte
	chunk := make([]byte, 4<<10)
	for {
		n, err := stream.Read(chunk)
		// The end may be cut by a chunk's edge.
		from := max(0, len(head)-len(preludeEnd)+1)
		head = append(head, chunk[:n]...)
		if i := bytes.Index(head[from:], preludeEnd); i >= 0 {
			a, err := ParseAnswer(head[:from+i])
			if err != nil {
				return nil, nil, fmt.Errorf("prelude: %w", err)
			}
			return a, io.MultiReader(bytes.NewReader(head[from+i+len(preludeEnd):]), stream), nil
		}
		if len(head) > maxPrelude {
			return nil, nil, fmt.Errorf("prelude: want at most %d bytes, got more", maxPrelude)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("prelude: want 8 zero bytes at its end, got %w", err)
		}
	}
}
