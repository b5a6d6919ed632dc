package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"

	"chat-service-backend/shared/api"
	"chat-service-backend/shared/httpjson"
	"chat-service-backend/shared/keepalive"
	"chat-service-backend/shared/lambdahttp"
	"chat-service-backend/shared/streamchat"
)

// methods are the methods of Stream's REST API.
var methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// newHandler forwards /proxy/{path} to path below base with the app's server
// credentials.
func newHandler(app *streamchat.App, base *url.URL, transport http.RoundTripper) http.Handler {
	return api.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		path, ok := strings.CutPrefix(r.URL.EscapedPath(), "/proxy/")
		if !ok {
			if path = ""; r.URL.Path != "/proxy" {
				return httpjson.NotFound()
			}
		}
		lambdahttp.Annotate(r.Context(), slog.String("path", "/"+path))
		if !slices.Contains(methods, r.Method) {
			return httpjson.MethodNotAllowed(w, methods...)
		}
		if err := checkPath(path); err != nil {
			return err
		}
		if err := checkHeader(r.Header, r.URL.RawQuery); err != nil {
			return err
		}
		if err := checkBody(w, r); err != nil {
			return err
		}
		credentials, err := app.Credentials(r.Context())
		if err != nil {
			return err
		}
		forward(w, r, target{credentials, productBase(base, path), path}, transport)
		return nil
	})
}

// forward sends r to the target and copies the response to w as it arrives.
func forward(w http.ResponseWriter, r *http.Request, to target, transport http.RoundTripper) {
	proxy := httputil.ReverseProxy{
		Transport:  transport,
		BufferPool: buffers,
		Rewrite: func(p *httputil.ProxyRequest) {
			to.setURL(p)
			only(p.Out.Header, toStream)
			to.credentials.Authorize(p.Out)
		},
		ModifyResponse: func(response *http.Response) error {
			if response.StatusCode >= http.StatusInternalServerError {
				blameStream(r.Context())
			}
			only(response.Header, fromStream)
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			blameStream(r.Context())
			httpjson.WriteError(w, r, upstreamError(err))
		},
	}
	proxy.ServeHTTP(w, r)
}

// blameStream marks the request's log line, so that its 5xx rolls back no deployment.
func blameStream(ctx context.Context) { lambdahttp.Annotate(ctx, slog.String("fault", "Stream")) }

// upstreamError returns the error to answer with if Stream did not respond.
func upstreamError(cause error) error {
	e := &httpjson.Error{Status: http.StatusBadGateway, Message: "Stream could not be reached; try again in a moment.", Cause: cause}
	switch {
	case errors.Is(cause, errNoFirstByte):
		e.Status = http.StatusGatewayTimeout
		e.Message = "Stream did not answer in time; it may or may not have done what was asked."
	case errors.Is(cause, context.Canceled):
		e.Cause = errors.New("the caller went away")
	case errors.Is(cause, keepalive.ErrSent):
		e.Message = "The connection to Stream broke before an answer came; it may or may not have done what was asked."
	}
	return e
}

// buffers are for copying responses.
var buffers = &bufferPool{sync.Pool{New: func() any { return new([bufferSize]byte) }}}

const bufferSize = 32 << 10

type bufferPool struct{ pool sync.Pool }

func (b *bufferPool) Get() []byte { return b.pool.Get().(*[bufferSize]byte)[:] }

func (b *bufferPool) Put(p []byte) { b.pool.Put((*[bufferSize]byte)(p)) }
