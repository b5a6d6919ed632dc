package lambdahttp

import (
	"context"
	"errors"
	"net/http"

	"github.com/aws/aws-lambda-go/events"
	"github.com/awslabs/aws-lambda-go-api-proxy/core"
)

// errNotAPIGateway is the answer to a payload that is neither format.
var errNotAPIGateway = errors.New("the payload is no API Gateway proxy event of format 1.0 or 2.0")

// newRequest turns an event into a request.
//
// aws-lambda-go-api-proxy decodes the body and builds the request. It is shown
// neither path, query nor header fields: it would splice the path into a URL
// (where a decoded ? or # changes its meaning), shuffle the query, and split
// header fields at commas. [event.complete] adds those.
func newRequest(ctx context.Context, e *event) (*http.Request, error) {
	var r *http.Request
	var err error
	switch {
	case e.method() == "":
		return nil, errNotAPIGateway
	case e.isHTTPAPI():
		accessor := core.RequestAccessorV2{}
		r, err = accessor.EventToRequestWithContext(ctx, events.APIGatewayV2HTTPRequest{
			RawPath:         "/",
			RequestContext:  events.APIGatewayV2HTTPRequestContext{HTTP: e.RequestContext.HTTP},
			Body:            e.Body,
			IsBase64Encoded: e.IsBase64Encoded,
		})
	default:
		accessor := core.RequestAccessor{}
		r, err = accessor.EventToRequestWithContext(ctx, events.APIGatewayProxyRequest{
			HTTPMethod:      e.HTTPMethod,
			Path:            "/",
			Body:            e.Body,
			IsBase64Encoded: e.IsBase64Encoded,
		})
	}
	if err != nil {
		return nil, err
	}
	if err := e.complete(r); err != nil {
		return nil, err
	}
	return r, nil
}
