//go:build !linux

package proxy

import "net"

// closedByPeer needs Linux, which is what Lambda runs. For development elsewhere,
// net/http's own watch over idle connections is enough.
func closedByPeer(*net.TCPConn) bool { return false }

// ackedBytes needs Linux, too. Elsewhere, what may have been sent is not repeated.
func ackedBytes(*net.TCPConn) uint64 { return 0 }
