package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A conn is a TCP connection that checks, before the first byte of a request is
// written, whether the peer has closed it.
//
// net/http notices that in the background, eventually. A process that Lambda has
// just thawed is faster: it writes its next request into the dead connection, and
// then cannot know whether Stream has read it.
type conn struct {
	*net.TCPConn
	begins  atomic.Bool  // the next byte written is the first of a request
	written atomic.Int64 // bytes
	heard   atomic.Int64 // when the peer last sent something, by the wall clock, in nanoseconds
	reset   atomic.Bool  // the peer has answered with a reset

	closing sync.Mutex
	closed  bool
	last    uint64 // ackedBytes when the connection was closed
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

// below returns the conn that c is or, if c is a TLS connection, runs over.
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
	c.note(err)
	return n, err
}

// note records whether err is a reset.
func (c *conn) note(err error) {
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		c.reset.Store(true)
	}
}

// Close closes the connection and keeps what the peer has acknowledged by then.
func (c *conn) Close() error {
	c.closing.Lock()
	if !c.closed {
		c.closed, c.last = true, ackedBytes(c.TCPConn)
	}
	c.closing.Unlock()
	return c.TCPConn.Close()
}

// acked returns how many bytes the peer's kernel has acknowledged, or 0 if that is
// unknown.
func (c *conn) acked() uint64 {
	c.closing.Lock()
	defer c.closing.Unlock()
	if c.closed {
		return c.last
	}
	return ackedBytes(c.TCPConn)
}

// A mark is the point in a connection at which a request begins.
type mark struct {
	written int64
	acked   uint64
}

// begin marks the next write as the first of a request. The bytes themselves do
// not tell: HTTP/2 also writes on its own after a response.
func (c *conn) begin() mark {
	c.begins.Store(true)
	return mark{c.written.Load(), c.acked()}
}

// sent reports whether anything was written since m.
func (c *conn) sent(m mark) bool { return c.written.Load() != m.written }

// unread reports whether the peer cannot have read what was written since m: it
// answered with a reset, and its kernel has acknowledged no byte of it. That is how
// a host or a load balancer answers that no longer knows the connection.
func (c *conn) unread(m mark) bool {
	return m.acked > 0 && c.reset.Load() && c.acked() == m.acked
}

// Write writes p. It does not begin a request on a dead connection: it then writes
// nothing and returns errDead.
func (c *conn) Write(p []byte) (int, error) {
	begins := c.begins.CompareAndSwap(true, false)
	if begins && c.dead() {
		// Close it, so that no other request gets it.
		_ = c.Close()
		return 0, errDead
	}
	n := 0
	if begins && len(p) > 1 {
		// A kernel may delay the acknowledgment of a segment, and its program may
		// read the segment and reset the connection meanwhile. The kernel does not
		// delay the acknowledgment of a second segment.
		var err error
		if n, err = c.write(p[:1]); err != nil {
			return n, err
		}
	}
	rest, err := c.write(p[n:])
	return n + rest, err
}

func (c *conn) write(p []byte) (int, error) {
	n, err := c.TCPConn.Write(p)
	c.written.Add(int64(n))
	c.note(err)
	return n, err
}

// dead reports whether the peer has closed the connection, or has been silent for so
// long that it may have done so unnoticed.
func (c *conn) dead() bool {
	idle := time.Duration(time.Now().UnixNano() - c.heard.Load())
	return idle > idleTimeout || closedByPeer(c.TCPConn)
}
