// Package keepalive keeps connections in a process that Lambda stops between requests.
//
// Meanwhile the peer may have closed a connection. net/http notices that in the
// background, eventually; a process that has just been thawed is faster, writes its
// next request into the dead connection, and then cannot know whether anybody has read
// it. Connections of this package look first, with one system call, and fail a write
// that would be lost before any of it is sent.
package keepalive

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

const (
	// IdleTimeout is how long a silent connection is trusted. Load balancers close
	// theirs after a minute.
	IdleTimeout = 30 * time.Second

	// dialTimeout bounds the making of a connection, without TLS.
	dialTimeout = 5 * time.Second
)

// ErrDead is the error of a request of which nothing was sent, because its connection
// was closed while it was idle. [http.Transport] sends such a request again by itself
// if it can read the body again.
var ErrDead = errors.New("the connection was closed while it was idle")

// A Transport sends requests over connections of this package.
type Transport struct{ *http.Transport }

// New returns a Transport. Whoever sets how it dials must dial with [Dial], and may run
// TLS over that.
func New() Transport {
	return Transport{&http.Transport{
		DialContext:         Dial,
		IdleConnTimeout:     IdleTimeout,
		MaxIdleConnsPerHost: 10,
		TLSHandshakeTimeout: dialTimeout,
	}}
}

// RoundTrip has the connection that r gets look before the next byte is written: the
// bytes do not tell where a request begins, since HTTP/2 also writes on its own.
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { Under(info.Conn).begins.Store(true) }}
	return t.Transport.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
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
// connection, writes nothing, and returns [ErrDead].
func (c *Conn) Write(p []byte) (int, error) {
	if c.begins.Swap(false) && c.Dead() {
		_ = c.Close() // so that no other request gets it
		return 0, ErrDead
	}
	n, err := c.TCPConn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

// Written returns the number of bytes written so far.
func (c *Conn) Written() int64 { return c.written.Load() }

// Dead reports whether the peer has closed the connection, or may have done so because
// it has been silent for longer than IdleTimeout. That is by the wall clock, which keeps
// going while Lambda has the process stopped.
func (c *Conn) Dead() bool {
	silent := time.Duration(time.Now().UnixNano() - c.heard.Load())
	return silent > IdleTimeout || closedByPeer(c.TCPConn)
}
