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
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// IdleTimeout is how long a silent connection is trusted. Load balancers close
	// theirs after a minute.
	IdleTimeout = 30 * time.Second

	// dialTimeout bounds the making of a connection, without TLS.
	dialTimeout = 5 * time.Second

	// pause is the silence after which a write may begin a request. The writes of one
	// request follow each other sooner, or at least come without an answer in between.
	pause = 10 * time.Millisecond
)

// ErrDead is the error of a request of which nothing was sent, because its connection
// was closed while it was idle. [http.Transport] sends such a request again by itself
// if it can read the body again.
var ErrDead = errors.New("the connection was closed while it was idle")

// Transport returns a transport whose kept connections are of this package.
func Transport() *http.Transport {
	return &http.Transport{
		DialContext:         Dial,
		IdleConnTimeout:     IdleTimeout,
		MaxIdleConnsPerHost: 10,
		TLSHandshakeTimeout: dialTimeout,
	}
}

// A Conn is a TCP connection that does not begin a request if the peer has closed it.
type Conn struct {
	*net.TCPConn
	answered atomic.Bool  // the peer has sent something since the last write
	active   atomic.Int64 // last use in either direction, by the wall clock, in nanoseconds
	written  atomic.Int64 // bytes
}

// Dial is [net.Dialer.DialContext] for TCP. The connection is a [*Conn].
func Dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	made, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &Conn{TCPConn: made.(*net.TCPConn)}
	c.active.Store(time.Now().UnixNano())
	return c, nil
}

func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	if n > 0 {
		c.answered.Store(true)
		c.active.Store(time.Now().UnixNano())
	}
	return n, err
}

// Write writes p. If p may begin a request and the connection is dead, it closes the
// connection, writes nothing, and returns [ErrDead].
func (c *Conn) Write(p []byte) (int, error) {
	if begins := c.answered.Swap(false) || c.idle() > pause; begins && c.Dead() {
		_ = c.Close() // so that no other request gets it
		return 0, ErrDead
	}
	n, err := c.TCPConn.Write(p)
	c.written.Add(int64(n))
	c.active.Store(time.Now().UnixNano())
	return n, err
}

// Written returns the number of bytes written so far.
func (c *Conn) Written() int64 { return c.written.Load() }

// Dead reports whether the peer has closed the connection, or may have done so because
// it has been silent for longer than IdleTimeout.
func (c *Conn) Dead() bool { return c.idle() > IdleTimeout || closedByPeer(c.TCPConn) }

// idle is by the wall clock, which keeps going while Lambda has the process stopped.
func (c *Conn) idle() time.Duration { return time.Duration(time.Now().UnixNano() - c.active.Load()) }
