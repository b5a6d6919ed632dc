package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// A conn is a TCP connection that looks, before the first byte of a request is
// written, whether the peer has closed it meanwhile.
//
// net/http notices that in the background, when it gets to it. A process that
// Lambda has stopped and woken up gets to its next request first, writes it
// into the dead connection, and cannot know then whether Stream has read it.
type conn struct {
	*net.TCPConn
	begins  atomic.Bool  // the next byte written is the first of a request
	written atomic.Int64 // bytes
	heard   atomic.Int64 // when the peer last said something, by the wall clock, in nanoseconds
}

var errDead = errors.New("the connection was closed while it was idle")

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	c, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	made := &conn{TCPConn: c.(*net.TCPConn)}
	made.heard.Store(time.Now().UnixNano())
	return made, nil
}

// below returns the conn that c is or, as a TLS connection, runs over.
func below(c net.Conn) *conn {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	return c.(*conn)
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	if n > 0 {
		c.heard.Store(time.Now().UnixNano())
	}
	return n, err
}

// begin marks the next write as the first of a request, and returns how many
// bytes were written before it. Nothing in the bytes themselves tells: HTTP/2
// writes of its own accord after an answer, too.
func (c *conn) begin() int64 {
	c.begins.Store(true)
	return c.written.Load()
}

// Write writes p. Where it would begin a request on a dead connection, it
// writes nothing and returns errDead.
func (c *conn) Write(p []byte) (int, error) {
	if c.begins.CompareAndSwap(true, false) && c.dead() {
		// Closed, so that nobody else finds it either.
		_ = c.Close()
		return 0, errDead
	}
	n, err := c.TCPConn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

// dead reports whether the peer has closed the connection, or has been silent for
// long enough to have done so unheard.
func (c *conn) dead() bool {
	idle := time.Duration(time.Now().UnixNano() - c.heard.Load())
	return idle > idleTimeout || closedByPeer(c.TCPConn)
}
