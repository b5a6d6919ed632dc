//go:build !linux

package keepalive

import "net"

// closedByPeer needs Linux, which is what Lambda runs. For development elsewhere,
// net/http's own watch over idle connections is enough.
func closedByPeer(*net.TCPConn) bool { return false }
