package bench

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync"
)

// connections tracks a server's connections and can close them at any time.
type connections struct {
	mu      sync.Mutex
	changed *sync.Cond
	states  map[net.Conn]http.ConnState
}

// watch tracks the connections of a server that has not started yet.
func watch(s *http.Server) *connections {
	c := &connections{states: make(map[net.Conn]http.ConnState)}
	c.changed = sync.NewCond(&c.mu)
	s.ConnState = func(conn net.Conn, state http.ConnState) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.states[conn] = state; state == http.StateClosed {
			delete(c.states, conn)
		}
		c.changed.Broadcast()
	}
	return c
}

// end closes all connections as soon as none is serving a request. With reset it
// resets them instead: data in flight is lost, as after a crash or behind a
// firewall that has dropped the connection.
func (c *connections) end(reset bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.active() {
		c.changed.Wait()
	}
	for conn := range c.states {
		if secure, ok := conn.(*tls.Conn); ok {
			conn = secure.NetConn()
		}
		if reset {
			conn.(*net.TCPConn).SetLinger(0)
		}
		conn.Close()
	}
	clear(c.states)
}

func (c *connections) active() bool {
	for _, state := range c.states {
		if state == http.StateActive {
			return true
		}
	}
	return false
}
