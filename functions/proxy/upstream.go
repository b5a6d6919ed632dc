package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"chat-service-backend/shared/keepalive"
	"chat-service-backend/shared/lambdahttp"
)

const (
	// firstByteTimeout is how long Stream may take to begin its response.
	firstByteTimeout = 25 * time.Second

	// warmTimeout bounds the making of a connection in Lambda's init phase.
	warmTimeout = 2 * time.Second

	handshakeTimeout = 5 * time.Second
)

var errNoFirstByte = errors.New("no first byte of a response in time")

// An upstream sends requests to Stream and keeps its connections.
type upstream struct {
	base      *url.URL
	transport keepalive.Transport
	roots     *x509.CertPool // trusted certificates; nil: the system's
	ahead     chan net.Conn  // at most one connection made ahead
}

func newUpstream(base *url.URL) *upstream {
	u := &upstream{base: base, ahead: make(chan net.Conn, 1)}
	u.transport = keepalive.New()
	u.transport.DialTLSContext = u.dialTLS
	u.transport.ForceAttemptHTTP2 = true
	// Responses are passed on as they are, compressed or not.
	u.transport.DisableCompression = true
	u.transport.HTTP2 = &http.HTTP2Config{
		MaxReceiveBufferPerStream:     1 << 20,
		MaxReceiveBufferPerConnection: 2 << 20,
		// A connection that died silently ends some time after the request that
		// found it dead.
		SendPingTimeout: 10 * time.Second,
		PingTimeout:     firstByteTimeout,
	}
	return u
}

// warm makes a connection before the first request, including the handshake: in
// Lambda's init phase, the CPU is faster than later. A failure is left for that
// request to find.
func (u *upstream) warm(ctx context.Context) {
	if u.base.Scheme != "https" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, warmTimeout)
	defer cancel()
	if c, err := u.handshake(ctx, "tcp", u.address()); err == nil {
		u.ahead <- c
	}
}

// address returns the host and port of the base URL.
func (u *upstream) address() string {
	return net.JoinHostPort(u.base.Hostname(), cmp.Or(u.base.Port(), "443"))
}

// dialTLS returns the connection that warm made, if it is still good, or a new one.
func (u *upstream) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	if address != u.address() { // another product of Stream's
		return u.handshake(ctx, network, address)
	}
	select {
	case c := <-u.ahead:
		if !keepalive.Under(c).Dead() {
			return c, nil
		}
		_ = c.Close()
	default:
	}
	return u.handshake(ctx, network, address)
}

func (u *upstream) handshake(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	c, err := keepalive.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	host, _, _ := net.SplitHostPort(address) // which has just been dialed
	secure := tls.Client(c, &tls.Config{
		ServerName: host,
		RootCAs:    u.roots,
		NextProtos: []string{"h2", "http/1.1"},
	})
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return secure, nil
}

// RoundTrip sends r, as [keepalive.Transport] does, and returns once the response has
// begun, without its trailers.
func (u *upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	timer := time.AfterFunc(firstByteTimeout, func() { cancel(errNoFirstByte) })
	start := time.Now()
	response, err := u.transport.RoundTrip(r.WithContext(ctx))
	lambdahttp.Milliseconds(ctx, "UpstreamLatency", time.Since(start))
	switch {
	case err != nil:
		timer.Stop()
		cancel(nil)
		if cause := context.Cause(ctx); errors.Is(cause, errNoFirstByte) {
			err = cause
		}
		return nil, err
	case !timer.Stop():
		// The response began at the very moment of the timeout.
		_ = response.Body.Close()
		return nil, errNoFirstByte
	}
	if class := response.StatusCode / 100; class == 2 || class == 4 || class == 5 {
		lambdahttp.Count(ctx, fmt.Sprintf("Upstream%dxx", class))
	}
	// API Gateway cannot send trailers. The transport adds them at the end of the
	// body, to its own response and not to this copy.
	answer := *response
	answer.Trailer = nil
	return &answer, nil
}
