//go:build !linux

package main

import "net"

// closedByPeer is for the system that Lambda runs on. Elsewhere, in
// development, net/http's own watch over idle connections has to do.
func closedByPeer(*net.TCPConn) bool { return false }
