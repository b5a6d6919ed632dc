package proxy

import (
	"bytes"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"

	"chat-service-backend/internal/awstest"
)

// pair returns a connection and its peer's end. Nothing reads from the connection,
// as in a process that Lambda has frozen.
func pair(t *testing.T) (*conn, *net.TCPConn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := dial(t.Context(), "tcp", l.Addr().String())
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
	return c.(*conn), peer.(*net.TCPConn)
}

func TestRequestOnAConnectionThatThePeerHasEndedIsNotWritten(t *testing.T) {
	for name, end := range map[string]func(*net.TCPConn){
		"closed": func(c *net.TCPConn) { _ = c.Close() },
		"reset":  func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() },
		"closed after some bytes": func(c *net.TCPConn) {
			_, _ = c.Write([]byte("goodbye"))
			_ = c.CloseWrite()
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, peer := pair(t)
			// An earlier request, and what HTTP/2 sends after an answer.
			for range 2 {
				c.begin()
				if _, err := c.Write([]byte("hello")); err != nil {
					t.Fatal(err)
				}
			}
			got := make([]byte, 10)
			if _, err := io.ReadFull(peer, got); err != nil {
				t.Fatal(err)
			}
			end(peer)
			for !closedByPeer(c.TCPConn) {
				runtime.Gosched()
			}
			before := c.begin()
			if n, err := c.Write([]byte("POST /users")); n != 0 || !errors.Is(err, errDead) {
				t.Errorf("want nothing written and %v, got %d, %v", errDead, n, err)
			}
			if c.sent(before) {
				t.Error("want no byte written, got some")
			}
			if err := c.Close(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("want the connection closed, got %v", err)
			}
		})
	}
}

// Freezes the function's process as Lambda does between two requests, and has
// Stream end the connection meanwhile.
func TestPOSTsSurviveAFreeze(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			seen := 0
			s := newStream(t, protocol, func(w http.ResponseWriter, r *http.Request) {
				seen++ // one request at a time
				_, _ = w.Write(bytes.Repeat([]byte("x"), 10<<10))
			})
			f := startFunction(t, s)
			if protocol != "HTTP/1.1" {
				response := f.Invoke(awstest.ServiceEvent(t, newRequest(http.MethodPost, "/proxy//not-for-stream", "{}", nil), "/proxy/{path+}"))
				_, _ = io.ReadAll(response.Body)
				if got := s.connections(); got != 1 {
					t.Errorf("want a connection made before the first request, got %d", got)
				}
			}
			const rounds = 20
			for i := range rounds {
				response := f.Invoke(awstest.ServiceEvent(t, newRequest(http.MethodPost, "/proxy/users", "{}", nil), "/proxy/{path+}"))
				body, err := io.ReadAll(response.Body)
				if response.StatusCode != http.StatusOK || len(body) != 10<<10 || err != nil {
					t.Fatalf("want status 200 and the whole answer, got %d and %d bytes, %v", response.StatusCode, len(body), err)
				}
				if got := s.connections(); i == 0 && got != 1 {
					t.Errorf("want the first request on the first connection, got %d", got)
				}
				signal(t, f.OS, syscall.SIGSTOP)
				s.hangUp(i%2 == 0)
				signal(t, f.OS, syscall.SIGCONT)
			}
			if seen != rounds {
				t.Errorf("want %d requests at Stream, got %d", rounds, seen)
			}
		})
	}
}

// startFunction starts the function in front of s, whose certificate it trusts.
func startFunction(t *testing.T, s *stream) *awstest.Function {
	environment := map[string]string{"STREAM_BASE_URL": s.URL}
	if certificate := s.Certificate(); certificate != nil {
		file := filepath.Join(t.TempDir(), "roots.pem")
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		environment["SSL_CERT_FILE"] = file
	}
	return awstest.StartFunction(t, awstest.NewParameterStore(t, awstest.App(key, secret)).Env(environment))
}

func signal(t *testing.T, process *os.Process, s os.Signal) {
	if err := process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func TestConnectionMadeAheadIsDroppedWhenDead(t *testing.T) {
	for _, protocol := range protocols[1:] {
		for _, reset := range []bool{false, true} {
			s := newStream(t, protocol, func(http.ResponseWriter, *http.Request) {})
			u := s.upstream(t)
			u.warm(t.Context())
			ahead := <-u.ahead
			u.ahead <- ahead
			s.hangUp(reset)
			for !closedByPeer(below(ahead).TCPConn) {
				runtime.Gosched()
			}
			if response := do(newProxy(t, s.URL, u), http.MethodPost, "/proxy/users", "{}"); response.StatusCode != http.StatusOK {
				t.Errorf("%s: want status 200, got %d", protocol, response.StatusCode)
			}
			if got := s.connections(); got != 2 {
				t.Errorf("%s: want another connection, got %d in all", protocol, got)
			}
		}
	}
}

// A forgetful connection is Stream's end of one that it has forgotten: it answers
// the next byte with a reset.
type forgetful struct {
	*net.TCPConn
	forgotten *atomic.Bool
}

func (c forgetful) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p[:min(len(p), 1)])
	if n > 0 && c.forgotten.CompareAndSwap(true, false) {
		_ = c.SetLinger(0)
		_ = c.Close()
		return 0, net.ErrClosed
	}
	return n, err
}

// A kept connection dies without a sign: only a reset in answer to the request
// tells. For what Stream has read, see TestWhatStreamMayHaveReadIsNotRepeated.
func TestRequestThatStreamCannotHaveReadIsRepeated(t *testing.T) {
	for _, protocol := range protocols {
		for _, method := range []string{http.MethodPost, http.MethodDelete, http.MethodGet} {
			t.Run(protocol+" "+method, func(t *testing.T) {
				var forgotten atomic.Bool
				var requests atomic.Int32
				s := newStream(t, protocol, func(_ http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					requests.Add(1)
				}, func(c *net.TCPConn) net.Conn { return forgetful{c, &forgotten} })
				u := s.upstream(t)
				made := keepTrack(u)
				h := newProxy(t, s.URL, u)
				answered := 0
				for range 10 {
					do(h, http.MethodPost, "/proxy/warm", "{}")
					connections := made() // maybe two, and only the transport knows which it uses
					acked := func() (n uint64) {
						for _, c := range connections {
							n += c.acked()
						}
						return n
					}
					before := acked()
					forgotten.Store(true)
					response := do(h, method, "/proxy/users", "{}")
					answered++
					switch {
					case forgotten.Swap(false):
						t.Error("want the connection used that Stream has forgotten, got another")
					case response.StatusCode == http.StatusOK:
						answered++
					case len(made()) == len(connections) && (method == http.MethodGet || acked() == before):
						// Else this machine was slow: the transport used a new
						// connection, or the kernel acknowledged the first byte.
						body, _ := io.ReadAll(response.Body)
						t.Errorf("want status 200, got %d %s", response.StatusCode, body)
					}
				}
				if got := int(requests.Load()); got != answered || answered < 15 {
					t.Errorf("want each of %d answered requests at Stream once, got %d", answered, got)
				}
			})
		}
	}
}
