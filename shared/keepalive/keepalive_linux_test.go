package keepalive

import (
	"bytes"
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
	"time"
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
		"silent for too long": func(c *Conn, _ *net.TCPConn) { c.heard.Add(-int64(idleTimeout)) },
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
			for limit := time.Now().Add(30 * time.Second); !c.Dead(); runtime.Gosched() {
				if time.Now().After(limit) {
					t.Fatal("want the connection known to be dead within 30 s")
				}
			}
			c.begins.Store(true)
			before := c.written.Load()
			if n, err := c.Write([]byte("POST /users")); n != 0 || !errors.Is(err, errDead) || c.written.Load() != before {
				t.Errorf("want nothing written and %v, got %d, %v", errDead, n, err)
			}
			if err := c.Close(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("want the connection closed, got %v", err)
			}
		})
	}
}

// At the moment of a thaw, net/http does not know yet that a connection is dead. With
// HTTP/2, it may have written to it since the answer, which is no request.
func TestTransportSendsTheRequestOnAnotherConnection(t *testing.T) {
	for name, start := range map[string]func(*httptest.Server){
		"HTTP": (*httptest.Server).Start, "TLS": (*httptest.Server).StartTLS, "HTTP/2": func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() },
	} {
		t.Run(name, func(t *testing.T) {
			var requests, connections atomic.Int32
			answer := bytes.Repeat([]byte("x"), 10<<10)
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				requests.Add(1)
				_, _ = w.Write(answer)
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
				transport.ForceAttemptHTTP2 = s.EnableHTTP2
			}
			var last *Conn
			transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := Dial(ctx, network, address)
				last, _ = c.(*Conn)
				return c, err
			}
			t.Cleanup(transport.CloseIdleConnections)
			client := &http.Client{Transport: transport}
			const rounds = 20
			for range rounds {
				for range 2 {
					response, err := client.Post(s.URL, "text/plain", strings.NewReader("{}"))
					if err != nil {
						t.Fatal(err)
					}
					_, _ = io.Copy(io.Discard, response.Body)
					_ = response.Body.Close()
				}
				last.heard.Add(-int64(idleTimeout))
			}
			if requests.Load() != 2*rounds || connections.Load() != rounds {
				t.Errorf("want %d requests on %d connections, got %d on %d", 2*rounds, rounds, requests.Load(), connections.Load())
			}
		})
	}
}
