package proxy

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	"chat-service-backend/shared/httpjson"
	"chat-service-backend/shared/streamchat"
)

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

// domain is that of Stream's hosts.
const domain = ".stream-io-api.com"

// productBase returns the base URL for a path: Stream's products share key, secret and
// tokens, and each has a host, in whatever region Chat's is. A base that is not Stream's,
// such as a stand-in's, is everybody's.
func productBase(base *url.URL, path string) *url.URL {
	product, _, _ := strings.Cut(strings.TrimPrefix(path, "api/v2/"), "/")
	if product != "video" && product != "feeds" || !strings.HasSuffix(base.Hostname(), domain) {
		return base
	}
	u := *base
	u.Host = product + domain
	return &u
}

// A target is where one request goes, and as whom.
type target struct {
	credentials *streamchat.Credentials
	base        *url.URL
	path        string // percent-encoded, without a slash in front
}

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
