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

// An answer collects a handler's response by net/http's rules: the first status
// counts, informational ones do not, and a handler that writes nothing answers 200.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
	cause  error
	over   bool // a Write went past maxResponse
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= 200 {
		a.status = status
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if a.body.Len()+len(p) > maxResponse {
		a.over = true
		return 0, errTooLarge
	}
	return a.body.Write(p)
}

// Flush does nothing: a buffered response is sent as a whole.
func (a *answer) Flush() {}

// Failed keeps the cause for the request's log line.
func (a *answer) Failed(cause error) { a.cause = cause }

// serve collects h's response to r. If h panics or writes too much, an error replaces
// everything that it wrote.
func serve(h http.Handler, r *http.Request) *answer {
	a := &answer{header: make(http.Header)}
	err := call(h, a, r)
	if a.over {
		err = tooLarge()
	}
	if err != nil {
		a.replace(r, err)
	}
	a.WriteHeader(http.StatusOK)
	return a
}

// replace drops what has been written, and answers with err.
func (a *answer) replace(r *http.Request, err error) {
	*a = answer{header: make(http.Header)}
	httpjson.WriteError(a, r, err)
}

func tooLarge() error {
	return &httpjson.Error{
		Status:  http.StatusBadGateway,
		Message: "The answer is larger than the 6 MB this API can return; ask for less, or use the Service API, which streams.",
		Cause:   errTooLarge,
	}
}

// finish returns what convert makes of a, or of an error if that would be over
// maxResponse: JSON escapes make a body up to six times as long, and the header fields
// need space as well.
func (a *answer) finish(r *http.Request, convert func(*answer) any) any {
	response := convert(a)
	if a.body.Len() > maxResponse/7 {
		var encoded bytes.Buffer
		encoder := json.NewEncoder(&encoded)
		encoder.SetEscapeHTML(false) // as aws-lambda-go does
		if err := encoder.Encode(response); err != nil || encoded.Len()-len("\n") > maxResponse {
			a.replace(r, tooLarge())
			response = convert(a)
		}
	}
	return response
}

func (a *answer) copyTo(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	// An empty Write would make the adapter guess at a content type.
	if a.body.Len() > 0 {
		_, _ = w.Write(a.body.Bytes())
	}
}
