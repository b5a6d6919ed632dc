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

// checkPath rejects paths that Stream could read as another resource than the IAM
// policy that let the caller in. path is percent-encoded.
func checkPath(path string) error {
	decoded, err := url.PathUnescape(path)
	wrong := ""
	switch {
	case err != nil:
		wrong = "a percent sign without two hexadecimal digits"
	case path == "":
		wrong = "no segment"
	case strings.Contains("/"+path+"/", "//"):
		wrong = "an empty segment"
	case strings.Count(decoded, "/") != strings.Count(path, "/"), strings.Contains(decoded, `\`):
		wrong = `an encoded slash or a backslash`
	}
	for segment := range strings.SplitSeq(decoded, "/") {
		if segment == "." || segment == ".." {
			wrong = "a segment of dots"
		}
	}
	if wrong != "" {
		return httpjson.Errorf(http.StatusBadRequest, "Put the path of a resource of Stream's REST API after /proxy/, as in /proxy/users; this path has %s.", wrong)
	}
	return nil
}

// checkHeader rejects fields and a query that net/http would refuse to send on.
func checkHeader(header http.Header, query string) error {
	forbidden := func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f } // RFC 9110 section 5.5
	if strings.ContainsFunc(query, func(c rune) bool { return c == '\t' || forbidden(c) }) {
		return httpjson.Errorf(http.StatusBadRequest, "The query has a control character; percent-encode it.")
	}
	for _, name := range toStream {
		if strings.ContainsFunc(strings.Join(header[name], ""), forbidden) {
			return httpjson.Errorf(http.StatusBadRequest, "The header field %s has a control character; send it without.", name)
		}
	}
	return nil
}

// productBase returns the base URL for a path: Stream's products share key, secret and
// tokens, and each has a host. A base that is not Chat's host, such as a stand-in's, is
// everybody's.
func productBase(base *url.URL, path string) *url.URL {
	product, _, _ := strings.Cut(strings.TrimPrefix(path, "api/v2/"), "/")
	rest, isChat := strings.CutPrefix(base.Host, "chat.")
	if !isChat || product != "video" && product != "feeds" {
		return base
	}
	u := *base
	u.Host = product + "." + rest
	return &u
}

// A target is where one request goes, and as whom.
type target struct {
	credentials *streamchat.Credentials
	base        *url.URL
	path        string // percent-encoded, without a slash in front
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

// setURL directs the outgoing request at the target. Path and query stay as the
// caller wrote them.
func (to target) setURL(p *httputil.ProxyRequest) {
	u := *to.base
	u.RawPath = to.base.EscapedPath() + "/" + to.path
	// After checkPath, decoding cannot fail.
	u.Path, _ = url.PathUnescape(u.RawPath)
	u.RawQuery = p.In.URL.RawQuery
	p.Out.URL = &u
	p.Out.Host = ""
}

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
