package lambdahttp

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestRequestHasPathAndQueryOfHTTPAPI(t *testing.T) {
	tests := map[string]struct {
		rawPath, rawQuery string
		path, uri         string // what the handler sees
	}{
		"plain":                   {"/token/u1", "", "/token/u1", "/token/u1"},
		"decoded question mark":   {"/token/what?", "a=1", "/token/what?", "/token/what%3F?a=1"},
		"decoded hash":            {"/token/a#b", "a=1", "/token/a#b", "/token/a%23b?a=1"},
		"decoded percent":         {"/token/100%", "", "/token/100%", "/token/100%25"},
		"decoded escape":          {"/token/%41", "", "/token/%41", "/token/%2541"},
		"decoded newline":         {"/token/a\nb", "", "/token/a\nb", "/token/a%0Ab"},
		"not ASCII":               {"/token/é", "", "/token/é", "/token/%C3%A9"},
		"two slashes in front":    {"//evil.example/token/u1", "", "/token/u1", "/token/u1"},
		"query as it was sent":    {"/token/u1", "b=%2f&a=x+y&b=%20&c", "/token/u1", "/token/u1?b=%2f&a=x+y&b=%20&c"},
		"query with odd escapes":  {"/token/u1", "a=%zz&;=1", "/token/u1", "/token/u1?a=%zz&;=1"},
		"question mark in query":  {"/token/u1", "a=1?b=2", "/token/u1", "/token/u1?a=1?b=2"},
		"stage in front of route": {"/prod/token/u1", "", "/token/u1", "/token/u1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := requestFor(t, changed(t, httpEvent, map[string]any{"rawPath": test.rawPath, "rawQueryString": test.rawQuery}))
			if r.URL.Path != test.path {
				t.Errorf("path: want %q, got %q", test.path, r.URL.Path)
			}
			if r.URL.RawQuery != test.rawQuery {
				t.Errorf("query: want %q, got %q", test.rawQuery, r.URL.RawQuery)
			}
			if r.RequestURI != test.uri {
				t.Errorf("request URI: want %q, got %q", test.uri, r.RequestURI)
			}
		})
	}
}

func TestRequestHasEscapedPathOfRESTAPI(t *testing.T) {
	tests := map[string]struct{ sent, path, escaped string }{
		"plain":                   {"/proxy/users", "/proxy/users", "/proxy/users"},
		"escaped letter":          {"/proxy/%75sers", "/proxy/users", "/proxy/%75sers"},
		"lower-case escape":       {"/proxy/a%2fb", "/proxy/a/b", "/proxy/a%2fb"},
		"escaped slash":           {"/proxy/a%2Fb", "/proxy/a/b", "/proxy/a%2Fb"},
		"escaped question mark":   {"/proxy/a%3Fb", "/proxy/a?b", "/proxy/a%3Fb"},
		"escaped percent":         {"/proxy/100%25", "/proxy/100%", "/proxy/100%25"},
		"characters of a segment": {"/proxy/a:b@c!d$e&f'g(h)i*j+k,l;m=n", "/proxy/a:b@c!d$e&f'g(h)i*j+k,l;m=n", "/proxy/a:b@c!d$e&f'g(h)i*j+k,l;m=n"},
		"not ASCII":               {"/proxy/%C3%A9", "/proxy/é", "/proxy/%C3%A9"},
		// Characters that a path cannot have are escaped; other escapes are kept.
		"quote beside an escaped slash":  {`/proxy/a%2Fb"c`, `/proxy/a/b"c`, "/proxy/a%2Fb%22c"},
		"umlaut beside an escaped slash": {"/proxy/a%2Fbü", "/proxy/a/bü", "/proxy/a%2Fb%C3%BC"},
		"space beside an escaped slash":  {"/proxy/a%2fb c", "/proxy/a/b c", "/proxy/a%2fb%20c"},
		"question mark":                  {"/proxy/a%2Fb?c", "/proxy/a/b?c", "/proxy/a%2Fb%3Fc"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := requestFor(t, changed(t, restEvent, map[string]any{"resource": "/proxy/{path+}", "path": test.sent}))
			if r.URL.Path != test.path {
				t.Errorf("path: want %q, got %q", test.path, r.URL.Path)
			}
			if got := r.URL.EscapedPath(); got != test.escaped {
				t.Errorf("escaped path: want %q, got %q", test.escaped, got)
			}
			if r.RequestURI != test.escaped {
				t.Errorf("request URI: want %q, got %q", test.escaped, r.RequestURI)
			}
		})
	}
}

func TestRequestKeepsQueryValuesOfRESTAPIInOrder(t *testing.T) {
	r := requestFor(t, changed(t, restEvent, map[string]any{
		"queryStringParameters":           map[string]any{"tag": "3", "q": "a+b c&d=e%"},
		"multiValueQueryStringParameters": map[string]any{"tag": []string{"2", "1", "3"}, "q": []string{"a+b c&d=e%"}},
	}))
	if want := "q=a%2Bb+c%26d%3De%25&tag=2&tag=1&tag=3"; r.URL.RawQuery != want {
		t.Errorf("want %s, got %s", want, r.URL.RawQuery)
	}
	if got := r.URL.Query(); got.Get("q") != "a+b c&d=e%" || !slices.Equal(got["tag"], []string{"2", "1", "3"}) {
		t.Errorf("want the values of the event, got %v", got)
	}
	single := requestFor(t, changed(t, restEvent, map[string]any{"queryStringParameters": map[string]any{"b": "2", "a": "1"}}))
	if want := "a=1&b=2"; single.URL.RawQuery != want {
		t.Errorf("without the multi-value map: want %s, got %s", want, single.URL.RawQuery)
	}
}

// awkward are header values whose commas are not separators.
var awkward = map[string]string{
	"x-json":            `{"_id":"u1","roles":["a", "b"]}`,
	"if-modified-since": "Sun, 06 Nov 1994 08:49:37 GMT",
	"x-date":            "Sun, 06 Nov 1994 08:49:37 GMT",
	"authorization":     `AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host;x, Signature=0`,
	"user-agent":        "Mozilla/5.0 (X11, Linux)",
	"x-spaces":          "a , b,c",
}

func TestRequestDoesNotSplitHeaderFields(t *testing.T) {
	multi := map[string][]string{}
	for name, value := range awkward {
		multi[name] = []string{value}
	}
	tests := map[string]string{
		"HTTP API":                   changed(t, httpEvent, map[string]any{"headers": awkward}),
		"REST API":                   changed(t, restEvent, map[string]any{"headers": awkward, "multiValueHeaders": multi}),
		"REST API, single-value map": changed(t, restEvent, map[string]any{"headers": awkward, "multiValueHeaders": nil}),
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			r := requestFor(t, text)
			for name, value := range awkward {
				if got := r.Header.Values(name); !slices.Equal(got, []string{value}) {
					t.Errorf("%s: want one field %q, got %q", name, value, got)
				}
			}
		})
	}
}

func TestRequestKeepsRepeatedHeaderFieldsAndCookies(t *testing.T) {
	r := requestFor(t, changed(t, restEvent, map[string]any{
		"headers":           map[string]string{"X-Tag": "3"},
		"multiValueHeaders": map[string][]string{"x-tag": {"2", "1", "3"}, "Cookie": {"a=1; b=2"}},
	}))
	if got := r.Header.Values("X-Tag"); !slices.Equal(got, []string{"2", "1", "3"}) {
		t.Errorf("want 2, 1, 3, got %q", got)
	}
	for name, r := range map[string]*http.Request{"REST API": r, "HTTP API": requestFor(t, changed(t, httpEvent, map[string]any{"cookies": []string{"a=1", "b=2"}}))} {
		if got := r.Header.Values("Cookie"); !slices.Equal(got, []string{"a=1; b=2"}) {
			t.Errorf("%s: want one field a=1; b=2, got %q", name, got)
		}
	}
}

func TestRequestHasMethodHostAndPeer(t *testing.T) {
	for name, text := range shapes {
		r := requestFor(t, text)
		if r.Method != http.MethodGet || r.Host != "api.example.com" || r.Header.Get("Host") != "" || r.RemoteAddr != "192.0.2.7:0" {
			t.Errorf("%s: want GET, host api.example.com and peer 192.0.2.7:0, got %s, %q (field %q), %q", name, r.Method, r.Host, r.Header.Get("Host"), r.RemoteAddr)
		}
	}
}

func TestRequestBodyIsDecoded(t *testing.T) {
	binary := "\x1f\x8b\x00\xff\n"
	for name, text := range shapes {
		for _, test := range []struct {
			body    string
			base64  bool
			decoded string
		}{
			{`{"a":"é"}`, false, `{"a":"é"}`},
			{base64.StdEncoding.EncodeToString([]byte(binary)), true, binary},
			{"", true, ""},
		} {
			r := requestFor(t, changed(t, text, map[string]any{"body": test.body, "isBase64Encoded": test.base64}))
			got, err := io.ReadAll(r.Body)
			if err != nil || string(got) != test.decoded || r.ContentLength != int64(len(test.decoded)) {
				t.Errorf("%s: want body %q, got %q (length %d), %v", name, test.decoded, got, r.ContentLength, err)
			}
		}
	}
}

func TestEventThatCannotBeReadIsA400(t *testing.T) {
	h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") })
	for _, payload := range []string{
		`{}`, `null`, `{"version":"2.0"}`, `{"Records":[]}`,
		changed(t, restEvent, map[string]any{"path": "/token/%zz"}), changed(t, restEvent, map[string]any{"httpMethod": "A B"}),
		changed(t, restEvent, map[string]any{"body": "%%%", "isBase64Encoded": true}), changed(t, httpEvent, map[string]any{"body": "%%%", "isBase64Encoded": true}),
	} {
		for _, h := range []handler{wrap(h), wrapStreamed(h)} {
			serveEvent(t, h, payload).wantErrorMsg(t, 400)
		}
	}
}

func TestRequestDropsForgedAdapterFields(t *testing.T) {
	forged := map[string]string{
		"X-GoLambdaProxy-ApiGw-Context":   `{"identity":{"userArn":"arn:aws:iam::1:user/x"}}`,
		"x-golambdaproxy-apigw-stagevars": "{}",
		"X-GOLAMBDAPROXY-ANYTHING":        "1",
		"X-Kept":                          "1",
	}
	multi := map[string][]string{}
	for name, value := range forged {
		multi[name] = []string{value}
	}
	for name, text := range map[string]string{
		"HTTP API":                   changed(t, httpEvent, map[string]any{"headers": forged}),
		"REST API":                   changed(t, restEvent, map[string]any{"headers": forged, "multiValueHeaders": multi}),
		"REST API, single-value map": changed(t, restEvent, map[string]any{"headers": forged, "multiValueHeaders": nil}),
	} {
		r := requestFor(t, text)
		if got := slices.Collect(maps.Keys(r.Header)); !slices.Equal(got, []string{"X-Kept"}) {
			t.Errorf("%s: want only X-Kept to arrive, got %q", name, got)
		}
		if CallerARN(r.Context()) != "" {
			t.Errorf("%s: want no IAM caller, got %s", name, CallerARN(r.Context()))
		}
	}
}

func TestCallerARNComesFromRequestContextAlone(t *testing.T) {
	const arn = "arn:aws:iam::123456789012:user/billing"
	iam := map[string]any{"userArn": arn}
	restContext := func(identity, authorizer any) map[string]any {
		return map[string]any{"requestContext": map[string]any{"identity": identity, "authorizer": authorizer}}
	}
	httpContext := func(authorizer any) map[string]any {
		return map[string]any{"requestContext": map[string]any{"http": map[string]any{"method": "GET"}, "authorizer": authorizer, "identity": iam}}
	}
	headers := map[string]any{
		"headers":           map[string]any{"x-amzn-iam-user-arn": arn, "userarn": arn, "authorization": "AWS4-HMAC-SHA256 Credential=AKIA/x"},
		"multiValueHeaders": map[string]any{"X-Amzn-Iam-User-Arn": []string{arn}, "UserArn": []string{arn}},
		"userArn":           arn, "identity": iam, "authorizer": map[string]any{"iam": iam},
	}
	tests := map[string]struct {
		event, want string
	}{
		"REST API, IAM":                          {changed(t, restEvent, restContext(iam, nil)), arn},
		"REST API, nobody":                       {restEvent, ""},
		"REST API, custom authorizer's map":      {changed(t, restEvent, restContext(nil, map[string]any{"iam": iam, "userArn": arn, "identity": iam})), ""},
		"REST API, authorizer is no object":      {changed(t, restEvent, restContext(iam, "x")), arn},
		"REST API, outside the request context":  {changed(t, restEvent, headers), ""},
		"HTTP API, IAM":                          {changed(t, httpEvent, httpContext(map[string]any{"iam": iam})), arn},
		"HTTP API, nobody":                       {httpEvent, ""},
		"HTTP API, identity as of a REST API":    {changed(t, httpEvent, httpContext(nil)), ""},
		"HTTP API, custom authorizer's map":      {changed(t, httpEvent, httpContext(map[string]any{"lambda": map[string]any{"iam": iam, "userArn": arn}})), ""},
		"HTTP API, token's claims":               {changed(t, httpEvent, httpContext(map[string]any{"jwt": map[string]any{"claims": map[string]any{"iam": arn, "userArn": arn}}})), ""},
		"HTTP API, authorizer of an odd shape":   {changed(t, httpEvent, httpContext([]any{1, "iam"})), ""},
		"HTTP API, iam beside an odd shape":      {changed(t, httpEvent, httpContext(map[string]any{"iam": iam, "jwt": 7})), ""},
		"HTTP API, iam without an ARN":           {changed(t, httpEvent, httpContext(map[string]any{"iam": map[string]any{}})), ""},
		"HTTP API, outside the request context":  {changed(t, httpEvent, headers), ""},
		"HTTP API, userArn beside the iam field": {changed(t, httpEvent, httpContext(map[string]any{"userArn": arn})), ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := CallerARN(requestFor(t, test.event).Context()); got != test.want {
				t.Errorf("want %q, got %q", test.want, got)
			}
		})
	}
}

func TestRequestDropsBasePathOfCustomDomain(t *testing.T) {
	tests := []struct{ path, resource, want string }{
		{"/chat/token/u1", "/token/{userId}", "/token/u1"},
		{"/chat/v1/token/u1", "/token/{userId}", "/token/u1"},
		{"/token/u1", "/token/{userId}", "/token/u1"},
		{"/token/token", "/token/{userId}", "/token/token"},
		{"/chat/api-key", "/api-key", "/api-key"},
		{"/chat/proxy/a%2Fb/proxy/c", "/proxy/{path+}", "/proxy/a%2Fb/proxy/c"},
		{"/chat/elsewhere", "/token/{userId}", "/chat/elsewhere"},
		{"/anything", "", "/anything"},
		{"/proxy", "/proxy/{path+}", "/proxy"},
		{"/a/proxy/b/proxy/c", "/proxy/{path+}", "/proxy/b/proxy/c"},
		// However the caller encodes the route's segments, nothing after them passes
		// for its beginning.
		{"/%70roxy/channels/x/proxy/users", "/proxy/{path+}", "/proxy/channels/x/proxy/users"},
		{"/%74oken/token", "/token/{userId}", "/token/token"},
		{"/chat/%74oken/token%2Fx", "/token/{userId}", "/token/token%2Fx"},
	}
	for _, test := range tests {
		r := requestFor(t, changed(t, restEvent, map[string]any{"path": test.path, "resource": test.resource}))
		if got := r.URL.EscapedPath(); got != test.want {
			t.Errorf("REST API: %s on %s: want %s, got %s", test.path, test.resource, test.want, got)
		}
		if strings.Contains(test.path, "%") {
			continue
		}
		r = requestFor(t, changed(t, httpEvent, map[string]any{"rawPath": test.path, "routeKey": "GET " + test.resource}))
		if r.URL.Path != test.want {
			t.Errorf("HTTP API: %s on %s: want %s, got %s", test.path, test.resource, test.want, r.URL.Path)
		}
	}
	r := requestFor(t, changed(t, httpEvent, map[string]any{"rawPath": "/chat/x", "routeKey": "$default"}))
	if r.URL.Path != "/chat/x" {
		t.Errorf("default route: want /chat/x, got %s", r.URL.Path)
	}
}

// The caller wrote /token/x%2Ftoken%2Fvictim, which an HTTP API decodes.
func TestEncodedSlashesDoNotMoveTheRoute(t *testing.T) {
	for _, test := range []struct{ path, id, want string }{
		{"/token/x/token/victim", "x/token/victim", "/token/x/token/victim"},
		{"/token/x/token/victim", "x%2Ftoken%2Fvictim", "/token/x/token/victim"},
		{"/chat/token/x/token/victim", "x/token/victim", "/chat/token/x/token/victim"},
		{"/chat/token/u1", "u1", "/token/u1"},
		{"/chat/token/@u1", "%40u1", "/token/@u1"},
		{"/token/100%", "100%", "/token/100%"},
	} {
		r := requestFor(t, changed(t, httpEvent, map[string]any{
			"rawPath": test.path, "routeKey": "GET /token/{userId}", "pathParameters": map[string]any{"userId": test.id},
		}))
		if r.URL.Path != test.want {
			t.Errorf("%s with userId %s: want %s, got %s", test.path, test.id, test.want, r.URL.Path)
		}
	}
}

func FuzzEvent(f *testing.F) {
	for _, text := range shapes {
		f.Add([]byte(text))
	}
	f.Add([]byte(`{"version":"2.0","rawPath":"//a?b#c%","rawQueryString":"%","requestContext":{"http":{"method":"A B"},"authorizer":7}}`))
	f.Add([]byte(`{"httpMethod":"GET","path":"%2F\"%2f","multiValueHeaders":{"":[""],"x y":["\r\n"]},"body":"=","isBase64Encoded":true}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		var e event
		if json.Unmarshal(payload, &e) != nil {
			return
		}
		e.RouteKey, e.Resource = "", "" // so that the path is not changed
		r, err := newRequest(t.Context(), &e)
		if err != nil {
			return
		}
		if e.Version == "2.0" {
			if r.URL.Path != e.RawPath || r.URL.RawQuery != e.RawQueryString {
				t.Errorf("want path %q and query %q, got %q and %q", e.RawPath, e.RawQueryString, r.URL.Path, r.URL.RawQuery)
			}
			return
		}
		checkEscapedPath(t, e.Path, r.URL)
	})
}

// FuzzPath tests paths and queries, which FuzzEvent seldom reaches.
func FuzzPath(f *testing.F) {
	f.Add("/a%2Fb\"c", "k", "v")
	f.Add("//a;b=c?d#e", "a&b", "c=d+%")
	f.Fuzz(func(t *testing.T, path, name, value string) {
		e := event{restFields: restFields{HTTPMethod: "GET", Path: path, MultiValueQueryStringParameters: map[string][]string{name: {value, ""}}}}
		r, err := newRequest(t.Context(), &e)
		if err != nil {
			return
		}
		checkEscapedPath(t, path, r.URL)
		if got := r.URL.Query()[name]; !slices.Equal(got, []string{value, ""}) {
			t.Errorf("query: want %q and an empty value for %q, got %q", value, name, got)
		}
	})
}

// checkEscapedPath checks that u keeps the path as it was sent, except for characters
// that a path cannot have.
func checkEscapedPath(t *testing.T, sent string, u *url.URL) {
	t.Helper()
	escaped := u.EscapedPath()
	decoded, err := url.PathUnescape(escaped)
	want, _ := url.PathUnescape(sent)
	if err != nil || decoded != want || u.Path != want {
		t.Errorf("path: want %q, got %q from %q, %v", want, decoded, escaped, err)
	}
	if strings.Count(escaped, "/") != strings.Count(sent, "/") {
		t.Errorf("path: want the slashes of %q, got %q", sent, escaped)
	}
	for _, escape := range []string{"%2F", "%2f", "%2E", "%25"} {
		if strings.Count(escaped, escape) < strings.Count(sent, escape) {
			t.Errorf("path: want %s kept as in %q, got %q", escape, sent, escaped)
		}
	}
}

func FuzzHeader(f *testing.F) {
	f.Add("X-GoLambdaProxy-ApiGw-Context", "{}", true)
	f.Add("x-json", `{"a":"b, c"}`, false)
	f.Fuzz(func(t *testing.T, name, value string, isHTTPAPI bool) {
		e := event{restFields: restFields{HTTPMethod: "GET", MultiValueHeaders: map[string][]string{name: {value, value}}}}
		want := []string{value, value}
		if isHTTPAPI {
			e = event{Headers: map[string]string{name: value}, httpFields: httpFields{Version: "2.0"}}
			e.RequestContext.HTTP.Method = "GET"
			want = want[:1]
		}
		r, err := newRequest(t.Context(), &e)
		if err != nil {
			t.Fatalf("want a request, got %v", err)
		}
		key := textproto.CanonicalMIMEHeaderKey(name)
		if key == "Host" || strings.HasPrefix(key, "X-Golambdaproxy-") {
			want = nil
		}
		if got := r.Header[key]; !slices.Equal(got, want) {
			t.Errorf("%q: want %q, got %q", name, want, got)
		}
	})
}
