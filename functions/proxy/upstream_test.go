package proxy

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"chat-service-backend/internal/awstest"
)

// A stream is a backend whose connections the test can end.
type stream struct {
	*httptest.Server
	mu       sync.Mutex
	accepted []*net.TCPConn
	wrap     []func(*net.TCPConn) net.Conn // accepted connections; at most one
}

// protocols are the ways to reach Stream.
var protocols = []string{"HTTP/1.1", "HTTP/1.1 over TLS", "HTTP/2"}

func newStream(t testing.TB, protocol string, h http.HandlerFunc, wrap ...func(*net.TCPConn) net.Conn) *stream {
	s := &stream{wrap: wrap}
	s.Server = httptest.NewUnstartedServer(h)
	s.Listener = &listener{s.Listener, s}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	switch protocol {
	case "HTTP/1.1":
		s.Start()
	case "HTTP/1.1 over TLS":
		s.TLS = &tls.Config{NextProtos: []string{"http/1.1"}, Certificates: []tls.Certificate{certificate()}}
		s.StartTLS()
	case "HTTP/2":
		s.TLS = &tls.Config{Certificates: []tls.Certificate{certificate()}}
		s.EnableHTTP2 = true
		s.StartTLS()
	}
	t.Cleanup(s.Close)
	return s
}

// certificate returns a self-signed one for 127.0.0.1, with a key that makes
// handshakes faster than httptest's does.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotAfter:              time.Now().Add(time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

type listener struct {
	net.Listener
	s *stream
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.s.mu.Lock()
		defer l.s.mu.Unlock()
		l.s.accepted = append(l.s.accepted, c.(*net.TCPConn))
		for _, wrap := range l.s.wrap {
			c = wrap(c.(*net.TCPConn))
		}
	}
	return c, err
}

// connections returns how many connections there have been.
func (s *stream) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.accepted)
}

// hangUp ends all connections, the way a server does or with a reset.
func (s *stream) hangUp(reset bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.accepted {
		if reset {
			_ = c.SetLinger(0)
		}
		_ = c.Close()
	}
}

// upstream returns one in front of s that trusts its certificate.
func (s *stream) upstream(t testing.TB) *upstream {
	base, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	u := newUpstream(base)
	if certificate := s.Certificate(); certificate != nil {
		u.roots = x509.NewCertPool()
		u.roots.AddCert(certificate)
	}
	t.Cleanup(u.transport.CloseIdleConnections)
	return u
}

func TestConnectionsAreKeptAndHTTP2IsUsedWhereOffered(t *testing.T) {
	for protocol, want := range map[string]string{"HTTP/1.1": "HTTP/1.1", "HTTP/1.1 over TLS": "HTTP/1.1", "HTTP/2": "HTTP/2.0"} {
		// More than an HTTP/2 window, so that windows have to be updated.
		rest := bytes.Repeat([]byte("x"), 100<<10)
		s := newStream(t, protocol, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(append([]byte(r.Proto), rest...)) })
		h := newProxy(t, s.URL, s.upstream(t))
		for range 10 {
			body, _ := io.ReadAll(do(h, http.MethodPost, "/proxy/users", "{}").Body)
			if got := strings.TrimRight(string(body), "x"); got != want || len(body) != len(got)+len(rest) {
				t.Fatalf("%s: want %s at the backend and its whole answer, got %.50s", protocol, want, body)
			}
		}
		if got := s.connections(); got != 1 {
			t.Errorf("%s: want 1 connection, got %d", protocol, got)
		}
	}
}

// Stream reads a request on a kept connection and then resets the connection
// instead of answering.
func TestWhatStreamMayHaveReadIsNotRepeated(t *testing.T) {
	for _, protocol := range protocols {
		for method, want := range map[string]int{
			http.MethodPost: 1, http.MethodDelete: 1, http.MethodGet: 2,
		} {
			t.Run(protocol+" "+method, func(t *testing.T) {
				var s *stream
				var requests atomic.Int32
				s = newStream(t, protocol, func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.ReadAll(r.Body)
					if r.URL.Path == "/warm" {
						return
					}
					if requests.Add(1) == 1 {
						s.hangUp(true)
						panic(http.ErrAbortHandler)
					}
				})
				h := newProxy(t, s.URL, s.upstream(t))
				do(h, http.MethodGet, "/proxy/warm", "")
				body := map[string]string{http.MethodPost: "{}"}[method]
				// net/http repeats requests that have one of these.
				keys := http.Header{"Idempotency-Key": {"1"}, "X-Idempotency-Key": {"1"}}
				response := awstest.Do(h, newRequest(method, "/proxy/users", body, keys))
				if got := int(requests.Load()); got != want {
					t.Errorf("want %d requests at Stream, got %d", want, got)
				}
				if want == 1 {
					message := awstest.WantError(t, response, http.StatusBadGateway)
					if !strings.Contains(message, "may or may not have done") {
						t.Errorf("want a message that says what is not known, got %q", message)
					}
				} else if response.StatusCode != http.StatusOK {
					t.Errorf("want status 200, got %d", response.StatusCode)
				}
			})
		}
	}
}

func TestFailureToConnectAheadIsLeftToTheFirstRequest(t *testing.T) {
	base, _ := url.Parse("https://" + refused(t))
	u := newUpstream(base)
	u.warm(t.Context())
	awstest.WantError(t, do(newProxy(t, base.String(), u), http.MethodPost, "/proxy/users", "{}"), http.StatusBadGateway)
}

// A later is a transport whose answer takes its time, by the clock of the test's
// bubble.
type later struct {
	first, rest time.Duration
}

func (l later) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case <-time.After(l.first):
	case <-r.Context().Done():
		return nil, r.Context().Err() // without the cause, like HTTP/2
	}
	body, feed := io.Pipe()
	go func() {
		select {
		case <-time.After(l.rest):
			_, _ = io.WriteString(feed, "{}")
			_ = feed.Close()
		case <-r.Context().Done():
			_ = feed.CloseWithError(context.Cause(r.Context()))
		}
	}()
	return &http.Response{StatusCode: http.StatusOK, Header: make(http.Header), Body: body, ContentLength: -1, Request: r}, nil
}

// newLater returns an upstream on a protocol of the test's own.
func newLater(answer later) *upstream {
	u := newUpstream(&url.URL{Scheme: "later", Host: "stream"})
	u.transport.RegisterProtocol("later", answer)
	return u
}

// ask sends a request to u.
func ask(ctx context.Context, u *upstream) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "later://stream/users", strings.NewReader("{}"))
	if err != nil {
		return nil, err
	}
	return u.RoundTrip(r)
}

func TestNoFirstByteIsAGatewayTimeout(t *testing.T) {
	var err error
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, err = ask(t.Context(), newLater(later{first: time.Hour}))
		if took := time.Since(start); took != 25*time.Second {
			t.Errorf("want it given up after 25 s, got %v", took)
		}
	})
	w := httptest.NewRecorder()
	h := newProxy(t, "https://stream", roundTripperFunc(func(*http.Request) (*http.Response, error) { return nil, err }))
	h.ServeHTTP(w, newRequest(http.MethodPost, "/proxy/users", "{}", nil))
	awstest.WantError(t, w.Result(), http.StatusGatewayTimeout)
}

func TestAnswerThatHasBegunMayTakeItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		response, err := ask(t.Context(), newLater(later{first: 25*time.Second - 1, rest: 10 * time.Minute}))
		if err != nil {
			t.Fatalf("want an answer that begins at the last moment, got %v", err)
		}
		if body, err := io.ReadAll(response.Body); err != nil || string(body) != "{}" {
			t.Errorf("want the whole body, got %q, %v", body, err)
		}
	})
}

type roundTripperFunc func(*http.Request) (*http.Response, error)

func (f roundTripperFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
