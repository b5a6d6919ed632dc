// Package keepalive keeps connections in a process that Lambda stops between requests.
//
// Meanwhile the peer may have closed a connection. net/http notices that in the
// background, eventually; a process that has just been thawed is faster, writes its
// next request into the dead connection, and then cannot know whether anybody has read
// it. Connections of this package look first, with one system call, and a request whose
// connection is dead goes out on another.
package keepalive

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

const (
	// idleTimeout is how long a silent connection is trusted. Load balancers close
	// theirs after a minute.
	idleTimeout = 30 * time.Second

	// dialTimeout bounds the making of a connection, without TLS.
	dialTimeout = 5 * time.Second
)

// maxAttempts bounds how often one request is sent.
const maxAttempts = 3

// ErrSent matches the error of a request that may have reached the peer.
var ErrSent = errors.New("sent, at least in part, but not answered")

// errDead is the error of a write that would begin a request on a dead connection.
var errDead = errors.New("the connection was closed while it was idle")

// A Transport sends requests over connections of this package.
type Transport struct{ *http.Transport }

// New returns a Transport. Whoever sets how it dials must dial with [Dial], and may run
// TLS over that.
func New() Transport {
	return Transport{&http.Transport{
		DialContext:         Dial,
		IdleConnTimeout:     idleTimeout,
		MaxIdleConnsPerHost: 10,
		TLSHandshakeTimeout: dialTimeout,
	}}
}

// RoundTrip sends r, and sends it again if its connection turns out to be dead and
// nothing of it was sent, or if it is a GET on a kept connection. Any other that may have
// reached the peer is never sent twice. A request with a body must have GetBody for that.
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	for attempt := 1; ; attempt++ {
		var used *Conn
		var before int64 // bytes written
		var kept bool
		trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
			used, kept = Under(info.Conn), info.Reused
			before = used.written.Load()
			// The bytes do not tell where a request begins: HTTP/2 also writes on its own.
			used.begins.Store(true)
		}}
		response, err := t.Transport.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
		if err == nil || used == nil {
			return response, err
		}
		sent := used.written.Load() != before
		if sent {
			err = fmt.Errorf("%w: %w", ErrSent, err)
		}
		if sent && !(kept && r.Method == http.MethodGet) || attempt == maxAttempts || r.Context().Err() != nil {
			return nil, err
		}
		if r.Body != nil {
			if r.GetBody == nil {
				return nil, err
			}
			body, bodyErr := r.GetBody()
			if bodyErr != nil {
				return nil, err
			}
			r = r.Clone(r.Context())
			r.Body = body
		}
	}
}

// A Conn is a TCP connection that does not begin a request if the peer has closed it.
type Conn struct {
	*net.TCPConn
	begins  atomic.Bool  // the next byte written is the first of a request
	heard   atomic.Int64 // when the peer last sent something, by the wall clock, in nanoseconds
	written atomic.Int64 // bytes
}

// Dial is [net.Dialer.DialContext] for TCP. The connection is a [*Conn].
func Dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	made, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &Conn{TCPConn: made.(*net.TCPConn)}
	c.heard.Store(time.Now().UnixNano())
	return c, nil
}

// Under returns the connection that c is or, if c is a TLS connection, runs over.
func Under(c net.Conn) *Conn {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	return c.(*Conn)
}

func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	if n > 0 {
		c.heard.Store(time.Now().UnixNano())
	}
	return n, err
}

// Write writes p. If p begins a request and the connection is dead, it closes the
// connection, writes nothing, and returns an error.
func (c *Conn) Write(p []byte) (int, error) {
	if c.begins.Swap(false) && c.Dead() {
		_ = c.Close() // so that no other request gets it
		return 0, errDead
	}
	n, err := c.TCPConn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

// Dead reports whether the peer has closed the connection, or may have done so because
// it has been silent for longer than idleTimeout. That is by the wall clock, which keeps
// going while Lambda has the process stopped.
func (c *Conn) Dead() bool {
	silent := time.Duration(time.Now().UnixNano() - c.heard.Load())
	return silent > idleTimeout || closedByPeer(c.TCPConn)
}
