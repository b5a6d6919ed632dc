package keepalive

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
)

// pair returns a connection and its peer's end. Nothing reads from the connection,
// as in a process that Lambda has frozen.
func pair(t *testing.T) (*Conn, *net.TCPConn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := Dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		_ = peer.Close()
	})
	return c.(*Conn), peer.(*net.TCPConn)
}

func TestRequestOnADeadConnectionIsNotWritten(t *testing.T) {
	for name, end := range map[string]func(*Conn, *net.TCPConn){
		"closed": func(_ *Conn, peer *net.TCPConn) { _ = peer.Close() },
		"reset":  func(_ *Conn, peer *net.TCPConn) { _ = peer.SetLinger(0); _ = peer.Close() },
		"closed after some bytes": func(_ *Conn, peer *net.TCPConn) {
			_, _ = peer.Write([]byte("goodbye"))
			_ = peer.CloseWrite()
		},
		"silent for too long": func(c *Conn, _ *net.TCPConn) { c.heard.Add(-int64(IdleTimeout)) },
	} {
		t.Run(name, func(t *testing.T) {
			c, peer := pair(t)
			// An earlier request, and what HTTP/2 sends after an answer.
			for range 2 {
				if _, err := c.Write([]byte("hello")); err != nil {
					t.Fatal(err)
				}
			}
			got := make([]byte, 10)
			if _, err := io.ReadFull(peer, got); err != nil {
				t.Fatal(err)
			}
			end(c, peer)
			for !c.Dead() {
				runtime.Gosched()
			}
			c.begins.Store(true)
			before := c.Written()
			if n, err := c.Write([]byte("POST /users")); n != 0 || !errors.Is(err, ErrDead) || c.Written() != before {
				t.Errorf("want nothing written and %v, got %d, %v", ErrDead, n, err)
			}
			if err := c.Close(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("want the connection closed, got %v", err)
			}
		})
	}
}

// At the moment of a thaw, net/http does not know yet that a connection is dead.
func TestTransportSendsTheRequestOnAnotherConnection(t *testing.T) {
	for name, start := range map[string]func(*httptest.Server){"HTTP": (*httptest.Server).Start, "TLS": (*httptest.Server).StartTLS} {
		t.Run(name, func(t *testing.T) {
			var requests, connections atomic.Int32
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				requests.Add(1)
			}))
			s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					connections.Add(1)
				}
			}
			start(s)
			t.Cleanup(s.Close)
			transport := New()
			if s.TLS != nil {
				transport.TLSClientConfig = s.Client().Transport.(*http.Transport).TLSClientConfig
			}
			var last *Conn
			transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := Dial(ctx, network, address)
				last, _ = c.(*Conn)
				return c, err
			}
			t.Cleanup(transport.CloseIdleConnections)
			client := &http.Client{Transport: transport}
			for i := range 3 {
				response, err := client.Post(s.URL, "text/plain", strings.NewReader("{}"))
				if err != nil {
					t.Fatal(err)
				}
				_ = response.Body.Close()
				if i == 1 {
					last.heard.Add(-int64(IdleTimeout))
				}
			}
			if requests.Load() != 3 || connections.Load() != 2 {
				t.Errorf("want 3 requests on 2 connections, got %d on %d", requests.Load(), connections.Load())
			}
		})
	}
}
