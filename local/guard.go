package main

import (
	"fmt"
	"net"
	"net/http"
	"strings"
)

// guard keeps other people's web pages away. The developer has a browser open,
// and this server may hold the credentials of a real Stream app.
//
// A page can point its own domain name at this server (DNS rebinding), so the
// host must be a loopback one. A page can also send requests across origins,
// though it cannot read the answers. So a request that acts without a bearer
// token, for which private reports true, must not come from another origin's
// page. Browsers send Origin and Sec-Fetch-Site, which no page can change.
func guard(next http.Handler, private func(*http.Request) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = strings.Trim(r.Host, "[]")
		}
		if !isLoopback(host) {
			writeMessage(w, http.StatusMisdirectedRequest, "This development server answers to loopback names only, such as 127.0.0.1 or localhost.")
			return
		}
		site := r.Header.Get("Sec-Fetch-Site")
		foreign := site == "cross-site" || site == "same-site" // another port is another origin of the same site
		if origin, sent := r.Header["Origin"]; sent {
			foreign = foreign || len(origin) != 1 || origin[0] != "http://"+r.Host
		}
		if foreign && private(r) {
			writeMessage(w, http.StatusForbidden, "This development server refuses requests from another origin's web page here.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLoopback reports whether a host name or address is this machine's own.
func isLoopback(host string) bool {
	return strings.EqualFold(host, "localhost") || net.ParseIP(host).IsLoopback()
}

// checkLoopback refuses an address on which others could call the server.
func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if !isLoopback(host) {
		return fmt.Errorf("want a loopback address such as 127.0.0.1:3000, got %q: whoever reaches this server acts as your Stream app", addr)
	}
	return nil
}
