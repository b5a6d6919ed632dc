//go:build !linux

package main

import "net"

// closedByPeer knows nothing here. It is for Linux, which Lambda runs on; in
// development, net/http's own watch over idle connections has to do.
func closedByPeer(*net.TCPConn) bool { return false }

// ackedBytes knows nothing here, either: what may have been sent is not repeated.
func ackedBytes(*net.TCPConn) uint64 { return 0 }
