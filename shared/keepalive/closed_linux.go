package keepalive

import (
	"net"
	"syscall"
)

// tcpEstablished is the tcpi_state, the first byte of tcp_info, of a connection that
// neither side has closed.
//
// https://man7.org/linux/man-pages/man7/tcp.7.html
const tcpEstablished = 1

// closedByPeer reports whether the kernel knows that the connection is closed or
// reset, even if nobody has read that far.
func closedByPeer(c *net.TCPConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return true
	}
	closed := false
	if err := raw.Control(func(fd uintptr) {
		info, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_INFO) // its first four bytes
		closed = err == nil && byte(info) != tcpEstablished
	}); err != nil {
		return true
	}
	return closed
}
