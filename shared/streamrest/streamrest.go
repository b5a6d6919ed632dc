// Package streamrest calls Stream's REST API, at Stream itself or through a stack's
// Service API.
package streamrest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	stream "github.com/GetStream/stream-chat-go/v6"
)

// maxAnswer is the size of the largest response that is read whole, in bytes.
const maxAnswer = 16 << 20

// A Client sends requests to a base URL. Redirects are its HTTP client's to refuse, or
// what Authorize adds goes elsewhere.
type Client struct {
	Base string // without a slash at the end
	HTTP *http.Client
	// Authorize adds to a request whatever shows who sends it; nil adds nothing.
	Authorize func(r *http.Request, body []byte) error
	// StatusOnly drops the body of a success.
	StatusOnly bool
}

// Send sends in as JSON, unless it is nil, to a path, which may have a query. A
// [json.RawMessage] goes out as it is. A response with any status is an Answer. The error
// does not name the query.
func (c *Client) Send(ctx context.Context, method, path string, in any) (*Answer, error) {
	body, raw := in.(json.RawMessage)
	if in != nil && !raw {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return nil, err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, c.Base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.Authorize != nil {
		if err := c.Authorize(r, body); err != nil {
			return nil, err
		}
	}
	a, err := do(c.HTTP, r, c.StatusOnly)
	if failed, ok := errors.AsType[*url.Error](err); ok {
		path, _, _ = strings.Cut(path, "?")
		return nil, fmt.Errorf("%s %s: %w", method, path, failed.Err)
	}
	return a, err
}

// Do sends r and reads the response.
func Do(client *http.Client, r *http.Request) (*Answer, error) { return do(client, r, false) }

func do(client *http.Client, r *http.Request, statusOnly bool) (*Answer, error) {
	response, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	content, body := io.LimitReader(response.Body, maxAnswer), []byte(nil)
	if statusOnly && response.StatusCode < 300 {
		_, err = io.Copy(io.Discard, content)
	} else {
		body, err = io.ReadAll(content)
	}
	if err != nil {
		return nil, fmt.Errorf("read the response to %s %s: %w", r.Method, r.URL.Path, err)
	}
	return &Answer{response.StatusCode, response.Header, body}, nil
}

// An Answer is a response that has been read whole.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// An Error is a response other than a success.
type Error struct {
	Status, Code int         // Code is Stream's, or 0
	Message      string      // Stream's, our own or API Gateway's, on one line; it may name a user
	Header       http.Header // of the response
}

func (e *Error) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("status %d, code %d", e.Status, e.Code)
	}
	return fmt.Sprintf("%d: %s", e.Status, e.Message)
}

// Err returns an [*Error] unless the response is a success.
func (a *Answer) Err() error {
	if a.Status < 300 {
		return nil
	}
	var e struct {
		Code     int
		Message  string
		ErrorMsg string `json:"errorMsg"`
	}
	_ = json.Unmarshal(a.Body, &e) // which a gateway's error may not be
	message := cmp.Or(e.Message, e.ErrorMsg, http.StatusText(a.Status))
	return &Error{a.Status, e.Code, strings.Join(strings.Fields(message), " "), a.Header}
}

// Decode stores the response's one JSON value in out, unless out is nil, and keeps its
// numbers as they are written. It returns an [*Error] unless the response is a success.
func (a *Answer) Decode(out any) error {
	if err := a.Err(); err != nil || out == nil {
		return err
	}
	if err := Unmarshal(a.Body, out); err != nil {
		var other *json.UnmarshalTypeError
		switch {
		case errors.As(err, &other): // which names Go's types
			err = fmt.Errorf("it has an unexpected %s", other.Value)
		case err == io.EOF:
			err = errors.New("it is empty")
		}
		return fmt.Errorf("the answer with status %d is not the JSON expected: %w", a.Status, err)
	}
	return nil
}

// Unmarshal decodes exactly one JSON value and keeps its numbers as they are written.
func Unmarshal(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more text after the JSON value")
	}
	return nil
}

// Limit returns the rate limit that a response tells of, and false if it does not say how
// many calls are left.
func Limit(header http.Header) (stream.RateLimitInfo, bool) {
	return *stream.NewRateLimitFromHeaders(header), header.Get(stream.HeaderRateRemaining) != ""
}
