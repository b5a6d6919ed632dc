package main

import (
	"cmp"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Who may do what. The developer has a browser open, and this server may hold the
// credentials of a real Stream app.
//
// A foreign page can point its own domain name at this server (DNS rebinding), so the
// host must be this machine's or one of -allow-host. A page can also send requests across
// origins, though it cannot read the answers. So what acts without a bearer token must
// not come from another origin's page. Browsers send Origin and Sec-Fetch-Site, which no
// page can change. A caller from elsewhere, or under another name, needs the access key
// for that as well.
const (
	public  = iota // to callers from allowed hosts
	friends        // to pages of this machine and of allowed hosts as well, which may read it
	private        // to the page itself and to programs
)

// keyCookie and keyHeader carry the access key.
const (
	keyCookie = "local-key"
	keyHeader = "X-Local-Key"
)

// guard lets answer what is allowed. route returns who answers a request, and to whom.
func (s *server) guard(route func(*http.Request) (next http.Handler, kind int)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := hostname(r.Host)
		if !s.trusts(host) {
			writeMessage(w, http.StatusMisdirectedRequest, "This development server does not answer to this name; start it with -allow-host "+host+" if it is yours.")
			return
		}
		next, kind := route(r)
		var origins http.CrossOriginProtection
		foreign := origins.Check(&http.Request{Method: http.MethodPost, Host: r.Host, Header: r.Header}) != nil // of a GET as well
		page, err := url.Parse(r.Header.Get("Origin"))
		friend := foreign && err == nil && page.Host != "" && s.trusts(page.Hostname())
		if kind == friends && friend {
			h := w.Header()
			h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
			h.Add("Vary", "Origin")
			if r.Method == http.MethodOptions {
				h.Set("Access-Control-Allow-Methods", "GET,POST,PUT,PATCH,DELETE")
				h.Set("Access-Control-Allow-Headers", r.Header.Get("Access-Control-Request-Headers"))
				h.Set("Access-Control-Max-Age", "3600")
				w.WriteHeader(http.StatusNoContent)
				return
			}
		}
		// Whoever sends a browser to a page of this server gets no answer to read.
		visit := kind == friends && r.Header.Get("Origin") == "" && r.Header.Get("Sec-Fetch-Mode") == "navigate"
		switch {
		case kind == public, kind == friends && (!foreign || friend || visit):
		case foreign:
			writeMessage(w, http.StatusForbidden, "This development server refuses requests from another origin's web page here.")
			return
		case !s.hasKey(w, r, host):
			writeMessage(w, http.StatusUnauthorized, "From another machine or under another name, this needs the access key that the server printed: ?key=KEY, or the header "+keyHeader+".")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hasKey reports whether a caller is on this machine and says so, or has the access key.
// One in the query is kept in a cookie.
func (s *server) hasKey(w http.ResponseWriter, r *http.Request, host string) bool {
	if isLoopback(host) && isLoopback(hostname(r.RemoteAddr)) {
		return true
	}
	is := func(key string) bool { return subtle.ConstantTimeCompare([]byte(key), []byte(s.key)) == 1 }
	if key := r.URL.Query().Get("key"); is(key) {
		r.URL.RawQuery = strings.Trim(strings.Replace("&"+r.URL.RawQuery, "&key="+key, "", 1), "&") // Stream would refuse it
		http.SetCookie(w, &http.Cookie{Name: keyCookie, Value: s.key, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
		return true
	}
	cookie, err := r.Cookie(keyCookie)
	return err == nil && is(cookie.Value) || is(r.Header.Get(keyHeader))
}

// hostname returns a host without its port, brackets and the dot of a full name.
func hostname(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	return strings.TrimSuffix(strings.Trim(host, "[]"), ".")
}

// trusts reports whether a host is this machine's own, or one of -allow-host.
func (s *server) trusts(host string) bool {
	return isLoopback(host) || slices.ContainsFunc(s.allowHosts, func(allowed string) bool { return strings.EqualFold(allowed, host) })
}

// isLoopback reports whether a host name or address is this machine's own.
func isLoopback(host string) bool {
	return strings.EqualFold(host, "localhost") || net.ParseIP(host).IsLoopback()
}

// parseAddress returns the host and the first port to listen on. Without a host, that is
// loopback; others can call the server only with -allow-host.
func parseAddress(addr string, allowHosts []string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(addr)
	port, err2 := strconv.Atoi(text)
	switch host = cmp.Or(host, "127.0.0.1"); {
	case err != nil || err2 != nil || port < 0 || port > 65533:
		return "", 0, fmt.Errorf("%q is not an address; write 127.0.0.1:3000, or :0 for free ports", addr)
	case !isLoopback(host) && len(allowHosts) == 0:
		return "", 0, fmt.Errorf("%q lets other machines call this server, and whoever reaches it acts as your Stream app; name the hosts that may with -allow-host, or use 127.0.0.1", addr)
	case !isLoopback(host) && !net.ParseIP(host).IsUnspecified(): // the functions call the issuer on loopback
		return "", 0, fmt.Errorf("%q leaves this machine itself out; write 0.0.0.0:%d with -allow-host %s", addr, port, host)
	}
	return host, port, nil
}
