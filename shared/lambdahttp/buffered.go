package lambdahttp

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/http"

	"chat-service-backend/shared/httpjson"
)

// maxResponse is the largest response that Lambda accepts from a function that does
// not stream, in bytes of JSON. aws-lambda-go ends the process if it is larger.
//
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const maxResponse = 6_291_556

// errTooLarge is the error of a Write past maxResponse.
var errTooLarge = errors.New("the answer is over the 6 MB that Lambda returns in one piece")

// A buffer collects a handler's response by net/http's rules: the first status
// counts, informational ones do not, and a handler that writes nothing answers 200.
type buffer struct {
	header http.Header
	status int
	body   bytes.Buffer
	cause  error
	over   bool // a Write went past maxResponse
}

func (b *buffer) Header() http.Header { return b.header }

func (b *buffer) WriteHeader(status int) {
	if b.status == 0 && status >= 200 {
		b.status = status
	}
}

func (b *buffer) Write(p []byte) (int, error) {
	b.WriteHeader(http.StatusOK)
	if b.body.Len()+len(p) > maxResponse {
		b.over = true
		return 0, errTooLarge
	}
	return b.body.Write(p)
}

// Flush does nothing: a buffered response is sent as a whole.
func (b *buffer) Flush() {}

// Failed keeps the cause for the request's log line.
func (b *buffer) Failed(cause error) { b.cause = cause }

// serve collects h's response to r. If h panics or writes too much, an error replaces
// everything that it wrote.
func serve(h http.Handler, r *http.Request) *buffer {
	b := &buffer{header: make(http.Header)}
	err := call(h, b, r)
	if b.over {
		err = tooLarge()
	}
	if err != nil {
		b.replace(r, err)
	}
	b.WriteHeader(http.StatusOK)
	return b
}

// replace drops what has been written, and answers with err.
func (b *buffer) replace(r *http.Request, err error) {
	*b = buffer{header: make(http.Header)}
	httpjson.WriteError(b, r, err)
}

func tooLarge() error {
	return &httpjson.Error{
		Status:  http.StatusBadGateway,
		Message: "The answer is larger than the 6 MB this API can return; ask for less, or use the Service API, which streams.",
		Cause:   errTooLarge,
	}
}

// finish returns what convert makes of b, or of an error if that would be over
// maxResponse: JSON escapes make a body up to six times as long, and the header fields
// need space as well.
func (b *buffer) finish(r *http.Request, convert func(*buffer) any) any {
	response := convert(b)
	if b.body.Len() > maxResponse/7 {
		var encoded bytes.Buffer
		encoder := json.NewEncoder(&encoded)
		encoder.SetEscapeHTML(false) // as aws-lambda-go does
		if err := encoder.Encode(response); err != nil || encoded.Len()-len("\n") > maxResponse {
			b.replace(r, tooLarge())
			response = convert(b)
		}
	}
	return response
}

func (b *buffer) copyTo(w http.ResponseWriter) {
	maps.Copy(w.Header(), b.header)
	w.WriteHeader(b.status)
	// An empty Write would make the adapter guess at a content type.
	if b.body.Len() > 0 {
		_, _ = w.Write(b.body.Bytes())
	}
}
