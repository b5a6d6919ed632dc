package keepalive

import (
	"net"

	"golang.org/x/sys/unix"
)

// tcpEstablished is the tcp_info.tcpi_state of a connection that neither side has
// closed.
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
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		closed = err == nil && info.State != tcpEstablished
	}); err != nil {
		return true
	}
	return closed
}
